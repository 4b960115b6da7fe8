//! Reading small files of every published format, clean and dirty, and the real ones where they are at hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use std::collections::HashSet;
use std::io::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};

use super::*;

/// A description of `format` in an empty folder.
fn set(format: &str, interactions: &[&str], items: &[&str]) -> (DatasetDescription, tempfile::TempDir) {
    let columns = if format == "recbole" && !items.is_empty() {
        "[columns]\ntitle = \"movie_title\"\ncategories = \"class\"\n"
    } else {
        ""
    };
    let text = format!(
        "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nformat = \"{format}\"\ninteractions = {interactions:?}\n\
         items = {items:?}\nlicence = \"own\"\n{columns}"
    );
    (
        DatasetDescription::parse(&text, "t.toml").unwrap(),
        tempfile::tempdir().unwrap(),
    )
}

fn read_all(description: &DatasetDescription, root: &Path) -> RawTables {
    read(description, root, &ReadOptions::default(), &NoProgress).unwrap()
}

type Row = (String, String, Option<f64>, i64, i64);

fn rows(batches: &[RecordBatch]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        assert_eq!(batch.schema(), interactions_schema());
        let rating = batch.column(2).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            rows.push((
                batch.column(0).as_string::<i32>().value(row).to_string(),
                batch.column(1).as_string::<i32>().value(row).to_string(),
                rating.is_valid(row).then(|| rating.value(row)),
                batch.column(3).as_primitive::<Int64Type>().value(row),
                batch.column(4).as_primitive::<Int64Type>().value(row),
            ));
        }
    }
    rows
}

type ItemRow = (String, Option<String>, Option<String>, i64);

fn item_rows(batches: &[RecordBatch]) -> Vec<ItemRow> {
    let mut rows = Vec::new();
    for batch in batches {
        assert_eq!(batch.schema(), items_schema());
        let text = |column: usize, row: usize| {
            let column = batch.column(column).as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_string())
        };
        for row in 0..batch.num_rows() {
            let line = batch.column(3).as_primitive::<Int64Type>().value(row);
            rows.push((text(0, row).unwrap(), text(1, row), text(2, row), line));
        }
    }
    rows
}

fn reasons(tables: &RawTables) -> Vec<(u64, u64, &str)> {
    tables
        .rejects
        .iter()
        .map(|reject| (reject.line, reject.offset, reject.reason.as_str()))
        .collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_string())
}

#[test]
fn amazon_reviews_give_rows_and_every_bad_line_its_reason() {
    let (description, folder) = set("amazon-2018", &["r.json"], &[]);
    let lines = [
        r#"{"reviewerID": "u\u00e9", "asin": "i", "overall": 4.0, "reviewText": "a \"b\" {", "unixReviewTime": 7}"#,
        "garbage",
        r#"{"asin": "i", "overall": 4.0, "unixReviewTime": 7}"#,
        "",
        r#"{"reviewerID": "u", "asin": "i", "overall": 4.0, "unixReviewTime": -7}"#,
        r#"{"reviewerID": "u", "asin": "i", "overall": 0.0, "unixReviewTime": 7}"#,
        r#"{"reviewerID": "u", "asin": 3, "overall": 4.0, "unixReviewTime": 7}"#,
        r#"{"reviewerID": "u", "asin": "i", "unixReviewTime": 1500000000}"#,
        r#"["u", "i", 5.0, 7]"#,
        r#"{"reviewerID": "u", "asin": "i", "overall": 4.0, "unixReviewTime": 7"#,
        r#"{"reviewerID": "u", "asin": "i", "overall": 4.0, "unixReviewTime": 1500000000000}"#,
        r#"{"reviewerID": " ", "asin": "i", "overall": 4.0, "unixReviewTime": 7}"#,
    ];
    let text = lines.join("\n");
    std::fs::write(folder.path().join("r.json"), &text).unwrap();
    let tables = read_all(&description, folder.path());
    assert_eq!(
        rows(&tables.interactions),
        [
            ("u\u{e9}".to_string(), "i".to_string(), Some(4.0), 7_000, 1),
            ("u".to_string(), "i".to_string(), None, 1_500_000_000_000, 8),
        ]
    );
    assert!(tables.items.is_none());
    let expected = [
        (2, "not a JSON object"),
        (3, "lacks reviewerID"),
        (5, "negative timestamp"),
        (6, "rating outside the format's scale"),
        (7, "a key holds a value of the wrong type or stands twice"),
        (9, "not a JSON object"),
        (10, "not a JSON object"),
        (11, "timestamp in milliseconds where seconds are expected"),
        (12, "lacks reviewerID"),
    ];
    let offset = |line: u64| {
        lines[..line as usize - 1]
            .iter()
            .map(|text| text.len() as u64 + 1)
            .sum::<u64>()
    };
    let expected: Vec<_> = expected
        .iter()
        .map(|(line, reason)| (*line, offset(*line), *reason))
        .collect();
    assert_eq!(reasons(&tables), expected);
    assert_eq!(tables.rejects[0].text, "garbage");
    assert_eq!(tables.rejects[0].file, "r.json");
    assert_eq!(tables.lines, 11);
}

