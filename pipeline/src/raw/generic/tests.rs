//! Logs of one's own whose values are typed, or were once: what becomes of them as ids, ratings, times and categories.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, i256};
use parquet::arrow::ArrowWriter;

use crate::dataset::DatasetDescription;
use crate::raw::{NoProgress, RawTables, ReadOptions, read};

/// A data set in a folder of its own.
pub(super) struct Set {
    folder: tempfile::TempDir,
    format: &'static str,
    more: String,
}

impl Set {
    pub fn new(more: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            format: "generic",
            more: more.to_owned(),
        }
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    pub fn parquet(&self, name: &str, columns: Vec<(&str, ArrayRef)>) -> &Self {
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        self.write(name, bytes)
    }

    pub fn read(&self, interactions: &str, items: &str) -> Result<RawTables, String> {
        self.read_from(self.folder.path(), interactions, items)
    }

    fn read_from(
        &self,
        root: &std::path::Path,
        interactions: &str,
        items: &str,
    ) -> Result<RawTables, String> {
        let items = if items.is_empty() {
            String::new()
        } else {
            format!("{items:?}")
        };
        let text = format!(
            "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"{}\"\n\
             interactions = [\"{interactions}\"]\nitems = [{items}]\n{}",
            self.format, self.more
        );
        let description = DatasetDescription::parse(&text, "t.toml").unwrap();
        read(&description, root, &ReadOptions::default(), &NoProgress).map_err(|error| error.to_string())
    }

    /// Where a file of it lies.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Reads interactions from a raw folder within the set's.
    pub fn read_below(&self, root: &str, interactions: &str) -> Result<RawTables, String> {
        self.read_from(&self.path(root), interactions, "")
    }

    /// The interactions of a file.
    pub fn rows(&self, interactions: &str) -> Vec<(String, String, Option<f64>, i64)> {
        rows(&self.read(interactions, "").unwrap())
    }
}

pub(super) fn rows(tables: &RawTables) -> Vec<(String, String, Option<f64>, i64)> {
    let mut rows = Vec::new();
    for batch in &tables.interactions {
        let text = |column: usize, row| batch.column(column).as_string::<i32>().value(row).to_owned();
        let rating = batch.column(2).as_primitive::<arrow::datatypes::Float64Type>();
        let time = batch.column(3).as_primitive::<arrow::datatypes::Int64Type>();
        rows.extend((0..batch.num_rows()).map(|row| {
            let rating = rating.is_valid(row).then(|| rating.value(row));
            (text(0, row), text(1, row), rating, time.value(row))
        }));
    }
    rows
}

pub(super) fn users(tables: &RawTables) -> Vec<String> {
    rows(tables).into_iter().map(|row| row.0).collect()
}

/// Items with their titles and categories.
pub(super) fn items(tables: &RawTables) -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    for batch in tables.items.iter().flatten() {
        let text = |column: usize, row| {
            let column = batch.column(column).as_string::<i32>();
            if column.is_valid(row) {
                column.value(row).to_owned()
            } else {
                "-".to_owned()
            }
        };
        rows.extend((0..batch.num_rows()).map(|row| (text(0, row), text(1, row), text(2, row))));
    }
    rows
}

fn reasons(tables: &RawTables) -> Vec<&str> {
    tables
        .rejects
        .iter()
        .map(|reject| reject.reason.as_str())
        .collect()
}

