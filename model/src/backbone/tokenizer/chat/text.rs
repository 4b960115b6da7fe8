//! Python's methods of texts, lists and tables, where minijinja has none or others than Python.

mod parts;

use std::borrow::Cow;

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use parts::{is_blank, lines, split};

/// What Jinja asks where a value has no method of that name by itself.
pub(super) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let own = match (value.kind(), value.as_str()) {
        (ValueKind::String, Some(text)) => of_text(text, name, args),
        (ValueKind::Seq, _) => of_list(value, name, args),
        (ValueKind::Map, _) if name == "copy" => taken(args, []).map(|[]| Some(value.clone())),
        _ => Ok(None),
    };
    match own? {
        Some(found) => Ok(found),
        None => unknown_method_callback(state, value, name, args),
    }
}

fn of_text(text: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let chars = || text.chars();
    let found = match name {
        "removeprefix" | "removesuffix" => {
            let [part] = taken(args, ["part"])?;
            let part = needed(part.as_ref())?;
            let rest = match name {
                "removeprefix" => text.strip_prefix(part),
                _ => text.strip_suffix(part),
            };
            Value::from(rest.unwrap_or(text))
        }
        "partition" | "rpartition" => {
            let [sep] = taken(args, ["sep"])?;
            let sep = separator(needed(sep.as_ref())?)?;
            let (found, without) = match name {
                "partition" => (text.split_once(sep), [text, "", ""]),
                _ => (text.rsplit_once(sep), ["", "", text]),
            };
            let parts = found.map_or(without, |(before, after)| [before, sep, after]);
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "split" | "rsplit" => split(text, name == "rsplit", args)?,
        "splitlines" => {
            let [keep] = taken(args, ["keepends"])?;
            lines(text, keep.is_some_and(|keep| keep.is_true()))
        }
        "find" | "rfind" | "index" | "rindex" => {
            let [part, start, end] = taken(args, ["sub", "start", "end"])?;
            let place = Range::of(text, [&start, &end])?.and_then(|range| {
                let part = part.as_ref()?.as_str()?;
                let within = &text[range.from..range.to];
                let at = if name.starts_with('r') {
                    within.rfind(part)
                } else {
                    within.find(part)
                };
                at.map(|at| text[..range.from + at].chars().count())
            });
            needed(part.as_ref())?;
            match place {
                Some(place) => Value::from(place),
                None if name.ends_with("find") => Value::from(-1),
                None => return Err(refused("substring not found")),
            }
        }
        "count" => {
            let [part, start, end] = taken(args, ["sub", "start", "end"])?;
            let part = needed(part.as_ref())?;
            let range = Range::of(text, [&start, &end])?;
            Value::from(range.map_or(0, |range| text[range.from..range.to].matches(part).count()))
        }
        "startswith" | "endswith" => {
            let [part, start, end] = taken(args, ["part", "start", "end"])?;
            if start.is_none() && end.is_none() {
                return Ok(None);
            }
            let part = part.ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
            let parts = match part.as_str() {
                Some(_) => vec![part],
                None => part.try_iter()?.collect(),
            };
            let within = Range::of(text, [&start, &end])?.map(|range| &text[range.from..range.to]);
            let has = |part: &Value| match (within, part.as_str()) {
                (Some(within), Some(part)) if name == "startswith" => within.starts_with(part),
                (Some(within), Some(part)) => within.ends_with(part),
                _ => false,
            };
            Value::from(parts.iter().any(has))
        }
        "strip" | "lstrip" | "rstrip" => {
            let [among] = taken(args, ["chars"])?;
            let among = match &among {
                None => None,
                given => Some(needed(given.as_ref())?),
            };
            let goes = |sign: char| among.map_or_else(|| is_blank(sign), |among| among.contains(sign));
            Value::from(match name {
                "strip" => text.trim_matches(goes),
                "lstrip" => text.trim_start_matches(goes),
                _ => text.trim_end_matches(goes),
            })
        }
        "center" | "ljust" | "rjust" => {
            let [width, fill] = taken(args, ["width", "fillchar"])?;
            let fill = match &fill {
                None => ' ',
                Some(fill) => sign(fill)?,
            };
            let width = count(
                width
                    .as_ref()
                    .ok_or_else(|| Error::from(ErrorKind::MissingArgument))?,
            )?;
            Value::from(match name {
                "center" => centred(text, width, fill),
                "ljust" => text.to_owned() + &padding(text, width, fill),
                _ => padding(text, width, fill) + text,
            })
        }
        "zfill" => {
            let [width] = taken(args, ["width"])?;
            let width = count(
                width
                    .as_ref()
                    .ok_or_else(|| Error::from(ErrorKind::MissingArgument))?,
            )?;
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let sign = &text[..text.len() - digits.len()];
            Value::from(format!("{sign}{}{digits}", padding(text, width, '0')))
        }
        "expandtabs" => {
            let [size] = taken(args, ["tabsize"])?;
            Value::from(without_tabs(text, size.as_ref().map_or(Ok(8), count)?))
        }
        "title" | "capitalize" | "swapcase" | "casefold" => {
            let [] = taken(args, [])?;
            Value::from(match name {
                "title" => titled(text),
                "capitalize" => {
                    let mut signs = chars();
                    let first = signs.next().map(first_upper).unwrap_or_default();
                    first + &signs.as_str().to_lowercase()
                }
                "swapcase" => chars().map(swapped).collect(),
                _ => chars()
                    .flat_map(char::to_uppercase)
                    .flat_map(char::to_lowercase)
                    .collect(),
            })
        }
        "istitle" => {
            let [] = taken(args, [])?;
            Value::from(chars().any(is_cased) && titled(text) == text)
        }
        "isdecimal" => {
            let [] = taken(args, [])?;
            Value::from(!text.is_empty() && chars().all(|sign| sign.is_ascii_digit()))
        }
        "isidentifier" => {
            let [] = taken(args, [])?;
            let begins = chars()
                .next()
                .is_some_and(|first| first.is_alphabetic() || first == '_');
            Value::from(begins && chars().all(|sign| sign.is_alphanumeric() || sign == '_'))
        }
        "isprintable" => {
            let [] = taken(args, [])?;
            Value::from(chars().all(|sign| sign == ' ' || !sign.is_control() && !sign.is_whitespace()))
        }
        "format_map" => {
            let [table] = taken(args, ["mapping"])?;
            let table = table.ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
            let mut named = Vec::new();
            for key in table.try_iter()? {
                let name = key
                    .as_str()
                    .ok_or_else(|| refused("a key of format_map is no text"))?
                    .to_owned();
                named.push((name, table.get_item(&key)?));
            }
            let named: Kwargs = named.into_iter().collect();
            Value::from(format(FormatStyle::StrFormat, text, &[Value::from(named)])?)
        }
        _ => return Ok(None),
    };
    Ok(Some(found))
}

fn of_list(list: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match name {
        "copy" => taken(args, []).map(|[]| Some(list.clone())),
        "index" => {
            let [wanted, start, end] = taken(args, ["value", "start", "stop"])?;
            let length = list.len().unwrap_or_default();
            let (from, to) = bounds(length, [&start, &end])?;
            let wanted = wanted.unwrap_or_default();
            let members = list.try_iter()?.enumerate().take(to).skip(from);
            let mut places = members
                .filter(|(_, member)| *member == wanted)
                .map(|(place, _)| place);
            match places.next() {
                Some(place) => Ok(Some(Value::from(place))),
                None => Err(refused("the list has no such member")),
            }
        }
        _ => Ok(None),
    }
}

/// Arguments by place or by name; `none` is as if it was not given.
pub(super) fn taken<const N: usize>(args: &[Value], names: [&str; N]) -> Result<[Option<Value>; N], Error> {
    let (by_place, by_name): (Rest<Value>, Kwargs) = from_args(args)?;
    if by_place.len() > N {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut given = [const { None }; N];
    for ((place, name), slot) in names.into_iter().enumerate().zip(&mut given) {
        let named: Option<Value> = by_name.get(name)?;
        let value = by_place.get(place).cloned().or(named);
        *slot = value.filter(|value| !value.is_none() && !value.is_undefined());
    }
    by_name.assert_all_used()?;
    Ok(given)
}

/// A text that must be given.
fn needed(value: Option<&Value>) -> Result<&str, Error> {
    let value = value.ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    value
        .as_str()
        .ok_or_else(|| refused(format!("a text is wanted, and not {}", value.kind())))
}

fn separator(text: &str) -> Result<&str, Error> {
    match text {
        "" => Err(refused("empty separator")),
        text => Ok(text),
    }
}

fn sign(value: &Value) -> Result<char, Error> {
    let mut signs = value.as_str().unwrap_or_default().chars();
    match (signs.next(), signs.next()) {
        (Some(sign), None) => Ok(sign),
        _ => Err(refused("the fill character must be exactly one character long")),
    }
}

/// A length; what is negative is none.
pub(super) fn count(value: &Value) -> Result<usize, Error> {
    const MOST: i64 = 1 << 20;
    match value.as_i64() {
        Some(count) if count <= MOST => Ok(usize::try_from(count).unwrap_or(0)),
        Some(_) => Err(refused("a length beyond all reason")),
        None => Err(refused(format!(
            "a whole number is wanted, and not {}",
            value.kind()
        ))),
    }
}

/// A part of a text, in bytes.
struct Range {
    from: usize,
    to: usize,
}

impl Range {
    /// The part between two places in characters, as Python counts them; nothing where it begins after the end.
    fn of(text: &str, [start, end]: [&Option<Value>; 2]) -> Result<Option<Self>, Error> {
        if start.is_none() && end.is_none() {
            return Ok(Some(Range {
                from: 0,
                to: text.len(),
            }));
        }
        let length = text.chars().count();
        let (from, to) = bounds(length, [start, end])?;
        let at = |place: usize| text.char_indices().nth(place).map_or(text.len(), |(at, _)| at);
        Ok((from <= length && from <= to).then(|| Range {
            from: at(from),
            to: at(to),
        }))
    }
}

/// The places between which a slice lies, in something of that length; the first may be beyond its end.
fn bounds(length: usize, [start, end]: [&Option<Value>; 2]) -> Result<(usize, usize), Error> {
    let place = |value: &Option<Value>, usual: usize| match value {
        None => Ok::<usize, Error>(usual),
        Some(value) => {
            let place = value
                .as_i64()
                .ok_or_else(|| refused("a place is no whole number"))?;
            let counted = if place < 0 {
                place.saturating_add(length as i64)
            } else {
                place
            };
            Ok(usize::try_from(counted).unwrap_or(0))
        }
    };
    Ok((place(start, 0)?, place(end, length)?.min(length)))
}

fn padding(text: &str, width: usize, fill: char) -> String {
    std::iter::repeat_n(fill, width.saturating_sub(text.chars().count())).collect()
}

/// A text in the middle of so many characters, where Python puts the odd one.
pub(super) fn centred(text: &str, width: usize, fill: char) -> String {
    let pad = width.saturating_sub(text.chars().count());
    let left = pad / 2 + (pad & width & 1);
    let fill = |count: usize| std::iter::repeat_n(fill, count);
    fill(left).chain(text.chars()).chain(fill(pad - left)).collect()
}

fn without_tabs(text: &str, size: usize) -> String {
    let (mut out, mut column) = (String::with_capacity(text.len()), 0);
    for sign in text.chars() {
        match sign {
            '\t' => {
                let blanks = if size == 0 { 0 } else { size - column % size };
                out.extend(std::iter::repeat_n(' ', blanks));
                column += blanks;
            }
            '\n' | '\r' => {
                out.push(sign);
                column = 0;
            }
            _ => {
                out.push(sign);
                column += 1;
            }
        }
    }
    out
}

fn is_cased(sign: char) -> bool {
    sign.is_lowercase() || sign.is_uppercase()
}

/// A character as it begins a title: `ß` becomes `Ss`.
fn first_upper(sign: char) -> String {
    let mut upper = sign.to_uppercase();
    let first = upper.next();
    first
        .into_iter()
        .chain(upper.flat_map(char::to_lowercase))
        .collect()
}

fn titled(text: &str) -> String {
    let (mut out, mut after_letter) = (String::with_capacity(text.len()), false);
    for sign in text.chars() {
        match after_letter {
            true => out.extend(sign.to_lowercase()),
            false => out.push_str(&first_upper(sign)),
        }
        after_letter = is_cased(sign);
    }
    out
}

fn swapped(sign: char) -> Cow<'static, str> {
    match sign {
        _ if sign.is_uppercase() => sign.to_lowercase().collect::<String>().into(),
        _ if sign.is_lowercase() => sign.to_uppercase().collect::<String>().into(),
        _ => sign.to_string().into(),
    }
}

pub(super) fn refused(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
