//! Files of separated fields as the world writes them, read as a data set.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};

use super::sep;
use crate::dataset::DatasetDescription;
use crate::raw::{NoProgress, RawTables, ReadOptions, read};

pub(super) const EVENTS: &str = "user_id,item_id,rating,timestamp\n";

/// A data set of interactions and items, or of interactions alone, by name and text of the files; `more` ends its description.
pub(super) fn tables(format: &str, files: &[(&str, &str)], more: &str) -> Result<RawTables, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let text = format!(
        "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"{format}\"\ninteractions = {:?}\nitems = {:?}\n\
         {more}",
        &names[..1],
        &names[1..]
    );
    let description = DatasetDescription::parse(&text, "t.toml").map_err(|error| error.to_string())?;
    read(&description, folder.path(), &ReadOptions::default(), &NoProgress).map_err(|error| error.to_string())
}

pub(super) fn generic(files: &[(&str, &str)], more: &str) -> Result<RawTables, String> {
    tables("generic", files, more)
}

fn texts(batches: &[RecordBatch], column: usize) -> Vec<String> {
    let texts = batches
        .iter()
        .flat_map(|batch| batch.column(column).as_string::<i32>());
    texts.map(|text| text.unwrap_or("-").to_owned()).collect()
}

/// Users, items, ratings and seconds.
pub(super) fn rows(tables: &RawTables) -> Vec<String> {
    let (users, items) = (texts(&tables.interactions, 0), texts(&tables.interactions, 1));
    let ratings = tables.interactions.iter().flat_map(|batch| {
        let ratings = batch.column(2).as_primitive::<Float64Type>();
        (0..batch.num_rows())
            .map(|row| ratings.is_valid(row).then(|| ratings.value(row)))
            .collect::<Vec<_>>()
    });
    let times = tables.interactions.iter().flat_map(|batch| {
        let times = batch.column(3).as_primitive::<Int64Type>();
        times.values().to_vec()
    });
    let rest = ratings.zip(times);
    let ids = users.into_iter().zip(items);
    ids.zip(rest)
        .map(|((user, item), (rating, time))| {
            let rating = rating.map_or("-".to_owned(), |rating| rating.to_string());
            format!("{user} {item} {rating} {}", time as f64 / 1_000.0)
        })
        .collect()
}

pub(super) fn titles(tables: &RawTables) -> Vec<String> {
    texts(tables.items.as_deref().unwrap_or_default(), 1)
}

pub(super) fn reasons(tables: &RawTables) -> Vec<&str> {
    tables
        .rejects
        .iter()
        .map(|reject| reject.reason.as_str())
        .collect()
}

#[test]
fn the_line_that_names_the_separator_is_known_by_its_form() {
    for (line, sign) in [
        ("sep=;", Some(';')),
        ("SEP=\t", Some('\t')),
        ("\"sep=|\"", Some('|')),
        ("sep=", None),
        ("sep=;;", None),
        ("sep,a", None),
        ("separator=;", None),
        ("sép=;", None),
    ] {
        assert_eq!(sep(line), sign, "{line}");
    }
}

#[test]
fn a_file_that_names_its_separator_is_parted_by_it() {
    let events = "sep=;\nuser_id;item_id;rating;timestamp\na;1;4.5;1600000001\n\"b;c\";2;;1600000002\n";
    let found = generic(&[("e.csv", events)], "").unwrap();
    assert_eq!(rows(&found), ["a 1 4.5 1600000001", "b;c 2 - 1600000002"]);
    assert_eq!(found.lines, 2, "the line itself is no row");
    assert_eq!(
        rows(&generic(&[("e.csv", events)], "[columns]\ndelimiter = \";\"\n").unwrap()).len(),
        2
    );
    let error = generic(&[("e.csv", events)], "[columns]\ndelimiter = \"|\"\n").unwrap_err();
    assert!(error.contains("e.csv") && error.contains("delimiter"), "{error}");
}

