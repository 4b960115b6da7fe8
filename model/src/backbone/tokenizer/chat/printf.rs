//! Texts formed as C's `printf` does, and Python's `%`: by the filter `format`, and by the operator.
//!
//! minijinja has `%` for numbers alone, and its own filter counts bytes where a width is in characters. So where a text in quotes stands
//! before `%` the two are made a filter, before the template is compiled ([`percent`](super::percent)).

use std::str::Chars;

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Rest, Tuple, ValueKind};
use minijinja::{Error, Value};

use super::json;
use super::text::refused;

/// The most characters that a value is widened to.
const WIDEST: usize = 1 << 20;

/// The filter `format`: values by place, or by name.
pub(super) fn filter(text: String, by_place: Rest<Value>, by_name: Kwargs) -> Result<String, Error> {
    let is_by_name = by_name.args().next().is_some();
    match (is_by_name, by_place.is_empty()) {
        (false, _) => formed(&text, Values::of_several(by_place.0)),
        (true, true) => formed(&text, Values::of_one(&Value::from(by_name))),
        (true, false) => Err(refused("format takes values by place or by name, not both")),
    }
}

/// The operator `%`: a tuple has the values for several places, a table those by name, anything else is one.
pub(super) fn operator(text: String, values: &Value) -> Result<String, Error> {
    match values.downcast_object_ref::<Tuple>() {
        Some(_) => formed(&text, Values::of_several(values.try_iter()?.collect())),
        None => formed(&text, Values::of_one(values)),
    }
}

/// The values that are put into a text.
struct Values {
    by_place: std::vec::IntoIter<Value>,
    by_name: Option<Value>,
}

impl Values {
    fn of_several(values: Vec<Value>) -> Self {
        Values {
            by_place: values.into_iter(),
            by_name: None,
        }
    }

    fn of_one(value: &Value) -> Self {
        let is_table = value.kind() == ValueKind::Map;
        Values {
            by_name: is_table.then(|| value.clone()),
            ..Values::of_several(vec![value.clone()])
        }
    }

    fn next(&mut self) -> Result<Value, Error> {
        let next = self.by_place.next();
        next.ok_or_else(|| refused("not enough arguments for format string"))
    }

    fn named(&self, name: &str) -> Result<Value, Error> {
        let table = self.by_name.as_ref();
        let table = table.ok_or_else(|| refused("format requires a mapping"))?;
        let value = table.get_attr(name)?;
        match value.is_undefined() {
            true => Err(refused(format!("the mapping has no {name}"))),
            false => Ok(value),
        }
    }

    fn number(&mut self) -> Result<usize, Error> {
        let number = self
            .next()?
            .as_i64()
            .and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| refused("* wants int"))
    }
}

/// What stands between `%` and the letter that says of which kind a value is.
#[derive(Default)]
struct Form {
    flags: String,
    width: Option<usize>,
    precision: Option<usize>,
}

fn formed(text: &str, mut values: Values) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(sign) = rest.next() {
        if sign != '%' {
            out.push(sign);
            continue;
        }
        let name = named(&mut rest)?;
        let mut form = Form::default();
        while let Some(flag) = taken(&mut rest, |sign| "#0- +".contains(sign)) {
            form.flags.push(flag);
        }
        form.width = number(&mut rest, &mut values)?;
        if taken(&mut rest, |sign| sign == '.').is_some() {
            form.precision = Some(number(&mut rest, &mut values)?.unwrap_or(0));
        }
        while taken(&mut rest, |sign| "hlL".contains(sign)).is_some() {}
        let kind = rest.next().ok_or_else(|| refused("incomplete format"))?;
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match &name {
            Some(name) => values.named(name)?,
            None => values.next()?,
        };
        out.push_str(&form.write(&value, kind)?);
    }
    // Of a table nobody need ask for everything.
    match values.by_name.is_none() && values.by_place.next().is_some() {
        true => Err(refused("not all arguments converted during string formatting")),
        false => Ok(out),
    }
}

impl Form {
    fn write(&self, value: &Value, kind: char) -> Result<String, Error> {
        let text = match kind {
            's' | 'r' if value.kind() == ValueKind::Number => json::number(value)?,
            's' => value.to_string(),
            'r' => {
                // As a member of a list it is written so.
                let list = Value::from(vec![value.clone()]).to_string();
                list[1..list.len() - 1].to_owned()
            }
            'c' => character(value)?,
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                return self.number(value, kind);
            }
            other => return Err(refused(format!("unsupported format character '{other}'"))),
        };
        let cut = self
            .precision
            .filter(|_| kind != 'c')
            .and_then(|most| text.char_indices().nth(most));
        let text = cut.map_or(text.as_str(), |(at, _)| &text[..at]);
        let blanks = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        let blanks = " ".repeat(blanks);
        Ok(match self.flags.contains('-') {
            true => format!("{text}{blanks}"),
            false => format!("{blanks}{text}"),
        })
    }

    fn number(&self, value: &Value, kind: char) -> Result<String, Error> {
        if !matches!(value.kind(), ValueKind::Number | ValueKind::Bool) {
            return Err(refused(format!(
                "%{kind} format: a number is required, not {}",
                value.kind()
            )));
        }
        let whole = "diu".contains(kind);
        let (value, kind) = match f64::try_from(value.clone()) {
            Ok(number) if whole && !value.is_integer() => (Value::from(number.trunc() as i64), 'd'),
            _ if whole => (value.clone(), 'd'),
            _ => (value.clone(), kind),
        };
        let width = self.width.map(|width| width.to_string()).unwrap_or_default();
        let precision = self
            .precision
            .map(|precision| format!(".{precision}"))
            .unwrap_or_default();
        let form = format!("%{}{width}{precision}{kind}", self.flags);
        format(FormatStyle::Printf, &form, &[value])
    }
}

/// The one character that `%c` writes.
fn character(value: &Value) -> Result<String, Error> {
    let of_number = || char::from_u32(u32::try_from(value.as_i64()?).ok()?);
    match value.as_str() {
        Some(text) if text.chars().count() == 1 => Ok(text.to_owned()),
        _ => of_number()
            .map(String::from)
            .ok_or_else(|| refused("%c requires int or char")),
    }
}

/// The name in brackets, if there is one.
fn named(rest: &mut Chars<'_>) -> Result<Option<String>, Error> {
    let text = rest.as_str();
    let Some(inner) = text.strip_prefix('(') else {
        return Ok(None);
    };
    let (name, after) = inner
        .split_once(')')
        .ok_or_else(|| refused("incomplete format key"))?;
    *rest = after.chars();
    Ok(Some(name.to_owned()))
}

fn taken(rest: &mut Chars<'_>, is: impl Fn(char) -> bool) -> Option<char> {
    let next = rest.clone().next().filter(|sign| is(*sign))?;
    rest.next();
    Some(next)
}

/// A number, or the one that a value gives for `*`.
fn number(rest: &mut Chars<'_>, values: &mut Values) -> Result<Option<usize>, Error> {
    let found = if taken(rest, |sign| sign == '*').is_some() {
        Some(values.number()?)
    } else {
        let mut found: Option<usize> = None;
        while let Some(digit) = taken(rest, |sign| sign.is_ascii_digit()) {
            let digit = usize::from(digit as u8 - b'0');
            found = Some(found.unwrap_or(0).saturating_mul(10).saturating_add(digit));
        }
        found
    };
    match found {
        Some(number) if number > WIDEST => Err(refused("a width beyond all reason")),
        found => Ok(found),
    }
}
