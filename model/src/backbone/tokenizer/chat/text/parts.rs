//! Texts taken apart: at separators, at white space, and at the ends of lines.

use minijinja::{Error, Value};

use super::{needed, refused, separator, taken};

/// What Python takes for white space.
pub(super) fn is_blank(sign: char) -> bool {
    sign.is_whitespace() || matches!(sign, '\u{1c}'..='\u{1f}')
}

pub(super) fn split(text: &str, from_end: bool, args: &[Value]) -> Result<Value, Error> {
    let [sep, most] = taken(args, ["sep", "maxsplit"])?;
    let most = match &most {
        None => None,
        Some(most) => {
            let most = most
                .as_i64()
                .ok_or_else(|| refused("maxsplit is no whole number"))?;
            usize::try_from(most).ok()
        }
    };
    let mut parts: Vec<&str> = match &sep {
        Some(sep) => {
            let sep = separator(needed(Some(sep))?)?;
            match (most, from_end) {
                (None, _) => text.split(sep).collect(),
                (Some(most), false) => text.splitn(most.saturating_add(1), sep).collect(),
                (Some(most), true) => text.rsplitn(most.saturating_add(1), sep).collect(),
            }
        }
        None => words(text, most, from_end),
    };
    if from_end && (most.is_some() || sep.is_none()) {
        parts.reverse();
    }
    Ok(Value::from_iter(parts))
}

/// The words of a text, at most so many and then the rest; from its end they come in that order.
fn words(text: &str, most: Option<usize>, from_end: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        rest = if from_end {
            rest.trim_end_matches(is_blank)
        } else {
            rest.trim_start_matches(is_blank)
        };
        if rest.is_empty() {
            return parts;
        }
        if most.is_some_and(|most| parts.len() >= most) {
            parts.push(rest);
            return parts;
        }
        let (part, others) = match from_end {
            true => match rest.char_indices().rev().find(|(_, sign)| is_blank(*sign)) {
                Some((at, blank)) => (&rest[at + blank.len_utf8()..], &rest[..at]),
                None => (rest, ""),
            },
            false => rest.find(is_blank).map_or((rest, ""), |at| rest.split_at(at)),
        };
        parts.push(part);
        rest = others;
    }
}

pub(super) fn lines(text: &str, keep: bool) -> Value {
    let ends = |sign: char| {
        matches!(
            sign,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(ends) {
        let end = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        parts.push(&rest[..if keep { at + end } else { at }]);
        rest = &rest[at + end..];
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    Value::from_iter(parts)
}
