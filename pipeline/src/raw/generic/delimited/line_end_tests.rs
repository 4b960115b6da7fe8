//! Lines that end in two ways in one file, and first lines that are more than one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::tests::{EVENTS, generic, reasons, rows, tables, titles};
use crate::raw::{NoProgress, ReadOptions, read};

const ROWS: [&str; 3] = ["a,1,4.5,1600000001", "b,2,,1600000002", "c,3,5,1600000003"];
const READ: [&str; 3] = ["a 1 4.5 1600000001", "b 2 - 1600000002", "c 3 5 1600000003"];

#[test]
fn lines_may_end_with_a_return_here_and_a_newline_there() {
    let header = EVENTS.trim_end();
    let [one, two, three] = ROWS;
    for text in [
        format!("{header}\n{one}\r{two}\r{three}\r"),
        format!("{header}\n{one}\r{two}\r{three}"),
        format!("{header}\r\n{one}\r{two}\r\r\n{three}\r\n"),
        format!("{header}\r{one}\n{two}\n{three}\n"),
        format!("{header}\r\r{one}\r{two}\n{three}\n"),
        format!("{header}\n{one}\n{two}\r{three}\n"),
        format!("\u{feff}{header}\r{one}\r\n{two}\r{three}\r\n"),
        // As a file without `\n` at its beginning has been read before.
        format!("{header}\r{one}\r{two}\r{three}\n"),
    ] {
        let found = generic(&[("e.csv", &text)], "").unwrap();
        assert_eq!(rows(&found), READ, "{text:?}");
        assert_eq!((found.rejects.len(), found.lines), (0, 3), "{text:?}");
        let more = "[columns]\nheader = false\nuser = 1\nitem = 2\nrating = 3\ntimestamp = 4\n";
        let text = text.trim_start_matches('\u{feff}').replacen(header, "", 1);
        let found = generic(&[("e.csv", text.trim_start())], more).unwrap();
        assert_eq!(
            (rows(&found), found.lines),
            (READ.map(str::to_owned).to_vec(), 3),
            "{text:?}"
        );
    }
}

#[test]
fn the_second_of_two_files_in_one_keeps_its_rows_and_every_line_its_number() {
    let [one, two, three] = ROWS;
    let text = format!(
        "{EVENTS}{one}\nx,y\n{}\r{two}\rx\r\r{three}\r\nz\n",
        EVENTS.trim_end()
    );
    let found = generic(&[("e.csv", &text)], "").unwrap();
    assert_eq!(rows(&found), READ);
    let rejects: Vec<(u64, &str, &str)> = found
        .rejects
        .iter()
        .map(|reject| (reject.line, reject.text.as_str(), reject.reason.as_str()))
        .collect();
    let width = "another number of fields than the header";
    let expected = [
        (3, "x,y", width),
        (4, EVENTS.trim_end(), "rating is no number"),
        (6, "x", width),
        (9, "z", width),
    ];
    assert_eq!(rejects, expected);
    for reject in &found.rejects {
        let at = &text[usize::try_from(reject.offset).unwrap()..];
        assert!(at.starts_with(&reject.text), "line {} at {at}", reject.line);
    }
    let places = found.interactions.iter().flat_map(|batch| {
        use arrow::array::AsArray;
        batch
            .column(4)
            .as_primitive::<arrow::datatypes::Int64Type>()
            .values()
            .to_vec()
    });
    assert_eq!(places.collect::<Vec<i64>>(), [2, 5, 8]);
}

#[test]
fn a_return_within_a_value_ends_no_line() {
    let events = format!("{EVENTS}a,1,,7\n");
    let items = "item_id,title\n1,\"Oak\rchair\"\n2,Pine\rtable\n3\rBrass lamp,too,much\n";
    let found = generic(&[("e.csv", &events), ("i.csv", items)], "").unwrap();
    assert_eq!(titles(&found), ["Oak\rchair", "Pine\rtable"]);
    assert_eq!(reasons(&found), ["another number of fields than the header"]);
    assert_eq!(found.rejects[0].text, "3\\rBrass lamp,too,much");
    // Where it also ends lines, quotes tell which is which.
    let items = "item_id,title\n1,\"Oak\rchair\"\r2,Pine table\r3,\"Brass, new\"\r\n";
    let found = generic(&[("e.csv", &events), ("i.csv", items)], "").unwrap();
    assert_eq!(titles(&found).last().unwrap(), "Brass, new");
    assert_eq!(
        titles(&found).len() + found.rejects.len(),
        found.lines as usize - 1
    );
}

