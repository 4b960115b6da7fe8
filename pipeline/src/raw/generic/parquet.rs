//! Parquet. Columns may have any type that can be written as text; times any that counts or is a date.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{
    Columns, InteractionTable, ItemTable, Progress, Refusal, Result, Row, Scan, Time, categories, lacks,
};
use crate::error::Error;
use crate::storage;

pub(super) fn interactions(
    path: &Path,
    columns: &Columns,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    let needed = [columns.user.as_str(), &columns.item, &columns.timestamp];
    each_batch(
        path,
        &needed,
        &[&columns.rating],
        scan,
        progress,
        |batch| {
            let [user, item, rating] =
                [&columns.user, &columns.item, &columns.rating].map(|name| texts(batch, name));
            let (user, item, rating) = (user?, item?, rating?);
            let time = Times::of(batch, &columns.timestamp)?;
            Ok(move |row: usize, line: i64, table: &mut InteractionTable| {
                let row = Row {
                    user: value(&user, row),
                    item: value(&item, row),
                    rating: value(&rating, row),
                    time: time.value(row),
                };
                row.push(columns, table, line)
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
    let needed = [columns.item.as_str(), &columns.title];
    each_batch(
        path,
        &needed,
        &[&columns.categories],
        scan,
        progress,
        |batch| {
            let (item, title) = (texts(batch, &columns.item)?, texts(batch, &columns.title)?);
            let words = Words::of(batch, &columns.categories)?;
            Ok(move |row: usize, line: i64, table: &mut ItemTable| {
                let item = value(&item, row).ok_or_else(|| lacks(&columns.item))?;
                let words = words.value(row, columns);
                table.push(item, value(&title, row), Some(&words), line)
            })
        },
        table,
    )
}

/// Goes through the rows of a file: `open` makes of each batch what puts a row of it into the table.
fn each_batch<T, R>(
    path: &Path,
    needed: &[&str],
    optional: &[&str],
    scan: &mut Scan,
    progress: &dyn Progress,
    open: impl Fn(&RecordBatch) -> Result<R>,
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
    if let Some(name) = needed.iter().find(|name| !names.contains(name)) {
        return Err(broken(format!(
            "lacks the column {name}; it has {}",
            names.join(", ")
        )));
    }
    let asked = || needed.iter().chain(optional);
    let twice = |name: &&&str| names.iter().filter(|found| *found == *name).count() > 1;
    if let Some(name) = asked().find(twice) {
        return Err(broken(format!("has the column {name} twice; rename one of them")));
    }
    let wanted: Vec<usize> = (0..names.len())
        .filter(|at| asked().any(|name| *name == names[*at]))
        .collect();
    let mask = ProjectionMask::roots(reader.parquet_schema(), wanted);
    let mut done = 0;
    let mut batches = guarded(|| reader.with_projection(mask).build()).map_err(damaged)?;
    while let Some(batch) = guarded(|| batches.next().transpose()).map_err(damaged)? {
        let put = open(&batch).map_err(|error| broken(error.to_string()))?;
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

/// A column as texts; all absent where there is no such column.
fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray> {
    let Some(column) = batch.column_by_name(name) else {
        return Ok(StringArray::new_null(batch.num_rows()));
    };
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn value(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

/// A column of times.
enum Times {
    /// Of a type that says what it counts.
    Typed(Int64Array),
    Number(Float64Array),
    Text(StringArray),
}

impl Times {
    fn of(batch: &RecordBatch, name: &str) -> Result<Self> {
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| Error::Usage(format!("lacks the column {name}")))?;
        let kind = column.data_type();
        if matches!(
            kind,
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
        ) {
            let millis = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
            let millis: ArrayRef = cast(&millis, &DataType::Int64)?;
            return Ok(Times::Typed(millis.as_primitive().clone()));
        }
        if kind.is_numeric() {
            let numbers = cast(column, &DataType::Float64)?;
            return Ok(Times::Number(numbers.as_primitive().clone()));
        }
        texts(batch, name).map(Times::Text)
    }

    fn value(&self, row: usize) -> Option<Time<'_>> {
        match self {
            Times::Typed(times) => times.is_valid(row).then(|| Time::Millis(times.value(row))),
            Times::Number(times) => times.is_valid(row).then(|| Time::Number(times.value(row))),
            Times::Text(times) => value(times, row).map(Time::Text),
        }
    }
}

/// A column of categories.
enum Words {
    Lists(Arc<dyn Array>),
    Text(StringArray),
}

impl Words {
    fn of(batch: &RecordBatch, name: &str) -> Result<Self> {
        let list = DataType::new_list(DataType::Utf8, true);
        match batch.column_by_name(name) {
            Some(column) if matches!(column.data_type(), DataType::List(_) | DataType::LargeList(_)) => {
                Ok(Words::Lists(cast(column, &list)?))
            }
            _ => texts(batch, name).map(Words::Text),
        }
    }

    fn value(&self, row: usize, columns: &Columns) -> String {
        match self {
            Words::Text(texts) => {
                value(texts, row).map_or_else(String::new, |text| categories(text, columns))
            }
            Words::Lists(lists) if lists.is_valid(row) => {
                let words = lists.as_list::<i32>().value(row);
                words
                    .as_string::<i32>()
                    .iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(", ")
            }
            Words::Lists(_) => String::new(),
        }
    }
}
