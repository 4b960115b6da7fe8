//! A report that was written: its numbers and the places of its users, for comparisons with another one and for gates.

use super::input::{Cut, Family};
use super::json::VERSION;
use super::per_user::{self, PerUser, Places};
use super::summary::Summary;
use super::write::FILES;
use crate::claim::Claims;
use crate::metric::Metric;
use crate::statistics::{Contrast, contrast};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A report's folder.
#[derive(Debug)]
pub struct Folder {
    /// Where it lies.
    pub path: PathBuf,
    /// `results.json` as it stands there.
    pub document: Value,
    /// What is needed of it.
    pub results: Results,
    /// The places of its users.
    pub per_user: PerUser,
}

/// What comparisons need of `results.json`.
#[derive(Debug, Deserialize)]
pub struct Results {
    /// Its studies.
    pub studies: Vec<StudyResults>,
    /// Its summary.
    pub summary: Summary,
}

/// A study.
#[derive(Debug, Deserialize)]
pub struct StudyResults {
    /// Its name.
    pub name: String,
    /// How many replicates a row counts for in which nothing is drawn.
    pub replicates: usize,
    /// The users that are reported on.
    pub report_on: Cut,
    /// Its margin and level.
    pub rules: Claims,
    /// The numerics versions of its records.
    pub numerics: BTreeSet<u32>,
    /// The environments of its records.
    pub environment: Vec<Value>,
    /// Its scenarios.
    pub scenarios: Vec<ScenarioResults>,
}

/// A scenario.
#[derive(Debug, Deserialize)]
pub struct ScenarioResults {
    /// Its name.
    pub name: String,
    /// The candidates that its rows ranked.
    pub candidate_hash: String,
    /// Its rows.
    pub rows: Vec<RowResults>,
}

/// A row.
#[derive(Debug, Deserialize)]
pub struct RowResults {
    /// Its method name.
    pub method: String,
    /// The name that people read.
    pub label: String,
    /// What it has been given.
    pub family: Family,
    /// Whether its one run counts for every replicate.
    pub deterministic: bool,
}

impl Folder {
    /// Reads a report.
    ///
    /// # Errors
    /// Where files are missing, or are those of another version of weaverec.
    pub fn read(path: &Path) -> Result<Self> {
        let missing: Vec<&str> = FILES
            .into_iter()
            .filter(|file| !path.join(file).is_file())
            .collect();
        ensure!(
            missing.is_empty(),
            "{} is no complete report: {} missing; `weaverec report` makes it again from its records",
            path.display(),
            missing.join(", ")
        );
        let (document, results) = read_results(path)?;
        Ok(Self {
            path: path.to_owned(),
            document,
            results,
            per_user: per_user::read(&path.join("per_user.parquet"))?,
        })
    }

    /// The study of this name.
    #[must_use]
    pub fn study(&self, name: &str) -> Option<&StudyResults> {
        self.results.studies.iter().find(|study| study.name == name)
    }

    /// A row's places.
    #[must_use]
    pub fn sample(&self, study: &StudyResults, scenario: &str, row: &RowResults) -> Option<Sample<'_>> {
        let key = (study.name.clone(), scenario.to_owned(), row.method.clone());
        Some(Sample {
            runs: self.per_user.get(&key)?,
            deterministic: row.deterministic,
            planned: study.replicates,
        })
    }
}

/// `results.json` of a report's folder, whole and in part.
///
/// # Errors
/// Where it cannot be read or is of another version.
pub fn read_results(folder: &Path) -> Result<(Value, Results)> {
    let path = folder.join("results.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let document: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let version = &document["version"];
    ensure!(
        *version == VERSION,
        "{} has version {version} of its layout and this weaverec reads {VERSION}: make the report again with `weaverec report`",
        path.display()
    );
    let results = Results::deserialize(&document).with_context(|| path.display().to_string())?;
    Ok((document, results))
}

impl StudyResults {
    /// In what the machines or the numerics of two studies differ, in words; nothing where the same numbers may be asked of them.
    #[must_use]
    pub fn apart(&self, other: &Self) -> Vec<String> {
        /// What numbers depend on, in an environment: threads and revisions do not, and what results a revision changes bump the numerics.
        const DECISIVE: [&str; 5] = ["cpu", "features", "kernel", "device", "arithmetic"];
        let mut apart: Vec<String> = DECISIVE
            .into_iter()
            .filter(|key| self.values(key) != other.values(key))
            .map(|key| format!("other {key}"))
            .collect();
        if self.numerics != other.numerics {
            apart.push("other numerics".to_owned());
        }
        apart
    }

    fn values(&self, key: &str) -> BTreeSet<String> {
        self.environment.iter().map(|one| one[key].to_string()).collect()
    }
}

/// The places of a row, by replicate and user.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    runs: &'a BTreeMap<u32, Places>,
    deterministic: bool,
    planned: usize,
}

impl Sample<'_> {
    fn run(&self, replicate: u32) -> Option<&Places> {
        if self.deterministic {
            self.runs.values().next()
        } else {
            self.runs.get(&replicate)
        }
    }

    fn replicates(&self) -> BTreeSet<u32> {
        if self.deterministic {
            (0..u32::try_from(self.planned).unwrap_or(u32::MAX)).collect()
        } else {
            self.runs.keys().copied().collect()
        }
    }

    /// The primary metric here minus that of another, in the replicates and users that both have; none where that is none.
    ///
    /// # Errors
    /// Where the differences cannot be tested.
    pub fn minus(&self, other: &Sample) -> Result<Option<Contrast>> {
        let replicates: Vec<u32> = match (self.deterministic, other.deterministic) {
            (true, false) => other.replicates().into_iter().collect(),
            (false, true) => self.replicates().into_iter().collect(),
            _ => self
                .replicates()
                .intersection(&other.replicates())
                .copied()
                .collect(),
        };
        let pairs: Vec<(&Places, &Places)> = replicates
            .into_iter()
            .filter_map(|replicate| self.run(replicate).zip(other.run(replicate)))
            .collect();
        let Some((first, _)) = pairs.first() else {
            return Ok(None);
        };
        // Users of every run on both sides.
        let users: Vec<&String> = first
            .keys()
            .filter(|user| {
                pairs
                    .iter()
                    .all(|(ours, theirs)| ours.contains_key(*user) && theirs.contains_key(*user))
            })
            .collect();
        if users.is_empty() {
            return Ok(None);
        }
        let score = |places: &Places, user: &String| Metric::PRIMARY.expected(places[user]);
        let differences: Vec<Vec<f64>> = pairs
            .iter()
            .map(|(ours, theirs)| {
                users
                    .iter()
                    .map(|user| score(ours, user) - score(theirs, user))
                    .collect()
            })
            .collect();
        contrast(&differences).map(Some)
    }
}
