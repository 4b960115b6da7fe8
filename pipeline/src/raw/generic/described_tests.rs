//! That files are read as their description says, and that what it says and files lack is an error.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};

use super::tests::{Set, rows};

const JSON: &str = "{\"user_id\": \"a\", \"item_id\": 1, \"timestamp\": 1600000001}\n";

#[test]
fn folders_above_the_raw_folder_tell_no_column() {
    let set = Set::new("");
    let file = "{\"user_id\": null, \"item_id\": 1, \"timestamp\": 1600000001}\n";
    set.write("user_id=zed/raw/e.jsonl", file)
        .write("user_id=zed/raw/user_id=ann/f.jsonl", file);
    let below = |root: &str, name: &str| rows(&set.read_below(root, name).unwrap());
    assert_eq!(below("user_id=zed/raw", "e.jsonl"), []);
    assert_eq!(below("user_id=zed", "raw/e.jsonl"), []);
    assert_eq!(below("user_id=zed/raw", "user_id=ann/f.jsonl")[0].0, "ann");
}

#[test]
fn ids_with_half_a_character_are_refused_and_become_nobody_else() {
    let set = Set::new("");
    let line =
        |user: &str| format!("{{\"user_id\": \"{user}\", \"item_id\": 1, \"timestamp\": 1600000001}}\n");
    let users = ["a\\ud83d", "a\\ud83e", "a", "\\ud83d\\ude00"];
    set.write("e.jsonl", users.map(line).concat());
    let tables = set.read("e.jsonl", "").unwrap();
    let found: Vec<String> = rows(&tables).into_iter().map(|row| row.0).collect();
    assert_eq!(found, ["a", "\u{1f600}"]);
    let reasons: Vec<&str> = tables
        .rejects
        .iter()
        .map(|reject| reject.reason.as_str())
        .collect();
    assert_eq!(reasons, ["an id holds half a character"; 2]);
}

#[test]
fn so_are_those_of_python_literals() {
    let root = tempfile::tempdir().unwrap();
    let users = ["a\\ud83d", "a\\ud83e", "a", "\\ud83d\\ude00"];
    let review = |user: &str| format!("{{'username': '{user}', 'product_id': '7', 'date': '2017-11-01'}}\n");
    std::fs::write(root.path().join("r.json"), users.map(review).concat()).unwrap();
    let titles = [
        "'id': '7', 'title': 'Oak \\ud83d'",
        "'id': '7\\ud83d', 'title': 'Pine'",
    ];
    std::fs::write(
        root.path().join("g.json"),
        titles.map(|game| format!("{{{game}}}\n")).concat(),
    )
    .unwrap();
    let text = "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"steam\"\n\
                interactions = [\"r.json\"]\nitems = [\"g.json\"]\n";
    let description = crate::dataset::DatasetDescription::parse(text, "t.toml").unwrap();
    let tables = crate::raw::read(
        &description,
        root.path(),
        &Default::default(),
        &crate::raw::NoProgress,
    )
    .unwrap();
    let found: Vec<String> = rows(&tables).into_iter().map(|row| row.0).collect();
    assert_eq!(found, ["a", "\u{1f600}"]);
    assert!(
        tables
            .rejects
            .iter()
            .all(|reject| reject.reason == "an id holds half a character")
    );
    assert_eq!((tables.rejects.len(), tables.lines), (3, 6));
}

