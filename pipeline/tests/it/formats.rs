//! Every published format against a small file with that format's dirt: which rows come out, which lines are refused and why.
//!
//! What must come out stands beside each file of interactions, in `<file>.expected`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use parquet::arrow::ArrowWriter;
use weaverec_pipeline::Error;
use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::raw::{NoProgress, RawTables, ReadOptions, read};

#[path = "formats/damage.rs"]
mod damage;

const GENERIC_CSV: &str = "time = \"%d/%m/%Y %H:%M\"\n[columns]\nuser = \"customer\"\nitem = \"article\"\nrating = \"stars\"\n\
                           timestamp = \"day\"\ntitle = \"label\"\ncategories = \"kinds\"\ncategory_separator = \"|\"\n\
                           delimiter = \";\"\n";

const GENERIC_JSON: &str = "time = \"us\"\n[columns]\nuser = \"who\"\nitem = \"what\"\nrating = \"score\"\ntimestamp = \"at\"\n\
                            title = \"name\"\ncategories = \"kinds\"\n";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn description(format: &str, files: [&str; 2], more: &str) -> DatasetDescription {
    let text = format!(
        "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"{format}\"\ninteractions = [\"{}\"]\n\
         items = [\"{}\"]\n{more}",
        files[0], files[1]
    );
    DatasetDescription::parse(&text, "t.toml").unwrap()
}

/// What was read, a line each: interactions, items, refused lines.
fn shown(tables: &RawTables) -> String {
    let mut out = String::new();
    for batch in &tables.interactions {
        let rating = batch.column(2).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let rating = rating.is_valid(row).then(|| rating.value(row).to_string());
            writeln!(
                out,
                "{} | {} | {} | {} | {}",
                number(batch, 4, row),
                text(batch, 0, row),
                text(batch, 1, row),
                rating.unwrap_or("-".to_owned()),
                number(batch, 3, row)
            )
            .unwrap();
        }
    }
    out.push_str("--- items\n");
    for batch in tables.items.iter().flatten() {
        for row in 0..batch.num_rows() {
            let [item, title, words] = [0, 1, 2].map(|column| text(batch, column, row));
            writeln!(out, "{} | {item} | {title:?} | {words}", number(batch, 3, row)).unwrap();
        }
    }
    out.push_str("--- refused\n");
    for reject in &tables.rejects {
        let name = reject.file.trim_end_matches(".gz").trim_end_matches(".zst");
        writeln!(out, "{name}:{} {}", reject.line, reject.reason).unwrap();
    }
    out
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> String {
    let column = batch.column(column).as_string::<i32>();
    if column.is_valid(row) {
        column.value(row).to_owned()
    } else {
        "-".to_owned()
    }
}

fn number(batch: &RecordBatch, column: usize, row: usize) -> i64 {
    batch.column(column).as_primitive::<Int64Type>().value(row)
}

/// A copy of a file with another compression, under the name that goes with it.
fn store(from: &Path, folder: &Path, ending: &str) {
    let bytes = std::fs::read(from).unwrap();
    let stored = match ending {
        ".gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&bytes).unwrap();
            encoder.finish().unwrap()
        }
        ".zst" => zstd::stream::encode_all(bytes.as_slice(), 3).unwrap(),
        _ => bytes,
    };
    let name = from.file_name().unwrap().to_str().unwrap();
    std::fs::write(folder.join(format!("{name}{ending}")), stored).unwrap();
}

/// Reads a fixture plain, gzipped and with Zstandard; every time the same must come out, with every offset at the start of its line.
fn check(name: &str, format: &str, files: [&str; 2], more: &str) {
    let folder = fixture(name);
    let description = description(format, files, more);
    let expected = std::fs::read_to_string(folder.join(format!("{}.expected", files[0]))).unwrap();
    for ending in ["", ".gz", ".zst"] {
        let copy = tempfile::tempdir().unwrap();
        files
            .iter()
            .for_each(|file| store(&folder.join(file), copy.path(), ending));
        let tables = read(&description, copy.path(), &ReadOptions::default(), &NoProgress).unwrap();
        assert_eq!(shown(&tables), expected, "{name}{ending}");
        for reject in &tables.rejects {
            let plain = std::fs::read(folder.join(reject.file.trim_end_matches(ending))).unwrap();
            let before = &plain[..reject.offset as usize];
            let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            assert_eq!(line, reject.line, "{}: {}", reject.file, reject.reason);
            assert!(before.is_empty() || before.ends_with(b"\n"));
        }
    }
}

#[test]
fn amazon_2014() {
    check(
        "amazon-2014",
        "amazon-2014",
        ["reviews_Tea_5.json", "meta_Tea.json"],
        "",
    );
}

