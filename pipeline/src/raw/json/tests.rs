//! What is read of a line and what is refused, beside `serde_json`.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
struct Wanted<'a> {
    #[serde(borrow)]
    a: Option<Cow<'a, str>>,
    n: Option<f64>,
}

/// What serde makes of a line, and whether it takes it for an object.
fn by_serde(line: &[u8]) -> Option<Wanted<'_>> {
    let object = line.trim_ascii_start().first() == Some(&b'{');
    serde_json::from_slice(line).ok().filter(|_| object)
}

#[test]
fn numbers_that_are_none_are_passed_over_and_missing_where_they_are_wanted() {
    let wanted = |line: &'static str| by_scanner(line.as_bytes());
    let found = |a: Option<&'static str>, n| {
        Some(Wanted {
            a: a.map(Cow::Borrowed),
            n,
        })
    };
    for word in ["NaN", "Infinity", "-Infinity"] {
        let line = format!(r#"{{"x": {word}, "y": [{word}, {{"z": {word}}}], "a": "v", "n": 1}}"#);
        assert_eq!(by_scanner(line.as_bytes()), found(Some("v"), Some(1.0)), "{line}");
    }
    assert_eq!(wanted(r#"{"a": NaN, "n": NaN}"#), found(None, None));
    assert_eq!(wanted(r#"{"n": Infinity}"#), found(None, Some(f64::INFINITY)));
    assert_eq!(
        wanted(r#"{"n": -Infinity}"#),
        found(None, Some(f64::NEG_INFINITY))
    );
    for line in [
        r#"{"a": Infinity}"#,
        r#"{"n": Nan}"#,
        r#"{"n": -NaN}"#,
        r#"{"n": +Infinity}"#,
        r#"{"x": Inf}"#,
        r#"{"x": NaN1}"#,
    ] {
        assert_eq!(wanted(line), None, "{line}");
    }
    let listed = value(Some(br#"["a", NaN, {"b": -Infinity}]"#)).unwrap().unwrap();
    assert_eq!(listed, serde_json::json!(["a", null, {"b": null}]));
}

#[test]
fn half_a_surrogate_pair_is_left_out() {
    for (line, text) in [
        (r#"{"a": "Oak chair \ud83d"}"#, "Oak chair "),
        (r#"{"a": "\ude00\ud83d\ude00\ud83d"}"#, "\u{1F600}"),
        (r#"{"\ud83d": 1, "a": "x", "\ud83d": 2}"#, "x"),
    ] {
        let found = by_scanner(line.as_bytes()).unwrap();
        assert_eq!(found.a.as_deref(), Some(text), "{line}");
    }
    let listed = value(Some(br#"["Oak \ud83d", "b"]"#)).unwrap().unwrap();
    assert_eq!(listed, serde_json::json!(["Oak ", "b"]));
}

fn by_scanner(line: &[u8]) -> Option<Wanted<'_>> {
    by_fields(&mut Fields::new(["a", "n"]), line)
}

fn by_fields<'l>(fields: &mut Fields<'_, 2>, line: &'l [u8]) -> Option<Wanted<'l>> {
    let [a, n] = fields.of(line).ok()?;
    Some(Wanted {
        a: text(a).ok()?,
        n: number(n).ok()?,
    })
}

#[test]
fn a_head_counts_only_where_it_may_stand() {
    let mut fields = Fields::new(["a", "n"]);
    for (line, taken) in [
        (r#"{"a": "x", "n": 1}"#, true),
        (r#"{"a": "x"{"a": "y"}"#, false),
        (r#", "n": 1}"#, false),
        (r#"{"a": "x", "n": 1, "n": 2}"#, false),
        (r#"{"n": 1}"#, true),
        (r#"{"b": 1, "n": 1}"#, true),
        (r#"{"a": "x", "m": 1, "n": 1}"#, true),
        (r#"{"a": "x", "n": 1"#, false),
        (r#"{"a": "x", "n": }"#, false),
    ] {
        let (found, expected) = (by_fields(&mut fields, line.as_bytes()), by_serde(line.as_bytes()));
        assert_eq!((found.is_some(), &found), (taken, &expected), "{line}");
    }
    // More than are remembered.
    for number in 0..100 {
        let line = format!(r#"{{"x{number}": [], "a": "x", "y{number}": {{}}, "n": 1}}"#);
        assert_eq!(
            by_fields(&mut fields, line.as_bytes()),
            by_serde(line.as_bytes()),
            "{line}"
        );
    }
    assert!(fields.heads.len() <= HEADS);
}

#[test]
fn lines_are_read_and_refused_as_serde_does_it() {
    for line in [
        r#"{"a": "x", "n": 3}"#,
        r#" { "n" : -1.5e3 , "a" : null } "#,
        r#"{"x": {"a": [1, {"b": []}, "]"], "n": {}}, "a": "\u00e9\n", "n": 0.1}"#,
        r#"{"\u0061": "escaped key", "n": 123456789012345678901234567890}"#,
        r#"{"a": "x", "a": "y"}"#,
        r#"{"a": 1}"#,
        r#"{"n": "1"}"#,
        r#"{"n": 01}"#,
        r#"{"n": 1.}"#,
        r#"{"n": .5}"#,
        r#"{"n": 1e999}"#,
        r#"{"n": -}"#,
        r#"{"x": "\ud800"}"#,
        r#"{"x": "\u12g4"}"#,
        r#"{"x": "\q"}"#,
        r#"{"x": nul}"#,
        r#"{"x": tru"#,
        r#"{"a": "x",}"#,
        r#"{"a": "x"} y"#,
        r#"{"a"}"#,
        r#"{"#,
        r#"{}"#,
        r#"["a"]"#,
        r#"{"x": [}]}"#,
        r#"{"x": [1, 2,]}"#,
        "{\"x\": \"tab\tinside, and long enough for a whole block of bytes\"}",
        "{\"a\": \"\u{7f}\u{80}\"}",
        "{\"x\": \"thirty-two plain bytes come first, then the vectors: one or two blocks of sixty-four bytes and then a\ttab in the third\"}",
        "",
        "null",
    ] {
        assert_eq!(by_scanner(line.as_bytes()), by_serde(line.as_bytes()), "{line}");
    }
    for bytes in [&b"{\"a\": \"\xff\"}"[..], b"{\"x\": \"\xff\"}", b"{\"\xff\": 1}"] {
        assert_eq!(by_scanner(bytes), by_serde(bytes), "{bytes:?}");
    }
    let deep = format!("{{\"x\": {}{}, \"n\": 1}}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(by_scanner(deep.as_bytes()).unwrap().n, Some(1.0));
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("{".to_string()),
        Just("}".to_string()),
        Just("[".to_string()),
        Just("]".to_string()),
        Just(",".to_string()),
        Just(":".to_string()),
        Just("\"a\"".to_string()),
        Just("\"n\"".to_string()),
        Just("\"a\": \"".to_string()),
        Just("\"n\": ".to_string()),
        Just("\\".to_string()),
        Just("\"".to_string()),
        Just("null".to_string()),
        "-?[0-9]{1,18}(\\.[0-9]{0,3})?(e-?[0-9]{0,3})?",
        "\\PC{0,40}",
    ];
    let pieces = proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes());
    let objects = proptest::collection::btree_map("[anxy]", "\\PC{0,80}", 0..4)
        .prop_map(|map| serde_json::to_vec(&map).unwrap());
    prop_oneof![
        pieces.clone(),
        pieces.prop_map(|inner| [b"{\"a\": \"v\", ", inner.as_slice(), b"}"].concat()),
        objects,
    ]
}

#[test]
fn lines_may_be_spaced_differently() {
    let mut fields = Fields::new(["a", "n"]);
    for line in [
        r#"{"a":"x","n":1}"#,
        r#"{"a": "x", "n": 1}"#,
        r#"{"a":  "x","n":  1}"#,
        r#"{ "a" :"x" ,"n" : 1 }"#,
        r#"{"a":"x","n":1}"#,
    ] {
        assert_eq!(
            by_fields(&mut fields, line.as_bytes()),
            by_serde(line.as_bytes()),
            "{line}"
        );
    }
}

proptest! {
    #[test]
    fn any_line_is_read_or_refused_as_serde_does_it(line in lines()) {
        prop_assert_eq!(by_scanner(&line), by_serde(&line), "{}", String::from_utf8_lossy(&line));
    }

    #[test]
    fn what_lines_came_before_changes_nothing(lines in proptest::collection::vec(lines(), 0..20)) {
        let mut fields = Fields::new(["a", "n"]);
        for line in lines.iter().chain(&lines) {
            prop_assert_eq!(by_fields(&mut fields, line), by_scanner(line), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn short_numbers_are_exact(text in "[0-9]{1,9}(\\.[0-9]{1,6})?") {
        prop_assert_eq!(short_number(text.as_bytes()), Some(text.parse::<f64>().unwrap()));
    }
}