#[test]
fn amazon_metadata_of_2014_is_read_from_python_literals() {
    let (description, folder) = set("amazon-2014", &["r.json"], &["m.json"]);
    std::fs::write(folder.path().join("r.json"), "").unwrap();
    let text = concat!(
        "{'asin': 'A', 'title': \"It's\", 'related': {'x': ['B']}, 'categories': [['Beauty', 'Hair'], ['Beauty']]}\n",
        "{'asin': 'B', 'description': 'none'}\n",
        "{'title': 'no key'}\n",
        "{'asin': 'C', 'title': 'open\n",
    );
    std::fs::write(folder.path().join("m.json"), text).unwrap();
    let tables = read_all(&description, folder.path());
    assert_eq!(
        item_rows(&tables.items.as_ref().unwrap()[..]),
        [
            ("A".into(), some("It's"), some("Beauty, Hair"), 1),
            ("B".into(), None, None, 2)
        ]
    );
    let reasons: Vec<&str> = tables
        .rejects
        .iter()
        .map(|reject| reject.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        ["lacks asin", "not a Python dict: a string is not closed"]
    );
    assert_eq!(rows(&tables.interactions), []);
}

#[test]
fn amazon_metadata_of_2018_passes_titles_on_as_published() {
    let (description, folder) = set("amazon-2018", &["r.json"], &["m.json"]);
    std::fs::write(folder.path().join("r.json"), "").unwrap();
    let text = concat!(
        r#"{"category": ["Arts, Music &amp; Photography", "Music"], "title": "<span class=\"a\"", "asin": "A"}"#,
        "\n",
        r#"{"category": [], "title": ["odd"], "asin": "A"}"#,
        "\n",
    );
    std::fs::write(folder.path().join("m.json"), text).unwrap();
    let tables = read_all(&description, folder.path());
    assert_eq!(
        item_rows(&tables.items.unwrap()),
        [
            (
                "A".into(),
                some("<span class=\"a\""),
                some("Arts, Music &amp; Photography, Music"),
                1
            ),
            ("A".into(), None, None, 2),
        ]
    );
}

