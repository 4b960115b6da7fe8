//! The commands of the `weaverec` binary, one a file. Each has a `Arguments` struct, which is also its `--help`, and a `run`. In `base` is what
//! those that load a model share, in `adapter` what those that read adapters do, in `card` what the cards of adapters say, in `number` how numbers are read, in `units` how units are listed, and in `target` how a
//! target of a profile is named.

pub mod adapter;
pub mod audit;
pub mod base;
pub mod calibrate;
mod calibrated;
pub mod cases;
pub mod compare;
pub mod completions;
pub mod datasets;
pub mod devices;
pub mod export;
pub mod fit;
pub mod gate;
pub mod inspect;
pub mod merge;
pub mod methods;
pub mod models;
mod number;
pub mod power;
pub mod prepare;
pub mod rank;
pub mod readme;
pub mod recommend;
pub mod report;
pub mod reproduce;
pub mod scheduler;
pub mod score;
pub mod sql;
pub mod status;
mod target;
pub mod train;
mod units;
pub mod vectors;
pub mod worker;

use std::io::Write;

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::DeserializeOwned;

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
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// A choice by the names that it has in TOML and JSON too.
pub(crate) fn choice<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| serde_json::from_value(name.into()))
}

/// An asynchronous runtime for a command that needs one.
pub(crate) fn runtime(threads: usize) -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?)
}
