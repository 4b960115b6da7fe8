//! The store of finished cells: a folder each, written beside its place and renamed into it, never changed afterwards.
//!
//! ```text
//! cells/
//!   adapters/1f…/record.json, adapter/, training.jsonl
//!   rankings/a0…/record.json, scores.parquet
//!   outside/7c…/record.json, scores.parquet     of other programs
//!   checkpoints/1f…/        of a training under way
//!   leases/1f…              who is at work on what
//! ```
//!
//! Several processes may work on one store. Of two that finish one cell the first has the place; the other's numbers must be the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use weaverec_model::train::Checkpoint;
use weaverec_output::{Answer, Lease, Leases, Staged, create_folder, scratch};

use super::cell::{Cell, Kind, Record, SCHEMA};
use super::repeat;
use super::scores;
use crate::output::write_json;

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
}

/// What came of asking to run a cell.
#[derive(Debug)]
pub enum Permit {
    /// Nobody else does as long as this value lives.
    Ours(Lease),
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
        let leases = Arc::new(Leases::of(root.join(LEASES)));
        let store = Store { root, leases };
        store.leases.sweep();
        Kind::ALL.into_iter().for_each(|kind| store.sweep(kind));
        store.sweep_checkpoints();
        Ok(store)
    }

    /// Removes the checkpoints of finished cells: whoever finished one may have been killed before its checkpoint went.
    fn sweep_checkpoints(&self) {
        let folders = std::fs::read_dir(self.root.join(CHECKPOINTS));
        for folder in folders.into_iter().flatten().flatten() {
            let name = folder.file_name();
            let finished = |kind: &Kind| self.root.join(kind.folder()).join(&name).join(RECORD).is_file();
            if Kind::ALL.iter().any(finished) {
                // One that cannot be removed is in nobody's way.
                let _ = Checkpoint::new(folder.path(), "").remove();
            }
        }
    }

    /// The folder of a cell, finished or not.
    pub fn folder(&self, cell: &Cell) -> PathBuf {
        self.place(cell.kind, &cell.key)
    }

    fn place(&self, kind: Kind, key: &str) -> PathBuf {
        self.root.join(kind.folder()).join(key)
    }

    /// A folder for the state of a cell under way.
    pub fn checkpoint(&self, cell: &Cell) -> PathBuf {
        self.root.join(CHECKPOINTS).join(&cell.key)
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
        if self.has(cell) {
            return Ok(Permit::Finished);
        }
        Ok(match self.leases.ask(&cell.key)? {
            Answer::Held(who) => Permit::Held(format!("{who} is at work on {}", cell.label)),
            // Whoever held it may have finished it between the two looks.
            Answer::Ours(_) if self.has(cell) => Permit::Finished,
            Answer::Ours(lease) => Permit::Ours(lease),
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
                note: repeated(&folder, again.path(), record)?,
            },
            // What lies there was never finished.
            Some(staged) => {
                staged.publish(&folder)?;
                Kept::First
            }
        };
        // Of whatever base: it is not taken up any more.
        Checkpoint::new(self.checkpoint(cell), "").remove()?;
        Ok(kept)
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

    /// Removes what killed runs left in a kind's folder: what was being written, and what is no finished cell and nobody is at work on.
    fn sweep(&self, kind: Kind) {
        let place = self.root.join(kind.folder());
        if !place.is_dir() {
            return;
        }
        scratch::sweep(&place);
        for folder in entries(&place) {
            let Some(key) = folder
                .file_name()
                .and_then(|name| name.to_str())
                .filter(|name| is_key(name))
            else {
                continue;
            };
            if !folder.join(RECORD).exists() && !self.leases.is_held(key) {
                // What cannot be removed is replaced when the cell is finished.
                let _ = std::fs::remove_dir_all(&folder);
            }
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

fn is_key(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a record of whatever layout says of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    schema: Option<u32>,
    environment: serde_json::Value,
}

fn read_record(folder: &Path) -> Result<Record> {
    let path = folder.join(RECORD);
    let text = std::fs::read(&path).with_context(|| match path.exists() {
        true => format!("cannot read {}", path.display()),
        false => format!("{} is not there: run it first", path.display()),
    })?;
    let parsed: serde_json::Result<Record> = serde_json::from_slice(&text);
    match parsed {
        Ok(record) if record.schema == SCHEMA => Ok(record),
        parsed => {
            let head: Head = serde_json::from_slice(&text).unwrap_or_default();
            let schema = head.schema.unwrap_or(1);
            if let (true, Err(error)) = (schema == SCHEMA || head.environment.is_null(), parsed) {
                return Err(anyhow!(error)).with_context(|| {
                    format!(
                        "{} is damaged: delete its folder to run the cell again",
                        path.display()
                    )
                });
            }
            let said = |key: &str| head.environment[key].as_str().unwrap_or("unknown").to_string();
            let version = match head.schema {
                // The first layout had other keys.
                None => format!("{} (revision {})", said("weaverec"), said("git_revision")),
                Some(_) => format!("{} (revision {})", said("version"), said("revision")),
            };
            bail!(
                "{} was written by weaverec {version} in layout {schema}, and this program reads layout {SCHEMA}: read it with that \
                 version, or move its folder away to run the cell again",
                path.display()
            )
        }
    }
}

/// Holds a second run of a cell beside the first; what a reader should know of a difference that nobody is to blame for.
fn repeated(first: &Path, second: &Path, record: &Record) -> Result<Option<String>> {
    let Some(difference) = repeat::difference(first, second)? else {
        return Ok(None);
    };
    let kept = read_record(first)?.environment;
    let (one, two) = (kept.program(), record.environment.program());
    let place = first.display();
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
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::{Duration, Instant};

    use weaverec_model::device::Compute;

    use super::super::cell::Ranking;
    use super::super::cost::Cost;
    use super::super::environment::Environment;
    use super::*;

    fn ranking() -> Cell {
        Cell::new(Kind::Ranking, "drama", serde_json::json!({"x": 1}))
    }

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
            selection_loss: None,
            recall: None,
            validation_loss: Some(2.0),
            invalid_output_rate: None,
            cases: scores::tests::some(),
        });
        record
    }

    #[test]
    fn checkpoints_of_finished_cells_go_when_a_store_is_opened_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("cells");
        let store = Store::open(&root).unwrap();
        let (done, under_way) = (ranking(), Cell::new(Kind::Adapter, "b", serde_json::json!("b")));
        store.keep(&done, &record(&done), |_| Ok(())).unwrap();
        for cell in [&done, &under_way] {
            std::fs::create_dir_all(store.checkpoint(cell)).unwrap();
        }
        std::fs::write(store.checkpoint(&under_way).join("other"), "x").unwrap();
        Store::open(&root).unwrap();
        assert!(!store.checkpoint(&done).exists() && store.checkpoint(&under_way).exists());
    }

    #[test]
    fn a_kept_cell_comes_back_whole_and_a_failed_one_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("cells")).unwrap();
        let cell = ranking();
        let missing = format!("{:#}", store.load(&cell).unwrap_err());
        assert!(
            missing.contains("drama") && missing.contains("run it first"),
            "{missing}"
        );
        let mut whole = record(&cell);
        assert!(store.keep(&cell, &whole, |_| bail!("disk full")).is_err());
        assert!(!store.has(&cell));
        assert_eq!(entries(&folder.path().join("cells/rankings")).count(), 0);
        assert_eq!(store.keep(&cell, &whole, |_| Ok(())).unwrap(), Kept::First);
        assert!(store.has(&cell));
        let back = store.load(&cell).unwrap();
        assert_eq!(back.ranking, whole.ranking);
        assert_eq!(
            (back.cost, back.environment),
            (whole.cost, whole.environment.clone())
        );
        let listed = store.list(Kind::Ranking).unwrap();
        assert_eq!((listed.len(), listed[0].key.as_str()), (1, cell.key.as_str()));
        assert!(listed[0].ranking.as_ref().unwrap().cases.is_empty());
        assert!(store.list(Kind::Adapter).unwrap().is_empty());

        // A ranking that is not whole is not kept.
        let other = Cell::new(Kind::Ranking, "other", serde_json::json!({"x": 2}));
        whole.ranking.as_mut().unwrap().cases[0].target = 9;
        let error = store.keep(&other, &whole, |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("user a"), "{error}");
    }

    #[test]
    fn of_two_that_finish_a_cell_the_first_stays_and_the_second_must_agree() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = [0, 1].map(|_| Store::open(folder.path()).unwrap());
        let cell = ranking();
        let first = record(&cell);
        one.keep(&cell, &first, |_| Ok(())).unwrap();
        let mut second = record(&cell);
        second.cost.wall_seconds = 9.0;
        second.environment.threads = 7;
        assert_eq!(
            two.keep(&cell, &second, |_| Ok(())).unwrap(),
            Kept::Again { note: None }
        );
        assert_eq!(one.load(&cell).unwrap().cost, first.cost);

        second.ranking.as_mut().unwrap().validation_loss = Some(2.5);
        second.environment.revision = "another".into();
        let error = two.keep(&cell, &second, |_| Ok(())).unwrap_err().to_string();
        for word in [
            "ranking.validation_loss is 2.0 and 2.5",
            "(another",
            "NUMERICS",
            &cell.key,
        ] {
            assert!(error.contains(word), "{error}");
        }
        // Another kind of processor is allowed other last digits.
        second.environment.cpu = "another".into();
        match two.keep(&cell, &second, |_| Ok(())).unwrap() {
            Kept::Again { note: Some(note) } => assert!(note.contains("last digits"), "{note}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(one.load(&cell).unwrap().ranking, first.ranking);
        assert_eq!(entries(&folder.path().join("rankings")).count(), 1);
    }

    #[test]
    fn a_cell_is_run_by_one_at_a_time_and_by_nobody_once_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = [0, 1].map(|_| Store::open(folder.path()).unwrap());
        let cell = ranking();
        let Permit::Ours(lease) = one.permit(&cell).unwrap() else {
            panic!("it is free")
        };
        assert!(matches!(two.permit(&cell).unwrap(), Permit::Held(who) if who.contains("drama")));
        one.keep(&cell, &record(&cell), |_| Ok(())).unwrap();
        drop(lease);
        assert!(matches!(two.permit(&cell).unwrap(), Permit::Finished));
    }

    #[test]
    fn what_killed_runs_left_goes_when_a_store_is_opened_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (cell, held) = (
            ranking(),
            Cell::new(Kind::Ranking, "held", serde_json::json!({"x": 2})),
        );
        store.keep(&cell, &record(&cell), |_| Ok(())).unwrap();
        let rankings = folder.path().join("rankings");
        let lease = store.permit(&held).unwrap();
        let names = [
            "0123456789abcdef",
            ".weaverec-staging-a1B2c3",
            "notes",
            held.key.as_str(),
        ];
        for name in names {
            std::fs::create_dir_all(rankings.join(name)).unwrap();
            std::fs::write(rankings.join(name).join("half"), "").unwrap();
        }
        Store::open(folder.path()).unwrap();
        let left = names.map(|name| rankings.join(name).exists());
        assert_eq!(left, [false, false, true, true]);
        assert!(store.has(&cell));
        // What was never finished is no cell, and gives way to one.
        assert_eq!(
            store.keep(&held, &record(&held), |_| Ok(())).unwrap(),
            Kept::First
        );
        assert!(store.has(&held) && !rankings.join(&held.key).join("half").exists());
        drop(lease);
    }

    #[test]
    fn records_of_another_layout_are_refused_with_the_version_that_wrote_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let place = folder.path().join("rankings/0123456789abcdef");
        std::fs::create_dir_all(&place).unwrap();
        let said = |text: &str| {
            std::fs::write(place.join(RECORD), text).unwrap();
            format!("{:#}", store.list(Kind::Ranking).unwrap_err())
        };
        let old = said(
            r#"{"kind": "ranking", "label": "x", "key": "0123456789abcdef", "configuration": {},
            "environment": {"weaverec": "0.0.7", "git_revision": "c0ffee"}, "seconds": 1.0, "peak_memory_bytes": 1}"#,
        );
        for word in ["0.0.7", "c0ffee", "layout 1", "layout 3"] {
            assert!(old.contains(word), "{old}");
        }
        let new = said(r#"{"schema": 9, "environment": {"version": "7.1", "revision": "beef"}}"#);
        assert!(new.contains("7.1 (revision beef) in layout 9"), "{new}");
        let broken = said("{\"schema\": 3, ");
        assert!(
            broken.contains("damaged") && broken.contains("0123456789abcdef"),
            "{broken}"
        );
    }

    #[test]
    fn a_record_is_copied_without_weights() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| Store::open(folder.path().join(name)).unwrap());
        let cell = ranking();
        let weights = |at: &Path| Ok(std::fs::write(at.join("weights"), "heavy")?);
        from.keep(&cell, &record(&cell), weights).unwrap();
        for _ in 0..2 {
            from.copy_record(cell.kind, &cell.key, &to).unwrap();
        }
        assert_eq!(to.load(&cell).unwrap().ranking, record(&cell).ranking);
        assert!(from.folder(&cell).join("weights").exists() && !to.folder(&cell).join("weights").exists());
        assert!(from.copy_record(Kind::Adapter, &cell.key, &to).is_err());
    }

    #[test]
    fn ten_thousand_finished_cells_are_found_in_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let cells: Vec<Cell> = (0..10_000)
            .map(|i| Cell::new(Kind::Ranking, "x", serde_json::json!({ "x": i })))
            .collect();
        for cell in &cells {
            let place = store.folder(cell);
            std::fs::create_dir_all(&place).unwrap();
            // What is not read cannot be damaged.
            std::fs::write(place.join(RECORD), "").unwrap();
        }
        let begin = Instant::now();
        let opened = Store::open(folder.path()).unwrap();
        assert!(cells.iter().all(|cell| opened.has(cell)));
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    }
}
