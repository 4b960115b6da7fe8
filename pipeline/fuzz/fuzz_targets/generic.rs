//! Logs of one's own: csv, tsv and JSON lines with mapped columns and every way of writing times.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::{Part, Set, choose};

const EVENTS: &[u8] = b"who;what;score;at\n";
const ARTICLES: &[u8] = b"what;name;kinds\n";
const TABBED: &[u8] = b"who\twhat\tat\tscore\n";
const NAMED: &[u8] = b"what\tname\tkinds\n";
const COLUMNS: &str = "[columns]\nuser = \"who\"\nitem = \"what\"\nrating = \"score\"\ntimestamp = \"at\"\n";
const OF_ITEMS: &str = "title = \"name\"\ncategories = \"kinds\"\ncategory_separator = \"|\"\n";
const NUMBERED: &str = "[columns]\nheader = false\nuser = 1\nitem = 2\nrating = 3\ntimestamp = 4\ndecimal = \",\"\n";

static SETS: LazyLock<[Set; 12]> = LazyLock::new(|| {
    let set = |files, part, time: &str, more: &str| {
        // A key about item files is an error where there are none.
        let of_items = if part == Part::Items { OF_ITEMS } else { "" };
        Set::new(
            "generic",
            files,
            part,
            &format!("time = \"{time}\"\n{COLUMNS}{of_items}{more}"),
        )
    };
    let parted = [("e.csv", EVENTS), ("a.csv", ARTICLES)];
    let tabbed = [("e.tsv", TABBED), ("a.tsv", NAMED)];
    let json = [("e.jsonl", &b""[..]), ("a.jsonl", b"")];
    let bare = [("e.csv", &b""[..]), ("a.csv", b"")];
    let semicolon = "delimiter = \";\"\n";
    let escaped = "delimiter = \";\"\nescape = \"\\\\\"\ndecimal = \",\"\n";
    [
        set(parted, Part::Interactions, "%d/%m/%Y %H:%M", semicolon),
        set(parted, Part::Items, "s", semicolon),
        set(parted, Part::Interactions, "s", escaped),
        set(parted, Part::Items, "s", escaped),
        set(tabbed, Part::Interactions, "iso", ""),
        set(tabbed, Part::Interactions, "ns", ""),
        set(tabbed, Part::Items, "s", ""),
        Set::new("generic", bare, Part::Interactions, NUMBERED),
        set(bare, Part::Interactions, "iso", ""),
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