pub(super) fn texts<const N: usize>(values: [&str; N]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Interactions of these users in Parquet.
pub(super) fn by(users: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
    let count = users.len();
    vec![
        ("user_id", users),
        ("item_id", Arc::new(StringArray::from(vec!["i"; count]))),
        (
            "timestamp",
            Arc::new(Int64Array::from(vec![1_600_000_000; count])),
        ),
    ]
}

/// The users that a column of Parquet gives.
pub(super) fn users_of(column: ArrayRef) -> Result<Vec<String>, String> {
    let set = Set::new("");
    set.parquet("e.parquet", by(column))
        .read("e.parquet", "")
        .map(|tables| users(&tables))
}

#[test]
fn an_id_keeps_all_its_digits() {
    let set = Set::new("");
    let line = |user: &str| format!("{{\"user_id\": {user}, \"item_id\": 1, \"timestamp\": 1600000000}}\n");
    let long = [
        "103563353519118150001",
        "103563353519118150002",
        "-9223372036854775809",
        "18446744073709551616",
    ];
    set.write("e.jsonl", long.map(line).concat());
    assert_eq!(users(&set.read("e.jsonl", "").unwrap()), long);
    set.write("e.jsonl", ["7.0", "7", "7e0", "70E-1"].map(line).concat());
    assert_eq!(users(&set.read("e.jsonl", "").unwrap()), ["7"; 4]);

    let column: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, u64::MAX - 1]));
    assert_eq!(
        users_of(column).unwrap(),
        ["18446744073709551615", "18446744073709551614"]
    );
    let decimal = Decimal128Array::from(vec![103_563_353_519_118_150_001_i128; 2]);
    let decimal: ArrayRef = Arc::new(decimal.with_precision_and_scale(38, 0).unwrap());
    assert_eq!(users_of(decimal).unwrap(), ["103563353519118150001"; 2]);
    let wide = Decimal256Array::from(vec![i256::from_i128(i128::MAX)])
        .with_precision_and_scale(76, 0)
        .unwrap();
    assert_eq!(users_of(Arc::new(wide)).unwrap(), [i128::MAX.to_string()]);
    let cents = Decimal128Array::from(vec![10_356_335_351_911_815_000_100_i128, -700]);
    let cents: ArrayRef = Arc::new(cents.with_precision_and_scale(38, 2).unwrap());
    assert_eq!(users_of(cents).unwrap(), ["103563353519118150001", "-7"]);
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![7.0, -3.0, 9_007_199_254_740_992.0]));
    assert_eq!(users_of(doubles).unwrap(), ["7", "-3", "9007199254740992"]);
}

