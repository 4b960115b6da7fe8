//! Lines of separated fields, with quotes as csv has them (RFC 4180), and as it is written where nobody reads that.
//!
//! In text parted by tabs quotes mostly mean nothing (RecBole, and whoever writes it by joining fields), but writers of csv quote there
//! too. So a tab parts fields wherever it stands as long as their number is that of the header's, and a field is unquoted if it begins and
//! ends with a quote and has those within it doubled: `"Oak" chair`, `5" pipe` and `"half` stay what they are. Only where the number is
//! another do quotes protect tabs and line ends.
//!
//! A record whose last quote is not closed is [`Refusal::Open`]: it may go on in the next line (see [`super::unclosed`]). If nothing
//! closes it, the line comes again with a line end after it.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2, memrchr};

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

/// The fields of the first line, which tell how many there are in each; there must be at least `needed`.
///
/// It may go on in the next line as any other. One that comes again alone, with a line end after it, does not.
fn first(line: &str, dialect: Dialect, needed: usize) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let (text, alone) = match line.strip_suffix('\n') {
        Some(text) => (text, true),
        None => (line, false),
    };
    if dialect.separator == '\t' && dialect.escape.is_none() {
        return first_tabbed(text, alone, needed);
    }
    let strict = split(text, dialect, false);
    let fields = strict.or_else(|refusal| split(text, dialect, true).map_err(|_| refusal));
    fields.map_err(|refusal| match refusal {
        Refusal::Open(escape) if !alone => Refusal::Open(escape),
        _ => apart(
            line,
            Refusal::File(format!(
                "the first line holds a quote that is not closed, or text after one: `{}`",
                shown(text)
            )),
        ),
    })
}

/// The same of lines parted by tabs, in which a quote is text unless it has to tell where a field ends.
fn first_tabbed(text: &str, alone: bool, needed: usize) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let width = |line: &str| line.split('\t').count();
    let mut lines = text.split('\n');
    let own = width(lines.next().unwrap_or_default());
    let mut more = lines.peekable();
    if more.peek().is_some() {
        // A line that has all its fields is no part of another.
        let whole = own >= needed && more.any(|line| width(line) == own);
        let fields = if whole {
            None
        } else {
            split(text, '\t'.into(), false).ok()
        };
        return fields.ok_or(Refusal::Open(None));
    }
    if !alone {
        let last = text.rsplit('\t').next().and_then(|last| last.strip_prefix('"'));
        let open = match last {
            _ if own < needed => split(text, '\t'.into(), false).err(),
            Some(quoted) => quoted_field(quoted, None).err(),
            None => None,
        };
        if let Some(open @ Refusal::Open(_)) = open {
            return Err(open);
        }
    }
    Ok(text.split('\t').map(Cow::Borrowed).collect())
}