#[test]
fn amazon_2018() {
    check("amazon-2018", "amazon-2018", ["Jam_5.json", "meta_Jam.json"], "");
}

#[test]
fn amazon_2023_reviews() {
    check(
        "amazon-2023",
        "amazon-2023",
        ["Toys.jsonl", "meta_Toys.jsonl"],
        "",
    );
}

#[test]
fn amazon_2023_five_core() {
    check("amazon-2023", "amazon-2023", ["Toys.csv", "meta_Toys.jsonl"], "");
}

#[test]
fn movielens_csv() {
    check(
        "movielens-csv",
        "movielens-csv",
        ["ratings.csv", "movies.csv"],
        "",
    );
}

#[test]
fn movielens_100k() {
    check("movielens-100k", "movielens-100k", ["u.data", "u.item"], "");
}

#[test]
fn movielens_1m_and_10m() {
    check(
        "movielens-dat",
        "movielens-dat",
        ["ratings.dat", "movies.dat"],
        "",
    );
}

#[test]
fn recbole() {
    let columns = "[columns]\ntitle = \"name\"\ncategories = \"kinds\"\n";
    check("recbole", "recbole", ["cafe.inter", "cafe.item"], columns);
}

#[test]
fn steam() {
    check("steam", "steam", ["steam_reviews.json", "steam_games.json"], "");
}

#[test]
fn steam_libraries() {
    let files = ["australian_users_items.json", "steam_games.json"];
    check("steam-library", "steam-library", files, "");
}

#[test]
fn goodreads() {
    let files = ["goodreads_interactions_maps.json", "goodreads_books_maps.json"];
    check("goodreads", "goodreads", files, "");
}

#[test]
fn generic_csv() {
    check(
        "generic-csv",
        "generic",
        ["events.csv", "articles.csv"],
        GENERIC_CSV,
    );
}

#[test]
fn generic_json_lines() {
    check(
        "generic-jsonl",
        "generic",
        ["events.jsonl", "articles.ndjson"],
        GENERIC_JSON,
    );
}

