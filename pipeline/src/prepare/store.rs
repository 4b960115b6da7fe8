//! Where rows go as raw files are read: packed in memory while they fit, and else into settled tables.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::prelude::DataFrame;

use crate::engine::{Engine, Settling};
use crate::error::Result;
use crate::packed::{Interaction, Packed, Part};
use crate::raw::{RowSink, Sink, TextRows, interactions_schema, items_schema};

/// Rows between two looks at how much memory there is left.
const LOOK: usize = 4096;

/// The interactions of a data set, each with a place for its line.
pub enum Rows {
    /// In memory.
    Packed(Packed),
    /// As texts, in a settled table.
    Settled(DataFrame),
}

/// Takes what readers find.
pub struct Store<'e> {
    engine: &'e Engine,
    /// Bytes that packed rows may take.
    budget: usize,
    taken: AtomicUsize,
    full: AtomicBool,
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
    /// Packs up to `budget` bytes of rows.
    pub fn new(engine: &'e Engine, budget: usize) -> Self {
        Self {
            engine,
            budget,
            taken: AtomicUsize::new(0),
            full: AtomicBool::new(budget == 0),
            parts: Mutex::default(),
            settled: Mutex::default(),
            items: Mutex::default(),
        }
    }

    fn settle(&self, batch: RecordBatch) -> Result<()> {
        settle(&self.settled, self.engine, batch, interactions_schema)
    }

    fn unpack(&self, part: Part, text: &mut TextRows<'_>) -> Result<()> {
        self.taken.fetch_sub(part.bytes(), Ordering::Relaxed);
        part.unpack(|row| text.push(row))
    }

    /// The interactions and the items, once all are read.
    pub async fn finish(self) -> Result<(Rows, DataFrame)> {
        let mut parts = std::mem::take(&mut *lock(&self.parts));
        let full = self.full.load(Ordering::Relaxed);
        let packed = match full {
            true => None,
            false => match Packed::join(parts) {
                Ok(packed) => {
                    parts = Vec::new();
                    Some(packed)
                }
                Err(too_many) => {
                    parts = too_many;
                    None
                }
            },
        };
        let engine = self.engine;
        let rows = match packed {
            Some(packed) => Rows::Packed(packed),
            None => {
                let mut text = TextRows::new(|batch| self.settle(batch));
                for part in parts {
                    self.unpack(part, &mut text)?;
                }
                Box::new(text).finish()?;
                let settled = self.settled.into_inner().unwrap_or_else(PoisonError::into_inner);
                let settled = settled.map_or_else(|| engine.settling(interactions_schema()), Ok)?;
                Rows::Settled(settled.finish(engine).await?)
            }
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
            counted: part.bytes(),
            part: Some(part),
            text: TextRows::new(|batch| self.settle(batch)),
            since: 0,
        })
    }

    fn items(&self, batch: RecordBatch) -> Result<()> {
        settle(&self.items, self.engine, batch, items_schema)
    }
}

/// Takes the interactions of one file.
struct FileRows<'s> {
    store: &'s Store<'s>,
    /// None once memory is full.
    part: Option<Part>,
    /// Its bytes when they were last counted.
    counted: usize,
    text: TextRows<'s>,
    since: usize,
}

impl FileRows<'_> {
    /// Counts what the part takes, and gives it up where all of them take too much.
    fn look(&mut self) -> Result<()> {
        let Some(part) = &self.part else {
            return Ok(());
        };
        let bytes = part.bytes();
        let grown = bytes - self.counted;
        let taken = self.store.taken.fetch_add(grown, Ordering::Relaxed) + grown;
        self.counted = bytes;
        if taken > self.store.budget {
            self.store.full.store(true, Ordering::Relaxed);
        }
        self.give_up_if_full()
    }

    fn give_up_if_full(&mut self) -> Result<()> {
        if !self.store.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.part.take() {
            Some(part) => self.store.unpack(part, &mut self.text),
            None => Ok(()),
        }
    }
}

impl RowSink for FileRows<'_> {
    fn push(&mut self, found: &Interaction<'_>) -> Result<()> {
        self.since += 1;
        if self.since == LOOK {
            self.since = 0;
            self.look()?;
        }
        if let Some(part) = &mut self.part {
            if part.push(found) {
                return Ok(());
            }
            self.store.full.store(true, Ordering::Relaxed);
            self.look()?;
        }
        self.text.push(found)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.look()?;
        if let Some(part) = self.part.take() {
            lock(&self.store.parts).push(part);
        }
        Box::new(self.text).finish()
    }
}