/// What is said of a file for its first line; of several lines that are no record together, that each is one.
fn apart(line: &str, refusal: Refusal) -> Refusal {
    let several = line.trim_end_matches('\n').contains('\n');
    if several { Refusal::Open(None) } else { refusal }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn fields(line: &str) -> Option<Vec<String>> {
        split(line, ','.into(), false)
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
            let wanted = [
                Wanted::named("columns.item", "a", true),
                Wanted::named("columns.user", "b", true),
                Wanted::named("columns.rating", "c", false),
            ];
            let columns = Columns::<3>::named(header, separator.into(), None, &wanted).unwrap();
            let found = columns.pick(line).unwrap();
            assert_eq!((&*found[0], &*found[1]), ("1", "2"));
            assert_eq!(&*found[2], if header.contains('c') { "3" } else { "" });
            assert!(columns.pick("1").is_err());
        }
        assert!(matches!(
            Columns::<1>::find("a,b", ',', ["x"]),
            Err(Refusal::File(text)) if text.contains("lacks the column x")
        ));
        assert!(matches!(
            Columns::<2>::find("a,b,\"b\"", ',', ["a", "b"]),
            Err(Refusal::File(text)) if text.contains("the column b twice")
        ));
        assert!(
            Columns::<1>::find("a,b,b", ',', ["a"]).is_ok(),
            "a column that nobody asks for"
        );
        let twice = Columns::<2>::find("a,b", ',', ["b", "b"]).unwrap();
        assert_eq!(
            twice.pick("1,\"2\"").unwrap(),
            ["2", "2"],
            "a column that is asked for twice"
        );
    }

    #[test]
    fn names_in_a_header_may_be_quoted_and_have_blanks_around_them() {
        for header in ["a,b", " a , b ", "\"a\",\"b\"", "\" a \", \"b\""] {
            let columns = Columns::<2>::find(header, ',', ["b", "a"]).unwrap();
            assert_eq!(columns.pick("1,2").unwrap(), ["2", "1"], "{header}");
        }
    }

    #[test]
    fn columns_are_taken_by_number_where_there_is_no_header() {
        let columns = Columns::numbered("\"u,1\",i,5,7", ','.into(), [Some(4), Some(1), None]).unwrap();
        assert_eq!(columns.pick("\"u,1\",i,5,7").unwrap(), ["7", "u,1", ""]);
        let error = Columns::numbered("u\ti", '\t'.into(), [Some(3)]).unwrap_err();
        assert!(
            matches!(error, Refusal::File(text) if text.contains("column 3") && text.contains("2 fields"))
        );
    }

    fn tabbed(line: &str) -> Result<[String; 3], Refusal> {
        let columns = Columns::<3>::find("a\tb\tc", '\t', ["a", "b", "c"]).unwrap();
        Ok(columns.pick(line)?.map(Cow::into_owned))
    }

    #[test]
    fn a_quote_in_text_parted_by_tabs_is_text_unless_it_encloses_a_whole_field() {
        for (line, fields) in [
            ("1\t\"Oak\" chair\tx", ["1", "\"Oak\" chair", "x"]),
            ("1\t5\" pipe\tx", ["1", "5\" pipe", "x"]),
            ("1\t\"half\tx", ["1", "\"half", "x"]),
            ("1\t\"half\tother\"", ["1", "\"half", "other\""]),
            ("1\t\"a\" \"b\"\tx", ["1", "\"a\" \"b\"", "x"]),
            ("1\tx\t\"", ["1", "x", "\""]),
            // As writers of csv quote.
            ("1\t\"Oak chair\"\t\"x\"", ["1", "Oak chair", "x"]),
            ("1\t\"\"\"Oak\"\" chair\"\tx", ["1", "\"Oak\" chair", "x"]),
            ("1\t\"with a\ttab\"\tx", ["1", "with a\ttab", "x"]),
            ("1\t\"with a\nline\"\tx", ["1", "with a\nline", "x"]),
            ("1\tx\t\"with a\nline\"", ["1", "x", "with a\nline"]),
            ("1\t\"\"\tx", ["1", "", "x"]),
        ] {
            match tabbed(line) {
                Ok(found) => assert_eq!(found, fields, "{line:?}"),
                // It may go on, and when it does not it comes again.
                Err(Refusal::Open(None)) => {
                    assert_eq!(tabbed(&format!("{line}\n")).unwrap(), fields, "{line:?}")
                }
                Err(other) => panic!("{line:?}: {other:?}"),
            }
        }
        assert!(
            tabbed("1\tx\t\"half\n2\ty\tother\"").is_err(),
            "two lines with all their fields"
        );
        assert!(tabbed("1\t\"x").is_err() && tabbed("1\t\"x\n").is_err());
    }

    #[test]
    fn an_escape_sign_lets_the_next_sign_mean_itself() {
        let dialect = Dialect {
            separator: ',',
            escape: Some(b'\\'),
        };
        for (line, expected) in [
            (r#""say \"hi\"",x"#, ["say \"hi\"", "x"]),
            (r#""say ""hi""",x"#, ["say \"hi\"", "x"]),
            (r#""ends in \\",x"#, ["ends in \\", "x"]),
            (r#""a \", y",x"#, ["a \", y", "x"]),
            (r"a\,b,x", ["a,b", "x"]),
            (r"\N,x", ["\\N", "x"]),
            ("é\\é,x", ["éé", "x"]),
        ] {
            let fields = split(line, dialect, false).unwrap();
            assert_eq!(fields, expected, "{line}");
        }
        assert!(matches!(
            split(r#""a \""#, dialect, false),
            Err(Refusal::Open(Some(b'\\')))
        ));
    }

    #[test]
    fn a_row_that_is_none_by_the_rules_is_read_with_backslashes_and_blanks_around_quotes() {
        let columns = Columns::<2>::find("a,b", ',', ["a", "b"]).unwrap();
        for (line, expected) in [
            (r#""say \"hi\", ok",x"#, ["say \"hi\", ok", "x"]),
            (r#"x,"5\" pipe""#, ["x", "5\" pipe"]),
            ("1, \"Oak, chair\"", ["1", "Oak, chair"]),
            ("1, \"Oak\"", ["1", "Oak"]),
            ("\"1\" ,\"Oak\" ", ["1", "Oak"]),
            // By the rules, which come first.
            (r#""C:\","x""#, ["C:\\", "x"]),
        ] {
            assert_eq!(columns.pick(line).unwrap(), expected, "{line}");
        }
        assert!(columns.pick("1,\"a\"b").is_err());
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
        proptest!(|(row in proptest::array::uniform3("[^\r\n]{0,12}"))| {
            let mut writer = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
            writer.write_record(&row).unwrap();
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(tabbed(text.trim_end_matches('\n')).unwrap(), row);
        });
    }
}
