//! Logs of one's own whose values are typed, or were once: what becomes of them as ids, ratings, times and categories.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type, UInt8Type, i256};
use parquet::arrow::ArrowWriter;

use crate::dataset::DatasetDescription;
use crate::raw::{NoProgress, RawTables, ReadOptions, read};

/// A data set in a folder of its own.
struct Set {
    folder: tempfile::TempDir,
    format: &'static str,
    more: String,
}

impl Set {
    fn new(more: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            format: "generic",
            more: more.to_owned(),
        }
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    fn parquet(&self, name: &str, columns: Vec<(&str, ArrayRef)>) -> &Self {
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        self.write(name, bytes)
    }

    fn read(&self, interactions: &str, items: &str) -> Result<RawTables, String> {
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
        read(
            &description,
            self.folder.path(),
            &ReadOptions::default(),
            &NoProgress,
        )
        .map_err(|error| error.to_string())
    }

    /// The interactions of a file.
    fn rows(&self, interactions: &str) -> Vec<(String, String, Option<f64>, i64)> {
        rows(&self.read(interactions, "").unwrap())
    }
}

fn rows(tables: &RawTables) -> Vec<(String, String, Option<f64>, i64)> {
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

fn users(tables: &RawTables) -> Vec<String> {
    rows(tables).into_iter().map(|row| row.0).collect()
}

/// Items with their titles and categories.
fn items(tables: &RawTables) -> Vec<(String, String, String)> {
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

fn texts<const N: usize>(values: [&str; N]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Interactions of these users in Parquet.
fn by(users: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
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
fn users_of(column: ArrayRef) -> Result<Vec<String>, String> {
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
fn bytes_are_texts_or_uuids() {
    let uuid = [0x8c, 0x4f, 0x2e, 0x10, 0, 1, 0x40, 2, 0x80, 3, 4, 5, 6, 7, 8, 9];
    let written = "8c4f2e10-0001-4002-8003-040506070809";
    let fixed = |bytes: &[u8], field: Option<()>| {
        let array = FixedSizeBinaryArray::try_from_iter(std::iter::once(bytes.to_vec())).unwrap();
        let set = Set::new("");
        let kind = DataType::FixedSizeBinary(bytes.len() as i32);
        let plain = Field::new("user_id", kind, true);
        let named = [("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned())];
        let field = field.map_or(plain.clone(), |()| plain.with_metadata(named.into()));
        let columns = by(Arc::new(array));
        let mut fields: Vec<Field> = columns
            .iter()
            .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
            .collect();
        fields[0] = field;
        let columns: Vec<ArrayRef> = columns.into_iter().map(|(_, column)| column).collect();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let mut stored = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut stored, schema, None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        set.write("e.parquet", stored)
            .read("e.parquet", "")
            .map(|tables| users(&tables))
    };
    for field in [None, Some(())] {
        assert_eq!(fixed(&uuid, field).unwrap(), [written]);
    }
    assert_eq!(fixed(b"0123456789abcdef", None).unwrap(), ["0123456789abcdef"]);
    assert_eq!(fixed(b"A1B2", None).unwrap(), ["A1B2"]);
    let error = fixed(&[0xff; 4], None).unwrap_err();
    assert!(
        error.contains("user_id") && error.contains("FixedSizeBinary") && error.contains("no text"),
        "{error}"
    );
    let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"caf\xc3\xa9"]));
    assert_eq!(users_of(bytes).unwrap(), ["caf\u{e9}"]);
    assert!(
        users_of(Arc::new(BinaryArray::from_vec(vec![b"\xff"])))
            .unwrap_err()
            .contains("user_id")
    );
}

#[test]
fn texts_are_ids_however_arrow_keeps_them() {
    let large: ArrayRef = Arc::new(LargeStringArray::from(vec!["a"]));
    let view: ArrayRef = Arc::new(StringViewArray::from(vec!["a"]));
    let dictionary: ArrayRef = Arc::new(DictionaryArray::<UInt8Type>::from_iter(["a"]));
    for column in [large, view, dictionary] {
        let kind = column.data_type().clone();
        assert_eq!(users_of(column).unwrap(), ["a"], "{kind}");
    }
}

#[test]
fn a_type_that_says_nothing_to_its_column_is_named_with_it() {
    let flags = || -> ArrayRef { Arc::new(BooleanArray::from(vec![true])) };
    let days = || -> ArrayRef { Arc::new(Date32Array::from(vec![18_000])) };
    for column in [flags(), days()] {
        let kind = column.data_type().to_string();
        let error = users_of(column).unwrap_err();
        assert!(
            error.contains("the column user_id is of type") && error.contains(&kind),
            "{error}"
        );
    }
    for (name, column) in [("timestamp", flags()), ("rating", flags()), ("rating", days())] {
        let mut columns = by(texts(["a"]));
        columns.retain(|(found, _)| *found != name);
        columns.push((name, column));
        let error = Set::new("")
            .parquet("e.parquet", columns)
            .read("e.parquet", "")
            .unwrap_err();
        assert!(
            error.contains(&format!("the column {name} is of type")),
            "{error}"
        );
    }
}

#[test]
fn times_may_have_any_type_that_is_one() {
    const MILLIS: i64 = 1_600_000_000_000;
    let typed: [ArrayRef; 5] = [
        Arc::new(TimestampSecondArray::from(vec![MILLIS / 1_000])),
        Arc::new(TimestampMillisecondArray::from(vec![MILLIS]).with_timezone("Europe/Berlin")),
        Arc::new(TimestampMicrosecondArray::from(vec![MILLIS * 1_000]).with_timezone("+05:30")),
        Arc::new(TimestampNanosecondArray::from(vec![MILLIS * 1_000_000])),
        Arc::new(
            Decimal128Array::from(vec![i128::from(MILLIS)])
                .with_precision_and_scale(20, 3)
                .unwrap(),
        ),
    ];
    for column in typed {
        let kind = column.data_type().clone();
        let mut columns = by(texts(["a"]));
        columns[2].1 = column;
        let set = Set::new("time = \"s\"\n");
        assert_eq!(
            set.parquet("e.parquet", columns).rows("e.parquet")[0].3,
            MILLIS,
            "{kind}"
        );
    }
    let days: [ArrayRef; 2] = [
        Arc::new(Date32Array::from(vec![18_518])),
        Arc::new(Date64Array::from(vec![18_518 * 86_400_000])),
    ];
    for column in days {
        let mut columns = by(texts(["a"]));
        columns[2].1 = column;
        assert_eq!(
            Set::new("").parquet("e.parquet", columns).rows("e.parquet")[0].3,
            18_518 * 86_400_000
        );
    }
}

/// Items of one row whose categories are these.
fn categories(column: ArrayRef) -> RawTables {
    let set = Set::new("");
    set.parquet("e.parquet", by(texts(["u"])));
    let count = column.len();
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..count).map(|row| format!("i{row}")),
    ));
    let title: ArrayRef = Arc::new(StringArray::from(vec!["Oak chair"; count]));
    set.parquet(
        "i.parquet",
        vec![("item_id", ids), ("title", title), ("categories", column)],
    );
    set.read("e.parquet", "i.parquet").unwrap()
}

fn words(column: ArrayRef) -> Vec<String> {
    let found = categories(column);
    assert_eq!(found.notes, Vec::<String>::new());
    items(&found).into_iter().map(|item| item.2).collect()
}

fn structures(names: Vec<Option<&str>>, nulls: Option<NullBuffer>) -> StructArray {
    let ids = Int32Array::from_iter_values(0..names.len() as i32);
    let slugs = StringArray::from_iter_values((0..names.len()).map(|at| format!("slug-{at}")));
    let fields = vec![
        Field::new("id", DataType::Int32, true),
        Field::new("slug", DataType::Utf8, true),
        Field::new("Name", DataType::Utf8, true),
    ];
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(slugs), Arc::new(StringArray::from(names))];
    StructArray::new(fields.into(), columns, nulls)
}

