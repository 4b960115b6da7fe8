//! Columns of every type that files of Parquet have.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type, UInt8Type};
use parquet::arrow::ArrowWriter;

use super::super::tests::{Set, by, items, texts, users, users_of};
use crate::raw::RawTables;

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
