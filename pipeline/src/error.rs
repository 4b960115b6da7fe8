//! What can go wrong in the pipeline, and what to do about it.
//!
//! Every message names the file (and the offset, line or key where there is one); a bad *line* of a log is no error but a
//! [`crate::raw::Reject`]. Whatever a message quotes is cut, and nothing in it is obeyed by a terminal (`quote`).

use std::io;
use std::path::{Path, PathBuf};

use datafusion::error::DataFusionError;

use crate::quote;

/// A result whose error is the pipeline's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of the pipeline.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    /// The operating system refused a file operation (missing file, no permission, full disk).
    #[error("cannot {action} {}: {}{}", quote::path(path), quote::message(&source.to_string()), hint(action, source))]
    Io {
        /// The file or folder concerned.
        path: PathBuf,
        /// What was tried, as a verb: `read`, `write`, `create`, `rename`.
        action: &'static str,
        /// What the operating system answered.
        source: io::Error,
    },

    /// A data-set description or another configuration file is wrong.
    #[error("{}: {}", quote::plain(file), quote::message(message))]
    Description {
        /// The file, or the name of the built-in description.
        file: String,
        /// The key or line, what is wrong with it and what is allowed.
        message: String,
    },

    /// A raw file that cannot be read on: damaged compression, a missing column.
    #[error(
        "{}: unreadable at byte {offset}: {}",
        quote::path(path),
        quote::message(message)
    )]
    Format {
        /// The raw file.
        path: PathBuf,
        /// Where reading stopped: bytes of the decompressed stream that could be read.
        offset: u64,
        /// What is wrong, and what to do.
        message: String,
    },

    /// More lines were rejected than the stated share allows.
    #[error(
        "{rejected} of {total} lines were rejected ({:.2} %, at most {:.2} % allowed): {breakdown}; \
         mend the files, or allow more with --max-reject-share, and `weaverec inspect` shows every one of them",
        share * 100.0, limit * 100.0, breakdown = quote::plain(breakdown)
    )]
    TooManyRejects {
        /// Lines rejected.
        rejected: u64,
        /// Lines read.
        total: u64,
        /// `rejected / total`.
        share: f64,
        /// The share allowed.
        limit: f64,
        /// Counts by file and reason.
        breakdown: String,
    },

    /// The item files are about other items than the interactions, or write their ids in another way.
    #[error(
        "only {described} of the {named} items that the interactions name are in the item files; {hint}; write ids alike on both \
         sides, or go on without titles with --allow-missing-items"
    )]
    ItemsApart {
        /// Items of the interactions that are in the item files.
        described: u64,
        /// Items of the interactions.
        named: u64,
        /// An id from each side, and in what they differ where that is seen.
        hint: String,
    },

    /// The request itself makes no sense: an unknown name, contradictory options, a domain without users.
    #[error("{}", quote::plain(_0))]
    Usage(String),

    /// A prepared folder that is missing something or was written by another version.
    #[error("{}: {}", quote::path(path), quote::message(message))]
    Prepared {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },

    /// Something is where a result was to be written, or somebody is at work there.
    #[error("{}: {message}", path.display())]
    Output {
        /// Where.
        path: PathBuf,
        /// What is there, and what to do.
        message: String,
    },

    /// Something that must never be in prepared data was found there.
    #[error("leak audit failed: {0}")]
    Leak(String),

    /// A data set or package could not be fetched.
    #[error("cannot fetch {what}: {message}")]
    Fetch {
        /// The package, URL or data set.
        what: String,
        /// Why not, and what to do.
        message: String,
    },

    /// A cluster cannot be reached, or has nobody to work.
    #[error("cluster {address}: {message}")]
    Cluster {
        /// Its scheduler, or the process concerned.
        address: String,
        /// What is wrong, and what to do.
        message: String,
    },

    /// Synthetic logs could not be generated.
    #[error("cannot generate synthetic logs: {0}")]
    Synth(String),

    /// A plan needs more memory than its limit leaves, even though it spills.
    #[error("the memory limit is too small for a stage: {0}; raise --memory-limit, or lower --threads")]
    Memory(#[source] Box<DataFusionError>),

    /// A query of the user's that cannot be planned or run.
    #[error("the query cannot be answered: {0}")]
    Query(#[source] Box<DataFusionError>),

    /// A stage failed inside DataFusion.
    #[error("a pipeline stage failed: {0}")]
    DataFusion(#[source] Box<DataFusionError>),

    /// Arrow refused to build or cast a batch.
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),

    /// A Parquet file could not be read or written.
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
}

impl Error {
    /// An [`Error::Io`] for `path`; `action` is a verb such as `read`.
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: io::Error) -> Self {
        Error::Io {
            path: path.as_ref().to_path_buf(),
            action,
            source,
        }
    }

    /// `what` needs an optional part of the program that this one was built without.
    pub fn without_feature(what: &str, feature: &str) -> Self {
        Error::Usage(format!(
            "{what} needs a program built with the feature `{feature}`; build it with \
             `cargo build --locked --workspace --bins --features {feature}`"
        ))
    }

    /// An error met while writing `path`: an operating-system failure hidden inside another library's error (a full disk
    /// inside a Parquet error, say) becomes an [`Error::Io`] that names the file; anything else stays what it is.
    pub fn writing<E>(path: impl AsRef<Path>, error: E) -> Self
    where
        E: std::error::Error + 'static,
        Error: From<E>,
    {
        if let Some(found) = io_cause(&error) {
            let copy = match found.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(found.kind(), found.to_string()),
            };
            return Error::io(path, "write", copy);
        }
        Error::from(error)
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Error::Memory(Box::new(error)),
            _ => Error::DataFusion(Box::new(error)),
        }
    }
}

