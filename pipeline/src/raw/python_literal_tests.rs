//! What the Python-literal parser promises.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

fn text(literal: &str) -> String {
    parse(literal.as_bytes()).unwrap().as_text().unwrap().to_string()
}

#[test]
fn a_real_line_gives_the_keys_asked_for() {
    let line = br#"{'asin': '0000031852', 'related': {'also_bought': ['B00JHONN1S', "a'}b"], 'x': (1, 2.5e-3, None)},
        'title': "Girl's \"Ballet\" Tutu\tZebra \u2019", 'price': 3.17, 'salesRank': {'Toys & Games': 211836L},
        'categories': [['Sports & Outdoors', u'Clothing'], []], 'title2': 'no'}"#;
    let [asin, title, categories, absent] =
        parse_keys(line, ["asin", "title", "categories", "absent"]).unwrap();
    assert_eq!(asin.unwrap().as_text(), Some("0000031852"));
    assert_eq!(
        title.unwrap().as_text(),
        Some("Girl's \"Ballet\" Tutu\tZebra \u{2019}")
    );
    let inner = Value::List(vec![
        Value::Text("Sports & Outdoors".into()),
        Value::Text("Clothing".into()),
    ]);
    assert_eq!(
        categories.unwrap(),
        Value::List(vec![inner, Value::List(Vec::new())])
    );
    assert_eq!(absent, None);
}

#[test]
fn a_dict_in_brackets_is_a_dict() {
    let found = parse_keys(b" (({'a': 1, 'b': '\\x41', 'a': 2}))", ["a", "b", "c"]).unwrap();
    assert_eq!(found, [Some(Value::Int(2)), Some(Value::Text("A".into())), None]);
    for literal in ["({},)", "()", "({}", "({}) x"] {
        assert!(parse_keys(literal.as_bytes(), ["a"]).is_err(), "{literal}");
    }
}

#[test]
fn escapes_mean_what_they_mean_in_python() {
    assert_eq!(
        text(r"'a\'b\x41\u00e9\U0001F600\101\7'"),
        "a'bA\u{e9}\u{1F600}A\u{7}"
    );
    assert_eq!(text(r"'\ud83d\ude00'"), "\u{1F600}");
    assert_eq!(text(r"'\d\ '"), r"\d\ ");
    assert_eq!(text("u'caf\u{e9}'"), "caf\u{e9}");
}

#[test]
fn what_lost_half_a_character_is_known_by_it() {
    for (literal, rest) in [
        (r"'\ud83dx\ude00'", "x"),
        (r"'Oak chair \ud83d'", "Oak chair "),
        (r"u'\ude00\ud83d'", ""),
        (r"'\ud83d\ud83d\ude00'", "\u{1F600}"),
        (r"'\ud83d\ude00\ude00'", "\u{1F600}"),
        (r"'\ud83d\n'", "\n"),
        (r"'\U00110000'", "\u{fffd}"),
    ] {
        assert_eq!(
            parse(literal.as_bytes()).unwrap(),
            Value::Cut(rest.into()),
            "{literal}"
        );
    }
    assert_eq!(
        parse(br"'\ufffd \\ud83d'").unwrap(),
        Value::Text("\u{fffd} \\ud83d".into())
    );
}

#[test]
fn words_numbers_and_brackets() {
    for (literal, value) in [
        ("True", Value::Bool(true)),
        (" None ", Value::None),
        ("-12", Value::Int(-12)),
        ("7L", Value::Int(7)),
        ("1e3", Value::Float(1000.0)),
        ("-inf", Value::Float(f64::NEG_INFINITY)),
        ("99999999999999999999", Value::Long("99999999999999999999".into())),
        (
            "-099999999999999999999L",
            Value::Long("-99999999999999999999".into()),
        ),
        ("()", Value::Tuple(Vec::new())),
        ("(1,)", Value::Tuple(vec![Value::Int(1)])),
        ("(1)", Value::Int(1)),
        ("[1, 2,]", Value::List(vec![Value::Int(1), Value::Int(2)])),
    ] {
        assert_eq!(parse(literal.as_bytes()).unwrap(), value, "{literal}");
    }
    assert!(matches!(parse(b"nan").unwrap(), Value::Float(value) if value.is_nan()));
}

#[test]
fn what_is_no_literal_is_refused_with_its_place() {
    for (literal, at) in [
        (&b"{'a': 1"[..], 7),
        (b"{'a' 1}", 5),
        (b"['a' 'b']", 5),
        (b"'open", 5),
        (b"{'a': __import__('os')}", 6),
        (b"{} x", 3),
        (b"", 0),
        (b"'\xff'", 1),
        (b"[,]", 1),
        (b"1.2.3", 0),
    ] {
        assert_eq!(
            parse(literal).unwrap_err().at,
            at,
            "{}",
            String::from_utf8_lossy(literal)
        );
    }
    assert!(parse(br"'\x4'").is_err());
    assert!(parse_keys(b"['a']", ["a"]).is_err());
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let deep = "[".repeat(100_000);
    assert_eq!(parse(deep.as_bytes()).unwrap_err().what, "nested too deep");
    let skipped = format!("{{'a': {deep}");
    assert_eq!(
        parse_keys(skipped.as_bytes(), ["b"]).unwrap_err().what,
        "nested too deep"
    );
}

