//! Interactions and sequences, written by a thread each while a third gathers their rows.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringBuilder, UInt32Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::SchemaRef;

use super::Tally;
use super::text_column::TextColumn;
use crate::error::{Error, Result};
use crate::packed::{Packed, Texts, Users};
use crate::prepared::{self, FileEntry, INTERACTIONS, ParquetFile, SEQUENCES, TABLE_ROWS};
use crate::raw::Lines;
use crate::stage::list::Lists;
use crate::stage::sequence;

/// Batches on their way to a writer, of a few MB each: as many as let no thread wait for another that is done soon.
const WAITING: usize = 3;

/// Takes users in the order of their raw ids.
pub struct Feed<'a> {
    /// Raw ids of items, by code.
    item_ids: &'a Texts,
    lines: &'a Lines,
    /// Dense ids of items by code.
    dense: &'a [u32],
    tally: &'a mut Tally,
    /// Dense id of the last user.
    user: u32,
    columns: Columns,
    interactions: Interactions,
    sequences: Sequences,
    to_interactions: SyncSender<RecordBatch>,
    to_sequences: SyncSender<RecordBatch>,
}

/// What is looked up for rows before they are cut into batches: for all of them step by step, so that reads which miss the cache
/// wait together.
#[derive(Default)]
struct Columns {
    /// Where the raw id of each row's user lies among those of the users at hand.
    user_ids: Vec<Range<usize>>,
    /// Where the raw id of each row's item lies among all.
    item_ids: Vec<Range<usize>>,
    users: Vec<u32>,
    items: Vec<u32>,
    times: Vec<i64>,
    places: Vec<i64>,
}

/// Writes what `gather` feeds.
pub fn write(
    folder: &Path,
    packed: &Packed,
    lines: &Lines,
    dense: &[u32],
    tally: &mut Tally,
    gather: impl FnOnce(&mut Feed<'_>) -> Result<()>,
) -> Result<(FileEntry, FileEntry)> {
    std::thread::scope(|scope| {
        let (to_interactions, rows) = sync_channel(WAITING);
        let interactions =
            scope.spawn(move || drain(folder, INTERACTIONS, prepared::interactions_schema(), &rows));
        let (to_sequences, rows) = sync_channel(WAITING);
        let sequences = scope.spawn(move || drain(folder, SEQUENCES, sequence::schema(), &rows));
        let mut feed = Feed {
            item_ids: packed.items.texts(),
            lines,
            dense,
            tally,
            user: 0,
            columns: Columns::default(),
            interactions: Interactions::new(),
            sequences: Sequences::default(),
            to_interactions,
            to_sequences,
        };
        let fed = gather(&mut feed).and_then(|()| feed.finish());
        drop(feed);
        let stopped = |_| Err(Error::Usage("a thread that writes tables stopped".to_owned()));
        let interactions = interactions.join().unwrap_or_else(stopped);
        let sequences = sequences.join().unwrap_or_else(stopped);
        // A writer that stopped early has the better error than the feed that could not be rid of its rows.
        let written = (interactions?, sequences?);
        fed?;
        Ok(written)
    })
}

impl Columns {
    fn clear(&mut self) {
        self.user_ids.clear();
        self.item_ids.clear();
        self.users.clear();
        self.items.clear();
        self.times.clear();
        self.places.clear();
    }
}

impl Feed<'_> {
    /// Adds users, each with the rows, oldest first.
    pub fn users(&mut self, some: &Users) -> Result<()> {
        let mut columns = std::mem::take(&mut self.columns);
        columns.clear();
        let codes = some.rows.iter().map(|row| row.item);
        columns
            .items
            .extend(codes.clone().map(|code| self.dense[code as usize]));
        columns
            .item_ids
            .extend(codes.map(|code| self.item_ids.span(code)));
        columns.times.extend(some.rows.iter().map(|row| row.time));
        columns.places.extend(some.rows.iter().map(|row| row.place));
        for (number, length) in (0..).zip(&some.lengths) {
            self.user += 1;
            let start = columns.users.len();
            let end = start + length;
            columns.users.resize(end, self.user);
            columns.user_ids.resize(end, some.ids.span(number));
            let (items, times) = (&columns.items[start..end], &columns.times[start..end]);
            self.tally.note(items, times, &columns.places[start..end]);
            self.sequences.push(self.user, some.ids.get(number), items, times);
            if sequence::is_batch(self.sequences.users.len(), self.sequences.items.len()) {
                send(&self.to_sequences, self.sequences.take()?)?;
            }
        }
        let mut start = 0;
        while start < some.rows.len() {
            let end = some
                .rows
                .len()
                .min(start + TABLE_ROWS - self.interactions.users.len());
            let rows = &some.rows[start..end];
            let batch = &mut self.interactions;
            batch
                .user_ids
                .gather(some.ids.buffer(), &columns.user_ids[start..end]);
            batch
                .item_ids
                .gather(self.item_ids.buffer(), &columns.item_ids[start..end]);
            batch.ratings.extend(rows.iter().map(|row| row.rating));
            batch.times.extend_from_slice(&columns.times[start..end]);
            batch.users.extend_from_slice(&columns.users[start..end]);
            batch.items.extend_from_slice(&columns.items[start..end]);
            batch
                .lines
                .extend(rows.iter().map(|row| self.lines.number(row.place)));
            if batch.users.len() == TABLE_ROWS {
                send(&self.to_interactions, self.interactions.take()?)?;
            }
            start = end;
        }
        self.columns = columns;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        send(&self.to_interactions, self.interactions.take()?)?;
        send(&self.to_sequences, self.sequences.take()?)
    }
}

