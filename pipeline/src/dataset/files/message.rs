//! What is said of files that are not there, or there twice.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{counts, name_of};
use crate::compress;
use crate::error::Error;
use crate::magic;
use crate::storage::{self, Kind};

/// Names that are told where a file is missing.
const TOLD: usize = 5;

/// A file that is nowhere, with what may be meant.
pub(super) fn missing(path: &Path) -> Error {
    let name = name_of(path);
    if let Some(folder) = path.parent().filter(|folder| storage::url(folder).is_none()) {
        match storage::kind(folder) {
            Err(source) => return Error::io(folder, "look into", source),
            Ok(None) if !folder.as_os_str().is_empty() => {
                return not_found(folder, &format!("no such folder, in which {name} should be"));
            }
            Ok(Some(Kind::File)) => {
                let what = format!("it is a file, and not the folder in which {name} should be");
                return Error::io(
                    folder,
                    "look into",
                    io::Error::new(ErrorKind::NotADirectory, what),
                );
            }
            Ok(_) => {}
        }
    }
    let mut beside: Vec<String> = path
        .parent()
        .and_then(|folder| storage::list(folder).ok())
        .unwrap_or_default()
        .iter()
        .map(|path| name_of(path))
        .filter(|found| counts(found))
        .collect();
    beside.sort();
    let unread = beside
        .iter()
        .filter(|found| found.starts_with(&name))
        .find_map(|found| Some((found, magic::of_name(found)?)));
    let hint = match unread {
        Some((found, what)) => format!("; there is {found}, but {what}"),
        None if beside.is_empty() => String::new(),
        None => format!("; in its place there are {}", listed(&beside)),
    };
    not_found(
        path,
        &format!(
            "no such file, nor with {} added, nor in an archive beside it{hint}",
            compress::ENDINGS
        ),
    )
}

/// A few names, in words.
pub(super) fn listed(names: &[String]) -> String {
    let more = if names.len() > TOLD { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(TOLD)].join(", "))
}

/// Nobody knows which of several files is meant.
pub(super) fn several(found: &[PathBuf]) -> Error {
    let names: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
    Error::Usage(format!(
        "one file is named and {} are there: {}; remove or rename all but one, or write in the description which is meant",
        found.len(),
        names.join(", ")
    ))
}

pub(super) fn not_found(path: &Path, what: &str) -> Error {
    Error::io(path, "find", io::Error::new(ErrorKind::NotFound, what))
}