/// The first operating-system error in the chain of causes.
fn io_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        current = error.source();
    }
    None
}

/// What to do next about an operating-system error, where that is known.
fn hint(action: &str, source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists
            if !READING.contains(&action) =>
        {
            "; something else has this name: choose another, or move it away"
        }
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a folder you may use, or change its permissions"
        }
        io::ErrorKind::IsADirectory => {
            "; name a file, or end the name with `/` to read the files in a folder"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space or write to another disk, then run again"
        }
        _ => "",
    }
}

/// What is done to a file that is read.
const READING: [&str; 5] = ["read", "open", "find", "look for", "list"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_the_way_is_spoken_of_as_what_was_tried_there() {
        let told = |action| {
            let found = io::Error::from(io::ErrorKind::IsADirectory);
            Error::io("x", action, found).to_string()
        };
        assert!(told("read").contains("end the name with `/`"), "{}", told("read"));
        assert!(
            told("create").contains("something else has this name"),
            "{}",
            told("create")
        );
    }

    #[test]
    fn a_full_disk_inside_another_error_names_the_file_and_the_way_out() {
        let inner = io::Error::from(io::ErrorKind::StorageFull);
        let wrapped = parquet::errors::ParquetError::External(Box::new(inner));
        let error = Error::writing("/data/out.parquet", wrapped);
        assert!(matches!(&error, Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull));
        let text = error.to_string();
        assert!(
            text.contains("/data/out.parquet") && text.contains("free some space"),
            "{text}"
        );
    }

    #[test]
    fn other_errors_stay_what_they_are() {
        let error = Error::writing("x", parquet::errors::ParquetError::General("odd".to_string()));
        assert!(matches!(error, Error::Parquet(_)));
    }

    #[test]
    fn too_many_rejects_tells_share_and_limit_in_percent() {
        let error = Error::TooManyRejects {
            rejected: 3,
            total: 100,
            share: 0.03,
            limit: 0.01,
            breakdown: "reviews.json: not a JSON object: 3".to_string(),
        };
        assert!(
            error
                .to_string()
                .starts_with("3 of 100 lines were rejected (3.00 %, at most 1.00 % allowed)")
        );
    }
}
