//! Lines of separated fields, with quotes as csv has them (RFC 4180), and as it is written where nobody reads that.
//!
//! In text parted by tabs quotes mostly mean nothing (RecBole, and whoever writes it by joining fields), but writers of csv quote there
//! too. So a tab parts fields wherever it stands as long as their number is that of the header's, and a field is unquoted if it begins and
//! ends with a quote and has those within it doubled: `"Oak" chair`, `5" pipe` and `"half` stay what they are. Only where the number is
//! another do quotes protect tabs and line ends.
//!
//! A record whose last quote is not closed is [`Refusal::Open`]: it may go on in the next line (see [`super::unclosed`]). If nothing
//! closes it, the line comes again with a line end after it.

mod first_line;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2, memrchr};

use first_line::{apart, first};

use super::header::{Header, WIDTH, Wanted, bare};
use super::scan::Refusal;
use crate::quote::shown;

/// What is said of such a row where there is no header.
const WIDTH_OF_FIRST: &str = "another number of fields than the first line";

/// What stands before a sign that means itself where nobody said so, tried on lines that are no row otherwise.
const BACKSLASH: u8 = b'\\';

/// How fields are parted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// What stands between two fields.
    pub separator: char,
    /// What stands before a sign that means itself, where quotes are not doubled: an ASCII character.
    pub escape: Option<u8>,
}

impl From<char> for Dialect {
    fn from(separator: char) -> Self {
        Dialect {
            separator,
            escape: None,
        }
    }
}

/// Number of fields in a row, and where the wanted ones stand.
#[derive(Debug)]
pub(crate) struct Columns<const N: usize> {
    dialect: Dialect,
    width: usize,
    /// What is said of a row of another width.
    other_width: &'static str,
    at: [Option<usize>; N],
}

impl<const N: usize> Columns<N> {
    /// Finds columns whose names the format fixes.
    pub fn find(header: &str, separator: char, names: [&str; N]) -> Result<Self, Refusal> {
        Columns::named(header, separator.into(), None, &names.map(Wanted::fixed))
    }

    /// Finds columns in a header; `table` is that of the description whose keys could help where one is lacking.
    pub fn named(
        line: &str,
        dialect: Dialect,
        table: Option<&'static str>,
        wanted: &[Wanted<'_>; N],
    ) -> Result<Self, Refusal> {
        let needed = wanted.iter().filter(|column| column.needed).count();
        let fields = first(line, dialect, needed)?;
        let header = Header {
            line: line.trim_end_matches('\n'),
            names: fields.iter().map(|field| bare(field)).collect(),
            separator: dialect.separator,
            table,
        };
        let at = header.places(wanted).map_err(|refusal| apart(line, refusal))?;
        Ok(Columns {
            dialect,
            width: fields.len(),
            other_width: WIDTH,
            at,
        })
    }

    /// Takes columns by their numbers, from 1, as the first row has them.
    pub fn numbered(line: &str, dialect: Dialect, numbers: [Option<usize>; N]) -> Result<Self, Refusal> {
        let asked = numbers.into_iter().flatten().max().unwrap_or_default();
        let width = first(line, dialect, asked)?.len();
        if let Some(number) = numbers.into_iter().flatten().find(|number| *number > width) {
            let refusal = Refusal::File(format!(
                "column {number} is asked for, and the first line has {width} fields parted by {:?}: `{}`",
                dialect.separator,
                shown(line.trim_end_matches('\n'))
            ));
            return Err(apart(line, refusal));
        }
        Ok(Columns {
            dialect,
            width,
            other_width: WIDTH_OF_FIRST,
            at: numbers.map(|number| number.and_then(|number| number.checked_sub(1))),
        })
    }

    /// The wanted fields of a row; those of columns that are not there are empty.
    pub fn pick<'l>(&self, line: &'l str) -> Result<[Cow<'l, str>; N], Refusal> {
        let special = match self.dialect.escape {
            None => memchr(b'"', line.as_bytes()),
            Some(escape) => memchr2(b'"', escape, line.as_bytes()),
        };
        if special.is_none() && self.dialect.separator.is_ascii() {
            return self.pick_plain(line);
        }
        let (line, alone) = match line.strip_suffix('\n') {
            Some(line) => (line, true),
            None => (line, false),
        };
        if self.dialect.separator == '\t'
            && self.dialect.escape.is_none()
            && let Some(found) = self.pick_tabbed(line, alone)?
        {
            return Ok(found);
        }
        let strict = split(line, self.dialect, false).and_then(|fields| self.chosen(&fields));
        if strict.is_ok() || self.dialect.escape.is_some() {
            return strict;
        }
        let escaped = Dialect {
            escape: Some(BACKSLASH),
            ..self.dialect
        };
        let loose = split(line, escaped, true).and_then(|fields| self.chosen(&fields));
        loose.or(strict)
    }