/// A day's events as a program of one's own writes them: typed times, numbers for ids, lists for categories.
fn parquet_events(times: ArrayRef) -> RecordBatch {
    let users: ArrayRef = Arc::new(Int32Array::from_iter(
        (0..20).map(|row| (row != 7).then_some(row / 3)),
    ));
    let items: ArrayRef = Arc::new(StringArray::from_iter((0..20).map(|row| {
        (row != 8).then(|| {
            if row == 9 {
                String::new()
            } else {
                format!("i{}", row % 5)
            }
        })
    })));
    let ratings: ArrayRef = Arc::new(Float32Array::from_iter(
        (0..20).map(|row| (row % 2 == 0).then_some(row as f32)),
    ));
    let mut words = ListBuilder::new(StringBuilder::new());
    for row in 0..20 {
        words.append_value((0..row % 3).map(|word| Some(format!("w{word}"))));
    }
    let columns: [(&str, ArrayRef); 5] = [
        ("user_id", users),
        ("item_id", items),
        ("rating", ratings),
        ("timestamp", times),
        ("categories", Arc::new(words.finish())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn write_parquet(path: &Path, batch: &RecordBatch) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn read_parquet(times: ArrayRef, more: &str) -> Result<RawTables, Error> {
    let folder = tempfile::tempdir().unwrap();
    write_parquet(&folder.path().join("events.parquet"), &parquet_events(times));
    // The items' titles are the users here; any column will do.
    let more = format!("{more}[columns]\ntitle = \"user_id\"\n");
    let description = description("generic", ["events.parquet", "events.parquet"], &more);
    read(&description, folder.path(), &ReadOptions::default(), &NoProgress)
}

#[test]
fn generic_parquet() {
    const FIRST: i64 = 1_501_425_850_000;
    let millis = |row: i64| (row != 10).then_some(if row == 11 { -5 } else { FIRST + row * 1_000 });
    let typed: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter(
        (0..20).map(|row| Some(millis(row)? * 1_000)),
    ));
    let counted: ArrayRef = Arc::new(Int64Array::from_iter((0..20).map(millis)));
    let written: ArrayRef =
        Arc::new(StringArray::from_iter((0..20).map(|row| {
            millis(row).map(|millis| (millis as f64 / 1_000.0).to_string())
        })));
    for (times, more) in [
        (typed, ""),
        (counted, "time = \"ms\"\n"),
        (written, "time = \"s\"\n"),
    ] {
        let tables = read_parquet(times, more).unwrap();
        let shown = shown(&tables);
        assert!(
            shown.starts_with(&format!(
                "1 | 0 | i0 | 0 | {FIRST}\n2 | 0 | i1 | - | {}\n",
                FIRST + 1_000
            )),
            "{shown}"
        );
        let items = "--- items\n1 | i0 | \"0\" | -\n2 | i1 | \"0\" | w0\n3 | i2 | \"0\" | w0, w1\n";
        assert!(shown.contains(items), "{shown}");
        let refused = "--- refused\nevents.parquet:8 lacks user_id\nevents.parquet:9 lacks item_id\n\
                       events.parquet:10 lacks item_id\nevents.parquet:11 lacks timestamp\nevents.parquet:12 negative timestamp\n\
                       events.parquet:9 lacks item_id\nevents.parquet:10 lacks item_id\n";
        assert!(shown.ends_with(refused), "{shown}");
        assert!(
            tables.rejects[0].text.starts_with("user_id= item_id=i2 rating= "),
            "{}",
            tables.rejects[0].text
        );
        assert_eq!(tables.lines, 40);
    }
}

#[test]
fn parquet_that_is_none_or_lacks_a_column_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.parquet");
    let description = description("generic", ["events.parquet", "events.parquet"], "");
    std::fs::write(&path, "PAR1 and so on").unwrap();
    let error = || {
        read(&description, folder.path(), &ReadOptions::default(), &NoProgress)
            .unwrap_err()
            .to_string()
    };
    assert!(error().contains("events.parquet") && error().contains("no readable Parquet"));
    write_parquet(&path, &parquet_events(Arc::new(Int64Array::from(vec![1; 20]))));
    assert!(
        error().contains("lacks the column title; it has user_id"),
        "{}",
        error()
    );
}

#[test]
fn a_clock_in_another_unit_stops_the_reading_and_says_what_to_write() {
    let milliseconds = "userId,movieId,rating,timestamp\n1,2,3,1501425850000\n1,3,3,1501425851000\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ratings.csv"), milliseconds).unwrap();
    std::fs::write(folder.path().join("movies.csv"), "movieId,title,genres\n").unwrap();
    let files = ["ratings.csv", "movies.csv"];
    let reading = |more: &str| {
        let description = description("movielens-csv", files, more);
        read(&description, folder.path(), &ReadOptions::default(), &NoProgress)
    };
    let error = reading("").unwrap_err().to_string();
    assert!(
        error.contains("ratings.csv") && error.contains("`time = \"ms\"`"),
        "{error}"
    );
    assert!(shown(&reading("time = \"ms\"\n").unwrap()).starts_with("2 | 1 | 2 | 3 | 1501425850000\n"));
    // The reverse: seconds where the format has milliseconds.
    let seconds = "user_id,parent_asin,rating,timestamp\nu,i,3,1501425850\n";
    std::fs::write(folder.path().join("ratings.csv"), seconds).unwrap();
    std::fs::write(folder.path().join("movies.csv"), "{}").unwrap();
    let description = description("amazon-2023", files, "");
    let error = read(&description, folder.path(), &ReadOptions::default(), &NoProgress).unwrap_err();
    assert!(error.to_string().contains("`time = \"s\"`"), "{error}");
}

#[test]
fn a_folder_of_files_reads_as_one_whatever_the_threads() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("events");
    std::fs::create_dir(&folder).unwrap();
    let part = |number: i64, rows: i64| {
        let lines = (0..rows).map(|row| format!("u{row},i{number},{}\n", 1_500_000_000 + row));
        let text = format!("user_id,item_id,timestamp\n{}\nbad\n", lines.collect::<String>());
        std::fs::write(folder.join(format!("part-{number}.csv")), text).unwrap();
    };
    (0..5).for_each(|number| part(number, 100 - number * 20));
    std::fs::write(root.path().join("items.csv"), "item_id,title\ni0,Nought\n").unwrap();
    let description = description("generic", ["events/", "items.csv"], "");
    let read = |threads| {
        let options = ReadOptions {
            salvage: false,
            threads,
        };
        read(&description, root.path(), &options, &NoProgress)
    };
    let one = read(1).unwrap();
    let many = shown(&read(4).unwrap());
    assert_eq!(shown(&one), many);
    assert_eq!((one.lines, one.rejects.len(), one.inputs.len()), (306, 5, 6));
    // A header, a hundred rows, a blank line and a bad one; then the next header.
    assert!(
        many.contains("\n101 | u99 | i0 | - | 1500000099000\n105 | u0 | i1 | - | 1500000000000\n"),
        "{many}"
    );
    // Whichever thread meets an error first, the first file's is told.
    for number in [1, 3] {
        std::fs::write(folder.join(format!("part-{number}.csv")), "user_id\n").unwrap();
    }
    let error = read(4).unwrap_err().to_string();
    assert!(error.contains("part-1.csv"), "{error}");
}
