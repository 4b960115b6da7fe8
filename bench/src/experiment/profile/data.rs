//! Which logs.

use std::path::{Path, PathBuf};

/// Which logs an experiment is run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// What the profile fetches and generates.
    Default,
    /// Generated logs only; needs no download.
    Synthetic,
    /// Raw logs below this folder.
    Folder(PathBuf),
}

impl Data {
    /// Reads the command line's `--data`.
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            None | Some("") => Data::Default,
            Some("synthetic") => Data::Synthetic,
            Some(path) => Data::Folder(PathBuf::from(path)),
        }
    }

    /// The folder of local logs.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Data::Folder(path) => Some(path),
            _ => None,
        }
    }
}

impl std::fmt::Display for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Data::Default => f.write_str("fetched or generated logs"),
            Data::Synthetic => f.write_str("generated logs"),
            Data::Folder(path) => write!(f, "the folder {}", path.display()),
        }
    }
}