thread_local! {
    static WORK: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts bytes that the parser looks at.
pub(super) fn work(bytes: usize) {
    WORK.set(WORK.get() + bytes);
}

#[test]
fn no_line_makes_it_look_at_its_bytes_again_and_again() {
    // Whatever is repeated, and however the line then ends.
    let repeated = [
        "'a', ",
        "1, ",
        "-",
        "1",
        "9.9e",
        "\\\\",
        "u'",
        "\"",
        "'",
        "(",
        "[[[], ",
        "{'a': ",
        "{'a': {}, ",
        "'asin': 1, ",
        "True ",
        "inf",
        " ",
        "\\x41",
        "\\ud83d",
        "\\777",
        ":",
        ",",
        "nan, ",
        "L",
    ];
    for begin in [
        "",
        "[",
        "{",
        "{'asin': ",
        "{'b': [",
        "'",
        "u\"",
        "{'b': '",
        "-",
        "(",
    ] {
        for middle in repeated {
            for end in ["", "'", "]", "}", "\\", "'}", ")"] {
                let line = format!("{begin}{}{end}", middle.repeat(4_000));
                WORK.set(0);
                let _ = parse(line.as_bytes());
                let _ = parse_keys(line.as_bytes(), ["asin", "title", "categories"]);
                let looked = WORK.get();
                assert!(
                    looked <= 16 * line.len() + 1_000,
                    "{looked} bytes of {} for {begin}{middle}...{end}",
                    line.len()
                );
            }
        }
    }
}

/// Writes a value as Python's `repr` does; `style` chooses among the ways that different versions took.
fn repr(value: &Value, style: u8, out: &mut String) {
    match value {
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Long(digits) => out.push_str(digits),
        Value::Float(value) => out.push_str(&format!("{value:?}")),
        Value::Text(value) | Value::Cut(value) => repr_text(value, style, out),
        Value::List(values) => {
            out.push('[');
            join(values, style, out);
            out.push(']');
        }
        Value::Tuple(values) => {
            out.push('(');
            join(values, style, out);
            out.push_str(if values.len() == 1 { ",)" } else { ")" });
        }
        Value::Dict(pairs) => {
            out.push('{');
            for (at, (key, value)) in pairs.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                repr(key, style, out);
                out.push_str(": ");
                repr(value, style, out);
            }
            out.push('}');
        }
    }
}

fn join(values: &[Value], style: u8, out: &mut String) {
    for (at, value) in values.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        repr(value, style, out);
    }
}

fn repr_text(text: &str, style: u8, out: &mut String) {
    // Double quotes where the text holds an apostrophe and no double quote.
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    if style & 1 == 1 {
        out.push('u');
    }
    out.push(quote);
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_ascii() || style & 2 == 0 => out.push(c),
            c if (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if (c as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if style & 4 == 0 => out.push_str(&format!("\\U{:08x}", c as u32)),
            c => {
                let mut pair = [0; 2];
                c.encode_utf16(&mut pair)
                    .iter()
                    .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
        }
    }
    out.push(quote);
}

fn values() -> impl Strategy<Value = Value> {
    let words = prop_oneof!["\\PC{0,12}", "[a-z'\"\\\\\n\t\u{7f}\u{e9}\u{1F600}]{0,8}"];
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        // Rust and Python write some fractions differently; both read them back exactly.
        any::<f64>()
            .prop_filter("nan is not equal to itself", |value| !value.is_nan())
            .prop_map(Value::Float),
        words.prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = prop_oneof![
            "[a-z']{0,5}".prop_map(Value::Text),
            any::<i64>().prop_map(Value::Int)
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Tuple),
            proptest::collection::vec((key, inner), 0..5).prop_map(Value::Dict),
        ]
    })
}

