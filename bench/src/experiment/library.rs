//! Where finished cells are looked for: the store of this machine's run, and the records that other runs have left beside the report.

use std::cell::OnceCell;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::cell::{Cell, Kind, Record};
use super::store::Store;

/// What is finished, and where.
#[derive(Clone, Debug)]
pub struct Library {
    /// Cells that were run here, with their weights.
    pub own: Store,
    /// Folder of records without weights, of this and of other machines; what is finished here is copied there.
    folder: Option<PathBuf>,
    /// The store in it, once there is one.
    exported: OnceCell<Store>,
}

impl Library {
    /// The store of a run, and the folder where records are left and found.
    ///
    /// # Errors
    /// A folder that cannot be opened.
    pub fn new(own: Store, folder: Option<PathBuf>) -> Result<Self> {
        let exported = OnceCell::new();
        if let Some(folder) = folder.as_ref().filter(|folder| folder.is_dir()) {
            let _ = exported.set(Store::open(folder)?);
        }
        Ok(Library {
            own,
            folder,
            exported,
        })
    }

    /// Whether there is a record of the cell.
    pub fn has(&self, cell: &Cell) -> bool {
        self.own.has(cell) || self.exported.get().is_some_and(|records| records.has(cell))
    }

    /// The record of a cell: the exported one where there is one, so that a report made here is the one that is made of the exported
    /// records alone.
    ///
    /// # Errors
    /// A cell that is not finished, or whose record cannot be read.
    pub fn load(&self, cell: &Cell) -> Result<Record> {
        match self.exported.get() {
            Some(records) if records.has(cell) => records.load(cell),
            _ => self.own.load(cell),
        }
    }

    /// The records of studies, of the exported ones where there are any: a study is exported when a unit of it is finished.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn studies(&self) -> Result<Vec<Record>> {
        self.exported.get().unwrap_or(&self.own).list(Kind::Study)
    }

    /// The records of a kind, of this run and exported ones, each once and without scores, by their keys' order.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn list(&self, kind: Kind) -> Result<Vec<Record>> {
        let mut found = std::collections::BTreeMap::new();
        for store in std::iter::once(&self.own).chain(self.exported.get()) {
            let records = store.list(kind)?.into_iter();
            found.extend(records.map(|record| (record.key.clone(), record)));
        }
        Ok(found.into_values().collect())
    }

    /// A record that was [listed](Self::list), with its scores: the exported one where there is one.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn load_listed(&self, record: &Record) -> Result<Record> {
        let exported = self
            .exported
            .get()
            .map(|records| records.load_by_key(record.kind, &record.key));
        match exported {
            Some(Ok(record)) => Ok(record),
            _ => self.own.load_by_key(record.kind, &record.key),
        }
    }

    /// Copies the records of these cells to the exported ones, those that were run here and are not there yet.
    ///
    /// # Errors
    /// A record that cannot be read or written.
    pub fn export<'a>(&self, cells: impl IntoIterator<Item = &'a Cell>) -> Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        if self.exported.get().is_none() {
            let _ = self.exported.set(Store::open(folder)?);
        }
        let Some(records) = self.exported.get() else {
            return Ok(());
        };
        for cell in cells {
            if self.own.has(cell) && !records.has(cell) {
                self.own
                    .copy_record(cell.kind, &cell.key, records)
                    .with_context(|| format!("cannot export the record of {}", cell.label))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use weaverec_model::device::Compute;

    use super::super::cost::Cost;
    use super::super::environment::Environment;
    use super::*;

    #[test]
    fn a_record_is_exported_once_without_weights_and_found_where_it_was_exported_to() {
        let folder = tempfile::tempdir().unwrap();
        let (own, records) = (folder.path().join("cells"), folder.path().join("out/records"));
        let library = || Library::new(Store::open(&own).unwrap(), Some(records.clone())).unwrap();
        let cell = |name: &str| Cell::new(Kind::Adapter, name, serde_json::json!(name));
        let keep = |cell: &Cell, seconds| {
            let cost = Cost {
                wall_seconds: seconds,
                ..Cost::default()
            };
            let record = Record::new(cell, Environment::here(1, Compute::default()), cost);
            library()
                .own
                .keep(cell, &record, |folder| {
                    Ok(std::fs::write(folder.join("weights"), "w")?)
                })
                .unwrap();
        };
        let (one, other) = (cell("one"), cell("other"));
        assert!(!library().has(&one) && library().load(&one).is_err());
        library().export([&one]).unwrap();
        keep(&one, 1.0);
        assert!(library().has(&one));
        assert_eq!(library().load(&one).unwrap().cost.wall_seconds, 1.0);
        library().export([&one, &other]).unwrap();
        let exported = records.join("adapters").join(&one.key);
        let names: Vec<_> = std::fs::read_dir(&exported)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["record.json"]);
        // Here it is gone; there it stays what it was, though another machine makes it again.
        std::fs::remove_dir_all(&own).unwrap();
        assert!(library().has(&one) && !library().own.has(&one));
        keep(&one, 2.0);
        library().export([&one]).unwrap();
        assert_eq!(library().load(&one).unwrap().cost.wall_seconds, 1.0);
        assert!(!library().has(&other));
    }
}
