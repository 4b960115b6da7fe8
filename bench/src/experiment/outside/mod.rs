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

use crate::cut::Cut;
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
    /// What made the file, as whoever imports it says: program, version, seed, minutes. None where nothing was said. It is no part of the
    /// cell's key: a file is the same file whatever is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
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

impl Source {
    /// What `weaverec score import` is given to make the record again, behind the file, the profile and its logs:
    /// `--study genres --target drama --row other --label Other --replicate 0 …`.
    #[must_use]
    pub fn options(&self, study: &str) -> String {
        let replicate = self.replicate.to_string();
        let mut words = vec!["--study", study, "--target", &self.target.name];
        words.extend(["--row", &self.outside, "--label", &self.label]);
        match self.deterministic {
            true => words.push("--deterministic"),
            false => words.extend(["--replicate", &replicate]),
        }
        let history = match self.history {
            History::Kept => "kept",
            History::Excluded => "excluded",
        };
        let scope = match self.scope {
            Scope::Candidates => "candidates",
            Scope::Catalogue => "catalogue",
        };
        words.extend(["--history", history, "--scope", scope]);
        if self.allow_short {
            words.push("--allow-short");
        }
        words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source {
            outside: "other".into(),
            label: "Other's (2)".into(),
            replicate: 3,
            deterministic: false,
            target: Target {
                name: "drama".into(),
                fingerprint: "f".into(),
                candidates: "c".into(),
                cut: Cut::Dev,
            },
            history: History::Kept,
            scope: Scope::Catalogue,
            allow_short: false,
            file: "a".into(),
        }
    }

    #[test]
    fn a_record_says_how_it_is_imported_again() {
        let mut source = source();
        assert_eq!(
            source.options("genres"),
            r"--study genres --target drama --row other --label 'Other'\''s (2)' --replicate 3 --history kept --scope catalogue"
        );
        (source.deterministic, source.allow_short) = (true, true);
        (source.scope, source.history) = (Scope::Candidates, History::Excluded);
        source.label = "Other".into();
        assert_eq!(
            source.options("genres"),
            "--study genres --target drama --row other --label Other --deterministic --history excluded --scope candidates --allow-short"
        );
    }

    #[test]
    fn a_file_of_which_nothing_is_said_leaves_the_record_as_it_was() {
        let mut told = Told {
            extent: Extent::Whole,
            users: 2,
            short: 0,
            shortest: 10,
            made_by: None,
        };
        let written = serde_json::to_value(&told).unwrap();
        assert_eq!(
            written,
            serde_json::json!({"extent": "whole", "users": 2, "short": 0, "shortest": 10})
        );
        assert_eq!(serde_json::from_value::<Told>(written).unwrap(), told);
        told.made_by = Some("a program".into());
        assert_eq!(serde_json::to_value(&told).unwrap()["made_by"], "a program");
    }
}
