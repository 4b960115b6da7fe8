//! The primary metric of some of a scenario's users, row by row: what contrasts are made of.

use super::input::{Family, Place, Row, Run, Scenario};
use crate::claim::Evidence;
use crate::metric::Metric;
use crate::statistics::{Contrast, contrast, mean};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Scores by row, run and user; users in the order of their ids, so that the order of the input does not reach the last digit.
#[derive(Debug)]
pub struct Scores<'a> {
    scenario: &'a Scenario,
    /// Which cases these are.
    pub users: Vec<usize>,
    /// The replicates that a row counts for in which nothing is drawn.
    replicates: Vec<u32>,
    /// The scores of each run of each row.
    rows: Vec<Vec<Vec<f64>>>,
    /// The same at scale 1, of rows with a run of another scale.
    at_one: Vec<Option<Vec<Vec<f64>>>>,
}

impl<'a> Scores<'a> {
    /// The primary metric of these users. `planned` is the number of the study's replicates.
    pub fn new(scenario: &'a Scenario, users: Vec<usize>, planned: usize) -> Self {
        let mut scores = Self::under(scenario, users, planned, |run| &run.places);
        let at_one = |row: &Row| {
            let of = |run: &Run| of_places(run.at_one.as_ref().unwrap_or(&run.places), &scores.users);
            let scaled = row.runs.iter().any(|run| run.at_one.is_some());
            scaled.then(|| row.runs.iter().map(of).collect())
        };
        scores.at_one = scenario.rows.iter().map(at_one).collect();
        scores
    }

    /// The same under one of the scenario's other readings.
    pub fn of_reading(scenario: &'a Scenario, users: Vec<usize>, planned: usize, reading: usize) -> Self {
        Self::under(scenario, users, planned, |run| &run.readings[reading])
    }

    fn under(
        scenario: &'a Scenario,
        users: Vec<usize>,
        planned: usize,
        places: impl Fn(&Run) -> &Vec<Place>,
    ) -> Self {
        let of = |row: &Row| {
            row.runs
                .iter()
                .map(|run| of_places(places(run), &users))
                .collect()
        };
        Self {
            scenario,
            replicates: replicates(scenario, planned),
            rows: scenario.rows.iter().map(of).collect(),
            at_one: vec![None; scenario.rows.len()],
            users,
        }
    }

    /// The scores of a row by replicate. What is deterministic stands there for each.
    pub fn by_replicate(&self, row: usize) -> BTreeMap<u32, &[f64]> {
        self.spread(row, &self.rows[row])
    }

    fn spread<'s>(&self, row: usize, runs: &'s [Vec<f64>]) -> BTreeMap<u32, &'s [f64]> {
        let numbers = runs.iter().map(Vec::as_slice);
        let row = &self.scenario.rows[row];
        if row.deterministic {
            let of_all = numbers.flat_map(|scores| self.replicates.iter().map(move |r| (*r, scores)));
            return of_all.collect();
        }
        row.runs.iter().map(|run| run.replicate).zip(numbers).collect()
    }

    /// All rows as what claims are asked of.
    pub fn evidence(&self) -> Evidence<'_> {
        self.evidence_of(0..self.rows.len())
    }

    fn evidence_of(&self, rows: impl IntoIterator<Item = usize> + Clone) -> Evidence<'_> {
        let name = |row: usize| self.scenario.rows[row].method.as_str();
        Evidence {
            scenario: &self.scenario.name,
            users: self
                .users
                .iter()
                .map(|case| self.scenario.cases[*case].user_id.as_str())
                .collect(),
            at_one: rows
                .clone()
                .into_iter()
                .filter_map(|row| Some((name(row), self.spread(row, self.at_one[row].as_ref()?))))
                .collect(),
            rows: rows
                .into_iter()
                .map(|row| (name(row), self.by_replicate(row)))
                .collect(),
            best_naive_merge: best_naive_merge(self.scenario),
        }
    }

    /// What the paired differences of two rows say; none where they have no replicate in common.
    ///
    /// # Errors
    /// Where there is no user.
    pub fn contrast(&self, row: usize, other: usize) -> Result<Option<Contrast>> {
        let name = |row: usize| self.scenario.rows[row].method.as_str();
        self.evidence_of([row, other]).contrast(name(row), name(other))
    }
}

impl Scores<'_> {
    /// A row's mean at scale 1; none where none of its runs has another scale.
    pub fn mean_at_one(&self, row: usize) -> Option<f64> {
        let runs: Vec<f64> = self.at_one[row].as_ref()?.iter().map(|run| mean(run)).collect();
        Some(mean(&runs))
    }

    /// A row's mean over replicates and users; 0 without users.
    pub fn mean(&self, row: usize) -> f64 {
        let runs: Vec<f64> = self.rows[row].iter().map(|run| mean(run)).collect();
        mean(&runs)
    }
}

/// The metric of some users in one run.
pub fn values(run: &Run, users: &[usize], metric: Metric) -> Vec<f64> {
    values_of(&run.places, users, metric)
}

/// The metric of some users at these places.
pub fn values_of(places: &[Place], users: &[usize], metric: Metric) -> Vec<f64> {
    users.iter().map(|user| metric.expected(places[*user])).collect()
}

fn of_places(places: &[Place], users: &[usize]) -> Vec<f64> {
    values_of(places, users, Metric::PRIMARY)
}

/// A row's level under the same rule: its interval says where it would lie with other replicates and users.
pub fn level(row: &Row, runs: &[Vec<f64>], planned: usize) -> Result<Contrast> {
    let runs: Vec<&[f64]> = runs.iter().map(Vec::as_slice).collect();
    let repeated = if row.deterministic { planned } else { 1 };
    let all: Vec<&[f64]> = runs.iter().copied().cycle().take(runs.len() * repeated).collect();
    contrast(&all).with_context(|| format!("row `{}`", row.method))
}

/// The study's replicates, and whatever others rows have.
fn replicates(scenario: &Scenario, planned: usize) -> Vec<u32> {
    // What other programs were drawn from is no replicate of ours.
    let drawn = scenario
        .rows
        .iter()
        .filter(|row| !row.deterministic && row.family != Family::Outside);
    let known = drawn.flat_map(|row| row.runs.iter().map(|run| run.replicate));
    let planned = 0..u32::try_from(planned).unwrap_or(u32::MAX);
    known
        .chain(planned)
        .collect::<BTreeSet<u32>>()
        .into_iter()
        .collect()
}

/// The naive merge that claims are made against: the one chosen on calibration users, or the only one there is.
fn best_naive_merge(scenario: &Scenario) -> Option<&str> {
    if let Some(chosen) = &scenario.best_naive_merge {
        return Some(chosen);
    }
    let mut merges = scenario
        .rows
        .iter()
        .filter(|row| row.family == Family::NaiveMerging);
    match (merges.next(), merges.next()) {
        (Some(only), None) => Some(&only.method),
        _ => None,
    }
}
