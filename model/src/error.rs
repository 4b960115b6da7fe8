//! What can go wrong in this crate.

pub(crate) mod failure;

use std::path::{Path, PathBuf};

/// The result of every fallible function here.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that names the file or key concerned and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder concerned.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A model or adapter configuration that this crate cannot use.
    #[error("{}: {message}", path.display())]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// Weights that are missing or have another shape than the configuration says.
    #[error("{}: {message}", path.display())]
    Weights {
        /// The weights file.
        path: PathBuf,
        /// The tensor concerned and what is wrong with it.
        message: String,
    },
    /// An adapter that cannot be read or does not fit its base.
    #[error("{}: {message}", path.display())]
    Adapter {
        /// The adapter's folder.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A tokenizer that cannot be read or used.
    #[error("{}: {message}", path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Adapters that cannot be merged.
    #[error("cannot merge: {0}")]
    Merge(String),
    /// Training that had to stop.
    #[error("training stopped: {0}")]
    Training(String),
    /// A request that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A tensor operation failed. Where a GPU's driver says why, its words are followed by what they mean.
    #[error("{}", failure::describe(.0))]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// Wraps an input/output error with the path it concerns.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Error::Io {
            path: path.as_ref().to_path_buf(),
            source,
        }
    }
}
