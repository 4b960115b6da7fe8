//! Lines of separated fields, one by one.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn fields(line: &str) -> Option<Vec<String>> {
    split(line, ','.into(), false)
        .ok()
        .map(|fields| fields.into_iter().map(Cow::into_owned).collect())
}

#[test]
fn quotes_protect_commas_and_double_quotes_stand_for_one() {
    assert_eq!(
        fields("11,\"American President, The (1995)\",Comedy").unwrap()[1],
        "American President, The (1995)"
    );
    assert_eq!(fields("1,\"a \"\"b\"\", c\",").unwrap(), ["1", "a \"b\", c", ""]);
    assert_eq!(fields("").unwrap(), [""]);
    assert_eq!(fields("\"\",x").unwrap(), ["", "x"]);
}

#[test]
fn a_quote_left_open_or_followed_by_text_is_refused() {
    assert!(fields("1,\"open,2").is_none());
    assert!(fields("1,\"a\"b,2").is_none());
}

#[test]
fn columns_are_found_by_name_whatever_parts_them() {
    for (separator, header, line) in [
        (',', "b,a,c", "2,1,3"),
        ('\t', "c\ta\tb", "3\t1\t2"),
        (';', " a ;b", "1;2"),
    ] {
        let wanted = [
            Wanted::named("columns.item", "a", true),
            Wanted::named("columns.user", "b", true),
            Wanted::named("columns.rating", "c", false),
        ];
        let columns = Columns::<3>::named(header, separator.into(), None, &wanted).unwrap();
        let found = columns.pick(line).unwrap();
        assert_eq!((&*found[0], &*found[1]), ("1", "2"));
        assert_eq!(&*found[2], if header.contains('c') { "3" } else { "" });
        assert!(columns.pick("1").is_err());
    }
    assert!(matches!(
        Columns::<1>::find("a,b", ',', ["x"]),
        Err(Refusal::File(text)) if text.contains("lacks the column x")
    ));
    assert!(matches!(
        Columns::<2>::find("a,b,\"b\"", ',', ["a", "b"]),
        Err(Refusal::File(text)) if text.contains("the column b twice")
    ));
    assert!(
        Columns::<1>::find("a,b,b", ',', ["a"]).is_ok(),
        "a column that nobody asks for"
    );
    let twice = Columns::<2>::find("a,b", ',', ["b", "b"]).unwrap();
    assert_eq!(
        twice.pick("1,\"2\"").unwrap(),
        ["2", "2"],
        "a column that is asked for twice"
    );
}

#[test]
fn names_in_a_header_may_be_quoted_and_have_blanks_around_them() {
    for header in ["a,b", " a , b ", "\"a\",\"b\"", "\" a \", \"b\""] {
        let columns = Columns::<2>::find(header, ',', ["b", "a"]).unwrap();
        assert_eq!(columns.pick("1,2").unwrap(), ["2", "1"], "{header}");
    }
}

#[test]
fn columns_are_taken_by_number_where_there_is_no_header() {
    let columns = Columns::numbered("\"u,1\",i,5,7", ','.into(), [Some(4), Some(1), None]).unwrap();
    assert_eq!(columns.pick("\"u,1\",i,5,7").unwrap(), ["7", "u,1", ""]);
    let error = Columns::numbered("u\ti", '\t'.into(), [Some(3)]).unwrap_err();
    assert!(matches!(error, Refusal::File(text) if text.contains("column 3") && text.contains("2 fields")));
}

fn tabbed(line: &str) -> Result<[String; 3], Refusal> {
    let columns = Columns::<3>::find("a\tb\tc", '\t', ["a", "b", "c"]).unwrap();
    Ok(columns.pick(line)?.map(Cow::into_owned))
}

