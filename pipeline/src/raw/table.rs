//! The tables that every format is read into, and where their rows go.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, Float64Builder, Int64Array, Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::batch::{Outlet, RowBatch};
use super::clock::{Clock, Time};
use super::id::trimmed;
use super::place::{Lines, place};
use super::scan::Refusal;
use crate::dataset::{DatasetDescription, Missing, Names, position};
use crate::error::Result;

/// Rows a batch: large enough for vectorised work, small enough that a few of them, one a file, cost no memory.
const BATCH_ROWS: usize = 8 * 1024;

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

/// The same rows with line numbers in place of the places that the column `line` holds while files are read.
pub(crate) fn number_lines(lines: &Lines, batch: &RecordBatch) -> Result<RecordBatch> {
    let at = batch.schema().index_of("line")?;
    let mut columns = batch.columns().to_vec();
    let places = columns[at].as_primitive::<Int64Type>();
    let numbers: Int64Array = places.unary(|place| lines.number(place));
    columns[at] = Arc::new(numbers);
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// An interaction as it was read.
#[derive(Clone, Copy, Debug)]
pub struct RawInteraction<'a> {
    /// Raw id.
    pub user: &'a str,
    /// Raw id.
    pub item: &'a str,
    /// Where there is one.
    pub rating: Option<f64>,
    /// Milliseconds UTC.
    pub time: i64,
    /// Its file and line in one number, in the order of files and lines.
    pub place: i64,
}

/// Takes rows as they are read, of several files at a time.
pub(crate) trait Sink: Sync {
    /// What takes the interactions of one file.
    fn interactions(&self) -> Box<dyn RowSink + '_>;
    /// Takes items ([`items_schema`], with places for lines).
    fn items(&self, batch: RecordBatch) -> Result<()>;
}

/// Takes the interactions of one file.
pub(crate) trait RowSink {
    /// Takes the next.
    fn take(&mut self, batch: &RowBatch) -> Result<()>;
    /// To be called after the last.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// One interaction as a format's reader found it. An id or a time that is not there is an empty text.
pub(crate) struct Interaction<'a> {
    pub user: &'a str,
    pub item: &'a str,
    /// NaN where the file has no number for it.
    pub rating: Option<f64>,
    /// As the file writes it.
    pub time: Time<'a>,
}

/// Looks at the interactions of a file and passes on those that are possible.
pub(crate) struct InteractionTable<'d> {
    clock: Clock,
    names: Names<'d>,
    missing: Missing,
    file: usize,
    rows: Outlet,
}

impl<'d> InteractionTable<'d> {
    /// For the file of that number of a data set.
    pub fn new(description: &'d DatasetDescription, file: usize, rows: Outlet) -> Self {
        InteractionTable {
            clock: Clock::new(description.time_format()),
            names: description.names(),
            missing: description.missing(),
            file,
            rows,
        }
    }

    /// Adds a row, or says why its values are impossible. `ratings` is the format's scale.
    pub fn push(
        &mut self,
        found: &Interaction<'_>,
        ratings: std::ops::RangeInclusive<f64>,
        line: i64,
    ) -> Result<(), Refusal> {
        let (user, item) = (trimmed(found.user), trimmed(found.item));
        if self.missing.is(user) {
            return Err(lacks(self.names.user));
        }
        if self.missing.is(item) {
            return Err(lacks(self.names.item));
        }
        let rating = found.rating.filter(|rating| !rating.is_nan());
        if rating.is_some_and(|rating| !ratings.contains(&rating)) {
            return Err("rating outside the format's scale".into());
        }
        let row = RawInteraction {
            user,
            item,
            rating,
            time: self.millis(found.time)?,
            place: place(self.file, line),
        };
        Ok(self.rows.push(&row)?)
    }

    /// Whether a text is no id.
    pub fn is_none(&self, id: &str) -> bool {
        self.missing.is(trimmed(id))
    }

    /// The number that a text says a rating is; nothing where it says that there is none.
    pub fn rating(&self, text: &str) -> Result<Option<f64>, Refusal> {
        let text = trimmed(text);
        if self.missing.is(text) {
            return Ok(None);
        }
        match text.parse() {
            Ok(rating) => Ok(Some(rating)),
            Err(_) => Err(format!("{} is no number", self.names.rating).into()),
        }
    }

    /// Whether times are numbers, and no dates.
    pub fn counts_time(&self) -> bool {
        self.clock.counts()
    }

