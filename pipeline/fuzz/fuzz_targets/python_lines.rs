//! The formats of Python literals: Amazon metadata of 2014, Steam.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::{Part, Set, choose};

static SETS: LazyLock<[Set; 4]> = LazyLock::new(|| {
    [
        Set::new("amazon-2014", [("r.json", b""), ("m.json", b"")], Part::Items, ""),
        Set::new(
            "steam",
            [("r.json", b""), ("g.json", b"")],
            Part::Interactions,
            "",
        ),
        Set::new("steam", [("r.json", b""), ("g.json", b"")], Part::Items, ""),
        Set::new(
            "steam-library",
            [("u.json", b""), ("g.json", b"")],
            Part::Interactions,
            "",
        ),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    if let Some((set, lines)) = choose(&*SETS, bytes) {
        set.read(lines, false);
    }
});