#[test]
fn movielens_csv_is_read_by_column_name() {
    let (description, folder) = set("movielens-csv", &["ratings.csv"], &["movies.csv"]);
    let ratings =
        "\u{feff}movieId,userId,rating,timestamp\r\n31,1,2.5,1260759144\r\n7,1,9,3\r\n7,1\r\nx,2,,4\r\n";
    std::fs::write(folder.path().join("ratings.csv"), ratings).unwrap();
    let movies = "movieId,title,genres\n11,\"American President, The (1995)\",Comedy|Drama\n\
                  12,Ol\u{e9},(no genres listed)\n13,\"open,Drama\n";
    std::fs::write(folder.path().join("movies.csv"), movies).unwrap();
    let tables = read_all(&description, folder.path());
    assert_eq!(
        rows(&tables.interactions),
        [
            ("1".into(), "31".into(), Some(2.5), 1_260_759_144_000, 2),
            ("2".into(), "x".into(), None, 4_000, 5),
        ]
    );
    assert_eq!(
        item_rows(&tables.items.as_ref().unwrap()[..]),
        [
            (
                "11".into(),
                some("American President, The (1995)"),
                some("Comedy, Drama"),
                2
            ),
            ("12".into(), some("Ol\u{e9}"), None, 3),
        ]
    );
    let reasons: Vec<&str> = tables
        .rejects
        .iter()
        .map(|reject| reject.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "rating outside the format's scale",
            "another number of fields than the header",
            "a quote is not closed",
        ]
    );
}

#[test]
fn a_quoted_field_may_go_over_lines_and_a_stray_quote_costs_its_own_line() {
    let (description, folder) = set("movielens-csv", &["ratings.csv"], &["movies.csv"]);
    std::fs::write(
        folder.path().join("ratings.csv"),
        "userId,movieId,rating,timestamp\n",
    )
    .unwrap();
    let lines = [
        "movieId,title,genres",
        "1,\"Two",
        "lines, and a \"\"word\"\"\",Drama",
        "2,\"Three\r",
        "",
        "lines\",Comedy\r",
        // Nothing closes this one where a field may end.
        "3,\"open,Drama",
        "4,Plain,Drama",
        "5,\"Quoted, The\",Drama",
        "6,\"again open,Drama",
        "7,\"and again,Drama",
        "8,Last,Drama",
        "9,\"never closed,Drama",
        "10,End,Drama",
    ];
    let text = lines.join("\n");
    std::fs::write(folder.path().join("movies.csv"), &text).unwrap();
    let tables = read_all(&description, folder.path());
    let found: Vec<(String, String, i64)> = item_rows(&tables.items.as_ref().unwrap()[..])
        .into_iter()
        .map(|(item, title, _, line)| (item, title.unwrap(), line))
        .collect();
    let expected = [
        ("1", "Two\nlines, and a \"word\"", 2),
        ("2", "Three\n\nlines", 4),
        ("4", "Plain", 8),
        ("5", "Quoted, The", 9),
        ("8", "Last", 12),
        ("10", "End", 14),
    ];
    assert_eq!(
        found,
        expected.map(|(item, title, line)| (item.to_string(), title.to_string(), line))
    );
    let offset = |line: usize| {
        lines[..line - 1]
            .iter()
            .map(|text| text.len() as u64 + 1)
            .sum::<u64>()
    };
    let refused: Vec<_> = [7, 10, 11, 13]
        .map(|line| (line as u64, offset(line), "a quote is not closed"))
        .to_vec();
    assert_eq!(reasons(&tables), refused);
    assert_eq!(tables.rejects[0].text, lines[6]);
    assert_eq!(tables.lines, 10);
}

#[test]
fn stray_quotes_without_end_cost_no_more_than_their_lines() {
    let (description, folder) = set("movielens-csv", &["ratings.csv"], &["movies.csv"]);
    std::fs::write(
        folder.path().join("ratings.csv"),
        "userId,movieId,rating,timestamp\n",
    )
    .unwrap();
    // More than a record may have lies between the first quote and the second, then they stand line by line.
    let mut text = String::from("movieId,title,genres\n1,\"open,Drama\n");
    text.push_str(&"2,Plain,Drama\n".repeat(100_000));
    text.push_str(&"3,\"open,Drama\n".repeat(50_000));
    std::fs::write(folder.path().join("movies.csv"), text).unwrap();
    let tables = read_all(&description, folder.path());
    assert_eq!(
        item_rows(tables.items.as_ref().unwrap()).len(),
        100_000,
        "every line between is read"
    );
    assert_eq!((tables.rejects.len(), tables.lines), (50_001, 150_001));
}

