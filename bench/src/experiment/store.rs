//! The store of finished cells: a folder each, written beside its place and renamed into it, never changed afterwards.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{Array, RecordBatch, StringArray, UInt32Array};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use weaverec_output::{Staged, scratch};

use super::cell::{Cell, Record};
use crate::output::write_json;
use crate::report::input::UserScore;

const RECORD: &str = "record.json";
const USERS: &str = "users.parquet";

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

    /// The record of a finished cell, with its users' ranks.
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
            ranking.users = read_users(&folder.join(USERS))?;
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
        // What was left by a run that was killed here.
        folder.parent().into_iter().for_each(scratch::sweep);
        let staged = Staged::beside(&folder)?;
        artefacts(staged.path())?;
        if let Some(ranking) = &record.ranking {
            write_users(&staged.path().join(USERS), &ranking.users)?;
        }
        write_json(&staged.path().join(RECORD), record)?;
        // What may be there was left by a version that did not finish it; a finished cell is never run again.
        Ok(staged.publish(&folder)?)
    }
}

fn write_users(path: &Path, users: &[UserScore]) -> Result<()> {
    let batch = RecordBatch::try_from_iter([
        (
            "user_id",
            Arc::new(StringArray::from_iter_values(users.iter().map(|u| &u.user_id))) as Arc<dyn Array>,
        ),
        (
            "rank",
            Arc::new(UInt32Array::from_iter_values(users.iter().map(|u| u.rank))),
        ),
        (
            "tied",
            Arc::new(UInt32Array::from_iter_values(users.iter().map(|u| u.tied))),
        ),
    ])?;
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

fn read_users(path: &Path) -> Result<Vec<UserScore>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut users = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
        let batch = batch?;
        let broken = || {
            format!(
                "{} has other columns: delete its folder to run the cell again",
                path.display()
            )
        };
        let text = batch
            .column(0)
            .as_any()
            .downcast_ref::<StringArray>()
            .with_context(broken)?;
        let number = |i: usize| {
            batch
                .column(i)
                .as_any()
                .downcast_ref::<UInt32Array>()
                .with_context(broken)
        };
        let (rank, tied) = (number(1)?, number(2)?);
        users.extend((0..batch.num_rows()).map(|i| UserScore {
            user_id: text.value(i).to_string(),
            rank: rank.value(i),
            tied: tied.value(i),
        }));
    }
    Ok(users)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::cell::{Kind, Ranking};
    use super::*;

    fn record(cell: &Cell) -> Record {
        let users = vec![
            UserScore {
                user_id: "a".into(),
                rank: 1,
                tied: 0,
            },
            UserScore {
                user_id: "b".into(),
                rank: 7,
                tied: 2,
            },
        ];
        Record {
            kind: cell.kind,
            label: cell.label.clone(),
            key: cell.key.clone(),
            configuration: cell.configuration.clone(),
            environment: serde_json::json!({}),
            seconds: 1.5,
            peak_memory_bytes: 10,
            training: None,
            ranking: Some(Ranking {
                validation_loss: Some(2.0),
                invalid_output_rate: None,
                users,
            }),
        }
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
        assert_eq!(back.ranking.unwrap().users, record(&cell).ranking.unwrap().users);
        assert_eq!(back.seconds, 1.5);
    }
}
