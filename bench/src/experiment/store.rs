//! The store of finished cells: a folder each, written beside its place and renamed into it, never changed afterwards.
//!
//! ```text
//! cells/
//!   adapters/1f…/record.json, adapter/, training.jsonl
//!   recommenders/52…/record.json, recommender/, training.jsonl
//!   rankings/a0…/record.json, scores.parquet
//!   outside/7c…/record.json, scores.parquet     of other programs
//!   checkpoints/1f…/        of a training under way
//!   leases/1f…              who is at work on what
//! ```
//!
//! Several processes may work on one store. Of two that finish one cell the first has the place; the other's numbers must be the same.
//! Stores of several machines may [share](Store::sharing) what is finished.

mod read;
mod shared;
mod sweep;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use weaverec_model::train::Checkpoint;
use weaverec_output::{Answer, Holder, Lease, Leases, Staged, create_folder};

use self::read::read_record;
use self::shared::Shared;
use super::cell::{Cell, Kind, Record};
use super::repeat;
use super::scores;
use crate::output::write_json;

pub use self::shared::Exchanged;

/// What a cell came to; written last.
pub(super) const RECORD: &str = "record.json";
/// The scores of a ranking.
pub(super) const SCORES: &str = "scores.parquet";

const CHECKPOINTS: &str = "checkpoints";
const LEASES: &str = "leases";

/// A folder of run records.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    leases: Arc<Leases>,
    /// Whether leases are asked for.
    leased: bool,
    /// Where finished cells are shared with other machines.
    shared: Option<Shared>,
}

/// What came of asking to run a cell.
#[derive(Debug)]
pub enum Permit {
    /// Nobody else does as long as this value lives; without a lease, somebody might.
    Ours(Option<Lease>),
    /// There is nothing left to run.
    Finished,
    /// Another process is at work on it; in words for people.
    Held(String),
}

/// What became of a cell's results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// They are the cell's.
    First,
    /// There were some already. They agree, or `note` says why they need not.
    Again {
        /// For people.
        note: Option<String>,
    },
}