#[test]
fn lines_that_wait_again_for_a_quote_are_not_moved_for_each_other() {
    let (description, folder) = set("movielens-csv", &["ratings.csv"], &["movies.csv"]);
    std::fs::write(
        folder.path().join("ratings.csv"),
        "userId,movieId,rating,timestamp\n",
    )
    .unwrap();
    // Each line after the first is open although its quotes come to an even number, so all wait for one and then each for the next.
    // Were those that wait again moved each time, these would be 2·10¹⁰ moves.
    let mut text = String::from("movieId,title,genres\n1,\"open,Drama\n");
    text.push_str(&"a\",\"\n".repeat(250_000));
    text.push_str("2,Plain,Drama\n");
    std::fs::write(folder.path().join("movies.csv"), text).unwrap();
    let tables = read_all(&description, folder.path());
    assert_eq!(item_rows(tables.items.as_ref().unwrap()).len(), 1);
    assert_eq!((tables.rejects.len(), tables.lines), (250_001, 250_002));
}

#[test]
fn recbole_atomic_files_are_read_by_column_name() {
    let (description, folder) = set("recbole", &["a.inter"], &["a.item"]);
    let inter = "item_id:token\tuser_id:token\ttimestamp:float\n5\tu\t8.5\n6\tu\n\n7\tv\tsoon\n";
    std::fs::write(folder.path().join("a.inter"), inter).unwrap();
    let item =
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n5\tToy Story\tAnimation Children's Comedy\n";
    std::fs::write(folder.path().join("a.item"), item).unwrap();
    let tables = read_all(&description, folder.path());
    assert_eq!(
        rows(&tables.interactions),
        [("u".into(), "5".into(), None, 8_500, 2)]
    );
    assert_eq!(
        item_rows(&tables.items.as_ref().unwrap()[..]),
        [(
            "5".into(),
            some("Toy Story"),
            some("Animation, Children's, Comedy"),
            2
        )]
    );
    assert_eq!(tables.rejects.len(), 2);
}

#[test]
fn a_header_without_a_needed_column_stops_the_reading() {
    for (format, file) in [("movielens-csv", "a.csv"), ("recbole", "a.csv")] {
        let (description, folder) = set(format, &[file], &[]);
        let read = |text: &str| {
            std::fs::write(folder.path().join(file), text).unwrap();
            read(&description, folder.path(), &ReadOptions::default(), &NoProgress)
                .unwrap_err()
                .to_string()
        };
        let error = read("a,b\tc\n1,2\t3\n");
        assert!(
            error.contains(file) && error.contains("lacks the column"),
            "{error}"
        );
        assert!(read("").contains("empty"));
    }
}

#[test]
fn line_numbers_are_unique_over_the_files_of_a_set() {
    let (description, folder) = set("amazon-2018", &["a.json", "b.json"], &[]);
    let line = "{\"reviewerID\": \"u\", \"asin\": \"i\", \"overall\": 4.0, \"unixReviewTime\": 7}\n";
    std::fs::write(folder.path().join("a.json"), format!("{line}\n{line}")).unwrap();
    std::fs::write(folder.path().join("b.json"), line).unwrap();
    let tables = read_all(&description, folder.path());
    let lines: Vec<i64> = rows(&tables.interactions).iter().map(|row| row.4).collect();
    assert_eq!(lines, [1, 3, 4]);
    assert_eq!(tables.inputs.len(), 2);
    assert_eq!(
        tables.inputs[1].blake3,
        blake3::hash(line.as_bytes()).to_hex().to_string()
    );
    assert_eq!(tables.inputs[1].bytes, line.len() as u64);
}

