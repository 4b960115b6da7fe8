//! The path from raw files to a prepared folder, claim by claim. One binary: each that links DataFusion costs a minute and a half.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "it/support.rs"]
mod support;

#[path = "it/bad_input.rs"]
mod bad_input;
#[path = "it/binned.rs"]
mod binned;
#[path = "it/crossing.rs"]
mod crossing;
#[path = "it/described.rs"]
mod described;
#[path = "it/exports.rs"]
mod exports;
#[path = "it/failures.rs"]
mod failures;
#[path = "it/files.rs"]
mod files;
#[path = "it/folder.rs"]
mod folder;
#[path = "it/formats.rs"]
mod formats;
#[path = "it/golden.rs"]
mod golden;
#[path = "it/known_sets.rs"]
mod known_sets;
#[path = "it/leaks.rs"]
mod leaks;
#[path = "it/repeats.rs"]
mod repeats;
#[path = "it/sql.rs"]
mod sql;
#[path = "it/stages.rs"]
mod stages;
#[path = "it/ties.rs"]
mod ties;
#[path = "it/titles.rs"]
mod titles;
#[path = "it/ways.rs"]
mod ways;
