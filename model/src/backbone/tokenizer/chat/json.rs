//! `tojson` as transformers gives it to templates: Python's `json.dumps`, which leaves `<` and letters beyond ASCII as they are.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// What `json.dumps` can be told.
struct Style {
    ensure_ascii: bool,
    /// What each level is moved in by; without it everything stands in one line.
    indent: Option<String>,
    /// What comes between two members, and between a key and its value.
    separators: [String; 2],
    sort_keys: bool,
}

/// The filter: arguments by place or by name, in the order `ensure_ascii`, `indent`, `separators`, `sort_keys`.
pub(super) fn to_json(value: &Value, by_place: Rest<Value>, by_name: Kwargs) -> Result<String, Error> {
    let style = Style::of(&by_place, &by_name)?;
    let mut out = String::new();
    style.write(value, 0, &mut out)?;
    Ok(out)
}

impl Style {
    fn of(by_place: &[Value], by_name: &Kwargs) -> Result<Self, Error> {
        let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
        if by_place.len() > names.len() {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        let mut given = Vec::new();
        for (place, name) in names.into_iter().enumerate() {
            let named: Option<Value> = by_name.get(name)?;
            let value = by_place.get(place).cloned().or(named);
            given.push(value.filter(|value| !value.is_none() && !value.is_undefined()));
        }
        by_name.assert_all_used()?;
        let [ensure_ascii, indent, separators, sort_keys] = given.as_slice() else {
            return Err(Error::from(ErrorKind::MissingArgument));
        };
        let indent = match indent {
            None => None,
            Some(text) if text.as_str().is_some() => text.as_str().map(str::to_string),
            Some(count) => {
                let count = count
                    .as_i64()
                    .ok_or_else(|| refused("indent is neither a number nor a text"))?;
                Some(" ".repeat(usize::try_from(count).unwrap_or(0).min(64)))
            }
        };
        let separators = match separators {
            None if indent.is_some() => [",".into(), ": ".into()],
            None => [", ".into(), ": ".into()],
            Some(pair) => {
                let texts: Vec<String> = pair
                    .try_iter()?
                    .filter_map(|text| Some(text.as_str()?.to_string()))
                    .collect();
                texts
                    .try_into()
                    .map_err(|_| refused("separators are two texts"))?
            }
        };
        let flag = |value: &Option<Value>| value.as_ref().is_some_and(Value::is_true);
        Ok(Style {
            ensure_ascii: flag(ensure_ascii),
            indent,
            separators,
            sort_keys: flag(sort_keys),
        })
    }

    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)?),
            ValueKind::String => self.text(value.as_str().unwrap_or_default(), out),
            ValueKind::Seq | ValueKind::Iterable => {
                let members: Vec<Value> = value.try_iter()?.collect();
                self.all("[]", &members, depth, out, |member, out| {
                    self.write(member, depth + 1, out)
                })?;
            }
            ValueKind::Map => {
                let mut members = Vec::new();
                for key in value.try_iter()? {
                    members.push((self.key(&key)?, value.get_item(&key)?));
                }
                if self.sort_keys {
                    members.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                self.all("{}", &members, depth, out, |(key, value), out| {
                    self.text(key, out);
                    out.push_str(&self.separators[1]);
                    self.write(value, depth + 1, out)
                })?;
            }
            other => return Err(refused(format!("tojson cannot write what is {other}"))),
        }
        Ok(())
    }

    /// What stands between two brackets.
    fn all<T>(
        &self,
        brackets: &str,
        members: &[T],
        depth: usize,
        out: &mut String,
        write: impl Fn(&T, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (open, close) = brackets.split_at(1);
        out.push_str(open);
        let line = |depth: usize, out: &mut String| {
            if let Some(indent) = self.indent.as_ref().filter(|_| !members.is_empty()) {
                out.push('\n');
                (0..depth).for_each(|_| out.push_str(indent));
            }
        };
        for (place, member) in members.iter().enumerate() {
            if place > 0 {
                out.push_str(&self.separators[0]);
            }
            line(depth + 1, out);
            write(member, out)?;
        }
        line(depth, out);
        out.push_str(close);
        Ok(())
    }

    fn key(&self, key: &Value) -> Result<String, Error> {
        match key.kind() {
            ValueKind::String => Ok(key.as_str().unwrap_or_default().to_string()),
            ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                let mut text = String::new();
                self.write(key, 0, &mut text)?;
                Ok(text)
            }
            other => Err(refused(format!("tojson cannot write a key that is {other}"))),
        }
    }

    fn text(&self, text: &str, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                plain if plain >= ' ' && (!self.ensure_ascii || plain <= '~') => out.push(plain),
                other => {
                    let units = other.encode_utf16(&mut [0; 2]).to_vec();
                    units
                        .iter()
                        .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
                }
            }
        }
        out.push('"');
    }
}