impl Store {
    /// Opens the store, making its folder where it is missing, and removes what killed runs left unfinished. Nothing of it is read: that
    /// takes a moment whatever is in it.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        create_folder(&root)?;
        let store = Store::at(root);
        store.sweep();
        Ok(store)
    }

    /// A store to be looked at: neither is its folder made, nor is anything removed from it.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Store {
            leases: Arc::new(Leases::of(root.join(LEASES))),
            root,
            leased: true,
            shared: None,
        }
    }

    /// The same without leases: whoever runs a cell asks nobody, and nobody hears of it. For file systems on which leases say nothing;
    /// several processes lose time by it, and nothing else.
    #[must_use]
    pub fn without_leases(self) -> Self {
        Store {
            leased: false,
            ..self
        }
    }

    /// Whether its folder is there.
    pub fn exists(&self) -> bool {
        self.root.is_dir()
    }

    /// Who is at work on what, as far as one look can tell.
    pub fn at_work(&self) -> Vec<Holder> {
        self.leases.holders()
    }

    /// The folder of a cell, finished or not.
    pub fn folder(&self, cell: &Cell) -> PathBuf {
        self.place(cell.kind, &cell.key)
    }

    fn place(&self, kind: Kind, key: &str) -> PathBuf {
        self.root.join(kind.folder()).join(key)
    }

    /// A folder for the state of a cell under way. Without leases it is this process' own, since another one may be at the same cell:
    /// such a training is not taken up by who comes after.
    pub fn checkpoint(&self, cell: &Cell) -> PathBuf {
        let name = match self.leased {
            true => cell.key.clone(),
            false => format!("{}-{}", cell.key, std::process::id()),
        };
        self.root.join(CHECKPOINTS).join(name)
    }

    /// Whether the cell is finished.
    pub fn has(&self, cell: &Cell) -> bool {
        self.folder(cell).join(RECORD).is_file()
    }

    /// The record of a finished cell, with its users' scores.
    ///
    /// # Errors
    /// A cell that is not finished, or a record that cannot be read: a damaged one, or one of another layout.
    pub fn load(&self, cell: &Cell) -> Result<Record> {
        self.load_by_key(cell.kind, &cell.key)
            .with_context(|| cell.label.clone())
    }

    /// The same by the cell's key.
    ///
    /// # Errors
    /// As of [`load`](Self::load).
    pub fn load_by_key(&self, kind: Kind, key: &str) -> Result<Record> {
        let folder = self.place(kind, key);
        let mut record = read_record(&folder)?;
        if let Some(ranking) = &mut record.ranking {
            ranking.cases = scores::read(&folder.join(SCORES))?;
        }
        Ok(record)
    }

    /// The record of a cell without scores; none where the cell is not finished.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn record(&self, cell: &Cell) -> Result<Option<Record>> {
        let found = self.has(cell).then(|| read_record(&self.folder(cell)));
        found.transpose().with_context(|| cell.label.clone())
    }

    /// The records of all finished cells of a kind by their keys' order, without scores.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn list(&self, kind: Kind) -> Result<Vec<Record>> {
        let folders = entries(&self.root.join(kind.folder()));
        let mut keys: Vec<PathBuf> = folders.filter(|folder| folder.join(RECORD).is_file()).collect();
        keys.sort();
        keys.iter().map(|folder| read_record(folder)).collect()
    }

    /// Asks to run a cell. That is advice: whoever runs one without, or beside another, loses time and nothing else.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub fn permit(&self, cell: &Cell) -> Result<Permit> {
        if self.has(cell) || self.fetch(cell.kind, &cell.key)? {
            return Ok(Permit::Finished);
        }
        if !self.leased {
            return Ok(Permit::Ours(None));
        }
        Ok(match self.leases.ask(&cell.key)? {
            Answer::Held(who) => Permit::Held(format!("{who} is at work on {}", cell.label)),
            // Whoever held it may have finished it between the two looks.
            Answer::Ours(_) if self.has(cell) => Permit::Finished,
            Answer::Ours(lease) => Permit::Ours(Some(lease)),
        })
    }

    /// Keeps a finished cell; its checkpoint goes. `artefacts` writes what else belongs to it into the folder it is given.
    ///
    /// # Errors
    /// Results that cannot be written; and, where the cell has some already, other numbers than theirs.
    pub fn keep(
        &self,
        cell: &Cell,
        record: &Record,
        artefacts: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Kept> {
        let folder = self.folder(cell);
        let staged = Staged::beside(&folder)?;
        artefacts(staged.path())?;
        if let Some(ranking) = &record.ranking {
            for case in &ranking.cases {
                scores::check(case)?;
            }
            scores::write(&staged.path().join(SCORES), &ranking.cases)?;
        }
        write_json(&staged.path().join(RECORD), record)?;
        let kept = match staged.publish_new(&folder)? {
            None => Kept::First,
            Some(again) if self.has(cell) => Kept::Again {
                note: repeated(&folder, again.path(), record, &folder)?,
            },
            // What lies there was never finished.
            Some(staged) => {
                staged.publish(&folder)?;
                Kept::First
            }
        };
        // Of whatever base: it is not taken up any more.
        Checkpoint::new(self.checkpoint(cell), "").remove()?;
        match kept {
            Kept::First => self.offer(cell, record),
            again => Ok(again),
        }
    }

    /// Copies the record of a finished cell to another store, and its scores, without weights. One that is there already stays.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn copy_record(&self, kind: Kind, key: &str, to: &Store) -> Result<()> {
        let (from, place) = (self.place(kind, key), to.place(kind, key));
        let staged = Staged::beside(&place)?;
        for name in [SCORES, RECORD] {
            let file = from.join(name);
            if name == RECORD || file.exists() {
                std::fs::copy(&file, staged.path().join(name))
                    .with_context(|| format!("cannot copy {} to {}", file.display(), place.display()))?;
            }
        }
        staged.publish_new(&place)?;
        Ok(())
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

/// Holds a second run of a cell beside the first, which people find at `place`; what a reader should know of a difference that nobody is to
/// blame for.
fn repeated(first: &Path, second: &Path, record: &Record, place: &Path) -> Result<Option<String>> {
    let Some(difference) = repeat::difference(first, second)? else {
        return Ok(None);
    };
    let kept = read_record(first)?.environment;
    let (one, two) = (kept.program(), record.environment.program());
    let place = place.display();
    if kept.computes_like(&record.environment) {
        bail!(
            "two runs of one cell came to different numbers: {difference}. The first, by {one}, is in {place} and stays; the second, by {two}, \
             is dropped. If the program was changed between them, NUMERICS (bench/src/experiment/numerics.rs) must be raised; if not, this \
             is a bug"
        );
    }
    Ok(Some(format!(
        "{}: computed twice, by {one} and by {two}, whose last digits differ ({difference}); the first stays, in {place}",
        record.label
    )))
}

#[cfg(test)]
mod tests;
