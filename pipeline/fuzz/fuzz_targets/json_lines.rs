//! The formats of JSON lines: Amazon reviews and metadata, Goodreads.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::{Part, Set, choose};

static SETS: LazyLock<[Set; 6]> = LazyLock::new(|| {
    let files = [("r.json", &b""[..]), ("m.json", b"")];
    [
        Set::new("amazon-2018", files, Part::Interactions, ""),
        Set::new("amazon-2018", files, Part::Items, ""),
        Set::new("amazon-2023", files, Part::Interactions, ""),
        Set::new("amazon-2023", files, Part::Items, ""),
        Set::new("goodreads", files, Part::Interactions, ""),
        Set::new("goodreads", files, Part::Items, ""),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    if let Some((set, lines)) = choose(&*SETS, bytes) {
        set.read(lines, false);
    }
});
