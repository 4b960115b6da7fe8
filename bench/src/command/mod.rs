//! The commands of the `weaverec` binary, one a file. Each has a `Arguments` struct, which is also its `--help`, and a `run`.

pub mod compare;
pub mod completions;
pub mod datasets;
pub mod export;
pub mod inspect;
pub mod merge;
pub mod models;
pub mod prepare;
pub mod rank;
pub mod report;
pub mod reproduce;
pub mod train;

use std::io::Write;

use anyhow::Result;

/// Writes text to standard output; a reader that has gone away is no error.
pub(crate) fn print(text: impl AsRef<str>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.as_ref()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The number of threads to use: what was asked for, or all there are.
pub(crate) fn threads(asked: Option<usize>) -> usize {
    asked
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
        .max(1)
}