#[test]
fn lines_of_every_other_format_may_end_so_too() {
    let json = "{\"user_id\": \"a\", \"item_id\": 1, \"timestamp\": 7}";
    let found = generic(&[("e.jsonl", &format!("{json}\n{json}\r{json}\r\n"))], "").unwrap();
    assert_eq!((rows(&found).len(), found.rejects.len()), (3, 0));
    let files = [
        ("r.dat", "1::1::3::7\n1::2::3::8\r1::3::3::9\r"),
        ("m.dat", "1::Oak::Drama\n2::Pine::Drama\r3::Brass::Drama\r\n"),
    ];
    let found = tables("movielens-dat", &files, "").unwrap();
    assert_eq!(
        (rows(&found).len(), titles(&found)),
        (3, vec!["Oak".into(), "Pine".into(), "Brass".into()])
    );
    let flags = "|0".repeat(19);
    let item = format!("1|Oak|d||u{flags}\n2|Pine|d||u{flags}\r3|Brass|d||u{flags}\r\n");
    let found = tables(
        "movielens-100k",
        &[
            ("u.data", "1\t1\t3\t7\n1\t2\t3\t7\r1\t3\t3\t7\n"),
            ("u.item", &item),
        ],
        "",
    );
    let found = found.unwrap();
    assert_eq!((rows(&found).len(), titles(&found).len()), (3, 3));
    let inter = "user_id:token\titem_id:token\ttimestamp:float\na\t1\t7\rb\t1\t8\r";
    assert_eq!(
        rows(&tables("recbole", &[("e.inter", inter)], "").unwrap()).len(),
        2
    );
    let review = "{'username': 'u', 'product_id': '7', 'date': '2017-11-01'}";
    let game = "{'id': '7', 'title': 'Go'}";
    let files = [
        ("r.json", &*format!("{review}\n{review}\r{review}\r")),
        ("g.json", &format!("{game}\n")),
    ];
    let found = tables("steam", &files, "").unwrap();
    assert_eq!((rows(&found).len(), found.rejects.len()), (3, 0));
}

#[test]
fn more_of_such_lines_than_are_kept_is_an_error_and_no_single_reject() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{EVENTS}{}", format!("{}\r", ROWS[0]).repeat(1_000_000));
    std::fs::write(folder.path().join("e.csv"), text).unwrap();
    let description = "name = \"t\"\ntitle = \"T\"\nplatform = \"p\"\nlicence = \"own\"\nformat = \"generic\"\n\
                       interactions = [\"e.csv\"]\n";
    let description = crate::dataset::DatasetDescription::parse(description, "t.toml").unwrap();
    let error = read(&description, folder.path(), &ReadOptions::default(), &NoProgress)
        .unwrap_err()
        .to_string();
    for part in ["e.csv", "at byte 33", "CR", "tr '\\r' '\\n'"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_first_record_may_go_over_lines_with_a_header_or_without() {
    let more = "[columns]\nheader = false\nuser = 1\nitem = 2\nrating = 4\ntimestamp = 5\n";
    let lines = |separator: &str| {
        let lines = ["u1,1,\"two", "lines, \"\"both\"\"\",4,7", "u2,2,plain,5,8"];
        lines
            .map(|line| line.replacen(", ", "; ", 1).replace(',', separator))
            .join("\n")
    };
    for (name, separator) in [("e.csv", ","), ("e.tsv", "\t")] {
        let found = generic(&[(name, &lines(separator))], more).unwrap();
        assert_eq!(rows(&found), ["u1 1 4 7", "u2 2 5 8"], "{name}");
        assert_eq!((found.rejects.len(), found.lines), (0, 2));
    }
    let headers = "user_id,item_id,\"what was\nsaid\",timestamp\nu1,1,\"two\nlines\",7\n";
    for text in [headers.to_owned(), headers.replace(',', "\t")] {
        let name = if text.contains(',') { "e.csv" } else { "e.tsv" };
        let found = generic(&[(name, &text)], "").unwrap();
        assert_eq!(
            (rows(&found), found.rejects.len()),
            (vec!["u1 1 - 7".to_owned()], 0),
            "{name}"
        );
    }
    // A quote that nothing closes, or that another line's closes, makes no record of all that follows.
    for rest in ["", "u2,2,5,4,8\n", "u2,2,\"5,4,8\nu3,3,5,4,8\n"] {
        let error = generic(&[("e.csv", &format!("u1,1,\"open,4,7\n{rest}"))], more).unwrap_err();
        assert!(
            error.contains("a quote that is not closed") && error.contains("`u1,1,\"open,4,7`"),
            "{error}"
        );
        let text = format!(
            "u1\t1\t4\t4\t7\t\"open\n{}",
            rest.replace(',', "\t").replace("\t8", "\t8\tx")
        );
        let found = generic(&[("e.tsv", &text)], more).unwrap();
        assert_eq!(rows(&found)[0], "u1 1 4 7", "{rest}");
        assert_eq!(rows(&found).len() + found.rejects.len(), text.lines().count());
    }
}
