//! csv with a good header, and with any: MovieLens and the 5-core files of Amazon 2023; and without one: the ratings of Amazon 2014 and 2018.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::{Part, Set, choose};

const RATINGS: &[u8] = b"userId,movieId,rating,timestamp\n";
const MOVIES: &[u8] = b"movieId,title,genres\n";
const REVIEWS: &[u8] = b"user_id,parent_asin,rating,timestamp,history\n";

static SETS: LazyLock<[Set; 7]> = LazyLock::new(|| {
    let movielens = |ratings, movies, part| {
        Set::new(
            "movielens-csv",
            [("ratings.csv", ratings), ("movies.csv", movies)],
            part,
            "",
        )
    };
    let ratings = [("r.csv", &b""[..]), ("m.json", b"")];
    let reviews = [("r.csv", REVIEWS), ("m.jsonl", &b""[..])];
    [
        movielens(RATINGS, MOVIES, Part::Interactions),
        movielens(RATINGS, MOVIES, Part::Items),
        movielens(b"", MOVIES, Part::Interactions),
        movielens(RATINGS, b"", Part::Items),
        Set::new("amazon-2023", reviews, Part::Interactions, ""),
        Set::new("amazon-2014", ratings, Part::Interactions, ""),
        Set::new("amazon-2018", ratings, Part::Interactions, ""),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    if let Some((set, lines)) = choose(&*SETS, bytes) {
        set.read(lines, false);
    }
});
