//! Finished cells that machines share: an object store, or a folder that all see. A cell is one object, an archive of its folder, put there
//! only if nothing has its name: it is whole or not there, and of two machines that finish one cell the first has the place.
//!
//! ```text
//! s3://bucket/runs/adapters/1f….zip, rankings/a0….zip, …
//! ```

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use weaverec_output::Staged;
use weaverec_pipeline::storage;

use super::sweep::is_key;
use super::{Kept, RECORD, Store, read_record, repeated};
use crate::experiment::cell::{Cell, Kind, Record};

/// Where cells are shared.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    place: PathBuf,
}

/// What went between a store and the one that it shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// Cells that others had finished.
    pub fetched: usize,
    /// Cells that nobody else had.
    pub put: usize,
}

impl Shared {
    fn object(&self, kind: Kind, key: &str) -> PathBuf {
        self.place.join(kind.folder()).join(format!("{key}.zip"))
    }

    /// The keys of a kind's cells that are there at this moment.
    fn keys(&self, kind: Kind) -> Result<BTreeSet<String>> {
        let folder = self.place.join(kind.folder());
        let files = match storage::list(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            files => files.with_context(|| format!("cannot list {}", folder.display()))?,
        };
        let names = files.iter().filter_map(|file| file.file_name()?.to_str());
        let keys = names.filter_map(|name| name.strip_suffix(".zip"));
        Ok(keys.filter(|key| is_key(key)).map(str::to_owned).collect())
    }

    /// The folder of a cell, staged beside `to`; none where nobody has put it.
    fn fetch(&self, kind: Kind, key: &str, to: &Path) -> Result<Option<Staged>> {
        let object = self.object(kind, key);
        let archive = match storage::open_seekable(&object) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            archive => archive.with_context(|| format!("cannot read {}", object.display()))?,
        };
        let staged = Staged::beside(to)?;
        storage::unpack(archive, &object, staged.path())?;
        read_record(staged.path()).with_context(|| format!("in {}", object.display()))?;
        Ok(Some(staged))
    }

    /// Puts a finished cell there, unless somebody has; whether it did.
    fn put(&self, kind: Kind, key: &str, folder: &Path) -> Result<bool> {
        let staged = Staged::beside(folder)?;
        let archive = staged.scratch().join("cell.zip");
        storage::pack(folder, &archive)?;
        Ok(storage::put_new(&archive, &self.object(kind, key))?)
    }
}

impl Store {
    /// The same, sharing finished cells with other machines at `place`, a URL of an object store or a folder: cells that others have put
    /// there are not run again, and what is finished here is put there.
    ///
    /// # Errors
    /// A URL that cannot be used, or a place that cannot be listed.
    pub fn sharing(self, place: &Path) -> Result<Self> {
        storage::check_writable(place)?;
        let shared = Shared {
            place: place.to_owned(),
        };
        // Whether it can be reached is known before hours of work.
        shared.keys(Kind::Study)?;
        Ok(Store {
            shared: Some(shared),
            ..self
        })
    }

    /// Brings those of the cells here that others have finished, and puts those there that are finished here alone.
    ///
    /// # Errors
    /// A place that cannot be read or written; and, where both have finished a cell, other numbers than theirs.
    pub fn exchange<'a>(&self, cells: impl IntoIterator<Item = &'a Cell>) -> Result<Exchanged> {
        let mut exchanged = Exchanged::default();
        let Some(shared) = &self.shared else {
            return Ok(exchanged);
        };
        let mut there = Vec::new();
        for kind in Kind::ALL {
            there.push((kind, shared.keys(kind)?));
        }
        let is_there = |cell: &Cell| {
            there
                .iter()
                .any(|(kind, keys)| *kind == cell.kind && keys.contains(&cell.key))
        };
        for cell in cells {
            match (self.has(cell), is_there(cell)) {
                (false, true) => exchanged.fetched += usize::from(self.fetch(cell.kind, &cell.key)?),
                (true, false) => {
                    let record = read_record(&self.folder(cell))?;
                    exchanged.put += usize::from(self.offer(cell, &record)? == Kept::First);
                }
                _ => {}
            }
        }
        Ok(exchanged)
    }

    /// Brings a cell here if somebody has put it there; whether it is here now.
    pub(super) fn fetch(&self, kind: Kind, key: &str) -> Result<bool> {
        let Some(shared) = &self.shared else {
            return Ok(false);
        };
        let folder = self.place(kind, key);
        let Some(staged) = shared.fetch(kind, key, &folder)? else {
            return Ok(false);
        };
        if let Some(again) = staged.publish_new(&folder)?
            && !folder.join(RECORD).is_file()
        {
            // What lies here was never finished.
            again.publish(&folder)?;
        }
        Ok(true)
    }

    /// Puts a cell that was finished here where it is shared. Where somebody was first, theirs takes its place here too.
    pub(super) fn offer(&self, cell: &Cell, record: &Record) -> Result<Kept> {
        let Some(shared) = &self.shared else {
            return Ok(Kept::First);
        };
        let folder = self.folder(cell);
        if shared.put(cell.kind, &cell.key, &folder)? {
            return Ok(Kept::First);
        }
        let object = shared.object(cell.kind, &cell.key);
        let Some(theirs) = shared.fetch(cell.kind, &cell.key, &folder)? else {
            bail!(
                "{} was there a moment ago and is gone: nothing may be removed from a shared store while it is used",
                object.display()
            );
        };
        let note = repeated(theirs.path(), &folder, record, &object)?;
        theirs.publish(&folder)?;
        Ok(Kept::Again { note })
    }
}
