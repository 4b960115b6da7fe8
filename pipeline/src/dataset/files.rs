//! Where the files of a description lie.

mod archived;
mod folder;
mod message;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::compress::{self, Compression};
use crate::error::{Error, Result};
use crate::magic;
use crate::storage::{self, Kind, archive};

use archived::in_archives;
use folder::files_of;
use message::{missing, several};

/// Whether a name of a description can be looked for.
pub(super) fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("it is empty; name a file, or a folder with `/` at its end".to_owned());
    }
    if Compression::of_name(name).is_some() {
        return Err(magic::of_name(name).unwrap_or_else(|| {
            format!(
                "leave the compression ending out, {} are looked for as well",
                compress::ENDINGS
            )
        }));
    }
    if archive::named(name) {
        return Err(format!(
            "name the file in the archive, as `{name}/ratings.csv`, or that file alone: archives right in the raw folder are looked through"
        ));
    }
    Ok(())
}

/// The files of those names under `root`, folders taken apart.
pub(super) fn find_all(root: &Path, names: &[String]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in names {
        if name.ends_with('/') {
            files.extend(files_of(&root.join(name))?);
        } else {
            files.push(find(root, name)?);
        }
    }
    Ok(files)
}

/// The file `name` under `root`: plain or compressed, so called or in other capitals, or else in an archive.
fn find(root: &Path, name: &str) -> Result<PathBuf> {
    let path = root.join(name);
    if storage::url(root).is_some() && name.split('/').rev().skip(1).any(archive::named) {
        return Err(Error::Usage(format!(
            "{}: archives are read from this machine alone; download it, and name its folder with --raw",
            path.display()
        )));
    }
    let mut found = beside(&path)?;
    if found.is_empty() && storage::url(root).is_none() {
        found = in_other_capitals(&path);
        if found.is_empty() {
            found = in_archives(root, name)?;
        }
    }
    match found.as_slice() {
        [] => Err(missing(&path)),
        [one] => Ok(one.clone()),
        _ => Err(several(&found)),
    }
}

/// The endings that a file may have behind its name, none first.
fn endings() -> impl Iterator<Item = &'static str> {
    std::iter::once("").chain(Compression::ALL.into_iter().map(Compression::ending))
}

/// Files of exactly that name, plain or compressed.
fn beside(path: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folder) = (Vec::new(), false);
    for ending in endings() {
        let mut found = path.as_os_str().to_owned();
        found.push(ending);
        let found = PathBuf::from(found);
        match storage::kind(&found).map_err(|source| Error::io(&found, "look for", source))? {
            Some(Kind::File) => files.push(found),
            Some(Kind::Folder) => folder |= ending.is_empty(),
            None => {}
        }
    }
    if files.is_empty() && folder {
        return Err(Error::io(path, "read", ErrorKind::IsADirectory.into()));
    }
    Ok(files)
}

/// Files of that name if capitals do not matter.
fn in_other_capitals(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    // What cannot be listed has no such file either; what is said then is that it is missing.
    let mut files = storage::list(folder).unwrap_or_default();
    files.retain(|file| {
        file.file_name()
            .and_then(|found| found.to_str())
            .is_some_and(|found| called(found, name))
    });
    files.sort();
    files
}

/// Whether a file of the name `found` is the one called `name`, compressed or not.
fn called(found: &str, name: &str) -> bool {
    let plain = Compression::of_name(found).map_or(found, |(_, plain)| plain);
    found.eq_ignore_ascii_case(name) || plain.eq_ignore_ascii_case(name)
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Whether a file or a folder of that name is meant where all of a folder are.
fn counts(name: &str) -> bool {
    !name.starts_with(['.', '_'])
}
