//! All files of a folder.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::message::{listed, not_found, several};
use super::{called, counts, name_of};
use crate::error::{Error, Result};
use crate::raw::partition_of;
use crate::storage::{self, Kind};

/// The files in a folder by name. What engines leave beside their output (`_SUCCESS`, `.part-0.crc`) is none of them.
pub(super) fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::io(folder, "list", source);
    // With its last `/` it would not be found as a file.
    let plain: PathBuf = folder.components().collect();
    if storage::url(folder).is_none() && storage::kind(&plain).map_err(failed)? == Some(Kind::File) {
        let what = "it is a file; take the `/` off its name";
        return Err(failed(io::Error::new(ErrorKind::NotADirectory, what)));
    }
    let mut files = storage::list(folder).map_err(failed)?;
    partitioned(folder, &mut files)?;
    files.retain(|path| counts(&name_of(path)));
    if files.is_empty() {
        let folders = folders_of(folder);
        return Err(not_found(
            folder,
            &match folders.as_slice() {
                [] => "no file in this folder".to_owned(),
                [first, ..] => format!(
                    "no file in this folder, only folders ({}); name them, as `{first}/` below it",
                    listed(&folders)
                ),
            },
        ));
    }
    files.sort();
    for file in &files {
        let name = name_of(file);
        let same: Vec<PathBuf> = files
            .iter()
            .filter(|other| other.parent() == file.parent() && called(&name_of(other), &name))
            .cloned()
            .collect();
        if same.len() > 1 {
            return Err(several(&same));
        }
    }
    Ok(files)
}

/// Adds the files of the folders in this one whose names tell a column (`year=2024`), and of such folders in them.
fn partitioned(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let folders = storage::folders(folder).map_err(|source| Error::io(folder, "list", source))?;
    for folder in folders {
        let name = name_of(&folder);
        if partition_of(&name).is_some() && counts(&name) {
            files.extend(storage::list(&folder).map_err(|source| Error::io(&folder, "list", source))?);
            partitioned(&folder, files)?;
        }
    }
    Ok(())
}

/// The names of the folders in a folder on this machine.
fn folders_of(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    let mut names: Vec<String> = paths
        .map(|path| name_of(&path))
        .filter(|name| counts(name))
        .collect();
    names.sort();
    names
}
