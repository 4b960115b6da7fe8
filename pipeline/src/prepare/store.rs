//! Where rows go as raw files are read: packed in memory while they fit, then packed in files, and into settled tables where not
//! even the ids fit into memory.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::prelude::DataFrame;

use crate::engine::{Engine, Settling};
use crate::error::{Error, Result};
use crate::packed::{Packed, Part};
use crate::raw::{RowBatch, RowSink, Sink, TextRows, interactions_schema, items_schema};

/// The interactions of a data set, each with a place for its line.
pub enum Rows {
    /// In memory, or in files.
    Packed(Packed),
    /// As texts, in a settled table.
    Settled(DataFrame),
}

/// Takes what readers find.
pub struct Store<'e> {
    engine: &'e Engine,
    /// Where files without a name are made.
    scratch: &'e Path,
    /// Bytes of memory that packed rows and their ids may take.
    budget: usize,
    taken: AtomicUsize,
    taken_by_ids: AtomicUsize,
    /// Memory holds no more rows.
    full: AtomicBool,
    /// Nor more ids.
    too_many_ids: AtomicBool,
    /// Parts that no file is being read into.
    parts: Mutex<Vec<Part>>,
    settled: Mutex<Option<Settling>>,
    items: Mutex<Option<Settling>>,
}

/// Nothing panics while one of the locks is held, and what they guard is only added to.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'e> Store<'e> {
    /// Packs up to `budget` bytes of rows in memory, and more of them in files in the folder `scratch`.
    pub fn new(engine: &'e Engine, budget: usize, scratch: &'e Path) -> Self {
        Self {
            engine,
            scratch,
            budget,
            taken: AtomicUsize::new(0),
            taken_by_ids: AtomicUsize::new(0),
            full: AtomicBool::new(budget == 0),
            too_many_ids: AtomicBool::new(budget == 0),
            parts: Mutex::default(),
            settled: Mutex::default(),
            items: Mutex::default(),
        }
    }

    fn settle(&self, batch: RecordBatch) -> Result<()> {
        settle(&self.settled, self.engine, batch, interactions_schema)
    }

    /// The interactions and the items, once all are read.
    pub async fn finish(self) -> Result<(Rows, DataFrame)> {
        let parts = std::mem::take(&mut *lock(&self.parts));
        let engine = self.engine;
        let rows = if self.too_many_ids.load(Ordering::Relaxed) {
            let mut text = TextRows::new(|batch| self.settle(batch));
            for part in parts {
                part.unpack(|row| text.push(row))?;
            }
            Box::new(text).finish()?;
            let settled = self.settled.into_inner().unwrap_or_else(PoisonError::into_inner);
            let settled = settled.map_or_else(|| engine.settling(interactions_schema()), Ok)?;
            Rows::Settled(settled.finish(engine).await?)
        } else {
            let packed = Packed::join(parts);
            Rows::Packed(packed.ok_or_else(|| {
                Error::Usage(
                    "more ids or rows than one machine's memory can number; pass --memory-limit".to_owned(),
                )
            })?)
        };
        let items = self.items.into_inner().unwrap_or_else(PoisonError::into_inner);
        let items = items.map_or_else(|| engine.settling(items_schema()), Ok)?;
        Ok((rows, items.finish(engine).await?))
    }
}

fn settle(
    table: &Mutex<Option<Settling>>,
    engine: &Engine,
    batch: RecordBatch,
    schema: fn() -> SchemaRef,
) -> Result<()> {
    let mut table = lock(table);
    let settling = match &mut *table {
        Some(settling) => settling,
        none => none.insert(engine.settling(schema())?),
    };
    settling.push(batch)
}

impl Sink for Store<'_> {
    fn interactions(&self) -> Box<dyn RowSink + '_> {
        let part = lock(&self.parts).pop().unwrap_or_default();
        Box::new(FileRows {
            store: self,
            counted: (part.bytes(), part.id_bytes()),
            part: Some(part),
            text: TextRows::new(|batch| self.settle(batch)),
        })
    }

    fn items(&self, batch: RecordBatch) -> Result<()> {
        settle(&self.items, self.engine, batch, items_schema)
    }
}

/// Takes the interactions of one file.
struct FileRows<'s> {
    store: &'s Store<'s>,
    /// None once ids are too many.
    part: Option<Part>,
    /// Its bytes, and those of its ids, when they were last counted.
    counted: (usize, usize),
    text: TextRows<'s>,
}

impl FileRows<'_> {
    /// Counts what the part takes, and moves it where all of them take too much.
    fn look(&mut self) -> Result<()> {
        let Some(part) = &mut self.part else {
            return Ok(());
        };
        let store = self.store;
        let now = (part.bytes(), part.id_bytes());
        let count = |taken: &AtomicUsize, now: usize, before: usize| {
            // Wraps around to the right number where the part has become smaller.
            let change = now.wrapping_sub(before);
            taken.fetch_add(change, Ordering::Relaxed).wrapping_add(change)
        };
        if count(&store.taken, now.0, self.counted.0) > store.budget {
            store.full.store(true, Ordering::Relaxed);
        }
        if count(&store.taken_by_ids, now.1, self.counted.1) > store.budget {
            store.too_many_ids.store(true, Ordering::Relaxed);
        }
        self.counted = now;
        if store.full.load(Ordering::Relaxed) {
            part.spill(store.scratch)?;
            count(&store.taken, part.bytes(), self.counted.0);
            self.counted.0 = part.bytes();
        }
        if store.too_many_ids.load(Ordering::Relaxed)
            && let Some(part) = self.part.take()
        {
            part.unpack(|row| self.text.push(row))?;
        }
        Ok(())
    }
}

impl RowSink for FileRows<'_> {
    fn take(&mut self, batch: &RowBatch) -> Result<()> {
        let packed = self.part.as_mut().map_or(0, |part| part.take(batch));
        if packed < batch.len() {
            self.store.too_many_ids.store(true, Ordering::Relaxed);
        }
        self.look()?;
        batch.rows_from(packed).try_for_each(|row| self.text.push(&row))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if let Some(part) = self.part.take() {
            lock(&self.store.parts).push(part);
        }
        Box::new(self.text).finish()
    }
}