#[test]
fn a_file_without_a_header_is_read_by_the_numbers_of_its_columns() {
    let more = "[columns]\nheader = false\nuser = 1\nitem = 2\nrating = 3\ntimestamp = 4\n";
    let found = generic(
        &[("e.csv", "AX,B7,5.0,1369699200\nAY,\"B,8\",,1369699201\n")],
        more,
    )
    .unwrap();
    assert_eq!(rows(&found), ["AX B7 5 1369699200", "AY B,8 - 1369699201"]);
    assert_eq!(found.lines, 2);

    // Without a rating there is none, and items may be numbered too, or have a header.
    let more = "[columns]\nheader = false\nuser = \"2\"\nitem = 1\ntimestamp = 3\ntitle = 2\n";
    let files = [
        ("e.tsv", "B7\tAX\t1369699200\n"),
        ("i.tsv", "B7\t\"Oak\" chair\n"),
    ];
    let found = generic(&files, more).unwrap();
    assert_eq!(
        (rows(&found), titles(&found)),
        (vec!["AX B7 - 1369699200".into()], vec!["\"Oak\" chair".into()])
    );
    let more = "[columns]\nheader = false\nuser = 2\nitem = 1\ntimestamp = 3\n[columns.items]\nheader = true\nitem = \"sku\"\n\
                delimiter = \";\"\n";
    let files = [
        ("e.csv", "B7,AX,1369699200\n"),
        ("i.csv", "title;sku\nOak chair;B7\n"),
    ];
    let found = generic(&files, more).unwrap();
    assert_eq!(
        (rows(&found).len(), titles(&found)),
        (1, vec!["Oak chair".into()])
    );

    let more = "[columns]\nheader = false\nuser = 1\nitem = 2\ntimestamp = 4\n";
    for (text, words) in [
        (
            "AX,B7,1369699200\n",
            "column 4 is asked for, and the first line has 3 fields",
        ),
        (
            "user_id,item_id,rating,timestamp\nAX,B7,5.0,1369699200\n",
            "looks like a header",
        ),
    ] {
        let error = generic(&[("e.csv", text)], more).unwrap_err();
        assert!(error.contains("e.csv") && error.contains(words), "{error}");
    }
    assert_eq!(
        rows(&generic(&[("e.csv", "")], more).unwrap()),
        Vec::<String>::new()
    );
}

#[test]
fn a_header_that_is_not_there_or_is_written_otherwise_is_an_error_that_says_what_to_write() {
    for (header, words) in [
        ("AX,B7,5.0,1369699200", "`header = false`"),
        (
            "user_id;item_id;rating;timestamp",
            "`delimiter = \";\"` into [columns]",
        ),
        (
            "user_id\titem_id\trating\ttimestamp",
            "`delimiter = \"\\t\"` into [columns]",
        ),
        (
            "User_Id,Item_Id,rating,timestamp",
            "`user = \"User_Id\"` into [columns]",
        ),
        (
            "user_id,item_id,rating,timestamp,user_id",
            "the column user_id twice",
        ),
    ] {
        let error = generic(&[("e.csv", &format!("{header}\n{header}\n"))], "").unwrap_err();
        assert!(
            error.contains("e.csv") && error.contains(words),
            "{header}: {error}"
        );
    }
    let files = [
        ("e.csv", "user_id,item_id,timestamp\na,1,7\n"),
        ("i.csv", "item_id;title\n1;Oak chair\n"),
    ];
    let error = generic(&files, "").unwrap_err();
    assert!(
        error.contains("i.csv") && error.contains("`delimiter = \";\"` into [columns.items]"),
        "{error}"
    );
    let found = generic(&files, "[columns.items]\ndelimiter = \";\"\n").unwrap();
    assert_eq!(titles(&found), ["Oak chair"]);
    for header in [
        "\"user_id\",\"item_id\",\"rating\",\"timestamp\"",
        " user_id , item_id , rating, timestamp ",
    ] {
        let found = generic(&[("e.csv", &format!("{header}\na,1,,7\n"))], "").unwrap();
        assert_eq!(rows(&found), ["a 1 - 7"], "{header}");
    }
    let error = tables(
        "recbole",
        &[("e.inter", "User_ID:token\titem_id:token\ttimestamp:float\n")],
        "",
    )
    .unwrap_err();
    assert!(error.contains("`user = \"User_ID\"` into [columns]"), "{error}");
    let error = tables(
        "movielens-csv",
        &[("e.csv", "userid,movieId,rating,timestamp\n")],
        "",
    )
    .unwrap_err();
    assert!(error.contains("rename userid to userId"), "{error}");
}

