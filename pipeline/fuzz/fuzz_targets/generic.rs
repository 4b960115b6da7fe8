//! Logs of one's own: csv, tsv and JSON lines with mapped columns and every way of writing times.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::{Part, Set, choose};

const EVENTS: &[u8] = b"who;what;score;at\n";
const ARTICLES: &[u8] = b"what;name;kinds\n";
const TABBED: &[u8] = b"who\twhat\tat\tscore\n";
const COLUMNS: &str = "[columns]\nuser = \"who\"\nitem = \"what\"\nrating = \"score\"\ntimestamp = \"at\"\ntitle = \"name\"\n\
                       categories = \"kinds\"\ncategory_separator = \"|\"\n";

static SETS: LazyLock<[Set; 7]> = LazyLock::new(|| {
    let set = |files, part, time: &str, delimiter: &str| {
        Set::new(
            "generic",
            files,
            part,
            &format!("time = \"{time}\"\n{COLUMNS}{delimiter}"),
        )
    };
    let parted = [("e.csv", EVENTS), ("a.csv", ARTICLES)];
    let tabbed = [("e.tsv", TABBED), ("a.jsonl", &b""[..])];
    let json = [("e.jsonl", &b""[..]), ("a.jsonl", b"")];
    [
        set(
            parted,
            Part::Interactions,
            "%d/%m/%Y %H:%M",
            "delimiter = \";\"\n",
        ),
        set(parted, Part::Items, "s", "delimiter = \";\"\n"),
        set(tabbed, Part::Interactions, "iso", ""),
        set(tabbed, Part::Interactions, "ns", ""),
        set(json, Part::Interactions, "us", ""),
        set(json, Part::Interactions, "iso", ""),
        set(json, Part::Items, "ms", ""),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    if let Some((set, lines)) = choose(&*SETS, bytes) {
        set.read(lines, false);
    }
});
