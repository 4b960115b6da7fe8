//! RecBole's atomic files: tab-separated, with a header of `name:type` and no quoting.

use std::path::Path;

use super::Progress;
use super::scan::{Refusal, Scan, utf8};
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::dataset::Columns;
use crate::error::Result;

/// Any number: the format fixes no scale.
const RATINGS: std::ops::RangeInclusive<f64> = f64::MIN..=f64::MAX;

/// `<name>.inter`: user_id, item_id, timestamp and, where there is one, rating.
pub(crate) fn interactions(
    path: &Path,
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
                header.need("user_id")?,
                header.need("item_id")?,
                header.need("timestamp")?,
            ];
            Ok((need, header.find("rating"), header.names.len()))
        },
        |([user, item, time], rating, width), bytes, line| {
            let fields = split(bytes, *width)?;
            let rating = match rating.map(|at| fields[at]) {
                None | Some("") => None,
                Some(text) => Some(text.trim().parse().map_err(|_| "rating is no number")?),
            };
            let found = Interaction {
                user: fields[*user],
                item: fields[*item],
                rating,
                seconds: fields[*time]
                    .trim()
                    .parse()
                    .map_err(|_| "timestamp is no number")?,
            };
            Ok(table.push(&found, RATINGS, line)?)
        },
    )
}

/// `<name>.item`: item_id, and the title and category columns that the description names.
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
            let need = [header.need("item_id")?, header.need(&columns.title)?];
            Ok((need, header.find(&columns.categories), header.names.len()))
        },
        |([item, title], categories, width), bytes, line| {
            let fields = split(bytes, *width)?;
            // A token sequence is joined by spaces.
            let categories =
                categories.map(|at| fields[at].split_whitespace().collect::<Vec<_>>().join(", "));
            Ok(table.push(fields[*item], Some(fields[*title]), categories.as_deref(), line)?)
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

    fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|found| *found == name)
    }

    fn need(&self, name: &str) -> Result<usize, Refusal> {
        self.find(name).ok_or_else(|| {
            Refusal::File(format!(
                "the header lacks the column {name}; it is `{}`",
                self.line.trim()
            ))
        })
    }
}

fn split(bytes: &[u8], width: usize) -> Result<Vec<&str>, Refusal> {
    let fields: Vec<&str> = utf8(bytes)?.split('\t').collect();
    if fields.len() != width {
        return Err("another number of fields than the header".into());
    }
    Ok(fields)
}
