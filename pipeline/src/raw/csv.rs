//! Lines of separated fields, with quotes as csv has them.
//!
//! A record whose last quote is not closed is [`Refusal::Open`]: it may go on in the next line (see [`super::unclosed`]).

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

use super::scan::Refusal;
use crate::quote::shown;

const WIDTH: &str = "another number of fields than the header";

/// Number of fields in a row, and where the wanted ones stand.
pub(crate) struct Columns<const N: usize> {
    separator: char,
    width: usize,
    at: [Option<usize>; N],
}

impl<const N: usize> Columns<N> {
    /// Finds `needed` and, where they are there, `optional` columns in a header; `N` is the number of both together.
    pub fn find(header: &str, separator: char, needed: &[&str], optional: &[&str]) -> Result<Self, Refusal> {
        let unusable = |_| Refusal::File("the header holds a quote that is not closed".to_string());
        let fields = split(header, separator).map_err(unusable)?;
        let mut at = [None; N];
        for (slot, name) in at.iter_mut().zip(needed.iter().chain(optional)) {
            *slot = position(header, fields.iter().map(AsRef::as_ref), name)?;
            if slot.is_none() && needed.contains(name) {
                return Err(lacks(header, name));
            }
        }
        Ok(Columns {
            separator,
            width: fields.len(),
            at,
        })
    }

    /// The wanted fields of a row; those of columns that are not there are empty.
    pub fn pick<'l>(&self, line: &'l str) -> Result<[Cow<'l, str>; N], Refusal> {
        if self.separator.is_ascii() && memchr(b'"', line.as_bytes()).is_none() {
            return self.pick_plain(line);
        }
        let mut fields = split(line, self.separator)?;
        if fields.len() != self.width {
            return Err(WIDTH.into());
        }
        Ok(self
            .at
            .map(|at| at.map_or(Cow::Borrowed(""), |at| std::mem::take(&mut fields[at]))))
    }

    /// The same of a row without quotes, as most are.
    fn pick_plain<'l>(&self, line: &'l str) -> Result<[Cow<'l, str>; N], Refusal> {
        let mut found = [const { Cow::Borrowed("") }; N];
        let (mut start, mut field) = (0, 0);
        let ends = memchr_iter(self.separator as u8, line.as_bytes()).chain([line.len()]);
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
            Err(WIDTH.into())
        }
    }
}

/// Where a column stands among the fields of a header. One that stands twice is refused: nobody knows which is meant.
pub(crate) fn position<'f>(
    header: &str,
    fields: impl Iterator<Item = &'f str>,
    name: &str,
) -> Result<Option<usize>, Refusal> {
    let mut places = fields.enumerate().filter(|(_, field)| field.trim() == name);
    let first = places.next().map(|(at, _)| at);
    match places.next() {
        None => Ok(first),
        Some(_) => Err(Refusal::File(format!(
            "the header has the column {name} twice; rename one of them, it is `{}`",
            shown(header.trim())
        ))),
    }
}

/// What to say of a header that lacks a column.
pub(crate) fn lacks(header: &str, name: &str) -> Refusal {
    Refusal::File(format!(
        "the header lacks the column {name}; it is `{}`",
        shown(header.trim())
    ))
}

/// Fields of one record (RFC 4180).
fn split(line: &str, separator: char) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let mut fields = Vec::with_capacity(4);
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(separator).unwrap_or(rest.len());
                (Cow::Borrowed(&rest[..end]), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(separator) {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err("text after a closing quote".into()),
        }
    }
}

/// The field whose opening quote is already taken off, and what follows its closing quote.
fn quoted_field(text: &str) -> Result<(Cow<'_, str>, &str), Refusal> {
    let mut from = 0;
    while let Some(at) = text[from..].find('"').map(|at| at + from) {
        if text[at + 1..].starts_with('"') {
            from = at + 2;
            continue;
        }
        let field = &text[..at];
        let field = if field.contains('"') {
            Cow::Owned(field.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(field)
        };
        return Ok((field, &text[at + 1..]));
    }
    Err(Refusal::Open)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn fields(line: &str) -> Option<Vec<String>> {
        split(line, ',')
            .ok()
            .map(|fields| fields.into_iter().map(Cow::into_owned).collect())
    }

    #[test]
    fn quotes_protect_commas_and_double_quotes_stand_for_one() {
        assert_eq!(
            fields("11,\"American President, The (1995)\",Comedy").unwrap()[1],
            "American President, The (1995)"
        );
        assert_eq!(fields("1,\"a \"\"b\"\", c\",").unwrap(), ["1", "a \"b\", c", ""]);
        assert_eq!(fields("").unwrap(), [""]);
        assert_eq!(fields("\"\",x").unwrap(), ["", "x"]);
    }

    #[test]
    fn a_quote_left_open_or_followed_by_text_is_refused() {
        assert!(fields("1,\"open,2").is_none());
        assert!(fields("1,\"a\"b,2").is_none());
    }

    #[test]
    fn columns_are_found_by_name_whatever_parts_them() {
        for (separator, header, line) in [
            (',', "b,a,c", "2,1,3"),
            ('\t', "c\ta\tb", "3\t1\t2"),
            (';', " a ;b", "1;2"),
        ] {
            let columns = Columns::<3>::find(header, separator, &["a", "b"], &["c"])
                .ok()
                .unwrap();
            let found = columns.pick(line).ok().unwrap();
            assert_eq!((&*found[0], &*found[1]), ("1", "2"));
            assert_eq!(&*found[2], if header.contains('c') { "3" } else { "" });
            assert!(columns.pick("1").is_err());
        }
        assert!(matches!(
            Columns::<1>::find("a,b", ',', &["x"], &[]),
            Err(Refusal::File(text)) if text.contains("lacks the column x")
        ));
        assert!(matches!(
            Columns::<2>::find("a,b,\"b\"", ',', &["a"], &["b"]),
            Err(Refusal::File(text)) if text.contains("the column b twice")
        ));
        assert!(
            Columns::<1>::find("a,b,b", ',', &["a"], &[]).is_ok(),
            "a column that nobody asks for"
        );
    }

    #[test]
    fn splitting_reads_back_what_the_csv_crate_writes() {
        use proptest::prelude::*;
        proptest!(|(row in proptest::collection::vec("[^\r\n]{0,12}", 2..6))| {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(&row).unwrap();
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(fields(text.trim_end_matches('\n')).unwrap(), row);
        });
    }
}