#[test]
fn salvage_keeps_what_comes_before_the_damage_and_tells_the_loss() {
    let (description, folder) = set("amazon-2018", &["a.json"], &[]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for second in 0..50_000 {
        let user = second * 7_919 % 10_007;
        let line = format!(
            "{{\"reviewerID\": \"u{user}\", \"asin\": \"i\", \"overall\": 4.0, \"unixReviewTime\": {second}}}\n"
        );
        encoder.write_all(line.as_bytes()).unwrap();
    }
    let whole = encoder.finish().unwrap();
    std::fs::write(folder.path().join("a.json.gz"), &whole[..whole.len() / 2]).unwrap();

    let error = read(&description, folder.path(), &ReadOptions::default(), &NoProgress).unwrap_err();
    let Error::Format {
        path,
        offset,
        message,
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(path, &folder.path().join("a.json.gz"));
    assert!(*offset > 0 && message.contains("--salvage"), "{error}");

    let options = ReadOptions {
        salvage: true,
        threads: 1,
    };
    let tables = read(&description, folder.path(), &options, &NoProgress).unwrap();
    let kept = rows(&tables.interactions).len();
    assert!(kept > 10_000 && kept < 40_000, "{kept}");
    assert!(tables.rejects.is_empty());
    assert_eq!(tables.losses.len(), 1);
    assert!(
        tables.losses[0].contains(&format!("{kept} whole lines were kept")),
        "{}",
        tables.losses[0]
    );
}

#[test]
fn a_rejected_line_is_cut_without_breaking_a_character() {
    let (description, folder) = set("amazon-2018", &["a.json"], &[]);
    std::fs::write(folder.path().join("a.json"), format!("x{}", "\u{e9}".repeat(300))).unwrap();
    let tables = read_all(&description, folder.path());
    assert_eq!(tables.rejects[0].text, format!("x{}", "\u{e9}".repeat(99)));
}

/// The real files, where they are: in `$WEAVEREC_SHARED` or beside the workspace.
fn shared(folder: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("WEAVEREC_SHARED").map_or_else(beside, PathBuf::from);
    let path = root.join(folder);
    if !path.is_dir() {
        eprintln!(
            "skipped: the real data in {} is not at hand (set WEAVEREC_SHARED)",
            path.display()
        );
        return None;
    }
    Some(path)
}

#[test]
fn real_files_hold_exactly_what_their_descriptions_say() {
    for (name, folder) in [
        ("amazon-2014-beauty", "amazon-2014/beauty"),
        ("amazon-2014-sports", "amazon-2014/sports"),
        ("amazon-2018-prime-pantry", "amazon-2018/prime-pantry"),
        (
            "amazon-2018-magazine-subscriptions",
            "amazon-2018/magazine-subscriptions",
        ),
        ("amazon-2018-all-beauty", "amazon-2018/all-beauty"),
        ("movielens-latest-small", "movielens/ml-latest-small"),
    ] {
        let Some(root) = shared(folder) else { continue };
        let description = DatasetDescription::load(name).unwrap();
        let tables = read_all(&description, &root);
        assert_eq!(tables.rejects, [], "{name}");
        let rows = rows(&tables.interactions);
        let users: HashSet<&str> = rows.iter().map(|row| row.0.as_str()).collect();
        let items: HashSet<&str> = rows.iter().map(|row| row.1.as_str()).collect();
        let found = crate::dataset::Expected {
            interactions: rows.len() as u64,
            users: users.len() as u64,
            items: items.len() as u64,
        };
        assert_eq!(Some(found), description.expected, "{name}");
        assert_eq!(tables.items.is_none(), name == "amazon-2018-all-beauty");

        let single = ReadOptions {
            salvage: false,
            threads: 1,
        };
        let again = read(&description, &root, &single, &NoProgress).unwrap();
        assert_eq!(
            (again.interactions, again.items),
            (tables.interactions, tables.items),
            "{name}"
        );
    }
}
