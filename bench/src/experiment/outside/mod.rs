//! Rows from outside: the frozen cases are written for other programs, and the scores that these give come back as a row of the table.
//!
//! ```text
//! prepared domain ──► cases, items, training part ──► any program ──► scores or ranked lists ──► a record of kind `outside` ──► report
//! ```
//! The other program sees users, histories and candidates, all under raw ids. What it gives back is checked line by line; where it stands
//! is then counted here, by the rules that every row is counted by.

pub mod cases;
pub mod given;
pub mod import;
pub mod levels;
pub mod written;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::cut::Cut;
use crate::metric::Metric;

/// What a file scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The candidates of each user.
    Candidates,
    /// All items of the domain.
    Catalogue,
}

/// What a file does with the items that a user had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum History {
    /// They are scored like all others; they are taken away here.
    Kept,
    /// They are left out.
    Excluded,
}

/// How much of a ranking a file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// A score of everything there was to score.
    Whole,
    /// The best candidates of some users: what is not among them stands somewhere below.
    Listed,
    /// The best items of the catalogue: nothing is known of candidates that are not among them.
    Best,
}

/// What is kept of an imported file besides its scores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How much it tells.
    pub extent: Extent,
    /// Users that were ranked.
    pub users: usize,
    /// Users whose list was too short for some metric, whose targets count as missed where they are not on it.
    pub short: usize,
    /// Items on the shortest list, those of the history taken away.
    pub shortest: usize,
}

/// What an imported file says it is; the configuration of its cell, and with it its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The row's identifier.
    pub outside: String,
    /// The name that people read.
    pub label: String,
    /// The replicate that it stands for.
    pub replicate: u32,
    /// Whether nothing in the row is drawn, so that one file counts for every replicate.
    pub deterministic: bool,
    /// What was ranked.
    pub target: Target,
    /// What becomes of the items that users had.
    pub history: History,
    /// What is scored.
    pub scope: Scope,
    /// Whether lists may be too short for some metric.
    pub allow_short: bool,
    /// Hash of the file.
    pub file: String,
}

/// The cases that a file is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The domain's name.
    pub name: String,
    /// Hash of what was prepared.
    pub fingerprint: String,
    /// Hash of the users and candidates.
    pub candidates: String,
    /// The users that are reported on.
    pub cut: Cut,
}

/// The largest k of the metrics that look at the first k: a list has to be as long.
#[must_use]
pub fn largest_cut() -> usize {
    let cuts = Metric::ALL.into_iter().filter_map(Metric::cut);
    cuts.max().unwrap_or(1) as usize
}
