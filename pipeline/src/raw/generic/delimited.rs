//! csv, tsv and the like, with a header or without.

use std::borrow::Cow;
use std::path::Path;

use super::super::csv::{Columns as Fields, Dialect};
use super::super::header::{Wanted, bare};
use super::super::scan::{First, utf8};
use super::{Columns, InteractionTable, ItemTable, Progress, Refusal, Result, Row, Scan, Time, categories};
use crate::dataset::position;
use crate::quote::shown;

pub(super) fn interactions(
    path: &Path,
    columns: &Columns,
    separator: char,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    let mut first = FirstLines {
        columns,
        separator,
        told: None,
        table: "columns",
        wanted: [
            Wanted::named("columns.user", &columns.user, true),
            Wanted::named("columns.item", &columns.item, true),
            Wanted::named("columns.timestamp", &columns.timestamp, true),
            Wanted::named("columns.rating", &columns.rating, columns.names_rating()),
        ],
    };
    let decimal = columns.decimal;
    scan.each_line_after(
        path,
        progress,
        |text| first.read(text),
        columns.header,
        |fields: &Fields<4>, bytes, line| {
            let [user, item, time, rating] = fields.pick(utf8(bytes)?)?;
            let rating = number(rating, decimal, &columns.rating)?;
            let time = match decimal {
                Some(_) if table.counts_time() => number(time, decimal, &columns.timestamp)?,
                _ => time,
            };
            let row = Row {
                user: Some(&user),
                item: Some(&item),
                rating: Some(&rating),
                time: Some(Time::Text(&time)),
            };
            row.push(table, line)
        },
    )
}

/// `columns` are those of item files.
pub(super) fn items(
    path: &Path,
    columns: &Columns,
    separator: char,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    let mut first = FirstLines {
        columns,
        separator,
        told: None,
        table: "columns.items",
        wanted: [
            Wanted::named("columns.items.item", &columns.item, true),
            Wanted::named("columns.title", &columns.title, true),
            Wanted::named(
                "columns.categories",
                &columns.categories,
                columns.names_categories(),
            ),
        ],
    };
    scan.each_line_after(
        path,
        progress,
        |text| first.read(text),
        columns.header,
        |fields: &Fields<3>, bytes, line| {
            let [item, title, words] = fields.pick(utf8(bytes)?)?;
            table.push(&item, Some(&title), Some(&categories(&words, columns)), line)
        },
    )
}

/// What the first lines of a file tell about the others.
struct FirstLines<'c, const N: usize> {
    columns: &'c Columns,
    /// What parts fields by the file's ending.
    separator: char,
    /// What parts them by a line in the file.
    told: Option<char>,
    /// The table of the description that speaks of such files.
    table: &'static str,
    wanted: [Wanted<'c>; N],
}

impl<const N: usize> FirstLines<'_, N> {
    fn read(&mut self, line: &str) -> Result<First<Fields<N>>, Refusal> {
        if let Some(sign) = sep(line)
            && self.told.is_none()
        {
            if let Some(described) = self.columns.delimiter.filter(|described| *described != sign) {
                return Err(Refusal::File(format!(
                    "the first line says that {sign:?} parts the fields, and `delimiter` of the description that {described:?} does; leave \
                     `delimiter` out, or take that line out of the file"
                )));
            }
            self.told = Some(sign);
            return Ok(First::Passed);
        }
        let dialect = Dialect {
            separator: self.told.or(self.columns.delimiter).unwrap_or(self.separator),
            escape: self.columns.escape.and_then(|sign| u8::try_from(sign).ok()),
        };
        if self.columns.header {
            return Fields::named(line, dialect, Some(self.table), &self.wanted).map(First::Header);
        }
        let fields = Fields::numbered(line, dialect, self.wanted.map(|column| position(column.name)))?;
        let row = fields.pick(line)?;
        if row.iter().any(|field| is_name(bare(field))) {
            return Err(Refusal::File(format!(
                "the first line looks like a header, `{}`, and the description says `header = false`; leave that out and name the \
                 columns in [columns]",
                shown(line.trim_end_matches('\n'))
            )));
        }
        Ok(First::Row(fields))
    }
}

/// Whether a field is what columns are called when nobody thinks about it.
fn is_name(field: &str) -> bool {
    let usual = Columns::default();
    let names = [
        &usual.user,
        &usual.item,
        &usual.rating,
        &usual.timestamp,
        &usual.title,
        &usual.categories,
    ];
    let plain = |name: &str| name.replace(['_', ' ', '-'], "").to_lowercase();
    names.into_iter().any(|name| plain(name) == plain(field))
}

/// The separator that the first line names, as Excel reads and writes it: `sep=;`.
fn sep(line: &str) -> Option<char> {
    let line = line
        .strip_prefix('"')
        .and_then(|line| line.strip_suffix('"'))
        .unwrap_or(line);
    let (key, sign) = line.split_at_checked(4)?;
    let mut signs = sign.chars();
    let first = signs.next().filter(|_| key.eq_ignore_ascii_case("sep="))?;
    signs.next().is_none().then_some(first)
}

/// What to call a column in a sentence.
fn called(column: &str) -> String {
    match position(column) {
        Some(number) => format!("column {number}"),
        None => column.to_owned(),
    }
}

/// A number as a point has it, though a file may have a comma in its place.
fn number<'f>(text: Cow<'f, str>, decimal: Option<char>, column: &str) -> Result<Cow<'f, str>, Refusal> {
    let comma = text.contains(',');
    match decimal {
        None if comma && text.bytes().any(|byte| byte.is_ascii_digit()) => Err(format!(
            "{} is no number; if its comma stands for a point, write `decimal = \",\"` into [columns] of the description",
            called(column)
        )
        .into()),
        // What a point would part there is not known.
        Some(_) if text.contains('.') => {
            Err(format!(
                "{} has a point, where the description says that a comma parts fractions",
                called(column)
            )
            .into())
        }
        Some(_) if comma => Ok(Cow::Owned(text.replace(',', "."))),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod line_end_tests;
#[cfg(test)]
mod tests;
