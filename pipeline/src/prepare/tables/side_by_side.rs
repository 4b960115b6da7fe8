//! Interactions and sequences, written by a thread each while a third gathers their rows.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use datafusion::arrow::array::{
    ArrayRef, Float64Builder, Int64Array, RecordBatch, StringBuilder, UInt32Array,
};
use datafusion::arrow::datatypes::SchemaRef;

use super::Tally;
use crate::error::{Error, Result};
use crate::packed::{Packed, Row, Texts};
use crate::prepared::{self, FileEntry, INTERACTIONS, ParquetFile, SEQUENCES, TABLE_ROWS};
use crate::raw::Lines;
use crate::stage::list::Lists;
use crate::stage::sequence;

/// Batches on their way to a writer, of a few MB each: as many as let no thread wait for another that is done soon.
const WAITING: usize = 3;

/// Rows that are looked up together: more than enough for every read that the processor can have under way.
const TOGETHER: usize = 256;

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
    waiting: Waiting,
    interactions: Interactions,
    sequences: Sequences,
    to_interactions: SyncSender<RecordBatch>,
    to_sequences: SyncSender<RecordBatch>,
}

/// Users whose items were not looked up yet.
#[derive(Default)]
struct Waiting {
    user_ids: Vec<String>,
    /// Rows of each.
    lengths: Vec<usize>,
    rows: Vec<Row>,
    /// Of each row, the item's raw and dense id.
    item_ids: Texts,
    items: Vec<u32>,
    times: Vec<i64>,
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
            waiting: Waiting::default(),
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

impl Feed<'_> {
    /// Adds a user, by raw id, with the rows, oldest first.
    pub fn user(&mut self, user_id: &str, rows: &[Row]) -> Result<()> {
        self.waiting.user_ids.push(user_id.to_owned());
        self.waiting.lengths.push(rows.len());
        self.waiting.rows.extend_from_slice(rows);
        if self.waiting.rows.len() >= TOGETHER {
            self.look_up()?;
        }
        Ok(())
    }

    /// Finds the items of the users that wait, and puts both into the tables.
    fn look_up(&mut self) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let codes = waiting.rows.iter().map(|row| row.item);
        waiting.items.clear();
        waiting
            .items
            .extend(codes.clone().map(|code| self.dense[code as usize]));
        self.item_ids.gather(codes, &mut waiting.item_ids);
        waiting.times.clear();
        waiting.times.extend(waiting.rows.iter().map(|row| row.time));
        let mut start = 0;
        for (user_id, length) in waiting.user_ids.drain(..).zip(waiting.lengths.drain(..)) {
            self.user += 1;
            for at in start..start + length {
                let ids = (user_id.as_str(), waiting.item_ids.get(at as u32));
                let dense = (self.user, waiting.items[at]);
                self.interactions.push(ids, &waiting.rows[at], self.lines, dense);
                if self.interactions.users.len() == TABLE_ROWS {
                    send(&self.to_interactions, self.interactions.take()?)?;
                }
            }
            let (items, times) = (
                &waiting.items[start..start + length],
                &waiting.times[start..start + length],
            );
            self.tally.note(items, times);
            self.sequences.push(self.user, &user_id, items, times);
            if sequence::is_batch(self.sequences.users.len(), self.sequences.items.len()) {
                send(&self.to_sequences, self.sequences.take()?)?;
            }
            start += length;
        }
        waiting.rows.clear();
        self.waiting = waiting;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.look_up()?;
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
    user_ids: StringBuilder,
    item_ids: StringBuilder,
    ratings: Float64Builder,
    times: Vec<i64>,
    users: Vec<u32>,
    items: Vec<u32>,
    lines: Vec<i64>,
}

impl Interactions {
    fn new() -> Self {
        // Room for a whole batch, and ids as long as most are: growing by doubling would take half as much again.
        Self {
            user_ids: StringBuilder::with_capacity(TABLE_ROWS, TABLE_ROWS * 14),
            item_ids: StringBuilder::with_capacity(TABLE_ROWS, TABLE_ROWS * 10),
            ratings: Float64Builder::with_capacity(TABLE_ROWS),
            times: Vec::with_capacity(TABLE_ROWS),
            users: Vec::with_capacity(TABLE_ROWS),
            items: Vec::with_capacity(TABLE_ROWS),
            lines: Vec::with_capacity(TABLE_ROWS),
        }
    }

    /// Adds a row; both pairs are the user's id and the item's.
    fn push(&mut self, ids: (&str, &str), row: &Row, lines: &Lines, dense: (u32, u32)) {
        self.user_ids.append_value(ids.0);
        self.item_ids.append_value(ids.1);
        self.ratings
            .append_option((!row.rating.is_nan()).then_some(row.rating));
        self.times.push(row.time);
        self.users.push(dense.0);
        self.items.push(dense.1);
        self.lines.push(lines.number(row.place));
    }

    /// What came since the last time.
    fn take(&mut self) -> Result<RecordBatch> {
        let mut done = std::mem::replace(self, Self::new());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(done.user_ids.finish()),
            Arc::new(done.item_ids.finish()),
            Arc::new(done.ratings.finish()),
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