#[test]
fn a_column_that_is_named_and_absent_is_an_error_and_one_that_is_not_named_is_none() {
    let named = Set::new("[columns]\nrating = \"strs\"\n");
    let usual = Set::new("");
    let text = || Arc::new(StringArray::from(vec!["a"])) as ArrayRef;
    let number = || Arc::new(Int64Array::from(vec![1_600_000_001])) as ArrayRef;
    for set in [&named, &usual] {
        set.write("e.csv", "user_id,item_id,timestamp,stars\na,1,1600000001,4\n")
            .write("i.csv", "item_id,title,genres\n1,Oak,x\n")
            .write("e.jsonl", JSON)
            .write("i.jsonl", "{\"item_id\": 1, \"title\": \"Oak\"}\n")
            .parquet(
                "e.parquet",
                vec![("user_id", text()), ("item_id", text()), ("timestamp", number())],
            )
            .parquet("i.parquet", vec![("item_id", text()), ("title", text())]);
    }
    for kind in ["csv", "jsonl", "parquet"] {
        let (events, items) = (format!("e.{kind}"), format!("i.{kind}"));
        let error = named.read(&events, "").unwrap_err();
        assert!(error.contains("strs"), "{error}");
        assert_eq!(usual.rows(&events)[0].2, None);
        let rated = Set::new("[columns]\ncategories = \"genrs\"\n");
        for file in [&events, &items] {
            std::fs::copy(named.path(file), rated.path(file)).unwrap();
        }
        let error = rated.read(&events, &items).unwrap_err();
        assert!(error.contains("genrs"), "{error}");
        assert!(usual.read(&events, &items).is_ok());
    }
}

#[test]
fn dates_that_are_written_as_numbers_are_dates_where_the_description_says_so() {
    for time in ["%Y%m%d", "iso"] {
        let set = Set::new(&format!("time = \"{time}\"\n"));
        set.write(
            "e.jsonl",
            "{\"user_id\": \"a\", \"item_id\": 1, \"timestamp\": 20200913}\n",
        );
        assert_eq!(set.rows("e.jsonl")[0].3, 1_599_955_200_000, "{time}");
    }
}

#[test]
fn a_decimal_comma_leaves_dates_with_points_alone() {
    let columns = "[columns]\ndelimiter = \";\"\ndecimal = \",\"\n";
    let set = Set::new(&format!("time = \"%d.%m.%Y\"\n{columns}"));
    set.write("e.csv", "user_id;item_id;rating;timestamp\na;1;4,5;13.09.2020\n");
    assert_eq!(
        set.rows("e.csv"),
        [("a".to_owned(), "1".to_owned(), Some(4.5), 1_599_955_200_000)]
    );
    let counted = Set::new(columns);
    counted.write(
        "e.csv",
        "user_id;item_id;rating;timestamp\na;1;4,5;1600000001,5\n",
    );
    assert_eq!(counted.rows("e.csv")[0].3, 1_600_000_001_500);
}

#[test]
fn a_time_is_quoted_however_long_it_is() {
    let set = Set::new("time = \"iso\"\n");
    let time = "Sun Sep 13 2020 14:26:41 GMT+0200 (Central European Summer Time)";
    let rows: String = (0..9).map(|row| format!("a,{row},{time}\n")).collect();
    set.write("e.csv", format!("user_id,item_id,timestamp\n{rows}"));
    let error = set.read("e.csv", "").unwrap_err();
    assert!(error.contains(time), "{error}");
}

#[test]
fn a_first_line_that_waits_for_its_end_is_counted_once() {
    let set = Set::new("[columns]\nheader = false\nuser = 1\nitem = 2\ntimestamp = 3\n");
    set.write("e.tsv", "a\t1\t1600000001\t\"great\nb\t2\t1600000002\tgood\n");
    let tables = set.read("e.tsv", "").unwrap();
    assert_eq!((tables.lines, rows(&tables).len()), (2, 2));
}

#[test]
fn categories_that_cannot_be_read_cost_the_categories_and_not_the_item() {
    let set = Set::new("");
    let mut items = b"{\"item_id\": 1, \"title\": \"Oak\", \"categories\": [\"a\xff\"]}\n".to_vec();
    items.extend_from_slice(b"{\"item_id\": 2, \"title\": \"Elm\", \"categories\": [\"b\"]}\n");
    set.write("e.jsonl", JSON).write("i.jsonl", items);
    let tables = set.read("e.jsonl", "i.jsonl").unwrap();
    assert_eq!(tables.rejects, []);
    assert_eq!(
        tables
            .items
            .unwrap()
            .iter()
            .map(|batch| batch.num_rows())
            .sum::<usize>(),
        2
    );
}