    fn millis(&mut self, time: Time<'_>) -> Result<i64, Refusal> {
        match time {
            Time::Text(text) if self.missing.is(trimmed(text)) => Err(lacks(self.names.time)),
            Time::Number(number) if number.is_nan() => Err(lacks(self.names.time)),
            Time::Number(number) if number.is_infinite() => {
                Err(format!("{} is infinite", self.names.time).into())
            }
            time => self.clock.millis(time),
        }
    }

    /// To be called after the file: whether its times were what they should be.
    pub fn end_file(&self) -> Result<(), Refusal> {
        self.clock.end_file()
    }

    /// To be called at last.
    pub fn finish(self) -> Result<()> {
        self.rows.finish()
    }
}

/// What is said of a row without one of the values that every row has.
fn lacks(name: &str) -> Refusal {
    match position(name) {
        Some(number) => format!("lacks column {number}").into(),
        None => format!("lacks {name}").into(),
    }
}

/// Interactions as batches of texts ([`interactions_schema`], with places for lines), each handed over when it is full.
pub(crate) struct TextRows<'s> {
    user: StringBuilder,
    item: StringBuilder,
    rating: Float64Builder,
    timestamp: Int64Builder,
    line: Int64Builder,
    rows: usize,
    take: Box<dyn FnMut(RecordBatch) -> Result<()> + 's>,
}

impl<'s> TextRows<'s> {
    /// Hands batches to `take`.
    pub fn new(take: impl FnMut(RecordBatch) -> Result<()> + 's) -> Self {
        TextRows {
            user: StringBuilder::new(),
            item: StringBuilder::new(),
            rating: Float64Builder::new(),
            timestamp: Int64Builder::new(),
            line: Int64Builder::new(),
            rows: 0,
            take: Box::new(take),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, found: &RawInteraction<'_>) -> Result<()> {
        self.user.append_value(found.user);
        self.item.append_value(found.item);
        self.rating.append_option(found.rating);
        self.timestamp.append_value(found.time);
        self.line.append_value(found.place);
        self.rows += 1;
        if self.rows == BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.user.finish()),
            Arc::new(self.item.finish()),
            Arc::new(self.rating.finish()),
            Arc::new(self.timestamp.finish()),
            Arc::new(self.line.finish()),
        ];
        self.rows = 0;
        (self.take)(RecordBatch::try_new(interactions_schema(), columns)?)
    }
}

impl RowSink for TextRows<'_> {
    fn take(&mut self, batch: &RowBatch) -> Result<()> {
        batch.rows_from(0).try_for_each(|row| self.push(&row))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if self.rows > 0 { self.flush() } else { Ok(()) }
    }
}

/// Collects the items of a file into batches.
pub(crate) struct ItemTable<'s> {
    /// What the file calls an item.
    name: &'s str,
    missing: Missing,
    file: usize,
    sink: &'s dyn Sink,
    item: StringBuilder,
    title: StringBuilder,
    categories: StringBuilder,
    line: Int64Builder,
    rows: usize,
}

impl<'s> ItemTable<'s> {
    /// For the file of that number of a data set.
    pub fn new(description: &'s DatasetDescription, file: usize, sink: &'s dyn Sink) -> Self {
        ItemTable {
            name: description.names().described,
            missing: description.missing(),
            file,
            sink,
            item: StringBuilder::new(),
            title: StringBuilder::new(),
            categories: StringBuilder::new(),
            line: Int64Builder::new(),
            rows: 0,
        }
    }

    /// Adds a row, or says why it is none; an item that is not there is an empty text. Empty titles and categories count as absent.
    pub fn push(
        &mut self,
        item: &str,
        title: Option<&str>,
        categories: Option<&str>,
        line: i64,
    ) -> Result<(), Refusal> {
        let item = trimmed(item);
        if self.missing.is(item) {
            return Err(lacks(self.name));
        }
        self.item.append_value(item);
        self.title
            .append_option(title.filter(|title| !title.trim().is_empty()));
        let some = |text: &&str| !self.missing.is(trimmed(text));
        self.categories.append_option(categories.filter(some));
        self.line.append_value(place(self.file, line));
        self.rows += 1;
        if self.rows == BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// To be called after the file.
    pub fn finish(mut self) -> Result<()> {
        if self.rows > 0 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.item.finish()),
            Arc::new(self.title.finish()),
            Arc::new(self.categories.finish()),
            Arc::new(self.line.finish()),
        ];
        self.rows = 0;
        self.sink.items(RecordBatch::try_new(items_schema(), columns)?)
    }
}
