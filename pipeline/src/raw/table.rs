//! The Arrow tables that every format is read into.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Float64Builder, Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::error::Result;

/// Rows a batch: large enough for vectorised work, small enough that the last batch of a file wastes little.
const BATCH_ROWS: usize = 32 * 1024;

/// Latest time taken seriously, in seconds: the end of the year 9999. Milliseconds taken for seconds lie far beyond it.
const LAST_SECOND: f64 = 253_402_300_799.0;

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

/// One interaction as a format's reader found it.
pub(crate) struct Interaction<'a> {
    pub user: &'a str,
    pub item: &'a str,
    pub rating: Option<f64>,
    /// Seconds since 1970, UTC.
    pub seconds: f64,
}

/// Collects interactions into batches.
#[derive(Default)]
pub(crate) struct InteractionTable {
    user: StringBuilder,
    item: StringBuilder,
    rating: Float64Builder,
    timestamp: Int64Builder,
    line: Int64Builder,
    rows: usize,
    batches: Vec<RecordBatch>,
}

impl InteractionTable {
    /// Adds a row, or says why its values are impossible. `ratings` is the format's scale.
    pub fn push(
        &mut self,
        found: &Interaction<'_>,
        ratings: std::ops::RangeInclusive<f64>,
        line: i64,
    ) -> Result<(), String> {
        if found.user.trim().is_empty() {
            return Err("empty user id".to_string());
        }
        if found.item.trim().is_empty() {
            return Err("empty item id".to_string());
        }
        if found.rating.is_some_and(|rating| !ratings.contains(&rating)) {
            return Err("rating outside the format's scale".to_string());
        }
        if !found.seconds.is_finite() || found.seconds < 0.0 {
            return Err("negative timestamp".to_string());
        }
        if found.seconds > LAST_SECOND {
            return Err("timestamp beyond the year 9999 (not in seconds?)".to_string());
        }
        self.user.append_value(found.user);
        self.item.append_value(found.item);
        self.rating.append_option(found.rating);
        self.timestamp
            .append_value((found.seconds * 1000.0).round() as i64);
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