#[test]
fn categories_are_the_names_and_texts_in_lists_and_structures() {
    // JSON and Parquet trim them and leave out repeats by the same rule.
    let mut list = ListBuilder::new(StringBuilder::new());
    list.append_value([Some(" Chairs "), Some("Oak"), None, Some("Chairs"), Some("")]);
    list.append(false);
    assert_eq!(words(Arc::new(list.finish())), ["Chairs, Oak", "-"]);
    let set = Set::new("");
    set.parquet("e.parquet", by(texts(["u"])));
    set.write(
        "i.jsonl",
        "{\"item_id\": 1, \"title\": \"x\", \"categories\": [\" Chairs \", \"Oak\", null, \"Chairs\", \"\"]}\n\
         {\"item_id\": 2, \"title\": \"x\", \"categories\": [{\"id\": 3, \"slug\": \"s\", \"Name\": \"Chairs\"}, {\"id\": 4, \"Name\": \"Oak\"}]}\n\
         {\"item_id\": 3, \"title\": \"x\", \"categories\": {\"main\": \"Chairs\", \"sub\": [\"Oak\"], \"rank\": 5}}\n",
    );
    let found = items(&set.read("e.parquet", "i.jsonl").unwrap());
    assert!(found.iter().all(|item| item.2 == "Chairs, Oak"), "{found:?}");

    let field = |kind: &DataType| Arc::new(Field::new("item", kind.clone(), true));
    let named = structures(vec![Some("Chairs"), Some("Oak"), None, Some("Lamps")], None);
    let kind = field(named.data_type());
    let lists = ListArray::new(
        kind.clone(),
        OffsetBuffer::from_lengths([3, 1]),
        Arc::new(named.clone()),
        None,
    );
    assert_eq!(words(Arc::new(lists)), ["Chairs, Oak", "Lamps"]);
    let lists = LargeListArray::new(
        kind.clone(),
        OffsetBuffer::from_lengths([3, 1]),
        Arc::new(named.clone()),
        None,
    );
    assert_eq!(words(Arc::new(lists)), ["Chairs, Oak", "Lamps"]);
    let nulls = Some(NullBuffer::from(vec![true, false, true, true]));
    assert_eq!(
        words(Arc::new(structures(
            vec![Some("a"), Some("b"), None, Some("c")],
            nulls
        ))),
        ["a", "-", "-", "c"]
    );

    let values: ArrayRef = texts(["a", "b", "b", " b"]);
    let fixed = FixedSizeListArray::new(field(&DataType::Utf8), 2, values, None);
    let nested = ListArray::new(
        field(fixed.data_type()),
        OffsetBuffer::from_lengths([2]),
        Arc::new(fixed.clone()),
        None,
    );
    assert_eq!(words(Arc::new(fixed)), ["a, b", "b"]);
    assert_eq!(words(Arc::new(nested)), ["a, b"]);
    let mut dictionary = ListBuilder::new(StringDictionaryBuilder::<Int32Type>::new());
    dictionary.append_value([Some("a"), Some("b"), Some("a")]);
    assert_eq!(words(Arc::new(dictionary.finish())), ["a, b"]);
}

