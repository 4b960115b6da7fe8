//! Waiting until what was written lies on the disk, so that a loss of power takes nothing of it.

use std::fs::{File, OpenOptions};
use std::path::Path;

use crate::error::{Error, Result};

/// Waits until the content of a file is on the disk.
///
/// # Errors
/// [`Error::Io`] that names it, a full disk found out late among them.
pub fn sync_file(path: &Path) -> Result<()> {
    // Windows wants the right to write for it.
    let file = OpenOptions::new().read(true).write(cfg!(windows)).open(path);
    file.and_then(|file| file.sync_all())
        .map_err(|source| Error::io(path, "write", source))
}

/// Waits until the names in a folder are on the disk.
///
/// Systems other than Unix do that by themselves; some network file systems cannot be asked to, and are believed to.
///
/// # Errors
/// [`Error::Io`] that names the folder.
pub fn sync_folder(folder: &Path) -> Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    use std::io::ErrorKind::{InvalidInput, Unsupported};
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(source) if !matches!(source.kind(), InvalidInput | Unsupported) => {
            Err(Error::io(folder, "write", source))
        }
        _ => Ok(()),
    }
}

/// Waits until a folder is on the disk with everything below it.
///
/// # Errors
/// [`Error::Io`] that names the file.
pub fn sync_tree(folder: &Path) -> Result<()> {
    let failed = |source| Error::io(folder, "read", source);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            sync_file(&entry.path())?;
        }
    }
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tree_is_gone_through_to_its_files() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::fs::write(root.path().join("a/b/file"), "x").unwrap();
        sync_tree(root.path()).unwrap();
        let missing = root.path().join("missing");
        let error = sync_file(&missing).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
        assert!(sync_tree(&missing).is_err());
    }
}
