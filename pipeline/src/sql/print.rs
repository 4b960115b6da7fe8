//! The answer to a query as text.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::csv;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::arrow::util::pretty::pretty_format_batches_with_schema;
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A table for people; the whole answer is held in memory.
    #[default]
    Table,
    /// A header and a line a row; lists and structs as their text.
    Csv,
    /// A JSON object a line a row; a `NULL` is left out.
    Json,
}

/// Runs a query and writes its rows to `out` as they come.
///
/// # Errors
/// [`Error::Query`] where the query fails, [`Error::Io`] where `out` does.
pub async fn print(frame: DataFrame, format: Format, out: &mut dyn Write) -> Result<()> {
    let failed = |error| Error::Query(Box::new(error));
    let mut batches = frame.execute_stream().await.map_err(failed)?;
    let schema = batches.schema();
    let mut write = |text: &[u8]| {
        out.write_all(text)
            .map_err(|source| Error::io("standard output", "write", source))
    };
    if format == Format::Table {
        let mut rows = Vec::new();
        while let Some(batch) = batches.next().await {
            rows.push(batch.map_err(failed)?);
        }
        return write(format!("{}\n", pretty_format_batches_with_schema(schema, &rows)?).as_bytes());
    }
    if format == Format::Csv {
        // An answer without rows still has its header.
        write(&csv_lines(&RecordBatch::new_empty(schema), true)?)?;
    }
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(failed)?;
        write(&match format {
            Format::Csv => csv_lines(&batch, false)?,
            _ => json_lines(&batch)?,
        })?;
    }
    Ok(())
}

fn csv_lines(batch: &RecordBatch, header: bool) -> Result<Vec<u8>, ArrowError> {
    let schema = batch.schema();
    let flat = batch.columns().iter().map(flat).collect::<Result<Vec<_>, _>>()?;
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let batch = RecordBatch::try_from_iter(names.zip(flat))?;
    let mut text = Vec::new();
    csv::WriterBuilder::new()
        .with_header(header)
        .build(&mut text)
        .write(&batch)?;
    Ok(text)
}

/// A column that CSV can hold: nested values become their text.
fn flat(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if !column.data_type().is_nested() {
        return Ok(Arc::clone(column));
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let texts = (0..column.len()).map(|row| column.is_valid(row).then(|| formatter.value(row).to_string()));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

fn json_lines(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = json::LineDelimitedWriter::new(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}
