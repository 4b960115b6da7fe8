//! Jinja's filters and tests that minijinja does not have, or has otherwise. Those that only HTML needs, wrapping, and the one that draws
//! lots are left out: they are an error.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, Value};
use minijinja_contrib::{filters, globals};

use super::text::{centred, count, refused, taken};
use super::{percent, printf};

/// Puts them into an environment.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter(
        "center",
        |text: String, width: Option<&Value>| -> Result<String, Error> {
            Ok(centred(&text, width.map_or(Ok(80), count)?, ' '))
        },
    );
    environment.add_filter("count", minijinja::filters::length);
    environment.add_filter("filesizeformat", filters::filesizeformat);
    environment.add_filter("striptags", filters::striptags);
    environment.add_filter("truncate", truncate);
    environment.add_filter("wordcount", |text: String| {
        let mut within = false;
        let begins = text.chars().filter(|sign| {
            let before = std::mem::replace(&mut within, sign.is_alphanumeric() || *sign == '_');
            within && !before
        });
        begins.count()
    });
    environment.add_filter("format", printf::filter);
    environment.add_filter(percent::FILTER, printf::operator);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("indent", indent);
    environment.add_filter(
        "replace",
        |text: String, old: String, new: String, most: Option<usize>| match most {
            Some(most) => text.replacen(&old, &new, most),
            None => text.replace(&old, &new),
        },
    );
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    environment.add_test("iterable", |value: &Value| {
        !value.is_none() && value.try_iter().is_ok()
    });
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map)
    });
    environment.add_function("joiner", globals::joiner);
    environment.add_function("cycler", globals::cycler);
}

/// At most so many characters, and then `...`, unless that saves fewer than `leeway`.
fn truncate(text: String, by_place: Rest<Value>, by_name: Kwargs) -> Result<String, Error> {
    let [length, killwords, end, leeway] =
        arguments(by_place, by_name, ["length", "killwords", "end", "leeway"])?;
    let length = length.as_ref().map_or(Ok(255), count)?;
    let leeway = leeway.as_ref().map_or(Ok(5), count)?;
    let end = end.as_ref().map_or("...", |end| end.as_str().unwrap_or_default());
    let Some(kept) = length.checked_sub(end.chars().count()) else {
        return Err(refused(format!(
            "truncate to {length} leaves no place for {end:?}"
        )));
    };
    if text.chars().count() <= length + leeway {
        return Ok(text);
    }
    let cut = text
        .char_indices()
        .nth(kept)
        .map_or(text.as_str(), |(at, _)| &text[..at]);
    let whole = match killwords.is_some_and(|kill| kill.is_true()) {
        true => cut,
        false => cut.rsplit_once(' ').map_or(cut, |(words, _)| words),
    };
    Ok(format!("{whole}{end}"))
}

/// Arguments of a filter that may be given by place or by name.
fn arguments<const N: usize>(
    by_place: Rest<Value>,
    by_name: Kwargs,
    names: [&str; N],
) -> Result<[Option<Value>; N], Error> {
    let mut given = by_place.0;
    given.push(Value::from(by_name));
    taken(&given, names)
}

/// A whole number; `default`, or 0, where it is none.
fn int(value: &Value, by_place: Rest<Value>, by_name: Kwargs) -> Result<Value, Error> {
    let [default, base] = arguments(by_place, by_name, ["default", "base"])?;
    let base = base.as_ref().map_or(Ok(10), count)?;
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
    let base = base.ok_or_else(|| refused("int: a base is from 2 to 36"))?;
    let of_float = |number: f64| number.is_finite().then(|| number.trunc() as i64);
    let found = match value.as_str() {
        Some(text) => digits(text, base).or_else(|| of_float(text.trim().parse().ok()?)),
        None => value
            .as_i64()
            .or_else(|| of_float(f64::try_from(value.clone()).ok()?)),
    };
    Ok(found.map_or_else(|| default.unwrap_or_else(|| Value::from(0)), Value::from))
}

/// Digits as Python's `int` takes them.
fn digits(text: &str, base: u32) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let prefixes: &[&str] = match base {
        2 => &["0b", "0B"],
        8 => &["0o", "0O"],
        16 => &["0x", "0X"],
        _ => &[],
    };
    let digits = prefixes
        .iter()
        .find_map(|prefix| digits.strip_prefix(prefix))
        .unwrap_or(digits);
    if digits.starts_with(['-', '+']) {
        return None;
    }
    let found = i64::from_str_radix(digits, base).ok()?;
    Some(if text.starts_with('-') { -found } else { found })
}

/// A number; `default`, or 0, where it is none.
fn float(value: &Value, by_place: Rest<Value>, by_name: Kwargs) -> Result<Value, Error> {
    let [default] = arguments(by_place, by_name, ["default"])?;
    let found = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => f64::try_from(value.clone()).ok(),
    };
    Ok(found.map_or_else(|| default.unwrap_or_else(|| Value::from(0.0)), Value::from))
}

/// Lines moved in by so many blanks, or by a text: all but the first and blank ones.
fn indent(text: String, by_place: Rest<Value>, by_name: Kwargs) -> Result<String, Error> {
    let [width, first, blank] = arguments(by_place, by_name, ["width", "first", "blank"])?;
    let by = match &width {
        None => " ".repeat(4),
        Some(width) => match width.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(count(width)?),
        },
    };
    let given = |flag: Option<Value>| flag.is_some_and(|flag| flag.is_true());
    let (first, blank) = (given(first), given(blank));
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let moved = match number {
            0 => first,
            _ => blank || !line.is_empty(),
        };
        if moved {
            out.push_str(&by);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// A text for HTML, as MarkupSafe writes it.
fn escape(value: &Value) -> Value {
    if value.is_safe() {
        return value.clone();
    }
    let text = value
        .to_string()
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    Value::from_safe_string(text.replace('\'', "&#39;").replace('"', "&#34;"))
}
