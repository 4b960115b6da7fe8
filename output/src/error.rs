//! What can go wrong when a result is put in its place.

use std::io;
use std::path::{Path, PathBuf};

/// The result of every fallible function here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A file operation that failed, or one that is not done because something would be lost.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or folder concerned.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Something is there, or somebody is at work there.
    #[error("{}: {message}", path.display())]
    Refused {
        /// Where.
        path: PathBuf,
        /// What is there, and what to do.
        message: String,
    },
}

impl Error {
    pub(crate) fn io(path: impl AsRef<Path>, action: &'static str, source: io::Error) -> Self {
        Error::Io {
            path: path.as_ref().to_owned(),
            action,
            source,
        }
    }

    pub(crate) fn refused(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Error::Refused {
            path: path.as_ref().to_owned(),
            message: message.into(),
        }
    }
}
