//! `'%s: %s' % (role, content)`: texts formed by `%`.
//!
//! Where a text in quotes stands before `%`, the two are made a filter before the template is compiled. A format in a variable stays what
//! it is to minijinja, an error.

use std::ops::Range;

/// The name of the filter that does what `%` does.
pub(super) const FILTER: &str = "_formed_by_percent";

/// The template with the filter in the place of `%` behind texts. Lines stay where they are.
pub(super) fn as_filter(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    loop {
        let tag = rest.match_indices('{').find_map(|(at, _)| {
            let kind = *rest.as_bytes().get(at + 1)?;
            b"{%#".contains(&kind).then_some((at, kind))
        });
        let Some((at, kind)) = tag else {
            out.push_str(rest);
            return out;
        };
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let length = match kind {
            b'#' => end_of(tag, "#}"),
            _ if is_tag(tag, "raw") => raw(tag),
            _ => {
                let length = expression(tag, if kind == b'%' { "%}" } else { "}}" });
                rewrite(&tag[..length], &mut out);
                rest = &tag[length..];
                continue;
            }
        };
        let (copied, after) = tag.split_at(length);
        out.push_str(copied);
        rest = after;
    }
}

fn end_of(text: &str, end: &str) -> usize {
    text.find(end).map_or(text.len(), |at| at + end.len())
}

/// Whether a text begins with the tag of that name, such as `{%- raw %}`.
fn is_tag(text: &str, name: &str) -> bool {
    let Some(inner) = text.strip_prefix("{%") else {
        return false;
    };
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner).trim_start();
    let after = inner.strip_prefix(name).map(str::trim_start);
    after.is_some_and(|after| after.strip_prefix(['-', '+']).unwrap_or(after).starts_with("%}"))
}

/// How long what `{% raw %}` begins is, its end included.
fn raw(text: &str) -> usize {
    let ends = |(at, _): &(usize, &str)| is_tag(&text[*at..], "endraw");
    match text.match_indices("{%").find(ends) {
        Some((at, _)) => at + end_of(&text[at..], "%}"),
        None => text.len(),
    }
}

/// How long a tag is, whose end is none within quotes and brackets.
fn expression(tag: &str, end: &str) -> usize {
    let (mut at, mut depth) = (2, 0_usize);
    while let Some(rest) = tag.get(at..).filter(|rest| !rest.is_empty()) {
        if depth == 0 && rest.starts_with(end) {
            return at + end.len();
        }
        match rest.as_bytes()[0] {
            b'\'' | b'"' => at += quoted(rest),
            open @ (b'(' | b'[' | b'{' | b')' | b']' | b'}') => {
                depth = if b"([{".contains(&open) {
                    depth + 1
                } else {
                    depth.saturating_sub(1)
                };
                at += 1;
            }
            _ => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    tag.len()
}

/// Writes a tag, or a part of one.
fn rewrite(text: &str, out: &mut String) {
    let mut at = 0;
    while let Some(quote) = text[at..].find(['\'', '"']).map(|found| at + found) {
        let end = quote + quoted(&text[quote..]);
        out.push_str(&text[at..end]);
        at = end;
        let behind = text[end..].trim_start();
        let percent = text.len() - behind.len();
        let Some(operand) = behind.strip_prefix('%').and_then(|_| operand(text, percent + 1)) else {
            continue;
        };
        out.push_str(&text[end..percent]);
        out.push_str("| ");
        out.push_str(FILTER);
        out.push('(');
        rewrite(&text[percent + 1..operand.end], out);
        out.push(')');
        at = operand.end;
    }
    out.push_str(&text[at..]);
}

/// How long a text in quotes is, with these.
fn quoted(text: &str) -> usize {
    let mut signs = text.char_indices();
    let quote = signs.next().map(|(_, quote)| quote);
    while let Some((at, sign)) = signs.next() {
        if sign == '\\' {
            signs.next();
        } else if Some(sign) == quote {
            return at + 1;
        }
    }
    text.len()
}

/// What `%` takes on its right: a value with signs before it, and members, calls and filters behind it. Nothing where no value begins.
fn operand(text: &str, from: usize) -> Option<Range<usize>> {
    let blanks = |at: usize| text.len() - text[at..].trim_start().len();
    let mut at = blanks(from);
    while text[at..].starts_with(['-', '+']) {
        at = blanks(at + 1);
    }
    let begin = *text.as_bytes().get(at)?;
    at = match begin {
        b'\'' | b'"' => at + quoted(&text[at..]),
        b'(' | b'[' | b'{' => at + bracket(&text[at..]),
        b'0'..=b'9' => at + word(&text[at..], |sign| sign.is_alphanumeric() || "_.".contains(sign)),
        _ => at + name(&text[at..])?,
    };
    loop {
        let next = blanks(at);
        at = match text.as_bytes().get(next) {
            Some(b'[' | b'(') => next + bracket(&text[next..]),
            Some(b'.' | b'|') => {
                let called = blanks(next + 1);
                called + name(&text[called..])?
            }
            _ => return Some(from..at),
        };
    }
}

fn name(text: &str) -> Option<usize> {
    Some(word(text, |sign| sign.is_alphanumeric() || sign == '_')).filter(|length| *length > 0)
}

fn word(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|sign| !is(sign)).unwrap_or(text.len())
}

/// How long what a bracket encloses is, with its end.
fn bracket(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let begin = rest.as_bytes()[0];
        at += match begin {
            b'\'' | b'"' => quoted(rest),
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        if b"([{".contains(&begin) {
            depth += 1;
        } else if b")]}".contains(&begin) {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    text.len()
}
