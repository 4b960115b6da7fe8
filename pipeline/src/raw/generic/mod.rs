//! Logs of one's own: csv, tsv, JSON lines or Parquet, told apart by the ending, with columns named by the description.
//!
//! Where a csv or tsv file has no header its columns are numbered. Ids may be texts or numbers, times whatever
//! [`crate::dataset::TimeFormat`] knows. A rating that is missing or empty is none, any number is one: nobody knows the scale. Where
//! structures nest, in JSON and Parquet, `user.id` is the column `id` within `user`, unless a column is called just that.

mod delimited;
#[cfg(test)]
mod described_tests;
mod json;
mod parquet;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::Progress;
use super::clock::Time;
use super::nested::add;
use super::scan::{Refusal, Scan};
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::dataset::{Columns, TableKind};
use crate::error::{Error, Result};

/// Any number.
const RATINGS: std::ops::RangeInclusive<f64> = f64::MIN..=f64::MAX;

/// A file of interactions.
pub(crate) fn interactions(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    match kind(path)? {
        TableKind::Csv => delimited::interactions(path, columns, ',', scan, table, progress),
        TableKind::Tsv => delimited::interactions(path, columns, '\t', scan, table, progress),
        TableKind::JsonLines => json::interactions(path, columns, scan, table, progress),
        TableKind::Parquet => parquet::interactions(path, columns, scan, table, progress),
    }
}

/// A file of items; it may be a file of interactions that repeats an item's title in every row.
pub(crate) fn items(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    match kind(path)? {
        TableKind::Csv => delimited::items(path, columns, ',', scan, table, progress),
        TableKind::Tsv => delimited::items(path, columns, '\t', scan, table, progress),
        TableKind::JsonLines => json::items(path, columns, scan, table, progress),
        TableKind::Parquet => parquet::items(path, columns, scan, table, progress),
    }
}

fn kind(path: &Path) -> Result<TableKind> {
    TableKind::of(&path.to_string_lossy()).ok_or_else(|| Error::Format {
        path: path.to_path_buf(),
        offset: 0,
        message: "the ending tells no format; rename it to .csv, .tsv, .jsonl or .parquet".to_string(),
    })
}

/// The values of a row of interactions, before anything is known about them.
struct Row<'a> {
    user: Option<&'a str>,
    item: Option<&'a str>,
    rating: Option<&'a str>,
    time: Option<Time<'a>>,
}

impl Row<'_> {
    fn push(&self, table: &mut InteractionTable, line: i64) -> Result<(), Refusal> {
        let found = Interaction {
            user: self.user.unwrap_or_default(),
            item: self.item.unwrap_or_default(),
            rating: self.rating.map(|text| table.rating(text)).transpose()?.flatten(),
            time: self.time.unwrap_or(Time::Text("")),
        };
        table.push(&found, RATINGS, line)
    }
}

/// Categories in a text, parted as the description says, each once.
fn categories(text: &str, columns: &Columns) -> String {
    let Some(separator) = &columns.category_separator else {
        return text.trim().to_string();
    };
    let mut words = Vec::new();
    text.split(separator.as_str())
        .for_each(|word| add(word, &mut words));
    words.join(", ")
}