/// A number as Python's `repr` writes it.
pub(super) fn number(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    let number = f64::try_from(value.clone())?;
    if number.is_nan() {
        return Ok("NaN".into());
    }
    if number.is_infinite() {
        return Ok(if number > 0.0 { "Infinity" } else { "-Infinity" }.into());
    }
    // Rust changes to exponents where Python does, and writes these without a sign and a second digit.
    let text = format!("{number:?}");
    Ok(match text.split_once('e') {
        None => text,
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
    })
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use minijinja::Environment;

    fn rendered(expression: &str) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        environment.add_filter("tojson", super::to_json);
        environment.render_str(&format!("{{{{ {expression} }}}}"), ())
    }

    /// What Python 3.11 writes for each of these.
    #[test]
    fn json_is_that_of_pythons_dumps() {
        for (expression, expected) in [
            (
                r#"{"b": "<é>", "a": [1, 2.0, true, none]} | tojson"#,
                r#"{"b": "<é>", "a": [1, 2.0, true, null]}"#,
            ),
            (
                r#"["é", "😀"] | tojson(ensure_ascii=True)"#,
                r#"["\u00e9", "\ud83d\ude00"]"#,
            ),
            (r#""é" | tojson(ensure_ascii=False)"#, r#""é""#),
            (r#""é" | tojson(true)"#, r#""\u00e9""#),
            (
                r#"{"b": 1, "a": [1, {}], "c": []} | tojson(indent=2)"#,
                "{\n  \"b\": 1,\n  \"a\": [\n    1,\n    {}\n  ],\n  \"c\": []\n}",
            ),
            (r#"[1] | tojson(indent="\t")"#, "[\n\t1\n]"),
            (r#"[1, 2] | tojson(indent=0)"#, "[\n1,\n2\n]"),
            (
                r#"{"b": 1, "a": 2} | tojson(separators=(",", ":"), sort_keys=True)"#,
                r#"{"a":2,"b":1}"#,
            ),
            (
                r#"[1e16, 1e-5, 0.0001, 1.5e300, 100000.0] | tojson"#,
                "[1e+16, 1e-05, 0.0001, 1.5e+300, 100000.0]",
            ),
            (r#""a\"\\\n\t/" | tojson"#, r#""a\"\\\n\t/""#),
            (r#"{1: "x", none: "y"} | tojson"#, r#"{"1": "x", "null": "y"}"#),
        ] {
            assert_eq!(rendered(expression).unwrap(), expected, "{expression}");
        }
    }

    #[test]
    fn what_is_no_json_and_arguments_that_do_not_exist_are_refused() {
        for (expression, part) in [
            ("nothing | tojson", "undefined"),
            ("[1] | tojson(intend=2)", "intend"),
            ("[1] | tojson(separators=[','])", "separators"),
            ("[1] | tojson(indent=[])", "indent"),
        ] {
            let error = rendered(expression).unwrap_err().to_string();
            assert!(error.contains(part), "{expression}: {error}");
        }
    }
}
