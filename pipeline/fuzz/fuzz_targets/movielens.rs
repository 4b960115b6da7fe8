//! MovieLens without headers: 100K, 1M and 10M.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::{Part, Set, choose};

static SETS: LazyLock<[Set; 4]> = LazyLock::new(|| {
    let small = [("u.data", &b""[..]), ("u.item", b"")];
    let large = [("ratings.dat", &b""[..]), ("movies.dat", b"")];
    [
        Set::new("movielens-100k", small, Part::Interactions, ""),
        Set::new("movielens-100k", small, Part::Items, ""),
        Set::new("movielens-dat", large, Part::Interactions, ""),
        Set::new("movielens-dat", large, Part::Items, ""),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    if let Some((set, lines)) = choose(&*SETS, bytes) {
        set.read(lines, false);
    }
});