#[test]
fn categories_that_cannot_be_read_cost_nothing_else_and_are_noted() {
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("a");
    map.values().append_value(1);
    map.append(true).unwrap();
    let numbers = ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0)])]);
    for column in [
        Arc::new(map.finish()) as ArrayRef,
        Arc::new(numbers),
        Arc::new(Int32Array::from(vec![5])),
    ] {
        let kind = match column.data_type() {
            DataType::Map(..) => "Map(",
            DataType::List(_) => "List(",
            _ => "Int32",
        };
        let found = categories(column);
        assert_eq!(items(&found), [("i0".into(), "Oak chair".into(), "-".into())]);
        let [note] = found.notes.as_slice() else {
            panic!("{:?}", found.notes)
        };
        assert!(
            note.contains("i.parquet: the column categories is of type") && note.contains(kind),
            "{note}"
        );
    }
}

#[test]
fn a_title_may_be_a_number_or_a_date() {
    let set = Set::new("");
    set.parquet("e.parquet", by(texts(["u"])));
    let columns: [(ArrayRef, &str); 4] = [
        (Arc::new(Float64Array::from(vec![1917.0])), "1917"),
        (Arc::new(Int32Array::from(vec![1917])), "1917"),
        (Arc::new(Float64Array::from(vec![f64::NAN])), "-"),
        (Arc::new(Date32Array::from(vec![0])), "1970-01-01"),
    ];
    for (column, title) in columns {
        set.parquet("i.parquet", vec![("item_id", texts(["i"])), ("title", column)]);
        assert_eq!(items(&set.read("e.parquet", "i.parquet").unwrap())[0].1, title);
    }
    set.parquet(
        "i.parquet",
        vec![
            ("item_id", texts(["i"])),
            ("title", Arc::new(BooleanArray::from(vec![true]))),
        ],
    );
    assert!(
        set.read("e.parquet", "i.parquet")
            .unwrap_err()
            .contains("the column title is of type Boolean")
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
