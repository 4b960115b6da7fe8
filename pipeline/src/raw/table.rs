//! The Arrow tables that every format is read into.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Float64Builder, Int64Array, Int64Builder, RecordBatch, StringBuilder};
use arrow::compute::kernels::numeric::add;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::clock::{Clock, Time};
use super::scan::Refusal;
use crate::dataset::TimeFormat;
use crate::error::Result;

/// Rows a batch: large enough for vectorised work, small enough that the last batch of a file wastes little.
const BATCH_ROWS: usize = 32 * 1024;

static INTERACTIONS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("user_id", DataType::Utf8, false),
        Field::new("item_id", DataType::Utf8, false),
        Field::new("rating", DataType::Float64, true),
        Field::new("timestamp", DataType::Int64, false),
        Field::new("line", DataType::Int64, false),
    ]))
});

static ITEMS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("item_id", DataType::Utf8, false),
        Field::new("title", DataType::Utf8, true),
        Field::new("categories", DataType::Utf8, true),
        Field::new("line", DataType::Int64, false),
    ]))
});

/// Columns of the interactions: `user_id`, `item_id`, `rating` (may be null), `timestamp` (ms, UTC) and `line` (unique over all
/// files of the set, ascending in file order).
pub fn interactions_schema() -> SchemaRef {
    INTERACTIONS.clone()
}

/// Columns of the items: `item_id`, `title` as published (may be null), `categories` joined by `, ` (may be null) and `line`.
pub fn items_schema() -> SchemaRef {
    ITEMS.clone()
}

/// The rows of a file with line numbers that go on from `before` lines of the files before it.
pub(crate) fn count_lines_from(before: u64, batch: RecordBatch) -> Result<RecordBatch> {
    if before == 0 {
        return Ok(batch);
    }
    let mut columns = batch.columns().to_vec();
    if let Some(lines) = columns.last_mut() {
        *lines = add(lines, &Int64Array::new_scalar(before as i64))?;
    }
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// One interaction as a format's reader found it.
pub(crate) struct Interaction<'a> {
    pub user: &'a str,
    pub item: &'a str,
    pub rating: Option<f64>,
    /// As the file writes it.
    pub time: Time<'a>,
}

/// Collects interactions into batches.
pub(crate) struct InteractionTable {
    clock: Clock,
    user: StringBuilder,
    item: StringBuilder,
    rating: Float64Builder,
    timestamp: Int64Builder,
    line: Int64Builder,
    rows: usize,
    batches: Vec<RecordBatch>,
}

impl InteractionTable {
    /// An empty table for files that write times as `format`.
    pub fn new(format: TimeFormat) -> Self {
        InteractionTable {
            clock: Clock::new(format),
            user: StringBuilder::new(),
            item: StringBuilder::new(),
            rating: Float64Builder::new(),
            timestamp: Int64Builder::new(),
            line: Int64Builder::new(),
            rows: 0,
            batches: Vec::new(),
        }
    }

    /// Adds a row, or says why its values are impossible. `ratings` is the format's scale.
    pub fn push(
        &mut self,
        found: &Interaction<'_>,
        ratings: std::ops::RangeInclusive<f64>,
        line: i64,
    ) -> Result<(), Refusal> {
        if found.user.trim().is_empty() {
            return Err("empty user id".into());
        }
        if found.item.trim().is_empty() {
            return Err("empty item id".into());
        }
        if found.rating.is_some_and(|rating| !ratings.contains(&rating)) {
            return Err("rating outside the format's scale".into());
        }
        let millis = self.clock.millis(found.time)?;
        self.user.append_value(found.user);
        self.item.append_value(found.item);
        self.rating.append_option(found.rating);
        self.timestamp.append_value(millis);
        self.line.append_value(line);
        self.rows += 1;
        if self.rows == BATCH_ROWS {
            self.flush().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// To be called after the file: whether its times were what they should be.
    pub fn end_file(&self) -> Result<(), Refusal> {
        self.clock.end_file()
    }

    /// The batches; at least one, so that the schema is there even without rows.
    pub fn finish(mut self) -> Result<Vec<RecordBatch>> {
        if self.rows > 0 || self.batches.is_empty() {
            self.flush()?;
        }
        Ok(self.batches)
    }

    fn flush(&mut self) -> Result<()> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.user.finish()),
            Arc::new(self.item.finish()),
            Arc::new(self.rating.finish()),
            Arc::new(self.timestamp.finish()),
            Arc::new(self.line.finish()),
        ];
        self.batches
            .push(RecordBatch::try_new(interactions_schema(), columns)?);
        self.rows = 0;
        Ok(())
    }
}

/// Collects items into batches.
#[derive(Default)]
pub(crate) struct ItemTable {
    item: StringBuilder,
    title: StringBuilder,
    categories: StringBuilder,
    line: Int64Builder,
    rows: usize,
    batches: Vec<RecordBatch>,
}

impl ItemTable {
    /// Adds a row, or says why it is none. Empty titles and categories count as absent.
    pub fn push(
        &mut self,
        item: &str,
        title: Option<&str>,
        categories: Option<&str>,
        line: i64,
    ) -> Result<(), String> {
        if item.trim().is_empty() {
            return Err("empty item id".to_string());
        }
        let some = |text: &&str| !text.trim().is_empty();
        self.item.append_value(item);
        self.title.append_option(title.filter(some));
        self.categories.append_option(categories.filter(some));
        self.line.append_value(line);
        self.rows += 1;
        if self.rows == BATCH_ROWS {
            self.flush().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The batches; at least one, so that the schema is there even without rows.
    pub fn finish(mut self) -> Result<Vec<RecordBatch>> {
        if self.rows > 0 || self.batches.is_empty() {
            self.flush()?;
        }
        Ok(self.batches)
    }

    fn flush(&mut self) -> Result<()> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.item.finish()),
            Arc::new(self.title.finish()),
            Arc::new(self.categories.finish()),
            Arc::new(self.line.finish()),
        ];
        self.batches.push(RecordBatch::try_new(items_schema(), columns)?);
        self.rows = 0;
        Ok(())
    }
}