fn send(to: &SyncSender<RecordBatch>, batch: RecordBatch) -> Result<()> {
    let stopped = |_| Error::Usage("a thread that writes tables stopped".to_owned());
    to.send(batch).map_err(stopped)
}

/// Writes batches as they come.
fn drain(folder: &Path, name: &str, schema: SchemaRef, batches: &Receiver<RecordBatch>) -> Result<FileEntry> {
    let mut file = ParquetFile::create(folder, Path::new(name), schema)?;
    for batch in batches {
        file.write_group(&batch)?;
    }
    file.finish()
}

/// A batch of interactions that is being filled.
struct Interactions {
    user_ids: TextColumn,
    item_ids: TextColumn,
    /// NaN where there is none.
    ratings: Vec<f64>,
    times: Vec<i64>,
    users: Vec<u32>,
    items: Vec<u32>,
    lines: Vec<i64>,
}

impl Interactions {
    fn new() -> Self {
        // Room for a whole batch, and ids as long as most are: growing by doubling would take half as much again.
        Self {
            user_ids: TextColumn::new(TABLE_ROWS, TABLE_ROWS * 14),
            item_ids: TextColumn::new(TABLE_ROWS, TABLE_ROWS * 10),
            ratings: Vec::with_capacity(TABLE_ROWS),
            times: Vec::with_capacity(TABLE_ROWS),
            users: Vec::with_capacity(TABLE_ROWS),
            items: Vec::with_capacity(TABLE_ROWS),
            lines: Vec::with_capacity(TABLE_ROWS),
        }
    }

    /// What came since the last time.
    fn take(&mut self) -> Result<RecordBatch> {
        let done = std::mem::replace(self, Self::new());
        let rated: NullBuffer = done.ratings.iter().map(|rating| !rating.is_nan()).collect();
        let rated = (rated.null_count() > 0).then_some(rated);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(done.user_ids.finish()?),
            Arc::new(done.item_ids.finish()?),
            Arc::new(Float64Array::new(done.ratings.into(), rated)),
            Arc::new(Int64Array::from(done.times)),
            Arc::new(UInt32Array::from(done.users)),
            Arc::new(UInt32Array::from(done.items)),
            Arc::new(Int64Array::from(done.lines)),
        ];
        Ok(RecordBatch::try_new(prepared::interactions_schema(), columns)?)
    }
}

#[derive(Default)]
struct Sequences {
    users: Vec<u32>,
    user_ids: StringBuilder,
    items: Lists<u32>,
    times: Lists<i64>,
}

impl Sequences {
    fn push(&mut self, user: u32, user_id: &str, items: &[u32], times: &[i64]) {
        self.users.push(user);
        self.user_ids.append_value(user_id);
        self.items.push(items);
        self.times.push(times);
    }

    /// What came since the last time.
    fn take(&mut self) -> Result<RecordBatch> {
        let mut done = std::mem::take(self);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(done.users)),
            Arc::new(done.user_ids.finish()),
            Arc::new(done.items.finish()),
            Arc::new(done.times.finish()),
        ];
        Ok(RecordBatch::try_new(sequence::schema(), columns)?)
    }
}
