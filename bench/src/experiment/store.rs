//! The store of finished cells: a folder each, written beside its place and renamed into it, never changed afterwards.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use weaverec_output::Staged;

use super::cell::{Cell, Record};
use super::scores;
use crate::output::write_json;

const RECORD: &str = "record.json";
const SCORES: &str = "scores.parquet";

/// A folder of run records.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store, making its folder where it is missing.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        std::fs::create_dir_all(&root)
            .with_context(|| format!("cannot make the folder {}", root.display()))?;
        Ok(Store { root })
    }

    /// The folder of a cell, finished or not.
    pub fn folder(&self, cell: &Cell) -> PathBuf {
        self.root.join(cell.kind.folder()).join(&cell.key)
    }

    /// A folder for the state of a cell under way.
    pub fn checkpoint(&self, cell: &Cell) -> PathBuf {
        self.root.join("checkpoints").join(&cell.key)
    }

    /// Whether the cell is finished.
    pub fn has(&self, cell: &Cell) -> bool {
        self.folder(cell).join(RECORD).is_file()
    }

    /// The record of a finished cell, with its users' scores.
    pub fn load(&self, cell: &Cell) -> Result<Record> {
        let folder = self.folder(cell);
        let path = folder.join(RECORD);
        let text = std::fs::read_to_string(&path).with_context(|| match path.exists() {
            true => format!("cannot read {} ({})", path.display(), cell.label),
            false => format!("{} ({}) is not there: run it first", path.display(), cell.label),
        })?;
        let mut record: Record = serde_json::from_str(&text)
            .with_context(|| format!("{}: delete its folder to run the cell again", path.display()))?;
        if let Some(ranking) = &mut record.ranking {
            ranking.cases = scores::read(&folder.join(SCORES))?;
        }
        Ok(record)
    }

    /// Keeps a finished cell. `artefacts` writes what else belongs to it into the folder it is given.
    pub fn keep(
        &self,
        cell: &Cell,
        record: &Record,
        artefacts: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let folder = self.folder(cell);
        let staged = Staged::beside(&folder)?;
        artefacts(staged.path())?;
        if let Some(ranking) = &record.ranking {
            scores::write(&staged.path().join(SCORES), &ranking.cases)?;
        }
        write_json(&staged.path().join(RECORD), record)?;
        // What may be there was left by a version that did not finish it; a finished cell is never run again.
        Ok(staged.publish(&folder)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use weaverec_model::device::Compute;

    use super::super::cell::{Kind, Ranking};
    use super::super::cost::Cost;
    use super::super::environment::Environment;
    use super::*;

    fn record(cell: &Cell) -> Record {
        let cost = Cost {
            wall_seconds: 1.5,
            ..Cost::default()
        };
        let mut record = Record::new(cell, Environment::here(1, Compute::default()), cost);
        record.ranking = Some(Ranking {
            candidate_hash: "c".into(),
            split: "leave-one-out".into(),
            order: String::new(),
            rank_seconds: 0.5,
            validation_loss: Some(2.0),
            invalid_output_rate: None,
            cases: scores::tests::some(),
        });
        record
    }

    #[test]
    fn a_kept_cell_comes_back_whole_and_a_failed_one_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("cells")).unwrap();
        let cell = Cell::new(Kind::Ranking, "drama", serde_json::json!({"x": 1}));
        assert!(store.load(&cell).is_err());
        assert!(
            store
                .keep(&cell, &record(&cell), |_| anyhow::bail!("disk full"))
                .is_err()
        );
        assert!(!store.has(&cell));
        assert_eq!(
            std::fs::read_dir(store.folder(&cell).parent().unwrap())
                .unwrap()
                .count(),
            0
        );
        store.keep(&cell, &record(&cell), |_| Ok(())).unwrap();
        assert!(store.has(&cell));
        let back = store.load(&cell).unwrap();
        assert_eq!(back.ranking.unwrap(), record(&cell).ranking.unwrap());
        assert_eq!(back.cost.wall_seconds, 1.5);
    }
}
