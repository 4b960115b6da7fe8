//! Where the cells of a study are run, and where what they leave is found.

use std::path::{Path, PathBuf};

use anyhow::Result;
use weaverec_model::device::Compute;

use super::cell::Cell;
use super::environment::Environment;
use super::schedule::{self, Schedule};
use super::store::Store;
use crate::output::{CELLS, RECOMMENDER};

/// An adapter's folder in that of its cell.
pub(super) const ADAPTER: &str = "adapter";

/// Where work is done and with how many threads.
pub struct Workshop {
    /// Folder of prepared domains and generated logs.
    pub work: PathBuf,
    /// Finished cells.
    pub store: Store,
    /// Threads in all.
    pub threads: usize,
    /// Cells at a time.
    pub jobs: usize,
    /// What models compute with.
    pub compute: Compute,
    /// What goes into records about the machine.
    pub environment: Environment,
}

impl Workshop {
    /// A workshop in the folder `work`.
    pub fn open(work: &Path, threads: usize, jobs: Option<usize>, compute: Compute) -> Result<Self> {
        let store = Store::open(work.join(CELLS))?;
        Ok(Self::with_store(work, store, threads, jobs, compute))
    }

    /// A workshop over a store.
    pub fn with_store(
        work: &Path,
        store: Store,
        threads: usize,
        jobs: Option<usize>,
        compute: Compute,
    ) -> Self {
        Workshop {
            jobs: schedule::jobs(compute.device, threads, jobs),
            work: work.to_path_buf(),
            store,
            threads,
            compute,
            environment: Environment::here(threads, compute),
        }
    }

    /// How cells are run.
    pub fn schedule(&self) -> Schedule<'_> {
        Schedule {
            store: &self.store,
            environment: &self.environment,
            threads: self.threads,
            jobs: self.jobs,
        }
    }

    /// The folder of an adapter that was trained here; none where only its record is at hand.
    pub fn adapter(&self, cell: &Cell) -> Option<PathBuf> {
        let folder = self.store.folder(cell).join(ADAPTER);
        (self.store.has(cell) && folder.is_dir()).then_some(folder)
    }

    /// The folder of a recommender that was fitted here; none where only its record is at hand.
    pub fn recommender(&self, cell: &Cell) -> Option<PathBuf> {
        stored(&self.store, cell)
    }
}

/// The folder of a recommender that was fitted into a store; none where only its record is at hand.
pub fn stored(store: &Store, cell: &Cell) -> Option<PathBuf> {
    let folder = store.folder(cell).join(RECOMMENDER);
    (store.has(cell) && folder.is_dir()).then_some(folder)
}