#[test]
fn a_comma_stands_for_a_point_where_the_description_says_so() {
    let events =
        "user_id;item_id;rating;timestamp\na;1;4,5;1600000001,5\na;2;4;1600000002\na;3;4.5;1600000003\n";
    let found = generic(
        &[("e.csv", events)],
        "[columns]\ndelimiter = \";\"\ndecimal = \",\"\n",
    )
    .unwrap();
    assert_eq!(rows(&found), ["a 1 4.5 1600000001.5", "a 2 4 1600000002"]);
    assert_eq!(
        reasons(&found),
        ["rating has a point, where the description says that a comma parts fractions"]
    );
    let found = generic(&[("e.csv", events)], "[columns]\ndelimiter = \";\"\n").unwrap();
    assert!(
        reasons(&found)[0].contains("`decimal = \",\"`"),
        "{:?}",
        reasons(&found)
    );
    // A date keeps its points.
    let events = "user_id;item_id;rating;timestamp\na;1;4,5;13.09.2020 12:26:40\n";
    let more = "time = \"%d.%m.%Y %H:%M:%S\"\n[columns]\ndelimiter = \";\"\ndecimal = \",\"\n";
    assert_eq!(
        rows(&generic(&[("e.csv", events)], more).unwrap()),
        ["a 1 4.5 1600000000"]
    );
}

#[test]
fn escaped_quotes_are_read() {
    let events = format!("{EVENTS}a,1,,7\n");
    let items =
        "item_id,title\n1,\"say \\\"hi\\\", ok\"\n2,\"C:\\\\\"\n3,\"two\nlines \\\"x\\\"\"\n4,Plain\n";
    let more = "[columns]\nescape = \"\\\\\"\n";
    let found = generic(&[("e.csv", &events), ("i.csv", items)], more).unwrap();
    assert_eq!(
        titles(&found),
        ["say \"hi\", ok", "C:\\", "two\nlines \"x\"", "Plain"]
    );
    assert_eq!(found.rejects, []);
    // Without the key only what can be meant in no other way.
    let found = generic(&[("e.csv", &events), ("i.csv", items)], "").unwrap();
    assert_eq!(titles(&found)[0], "say \"hi\", ok");
}

#[test]
fn a_quote_in_text_parted_by_tabs_is_text() {
    let events = "user_id\titem_id\ttimestamp\na\t1\t7\n";
    let lines = [
        "item_id\tkind\ttitle",
        "1\t\"half\t\"Oak\" chair",
        "2\tx\t5\" pipe",
        "3\tx\t\"half",
        "4\tx\tPlain",
        "5\tx\t\"half again",
        "6\tx\tother\"",
        // As writers of csv quote.
        "7\tx\t\"\"\"Oak\"\" chair\"",
        "8\tx\t\"with a\ttab\"",
        "9\tx\t\"two",
        "lines\"",
        "10\t\"two",
        "lines\"\tafter",
        "11\tx\t\"at the end",
    ];
    let found = generic(&[("e.tsv", events), ("i.tsv", &lines.join("\n"))], "").unwrap();
    let expected = [
        "\"Oak\" chair",
        "5\" pipe",
        "\"half",
        "Plain",
        "\"half again",
        "other\"",
        "\"Oak\" chair",
        "with a\ttab",
        "two\nlines",
        "after",
        "\"at the end",
    ];
    assert_eq!(titles(&found), expected);
    assert_eq!((found.rejects.len(), found.lines), (0, 1 + 11));
}