    /// The same of a row without quotes, as most are.
    fn pick_plain<'l>(&self, line: &'l str) -> Result<[Cow<'l, str>; N], Refusal> {
        let mut found = [const { Cow::Borrowed("") }; N];
        let (mut start, mut field) = (0, 0);
        let ends = memchr_iter(self.dialect.separator as u8, line.as_bytes()).chain([line.len()]);
        for end in ends {
            for (slot, at) in found.iter_mut().zip(&self.at) {
                if *at == Some(field) {
                    *slot = Cow::Borrowed(&line[start..end]);
                }
            }
            (start, field) = (end + 1, field + 1);
        }
        if field == self.width {
            Ok(found)
        } else {
            Err(self.other_width.into())
        }
    }

    /// The same of a line, or of several, parted by tabs; nothing if quotes have to tell where fields end. A line that is `alone` has
    /// waited for the end of a quote in vain.
    fn pick_tabbed<'l>(&self, line: &'l str, alone: bool) -> Result<Option<[Cow<'l, str>; N]>, Refusal> {
        let tabs = |line: &str| memchr_iter(b'\t', line.as_bytes()).count();
        let mut more = line.split('\n').skip(1).peekable();
        if more.peek().is_some() {
            // A line that has all its fields is no part of another.
            let lines = more.any(|line| tabs(line) + 1 == self.width);
            return if lines { Err(Refusal::Open(None)) } else { Ok(None) };
        }
        let Ok(found) = self.pick_plain(line) else {
            return Ok(None);
        };
        let last = &line[memrchr(b'\t', line.as_bytes()).map_or(0, |at| at + 1)..];
        if !alone
            && let Some(quoted) = last.strip_prefix('"')
            && let Err(open @ Refusal::Open(_)) = quoted_field(quoted, None)
        {
            return Err(open);
        }
        Ok(Some(found.map(|field| match field {
            Cow::Borrowed(text) => unquoted(text).unwrap_or(Cow::Borrowed(text)),
            owned => owned,
        })))
    }

    /// The wanted among all fields of a row.
    fn chosen<'l>(&self, fields: &[Cow<'l, str>]) -> Result<[Cow<'l, str>; N], Refusal> {
        if fields.len() != self.width {
            return Err(self.other_width.into());
        }
        Ok(self
            .at
            .map(|at| at.map_or(Cow::Borrowed(""), |at| fields[at].clone())))
    }
}

/// Fields of one record. `loose` lets blanks stand around a field's quotes.
fn split(line: &str, dialect: Dialect, loose: bool) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let mut fields = Vec::with_capacity(4);
    let mut rest = line;
    let loose = loose && dialect.separator != ' ';
    loop {
        let start = if loose { rest.trim_start_matches(' ') } else { rest };
        let (field, after) = match start.strip_prefix('"') {
            Some(quoted) => {
                let (field, after) = quoted_field(quoted, dialect.escape)?;
                (
                    field,
                    if loose {
                        after.trim_start_matches(' ')
                    } else {
                        after
                    },
                )
            }
            None => plain_field(rest, dialect),
        };
        fields.push(field);
        match after.strip_prefix(dialect.separator) {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err("text after a closing quote".into()),
        }
    }
}

/// A field without quotes, or with blanks before them, and what follows it.
fn plain_field(text: &str, dialect: Dialect) -> (Cow<'_, str>, &str) {
    let Some(escape) = dialect.escape.map(char::from) else {
        let end = text.find(dialect.separator).unwrap_or(text.len());
        let field = &text[..end];
        let inner = field.starts_with(' ').then(|| unquoted(field.trim())).flatten();
        return (inner.unwrap_or(Cow::Borrowed(field)), &text[end..]);
    };
    let mut end = text.len();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        if sign == escape {
            signs.next();
        } else if sign == dialect.separator {
            end = at;
            break;
        }
    }
    let field = &text[..end];
    // `\N` is how databases write that there is nothing, with the sign that escapes others.
    let nothing = field.len() == 2 && field.starts_with(escape) && field.ends_with('N');
    let field = if nothing || !field.contains(escape) {
        Cow::Borrowed(field)
    } else {
        Cow::Owned(unescaped(field, escape, false))
    };
    (field, &text[end..])
}

/// The field whose opening quote is already taken off, and what follows its closing quote.
fn quoted_field(text: &str, escape: Option<u8>) -> Result<(Cow<'_, str>, &str), Refusal> {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(rest) = bytes.get(from..) {
        let next = match escape {
            None => memchr(b'"', rest),
            Some(escape) => memchr2(b'"', escape, rest),
        };
        let Some(at) = next.map(|at| at + from) else {
            break;
        };
        if bytes[at] != b'"' || bytes.get(at + 1) == Some(&b'"') {
            from = at + 2;
            continue;
        }
        let field = &text[..at];
        let field = match escape.map(char::from) {
            Some(escape) if field.contains(['"', escape]) => Cow::Owned(unescaped(field, escape, true)),
            None if field.contains('"') => Cow::Owned(field.replace("\"\"", "\"")),
            _ => Cow::Borrowed(field),
        };
        return Ok((field, &text[at + 1..]));
    }
    Err(Refusal::Open(escape))
}

/// A field without its escape signs and, if quotes may also be `doubled`, with one for two.
fn unescaped(field: &str, escape: char, doubled: bool) -> String {
    let mut text = String::with_capacity(field.len());
    let mut signs = field.chars().peekable();
    while let Some(sign) = signs.next() {
        if sign == escape {
            text.extend(signs.next());
        } else {
            text.push(sign);
            if doubled && sign == '"' {
                signs.next_if_eq(&'"');
            }
        }
    }
    text
}

/// The inner text of a field that is properly quoted as a whole.
fn unquoted(field: &str) -> Option<Cow<'_, str>> {
    match quoted_field(field.strip_prefix('"')?, None) {
        Ok((text, "")) => Some(text),
        _ => None,
    }
}