#[test]
fn a_floating_number_that_is_no_exact_id_is_an_error_that_says_what_to_do() {
    for number in ["1.5", "1e300", "9007199254740994.0", "Infinity"] {
        let set = Set::new("");
        set.write(
            "e.jsonl",
            format!("{{\"user_id\": {number}, \"item_id\": 1, \"timestamp\": 1600000000}}\n"),
        );
        let error = set.read("e.jsonl", "").unwrap_err();
        assert!(
            error.contains("e.jsonl")
                && error.contains(&format!("user_id holds the floating number {number}")),
            "{error}"
        );
        assert!(error.contains("write the ids as texts or as integers"), "{error}");
    }
    for (column, value) in [
        (Arc::new(Float64Array::from(vec![1.0, 1.5])) as ArrayRef, "1.5"),
        (
            Arc::new(Float64Array::from(vec![9_007_199_254_740_994.0])),
            "9007199254740994",
        ),
        // Sixteen million and one is the first number that this type has not.
        (Arc::new(Float32Array::from(vec![16_777_218.0])), "16777218"),
        (
            Arc::new(
                Decimal128Array::from(vec![150])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
            "1.50",
        ),
    ] {
        let error = users_of(column).unwrap_err();
        assert!(
            error.contains("user_id holds the floating number") && error.contains(value),
            "{error}"
        );
    }
    // The same in the files of items.
    let set = Set::new("");
    set.parquet("e.parquet", by(texts(["u"])));
    set.write("i.jsonl", "{\"item_id\": 0.5, \"title\": \"Half\"}\n");
    assert!(
        set.read("e.parquet", "i.jsonl")
            .unwrap_err()
            .contains("item_id holds the floating number 0.5")
    );
}

#[test]
fn an_id_in_csv_is_the_text_that_stands_there() {
    let set = Set::new("");
    set.write(
        "e.csv",
        "user_id,item_id,timestamp\n1.0,007,1600000000\n1e3,1.50,1600000000\n",
    );
    let found: Vec<_> = set.rows("e.csv").into_iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(
        found,
        [("1.0".into(), "007".into()), ("1e3".into(), "1.50".into())]
    );
}

#[test]
fn blanks_around_an_id_go_on_both_sides() {
    let set = Set::new("");
    set.write(
        "e.csv",
        "user_id,item_id,timestamp\n a\u{a0},\u{2003}1 ,1600000000\n",
    );
    set.write(
        "e.jsonl",
        "{\"user_id\": \"\\u00a0a \", \"item_id\": \"1\\t\", \"timestamp\": 1600000000}\n",
    );
    set.parquet("e.parquet", by(texts(["\u{feff}a\u{200b}"])));
    for file in ["e.csv", "e.jsonl", "e.parquet"] {
        assert_eq!(set.rows(file)[0].0, "a", "{file}");
    }
    set.write("i.csv", "item_id,title\n\u{3000}1\u{a0},Oak chair\n");
    set.write("i.jsonl", "{\"item_id\": \" 1 \", \"title\": \"Oak chair\"}\n");
    set.parquet(
        "i.parquet",
        vec![("item_id", texts(["1 "])), ("title", texts(["Oak chair"]))],
    );
    for file in ["i.csv", "i.jsonl", "i.parquet"] {
        assert_eq!(items(&set.read("e.csv", file).unwrap())[0].0, "1", "{file}");
    }
}

#[test]
fn no_value_is_no_id() {
    let set = Set::new("");
    let none = [
        "\\N", "NULL", "null", "None", "nan", "NaN", "NaT", "<NA>", "", " \u{a0}",
    ];
    let line = |user: &&str| format!("{user},i,1600000000\n");
    set.write(
        "e.csv",
        format!(
            "user_id,item_id,timestamp\n{}",
            none.iter().map(line).collect::<String>()
        ),
    );
    let found = set.read("e.csv", "").unwrap();
    assert_eq!(reasons(&found), vec!["lacks user_id"; none.len()]);

    let line = |user: &str| format!("{{\"user_id\": {user}, \"item_id\": 1, \"timestamp\": 1600000000}}\n");
    set.write(
        "e.jsonl",
        ["null", "NaN", "\"nan\"", "\"\"", "\" \""].map(line).concat(),
    );
    assert_eq!(reasons(&set.read("e.jsonl", "").unwrap()), ["lacks user_id"; 5]);

    set.parquet(
        "e.parquet",
        by(Arc::new(Float64Array::from(vec![
            Some(f64::NAN),
            None,
            Some(3.0),
        ]))),
    );
    let found = set.read("e.parquet", "").unwrap();
    assert_eq!(
        (reasons(&found), users(&found)),
        (vec!["lacks user_id"; 2], vec!["3".to_owned()])
    );
    set.parquet("e.parquet", by(Arc::new(NullArray::new(2))));
    assert_eq!(reasons(&set.read("e.parquet", "").unwrap()), ["lacks user_id"; 2]);

    // Under the names that the description gives, in both kinds of file, and for times too.
    let set = Set::new("[columns]\nuser = \"who\"\nitem = \"what\"\ntimestamp = \"at\"\n");
    set.write(
        "e.csv",
        "who,what,at\n\\N,1,1600000000\na,None,1600000000\na,1,NaT\na,1,\n",
    );
    set.write("i.csv", "what,title\nNULL,Oak chair\n1,Pine table\n");
    let found = set.read("e.csv", "i.csv").unwrap();
    assert_eq!(
        reasons(&found),
        ["lacks who", "lacks what", "lacks at", "lacks at", "lacks what"]
    );
}

#[test]
fn a_description_says_what_stands_for_no_value() {
    let text = "user_id,item_id,timestamp\nnull,i,1600000000\n-,i,1600000000\nNaN,i,1600000000\n";
    for (missing, left) in [
        ("[]", ["null", "-", "NaN"].as_slice()),
        ("[\"-\", \"NaN\"]", &["null"]),
    ] {
        let set = Set::new(&format!("missing = {missing}\n"));
        let found = set.write("e.csv", text).read("e.csv", "").unwrap();
        assert_eq!(users(&found), left);
    }
    // What is typed as no value is none whatever is said.
    let set = Set::new("missing = []\n");
    set.write(
        "e.jsonl",
        "{\"user_id\": null, \"item_id\": 1, \"timestamp\": 1600000000}\n",
    );
    assert_eq!(reasons(&set.read("e.jsonl", "").unwrap()), ["lacks user_id"]);
    // Published formats have users of their own, one of whom is called so.
    let mut set = Set::new("");
    set.format = "amazon-2018";
    set.write(
        "r.json",
        "{\"reviewerID\": \"null\", \"asin\": \"i\", \"overall\": 4.0, \"unixReviewTime\": 1600000000}\n",
    );
    assert_eq!(users(&set.read("r.json", "").unwrap()), ["null"]);
}

#[test]
fn a_rating_that_is_missing_is_none_and_costs_nothing() {
    let set = Set::new("");
    let ratings = ["nan", "NaN", "-nan", "NULL", "\\N", "", " "];
    let line = |rating: &&str| format!("u,i,{rating},1600000000\n");
    let lines: String = ratings.iter().map(line).collect();
    set.write(
        "e.csv",
        format!("user_id,item_id,rating,timestamp\n{lines}u,i,inf,1600000000\nu,i,much,1600000000\n"),
    );
    let found = set.read("e.csv", "").unwrap();
    assert_eq!(
        rows(&found).iter().map(|row| row.2).collect::<Vec<_>>(),
        vec![None; ratings.len()]
    );
    assert_eq!(
        reasons(&found),
        ["rating outside the format's scale", "rating is no number"]
    );

    let line = |rating: &str| {
        format!("{{\"user_id\": 1, \"item_id\": 1, \"rating\": {rating}, \"timestamp\": 1600000000}}\n")
    };
    set.write(
        "e.jsonl",
        ["NaN", "null", "\"nan\"", "4.5", "\"4.5\""].map(line).concat(),
    );
    let found = set.rows("e.jsonl");
    assert_eq!(
        found.iter().map(|row| row.2).collect::<Vec<_>>(),
        [None, None, None, Some(4.5), Some(4.5)]
    );
    set.write("e.jsonl", line("Infinity"));
    assert_eq!(
        reasons(&set.read("e.jsonl", "").unwrap()),
        ["rating outside the format's scale"]
    );

    let mut columns = by(texts(["a", "b", "c"]));
    columns.push((
        "rating",
        Arc::new(Float32Array::from(vec![Some(f32::NAN), None, Some(2.0)])),
    ));
    let found = set.parquet("e.parquet", columns).rows("e.parquet");
    assert_eq!(
        found.iter().map(|row| row.2).collect::<Vec<_>>(),
        [None, None, Some(2.0)]
    );

    let mut set = Set::new("");
    set.format = "movielens-csv";
    set.write(
        "r.csv",
        "userId,movieId,rating,timestamp\n1,2,nan,1600000000\n1,3,,1600000000\n",
    );
    assert_eq!(set.rows("r.csv").len(), 2);
}

#[test]
fn json_that_is_nearly_json_is_read() {
    let set = Set::new("");
    set.write(
        "e.jsonl",
        "{\"user_id\": \"u\", \"price\": NaN, \"more\": [Infinity, {\"x\": -Infinity}], \"item_id\": 1, \"timestamp\": 1600000000}\n\
         {\"user_id\": \"u\", \"item_id\": 1, \"timestamp\": NaN}\n{\"user_id\": \"u\", \"item_id\": 1, \"timestamp\": Infinity}\n",
    );
    set.write("i.jsonl", "{\"item_id\": 1, \"title\": \"Oak chair \\ud83d\", \"categories\": [\"Oak\\ude00\", NaN, \"Chairs\"]}\n");
    let found = set.read("e.jsonl", "i.jsonl").unwrap();
    assert_eq!(rows(&found).len(), 1);
    assert_eq!(reasons(&found), ["lacks timestamp", "timestamp is infinite"]);
    assert_eq!(
        items(&found),
        [("1".into(), "Oak chair ".into(), "Oak, Chairs".into())]
    );
}

#[test]
fn a_column_may_be_a_path_into_structures() {
    let columns = "[columns]\nuser = \"user.id\"\nitem = \"event.item.id\"\n";
    let set = Set::new(columns);
    set.write(
        "e.jsonl",
        "{\"user\": {\"name\": \"A\", \"id\": 7}, \"event\": {\"item\": {\"id\": \"x\"}}, \"timestamp\": 1600000000}\n\
         {\"user\": {\"id\": 7}, \"user.id\": 8, \"event\": {\"item.id\": \"y\"}, \"timestamp\": 1600000000}\n\
         {\"user\": \"u\", \"event\": {\"item\": {\"id\": \"x\"}}, \"timestamp\": 1600000000}\n\
         {\"user\": {\"id\": null}, \"event\": {\"item\": {\"id\": \"x\"}}, \"timestamp\": 1600000000}\n",
    );
    let found = set.read("e.jsonl", "").unwrap();
    let ids: Vec<_> = rows(&found).into_iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(ids, [("7".into(), "x".into()), ("8".into(), "y".into())]);
    assert_eq!(reasons(&found), ["lacks user.id"; 2]);

    let structure = |name: &str, column: ArrayRef, nulls: Option<NullBuffer>| -> ArrayRef {
        let more = Field::new("more", DataType::Boolean, true);
        let field = Field::new(name, column.data_type().clone(), true);
        let rest: ArrayRef = Arc::new(BooleanArray::from(vec![true; column.len()]));
        Arc::new(StructArray::new(
            vec![more, field].into(),
            vec![rest, column],
            nulls,
        ))
    };
    let user = structure("id", texts(["a", "b"]), Some(NullBuffer::from(vec![true, false])));
    let event = structure(
        "item",
        structure("id", Arc::new(Int32Array::from(vec![1, 2])), None),
        None,
    );
    let time: ArrayRef = Arc::new(Int64Array::from(vec![1_600_000_000; 2]));
    set.parquet(
        "e.parquet",
        vec![
            ("user", user.clone()),
            ("event", event.clone()),
            ("timestamp", time.clone()),
        ],
    );
    let found = set.read("e.parquet", "").unwrap();
    assert_eq!(rows(&found), [("a".into(), "1".into(), None, 1_600_000_000_000)]);
    assert_eq!(reasons(&found), ["lacks user.id"]);
    // A column that is called just that is the one that is meant.
    let called = texts(["c", "d"]);
    set.parquet(
        "e.parquet",
        vec![
            ("user", user),
            ("event", event),
            ("timestamp", time),
            ("user.id", called),
        ],
    );
    assert_eq!(users(&set.read("e.parquet", "").unwrap()), ["c", "d"]);
}

#[test]
fn a_partitioned_folder_is_read_in_order_and_its_folders_are_columns() {
    let set = Set::new("time = \"iso\"\n[columns]\ntimestamp = \"day\"\nuser = \"shop\"\n");
    let item = |name: &'static str| vec![("item_id", texts([name]))];
    set.parquet("events/day=2024-02-01/shop=K%C3%B6ln/part-0.parquet", item("c"));
    set.parquet("events/day=2024-01-01/shop=Ulm/part-0.parquet", item("a"));
    set.parquet("events/day=2024-01-01/shop=Ulm/part-1.parquet", item("b"));
    set.parquet(
        "events/day=2024-01-01/shop=__HIVE_DEFAULT_PARTITION__/part-0.parquet",
        item("d"),
    );
    set.write(
        "events/day=2024-03-01/shop=Ulm/part-0.jsonl",
        "{\"item_id\": \"e\"}\n{\"item_id\": \"f\", \"shop\": \"Bonn\"}\n",
    );
    let found = set.read("events/", "").unwrap();
    let ids: Vec<_> = rows(&found)
        .into_iter()
        .map(|row| (row.0, row.1, row.3))
        .collect();
    let day = |day: i64| (19_723 + day) * 86_400_000;
    let expected = [
        ("Ulm", "a", 0),
        ("Ulm", "b", 0),
        ("K\u{f6}ln", "c", 31),
        ("Ulm", "e", 60),
        ("Bonn", "f", 60),
    ];
    assert_eq!(
        ids,
        expected.map(|(user, item, days)| (user.to_owned(), item.to_owned(), day(days)))
    );
    assert_eq!(reasons(&found), ["lacks shop"]);
    assert_eq!(found.inputs.len(), 5);
}
