//! Parquet. Columns may have any type that can be written as text; times any that counts or is a date; categories may be lists and
//! structures in one another. A type that says nothing to its column is an error that names both; of categories a note.

mod column;
#[cfg(test)]
mod tests;
mod time;
mod value;
mod words;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::{partition, scan};
use super::{
    Columns, Interaction, InteractionTable, ItemTable, Progress, RATINGS, Refusal, Result, Scan, Time,
    categories,
};
use crate::error::Error;
use crate::storage;
use column::{Column, Unreadable};
use time::Times;
use value::{Ratings, ids, text, titles};
use words::Words;

pub(super) fn interactions(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    let all = [&columns.user, &columns.item, &columns.timestamp, &columns.rating].map(String::as_str);
    // What the description names must be there.
    let (needed, optional) = all.split_at(3 + usize::from(columns.names_rating()));
    each_batch(
        path,
        needed,
        optional,
        scan,
        progress,
        |found| {
            let [user, item, time, rating] = found else {
                return Err(Unreadable::internal());
            };
            let (user, item) = (ids(user)?, ids(item)?);
            let (time, rating) = (Times::of(time)?, Ratings::of(rating)?);
            Ok(move |row: usize, line: i64, table: &mut InteractionTable| {
                let found = Interaction {
                    user: text(&user, row).unwrap_or_default(),
                    item: text(&item, row).unwrap_or_default(),
                    rating: match rating.text(row) {
                        Some(text) => table.rating(text)?,
                        None => rating.number(row),
                    },
                    time: time.value(row).unwrap_or(Time::Text("")),
                };
                table.push(&found, RATINGS, line)
            })
        },
        table,
    )
}

pub(super) fn items(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    let all = [&columns.item, &columns.title, &columns.categories].map(String::as_str);
    let (needed, optional) = all.split_at(2 + usize::from(columns.names_categories()));
    let mut lost = None;
    each_batch(
        path,
        needed,
        optional,
        scan,
        progress,
        |found| {
            let [item, title, listed] = found else {
                return Err(Unreadable::internal());
            };
            let (item, title) = (ids(item)?, titles(title)?);
            let words = Words::of(listed);
            if let (Err(kind), None) = (&words, &lost) {
                lost = Some(format!(
                    "{}: the column {} is of type {kind}, in which no names and texts are found; the items of this file have no \
                     categories",
                    scan::name(path),
                    columns.categories
                ));
            }
            let words = words.unwrap_or_default();
            Ok(move |row: usize, line: i64, table: &mut ItemTable| {
                let words = match words.text(row) {
                    Some(text) => categories(text, columns),
                    None => words.listed(row),
                };
                let item = text(&item, row).unwrap_or_default();
                table.push(item, text(&title, row), Some(&words), line)
            })
        },
        table,
    )?;
    scan.notes.extend(lost);
    Ok(())
}

/// Goes through the rows of a file: `open` makes of the columns of each batch, the needed ones first, what puts a row of it into the
/// table.
fn each_batch<T, R>(
    path: &Path,
    needed: &[&str],
    optional: &[&str],
    scan: &mut Scan,
    progress: &dyn Progress,
    mut open: impl FnMut(&[Column<'_>]) -> Result<R, Unreadable>,
    table: &mut T,
) -> Result<()>
where
    R: Fn(usize, i64, &mut T) -> Result<(), Refusal>,
{
    let broken = |message: String| Error::Format {
        path: path.to_path_buf(),
        offset: 0,
        message,
    };
    let damaged = |what: String| broken(format!("no readable Parquet ({what}); write it again"));
    let file = storage::open_seekable(path).map_err(|source| Error::io(path, "open", source))?;
    let bytes = file.metadata().map_or(0, |found| found.len());
    let reader = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(damaged)?;
    let names: Vec<&str> = reader
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let asked = || needed.iter().chain(optional).copied();
    let twice = |name: &&str| names.iter().filter(|found| *found == name).count() > 1;
    if let Some(name) = asked().find(twice) {
        return Err(broken(format!("has the column {name} twice; rename one of them")));
    }
    let places: Vec<_> = asked()
        .map(|name| {
            column::Place::find(
                name,
                reader.schema(),
                reader.parquet_schema(),
                scan.within_root(path),
            )
        })
        .collect();
    if let Some((name, _)) = needed.iter().zip(&places).find(|(_, place)| place.is_none()) {
        let told = partition::columns(scan.within_root(path));
        let names: Vec<&str> = names
            .iter()
            .copied()
            .chain(told.iter().map(String::as_str))
            .collect();
        return Err(broken(format!(
            "lacks the column {name}; it has {}",
            names.join(", ")
        )));
    }
    let leaves = places
        .iter()
        .flatten()
        .flat_map(|place| place.leaves.iter().copied());
    let mask = ProjectionMask::leaves(reader.parquet_schema(), leaves);
    let mut done = 0;
    let mut batches = guarded(|| reader.with_projection(mask).build()).map_err(damaged)?;
    while let Some(batch) = guarded(|| batches.next().transpose()).map_err(damaged)? {
        let columns: Vec<Column<'_>> = asked()
            .zip(&places)
            .map(|(name, place)| Column::of(name, place.as_ref(), &batch))
            .collect();
        let put = open(&columns).map_err(|unreadable| broken(unreadable.0))?;
        let rows = done + 1..done + 1 + batch.num_rows() as u64;
        let at = |number: u64| (number - 1 - done) as usize;
        scan.each_row(
            path,
            rows,
            |number, line| put(at(number), line, table),
            |number| show(&batch, at(number)),
        )?;
        done += batch.num_rows() as u64;
    }
    progress.advance(bytes);
    scan.end_file(path, done)
}

/// What the library reads, or what is wrong: at damage it may panic, where an error is wanted that names the file. What is half read
/// then is not looked at again.
fn guarded<T, E: std::fmt::Display>(read: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("its reader panicked at what it holds".to_owned()),
    }
}

/// A row in words.
fn show(batch: &RecordBatch, row: usize) -> String {
    let mut shown = String::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let text = arrow::util::display::array_value_to_string(column, row).unwrap_or_default();
        shown.push_str(&format!("{}={text} ", field.name()));
    }
    shown.trim_end().to_string()
}