#[test]
fn a_quote_in_text_parted_by_tabs_is_text_unless_it_encloses_a_whole_field() {
    for (line, fields) in [
        ("1\t\"Oak\" chair\tx", ["1", "\"Oak\" chair", "x"]),
        ("1\t5\" pipe\tx", ["1", "5\" pipe", "x"]),
        ("1\t\"half\tx", ["1", "\"half", "x"]),
        ("1\t\"half\tother\"", ["1", "\"half", "other\""]),
        ("1\t\"a\" \"b\"\tx", ["1", "\"a\" \"b\"", "x"]),
        ("1\tx\t\"", ["1", "x", "\""]),
        // As writers of csv quote.
        ("1\t\"Oak chair\"\t\"x\"", ["1", "Oak chair", "x"]),
        ("1\t\"\"\"Oak\"\" chair\"\tx", ["1", "\"Oak\" chair", "x"]),
        ("1\t\"with a\ttab\"\tx", ["1", "with a\ttab", "x"]),
        ("1\t\"with a\nline\"\tx", ["1", "with a\nline", "x"]),
        ("1\tx\t\"with a\nline\"", ["1", "x", "with a\nline"]),
        ("1\t\"\"\tx", ["1", "", "x"]),
    ] {
        match tabbed(line) {
            Ok(found) => assert_eq!(found, fields, "{line:?}"),
            // It may go on, and when it does not it comes again.
            Err(Refusal::Open(None)) => {
                assert_eq!(tabbed(&format!("{line}\n")).unwrap(), fields, "{line:?}")
            }
            Err(other) => panic!("{line:?}: {other:?}"),
        }
    }
    assert!(
        tabbed("1\tx\t\"half\n2\ty\tother\"").is_err(),
        "two lines with all their fields"
    );
    assert!(tabbed("1\t\"x").is_err() && tabbed("1\t\"x\n").is_err());
}

#[test]
fn an_escape_sign_lets_the_next_sign_mean_itself() {
    let dialect = Dialect {
        separator: ',',
        escape: Some(b'\\'),
    };
    for (line, expected) in [
        (r#""say \"hi\"",x"#, ["say \"hi\"", "x"]),
        (r#""say ""hi""",x"#, ["say \"hi\"", "x"]),
        (r#""ends in \\",x"#, ["ends in \\", "x"]),
        (r#""a \", y",x"#, ["a \", y", "x"]),
        (r"a\,b,x", ["a,b", "x"]),
        (r"\N,x", ["\\N", "x"]),
        ("é\\é,x", ["éé", "x"]),
    ] {
        let fields = split(line, dialect, false).unwrap();
        assert_eq!(fields, expected, "{line}");
    }
    assert!(matches!(
        split(r#""a \""#, dialect, false),
        Err(Refusal::Open(Some(b'\\')))
    ));
}

#[test]
fn a_row_that_is_none_by_the_rules_is_read_with_backslashes_and_blanks_around_quotes() {
    let columns = Columns::<2>::find("a,b", ',', ["a", "b"]).unwrap();
    for (line, expected) in [
        (r#""say \"hi\", ok",x"#, ["say \"hi\", ok", "x"]),
        (r#"x,"5\" pipe""#, ["x", "5\" pipe"]),
        ("1, \"Oak, chair\"", ["1", "Oak, chair"]),
        ("1, \"Oak\"", ["1", "Oak"]),
        ("\"1\" ,\"Oak\" ", ["1", "Oak"]),
        // By the rules, which come first.
        (r#""C:\","x""#, ["C:\\", "x"]),
    ] {
        assert_eq!(columns.pick(line).unwrap(), expected, "{line}");
    }
    assert!(columns.pick("1,\"a\"b").is_err());
}

#[test]
fn splitting_reads_back_what_the_csv_crate_writes() {
    use proptest::prelude::*;
    proptest!(|(row in proptest::collection::vec("[^\r\n]{0,12}", 2..6))| {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&row).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        prop_assert_eq!(fields(text.trim_end_matches('\n')).unwrap(), row);
    });
    proptest!(|(row in proptest::array::uniform3("[^\r\n]{0,12}"))| {
        let mut writer = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
        writer.write_record(&row).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        prop_assert_eq!(tabbed(text.trim_end_matches('\n')).unwrap(), row);
    });
}