proptest! {
    #[test]
    fn the_parser_reads_back_what_repr_writes(value in values(), style in 0_u8..8) {
        let mut literal = String::new();
        repr(&value, style, &mut literal);
        prop_assert_eq!(parse(literal.as_bytes()).unwrap(), value);
    }

    #[test]
    fn a_key_is_found_among_others_that_are_skipped(before in values(), wanted in values(), after in values()) {
        let dict = Value::Dict(vec![
            (Value::Text("before".into()), before),
            (Value::Text("wanted".into()), wanted.clone()),
            (Value::Text("after".into()), after),
        ]);
        let mut literal = String::new();
        repr(&dict, 0, &mut literal);
        prop_assert_eq!(parse_keys(literal.as_bytes(), ["wanted"]).unwrap(), [Some(wanted)]);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse(&bytes);
        let _ = parse_keys(&bytes, ["asin"]);
    }

    #[test]
    fn no_damage_to_a_good_line_makes_it_panic(value in values(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut literal = String::new();
        repr(&value, 3, &mut literal);
        let mut bytes = literal.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = parse(&bytes);
        let _ = parse(&bytes[..at]);
    }
}

/// What CPython makes of each line of its input, as JSON: every value with the name of its type, `null` for what is no literal.
const CPYTHON: &str = r#"
import ast, json, struct, sys
def tagged(value):
    if value is None: return ["none"]
    if isinstance(value, bool): return ["bool", value]
    if isinstance(value, int):
        return ["int", str(value)]
    if isinstance(value, float): return ["float", struct.pack(">d", value).hex()]
    if isinstance(value, str):
        return ["text", value.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")]
    if isinstance(value, list): return ["list", [tagged(v) for v in value]]
    if isinstance(value, tuple): return ["tuple", [tagged(v) for v in value]]
    if isinstance(value, dict): return ["dict", [[tagged(k), tagged(v)] for k, v in value.items()]]
    raise ValueError
for line in sys.stdin.buffer.read().split(b"\n")[:-1]:
    try: print(json.dumps(tagged(ast.literal_eval(line.decode()))))
    except Exception: print("null")
"#;

/// The same for a value of ours; of a repeated key the last counts, in the place of the first, as in a dict of Python's.
fn tagged(value: &Value) -> serde_json::Value {
    use serde_json::json;
    let all = |values: &[Value]| values.iter().map(tagged).collect::<Vec<_>>();
    match value {
        Value::None => json!(["none"]),
        Value::Bool(value) => json!(["bool", value]),
        Value::Int(value) => json!(["int", value.to_string()]),
        Value::Long(digits) => json!(["int", digits]),
        Value::Float(value) => json!(["float", format!("{:016x}", value.to_bits())]),
        Value::Text(value) | Value::Cut(value) => json!(["text", value]),
        Value::List(values) => json!(["list", all(values)]),
        Value::Tuple(values) => json!(["tuple", all(values)]),
        Value::Dict(pairs) => {
            let mut kept: Vec<[serde_json::Value; 2]> = Vec::new();
            for (key, value) in pairs {
                let (key, value) = (tagged(key), tagged(value));
                match kept.iter_mut().find(|pair| pair[0] == key) {
                    Some(pair) => pair[1] = value,
                    None => kept.push([key, value]),
                }
            }
            json!(["dict", kept])
        }
    }
}

/// Lets CPython read the lines; `None` where there is none.
fn cpython(lines: &[String]) -> Option<Vec<serde_json::Value>> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut python = Command::new("python3")
        .args(["-W", "ignore", "-c", CPYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = python.stdin.take().unwrap();
    let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = python.wait_with_output().unwrap();
    // A stub in the place of python3 may start and still be none.
    if !output.status.success() {
        return None;
    }
    writer.join().unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    Some(
        said.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

/// Literals in all the ways that versions of Python wrote them; the same ones every time.
fn literals(count: usize) -> Vec<String> {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let drawn = (values(), 0_u8..8);
    let mut literals = Vec::new();
    while literals.len() < count {
        let (value, style) = drawn.new_tree(&mut runner).unwrap().current();
        let mut literal = String::new();
        repr(&value, style, &mut literal);
        literals.push(literal);
    }
    literals
}

#[test]
#[allow(clippy::print_stderr)]
fn cpython_reads_the_same_from_literals_and_from_damaged_ones() {
    let good = literals(600);
    // `inf` is what repr writes, and no literal in Python itself.
    let good: Vec<String> = good
        .into_iter()
        .filter(|literal| !literal.contains("inf"))
        .collect();
    let signs = [
        '\'', '"', '\\', ',', ':', '(', ')', ']', '}', '0', '-', '.', 'u', ' ', 'e',
    ];
    let damaged: Vec<String> = good
        .iter()
        .enumerate()
        .map(|(at, literal)| {
            let mut chars: Vec<char> = literal.chars().collect();
            let place = at * 31 % chars.len();
            chars[place] = signs[at % signs.len()];
            chars.into_iter().collect()
        })
        .collect();
    let (Some(of_good), Some(of_damaged)) = (cpython(&good), cpython(&damaged)) else {
        eprintln!("skipped: no python3 here to compare with");
        return;
    };
    for (literal, theirs) in good.iter().zip(&of_good) {
        assert_eq!(&tagged(&parse(literal.as_bytes()).unwrap()), theirs, "{literal}");
    }
    let mut both = 0;
    for (literal, theirs) in damaged.iter().zip(&of_damaged) {
        if let (Ok(ours), false) = (parse(literal.as_bytes()), theirs.is_null()) {
            assert_eq!(&tagged(&ours), theirs, "{literal}");
            both += 1;
        }
    }
    assert!(
        good.len() > 400 && both > 50,
        "{} literals, {both} of them after damage",
        good.len()
    );
}
