//! Where finished cells are looked for: the store of this machine's run, and the records that other runs have left beside the report.

use std::cell::OnceCell;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::cell::{Cell, Record};
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
