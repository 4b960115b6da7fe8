//! RecBole's atomic files: tab-separated, with a header of `name:type` and no quoting.

use std::path::Path;

use super::Progress;
use super::clock::Time;
use super::csv::{lacks, position};
use super::scan::{Refusal, Scan, utf8};
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::dataset::Columns;
use crate::error::Result;

/// Any number: the format fixes no scale.
const RATINGS: std::ops::RangeInclusive<f64> = f64::MIN..=f64::MAX;

/// `<name>.inter`: user, item, timestamp and, where there is one, rating, under the names that the description gives them.
pub(crate) fn interactions(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_line(
        path,
        progress,
        |text| {
            let header = Header::read(text);
            let need = [
                header.need(&columns.user)?,
                header.need(&columns.item)?,
                header.need(&columns.timestamp)?,
            ];
            Ok((need, header.find(&columns.rating)?, header.names.len()))
        },
        |([user, item, time], rating, width), bytes, line| {
            let fields = split(bytes, *width)?;
            let rating = rating.map(|at| table.rating(fields[at])).transpose()?.flatten();
            let found = Interaction {
                user: fields[*user],
                item: fields[*item],
                rating,
                time: Time::Text(fields[*time]),
            };
            table.push(&found, RATINGS, line)
        },
    )
}

/// `<name>.item`: the item, title and category columns that the description names.
pub(crate) fn items(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_line(
        path,
        progress,
        |text| {
            let header = Header::read(text);
            let need = [header.need(&columns.item)?, header.need(&columns.title)?];
            Ok((need, header.find(&columns.categories)?, header.names.len()))
        },
        |([item, title], categories, width), bytes, line| {
            let fields = split(bytes, *width)?;
            // A token sequence is joined by spaces.
            let categories =
                categories.map(|at| fields[at].split_whitespace().collect::<Vec<_>>().join(", "));
            table.push(fields[*item], Some(fields[*title]), categories.as_deref(), line)
        },
    )
}

/// Column names, without their types.
struct Header<'a> {
    line: &'a str,
    names: Vec<&'a str>,
}

impl<'a> Header<'a> {
    fn read(line: &'a str) -> Self {
        let names = line
            .split('\t')
            .map(|field| field.split(':').next().unwrap_or(field).trim())
            .collect();
        Header { line, names }
    }

    fn find(&self, name: &str) -> Result<Option<usize>, Refusal> {
        position(self.line, self.names.iter().copied(), name)
    }

    fn need(&self, name: &str) -> Result<usize, Refusal> {
        self.find(name)?.ok_or_else(|| lacks(self.line, name))
    }
}

fn split(bytes: &[u8], width: usize) -> Result<Vec<&str>, Refusal> {
    let fields: Vec<&str> = utf8(bytes)?.split('\t').collect();
    if fields.len() != width {
        return Err("another number of fields than the header".into());
    }
    Ok(fields)
}