#[test]
fn formats_that_never_quote_keep_every_quote() {
    let inter = "user_id:token\titem_id:token\ttimestamp:float\n\"a\t1\t7\n";
    let item = "item_id:token\ttitle:token_seq\tcategories:token_seq\n1\t\"half\t'Home & Garden', 'Small Chairs'\n2\t\"All\"\tA B\n";
    let found = tables("recbole", &[("e.inter", inter), ("i.item", item)], "").unwrap();
    assert_eq!(rows(&found), ["\"a 1 - 7"]);
    assert_eq!(titles(&found), ["\"half", "\"All\""]);
    let categories = texts(found.items.as_deref().unwrap(), 2);
    assert_eq!(categories, ["Home & Garden, Small Chairs", "A, B"]);

    let flags = "|0".repeat(18);
    let item = format!("1|\"half|d||u|0{flags}\n2|\"All\"|d||u|1{flags}\n");
    let found = tables(
        "movielens-100k",
        &[("u.data", "1\t1\t3\t7\n"), ("u.item", &item)],
        "",
    )
    .unwrap();
    assert_eq!(titles(&found), ["\"half", "\"All\""]);
    let found = tables(
        "movielens-dat",
        &[("r.dat", "1::1::3::7\n"), ("m.dat", "1::\"half::Drama\n")],
        "",
    )
    .unwrap();
    assert_eq!(titles(&found), ["\"half"]);
}

#[test]
fn ratings_of_amazon_alone_have_no_header_and_each_year_its_order() {
    let found = tables(
        "amazon-2014",
        &[("ratings_Tea.csv", "AX,B7,5.0,1369699200\n")],
        "",
    )
    .unwrap();
    assert_eq!(rows(&found), ["AX B7 5 1369699200"]);
    let files = [
        ("Tea.csv", "B7,AX,5.0,1369699200\nB8,AX,9.0,1369699200\n"),
        ("m.json", "{\"asin\": \"B7\", \"title\": \"Tea\"}\n"),
    ];
    let found = tables("amazon-2018", &files, "").unwrap();
    assert_eq!(
        (rows(&found), titles(&found)),
        (vec!["AX B7 5 1369699200".into()], vec!["Tea".into()])
    );
    assert_eq!(reasons(&found), ["rating outside the format's scale"]);
    let named = "UserId,ProductId,Rating,Timestamp\nAX,B7,5.0,1369699200\n";
    let found = tables("amazon-2014", &[("ratings_Tea.csv", named)], "").unwrap();
    assert_eq!((rows(&found).len(), found.lines), (1, 1));
}

#[test]
fn a_file_most_of_whose_times_do_not_fit_is_an_error_with_one_of_them_and_what_reads_it() {
    for (time, text, way) in [
        ("iso", "13/09/2020 12:26", "%d/%m/%Y %H:%M"),
        ("s", "2020-09-13T12:26:40Z", "iso"),
        ("iso", "1600000000", "s"),
        ("s", "20200913", "%Y%m%d"),
        ("%d/%m/%Y", "2020-09-13 12:26:40 UTC", "iso"),
    ] {
        let events = format!("{EVENTS}a,1,,{text}\na,2,,{text}\na,3,,7\n");
        let error = generic(&[("e.csv", &events)], &format!("time = \"{time}\"\n")).unwrap_err();
        assert!(
            error.contains("e.csv") && error.contains(&format!("such as `{text}`")),
            "{error}"
        );
        assert!(error.contains(&format!("`time = \"{way}\"`")), "{error}");
        assert_eq!(error.matches(text).count(), 1, "{error}");
    }
    let events = format!("{EVENTS}a,1,,2020-09-13 12:26:40 CET\n");
    let error = generic(&[("e.csv", &events)], "time = \"iso\"\n").unwrap_err();
    assert!(
        error.contains("the zone CET") && error.contains("offsets"),
        "{error}"
    );
    let events = format!("{EVENTS}a,1,,2020-09-13\na,2,,soon\n");
    let found = generic(&[("e.csv", &events)], "time = \"iso\"\n").unwrap();
    assert_eq!(
        reasons(&found),
        ["timestamp does not fit the form iso"],
        "a few are lines of their own"
    );
}
