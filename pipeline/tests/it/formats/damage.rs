//! Whatever happens to the bytes of a file, no line is lost unseen.

use super::*;

/// Numbers that look random and are the same every time.
fn scattered(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    }
}

/// A copy with some bytes from `first` on replaced.
fn damaged(bytes: &[u8], first: usize, seed: u64) -> Vec<u8> {
    let mut pick = scattered(seed);
    let mut copy = bytes.to_vec();
    for _ in 0..1 + pick(12) {
        let at = first + pick(copy.len() - first);
        copy[at] = pick(256) as u8;
    }
    copy
}

/// What means something to one format or another.
const HOSTILE: [&[u8]; 16] = [
    b"\"",
    b"'",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\\",
    b"\\u",
    b"{",
    b"}",
    b"]",
    b"::",
    b"\t",
    b"\xef\xbb\xbf",
    b"9999999999999999999999",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// A copy that was cut, repeated, or put something into, here and there from `first` on.
fn mangled(bytes: &[u8], first: usize, seed: u64) -> Vec<u8> {
    let mut pick = scattered(seed);
    let mut copy = bytes.to_vec();
    for _ in 0..1 + pick(4) {
        let start = first + pick(copy.len() - first + 1);
        let end = (start + pick(200)).min(copy.len());
        match pick(4) {
            0 => drop(copy.drain(start..end)),
            1 => {
                let again = copy[start..end].to_vec();
                drop(copy.splice(start..start, again));
            }
            2 => drop(copy.splice(start..start, HOSTILE[pick(HOSTILE.len())].iter().copied())),
            _ => copy.truncate(start),
        }
    }
    copy
}

/// Whatever happens to a file's bytes after its first line, which may be a header, each line of it is a row or refused.
#[test]
fn damage_loses_no_line_unseen() {
    let columns = "[columns]\ntitle = \"name\"\ncategories = \"kinds\"\n";
    for (name, format, files, more) in [
        (
            "amazon-2014",
            "amazon-2014",
            ["reviews_Tea_5.json", "meta_Tea.json"],
            "",
        ),
        ("amazon-2018", "amazon-2018", ["Jam_5.json", "meta_Jam.json"], ""),
        (
            "amazon-2023",
            "amazon-2023",
            ["Toys.jsonl", "meta_Toys.jsonl"],
            "",
        ),
        ("amazon-2023", "amazon-2023", ["Toys.csv", "meta_Toys.jsonl"], ""),
        (
            "movielens-csv",
            "movielens-csv",
            ["ratings.csv", "movies.csv"],
            "",
        ),
        ("movielens-100k", "movielens-100k", ["u.data", "u.item"], ""),
        (
            "movielens-dat",
            "movielens-dat",
            ["ratings.dat", "movies.dat"],
            "",
        ),
        ("recbole", "recbole", ["cafe.inter", "cafe.item"], columns),
        ("steam", "steam", ["steam_reviews.json", "steam_games.json"], ""),
        (
            "goodreads",
            "goodreads",
            ["goodreads_interactions_maps.json", "goodreads_books_maps.json"],
            "",
        ),
        (
            "generic-csv",
            "generic",
            ["events.csv", "articles.csv"],
            GENERIC_CSV,
        ),
        (
            "generic-jsonl",
            "generic",
            ["events.jsonl", "articles.ndjson"],
            GENERIC_JSON,
        ),
    ] {
        let description = description(format, files, more);
        for seed in 0..80 {
            let damage = if seed % 2 == 0 { damaged } else { mangled };
            let copy = tempfile::tempdir().unwrap();
            for file in files {
                let bytes = std::fs::read(fixture(name).join(file)).unwrap();
                let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
                std::fs::write(copy.path().join(file), damage(&bytes, first, seed)).unwrap();
            }
            let tables = read(&description, copy.path(), &ReadOptions::default(), &NoProgress).unwrap();
            let batches = tables.interactions.iter().chain(tables.items.iter().flatten());
            let rows: usize = batches.map(RecordBatch::num_rows).sum();
            assert_eq!(
                rows + tables.rejects.len(),
                tables.lines as usize,
                "{name}, seed {seed}"
            );
        }
    }
}

#[test]
fn damaged_parquet_is_an_error_or_rows_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.parquet");
    write_parquet(
        &path,
        &parquet_events(Arc::new(Int64Array::from_iter_values(0..20))),
    );
    let good = std::fs::read(&path).unwrap();
    let columns = "[columns]\ntitle = \"item_id\"\n";
    let description = description("generic", ["events.parquet", "events.parquet"], columns);
    let mut errors = 0;
    for seed in 0..150 {
        let bytes = if seed % 3 == 0 {
            good[..seed as usize * good.len() / 150].to_vec()
        } else {
            damaged(&good, 0, seed)
        };
        std::fs::write(&path, bytes).unwrap();
        let found = read(&description, folder.path(), &ReadOptions::default(), &NoProgress);
        errors += usize::from(found.is_err_and(|error| error.to_string().contains("events.parquet")));
    }
    assert!(
        errors > 50,
        "{errors} of 150 damaged copies are errors that name the file"
    );
}
