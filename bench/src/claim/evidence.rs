//! What claims are asked of.

use super::{Against, ClaimKind};
use crate::statistics::{Contrast, contrast};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;

/// One scenario's scores, which its claims are asked of.
#[derive(Debug, Clone, Default)]
pub struct Evidence<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// The users' ids, in the order of the scores.
    pub users: Vec<&'a str>,
    /// The primary metric of each row, by replicate, a number a user. A row that is the same in every replicate stands there for each.
    pub rows: BTreeMap<&'a str, BTreeMap<u32, &'a [f64]>>,
    /// The same at scale 1, of rows whose merged update has another scale.
    pub at_one: BTreeMap<&'a str, BTreeMap<u32, &'a [f64]>>,
    /// The naive merge that calibration users found best; absent where none was chosen.
    pub best_naive_merge: Option<&'a str>,
}

/// Paired differences of two rows by replicate, a number a user.
pub type Differences = BTreeMap<u32, Vec<f64>>;

impl<'a> Evidence<'a> {
    /// The paired differences of two rows in the replicates that both have; `None` where that is none.
    ///
    /// # Errors
    /// Where a row has not the scenario's users.
    pub fn differences(&self, row: &str, other: &str) -> Result<Option<Differences>> {
        self.paired(row, other, |name| self.rows.get(name))
    }

    /// The same with both rows at scale 1; that of a row without another scale is the one it has.
    ///
    /// # Errors
    /// As [`Self::differences`].
    pub fn differences_at_one(&self, row: &str, other: &str) -> Result<Option<Differences>> {
        self.paired(row, other, |name| {
            self.at_one.get(name).or_else(|| self.rows.get(name))
        })
    }

    /// Whether one of two rows has another scale than 1.
    #[must_use]
    pub fn is_scaled(&self, row: &str, other: &str) -> bool {
        self.at_one.contains_key(row) || self.at_one.contains_key(other)
    }

    fn paired<'s>(
        &'s self,
        row: &str,
        other: &str,
        of: impl Fn(&str) -> Option<&'s BTreeMap<u32, &'a [f64]>>,
    ) -> Result<Option<Differences>> {
        let (Some(ours), Some(theirs)) = (of(row), of(other)) else {
            return Ok(None);
        };
        let mut paired = Differences::new();
        for (replicate, ours) in ours {
            let Some(theirs) = theirs.get(replicate) else {
                continue;
            };
            for (name, scores) in [(row, ours), (other, theirs)] {
                ensure!(
                    scores.len() == self.users.len(),
                    "{}: replicate {replicate} of {name} has {} users and the scenario {}; contrasts are paired by user",
                    self.scenario,
                    scores.len(),
                    self.users.len()
                );
            }
            paired.insert(*replicate, ours.iter().zip(*theirs).map(|(a, b)| a - b).collect());
        }
        Ok((!paired.is_empty()).then_some(paired))
    }

    /// The contrast of two rows in the replicates that both have; `None` where that is none.
    ///
    /// # Errors
    /// As [`Self::differences`] and [`contrast`].
    pub fn contrast(&self, row: &str, other: &str) -> Result<Option<Contrast>> {
        self.contrasted(self.differences(row, other)?, row, other)
    }

    /// The same with both rows at scale 1; `None` too where both stand at it.
    ///
    /// # Errors
    /// As [`Self::contrast`].
    pub fn contrast_at_one(&self, row: &str, other: &str) -> Result<Option<Contrast>> {
        if !self.is_scaled(row, other) {
            return Ok(None);
        }
        self.contrasted(self.differences_at_one(row, other)?, row, other)
    }

    fn contrasted(
        &self,
        differences: Option<Differences>,
        row: &str,
        other: &str,
    ) -> Result<Option<Contrast>> {
        let Some(differences) = differences else {
            return Ok(None);
        };
        let rows: Vec<Vec<f64>> = differences.into_values().collect();
        contrast(&rows)
            .map(Some)
            .with_context(|| format!("{}: {row} against {other}", self.scenario))
    }

    /// The rows that a claim is made against here; `None` in place of one that was not chosen.
    pub(super) fn against(&self, kind: ClaimKind) -> Vec<Option<&'a str>> {
        match kind.against() {
            Against::Rows(rows) => rows.iter().copied().map(Some).collect(),
            Against::BestNaiveMerge => vec![self.best_naive_merge],
        }
    }
}
