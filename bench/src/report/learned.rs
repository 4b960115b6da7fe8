//! What a table must show before its rows say anything about methods: that tuning taught something, and that it does more than counting.
//!
//! These comparisons are no claims and in no family with them. They are asked of every tuned row, so that each p-value counts as many times
//! as there are tuned rows: one that passes by chance does not make a table informative.

use super::input::{Family, Scenario, Study};
use super::scores::Scores;
use crate::claim::decision::{Decision, Outcome, Standing, decide};
use anyhow::Result;
use serde::Serialize;

/// The row in which the tuned model is given another user's history; `stranger:<method>` is that of one row.
pub const STRANGER: &str = "stranger";

/// Whether a row is of a model that was given another user's history.
#[must_use]
pub fn is_stranger(method: &str) -> bool {
    method
        .strip_prefix(STRANGER)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// Whether the rows of a table say anything about methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Informative {
    /// A tuned row is better than the same model untuned, and than itself with a stranger's history.
    Yes,
    /// No tuned row is shown to be.
    No,
    /// It could not be tested: too few replicates, no tuned row or no untuned one.
    Untested,
}

/// What a tuned row is asked to be better than.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bar {
    /// The same model as it was before tuning.
    Untuned,
    /// The tuned model with another user's history.
    Stranger,
    /// The best floor.
    Floor,
}

/// A tuned row against one of its bars.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The tuned row.
    pub row: usize,
    /// What it is asked to be better than.
    pub bar: Bar,
    /// The row that is.
    pub other: usize,
    /// What was found.
    pub decision: Decision,
}

/// How the tuned rows of a scenario stand.
#[derive(Debug)]
pub struct Learned {
    /// Each tuned row against each bar there is.
    pub comparisons: Vec<Comparison>,
    /// Whether the table says anything about methods.
    pub informative: Informative,
    /// Whether a row with a stranger's history was there to be asked.
    pub stranger: bool,
    /// The best floor.
    pub floor: Option<usize>,
    /// Whether it was chosen on validation; if not, it is the highest on the very users that are reported, which is to its favour.
    pub floor_chosen: bool,
}

/// The floor that was chosen on validation.
fn chosen_floor(scenario: &Scenario) -> Option<usize> {
    let chosen = scenario.best_floor.as_deref()?;
    scenario.rows.iter().position(|row| row.method == chosen)
}

/// The floor that was chosen on validation, or else the highest by `levels`, the primary metric of all rows; none where there is no floor.
#[must_use]
pub fn best_floor(scenario: &Scenario, levels: &[f64]) -> Option<usize> {
    // The stranger is a bar of its own.
    let is_floor = |row: &usize| {
        let row = &scenario.rows[*row];
        row.family == Family::Floor && !is_stranger(&row.method)
    };
    let higher = |best: usize, row: usize| if levels[row] > levels[best] { row } else { best };
    chosen_floor(scenario).or_else(|| (0..scenario.rows.len()).filter(is_floor).reduce(higher))
}

impl Learned {
    /// Compares the tuned rows of a scenario to what they must beat. `levels` are the primary metric of all rows, `limit` is the most that
    /// the study allows.
    ///
    /// # Errors
    /// Where a contrast cannot be made.
    pub fn new(
        study: &Study,
        scenario: &Scenario,
        scores: &Scores,
        levels: &[f64],
        limit: Standing,
    ) -> Result<Self> {
        let find = |method: &str| scenario.rows.iter().position(|row| row.method == method);
        let of = |wanted: fn(Family) -> bool| -> Vec<usize> {
            let rows = scenario.rows.iter().enumerate();
            rows.filter(|(_, row)| wanted(row.family))
                .map(|(index, _)| index)
                .collect()
        };
        let tuned = of(Family::is_tuned);
        let untuned = of(|family| family == Family::Untuned);
        let floor = best_floor(scenario, levels);
        let mut comparisons = Vec::new();
        for &row in &tuned {
            let own = format!("{STRANGER}:{}", scenario.rows[row].method);
            let stranger = find(&own).or_else(|| find(STRANGER));
            let bars = untuned
                .iter()
                .map(|other| (Bar::Untuned, *other))
                .chain(stranger.map(|other| (Bar::Stranger, other)))
                .chain(floor.map(|other| (Bar::Floor, other)));
            for (bar, other) in bars {
                let Some(contrast) = scores.contrast(row, other)? else {
                    continue;
                };
                let p = contrast.p.map(|p| (p * tuned.len() as f64).min(1.0));
                let decision = decide(contrast, p, &study.claims, limit);
                comparisons.push(Comparison {
                    row,
                    bar,
                    other,
                    decision,
                });
            }
        }
        Ok(Self {
            informative: informative(&tuned, &comparisons),
            stranger: comparisons.iter().any(|one| one.bar == Bar::Stranger),
            floor,
            floor_chosen: chosen_floor(scenario).is_some(),
            comparisons,
        })
    }

    /// Where the best floor is the best.
    #[must_use]
    pub fn floor_words(&self) -> &'static str {
        match self.floor_chosen {
            true => "the best floor on validation",
            false => "the highest floor on these very users",
        }
    }

    /// Whether a tuned row is shown to be better than the best floor; nothing where that was not tested.
    #[must_use]
    pub fn floor_beaten(&self) -> Option<bool> {
        let mut asked = self
            .comparisons
            .iter()
            .filter(|one| one.bar == Bar::Floor)
            .peekable();
        asked.peek()?;
        Some(asked.any(|one| one.decision.outcome == Outcome::Better))
    }
}

fn informative(tuned: &[usize], comparisons: &[Comparison]) -> Informative {
    let of = |row: usize| {
        comparisons
            .iter()
            .filter(move |one| one.row == row && one.bar != Bar::Floor)
    };
    let tested = |row: usize| {
        of(row).any(|one| one.bar == Bar::Untuned)
            && of(row).all(|one| one.decision.standing > Standing::Described)
    };
    let asked: Vec<usize> = tuned.iter().copied().filter(|row| tested(*row)).collect();
    if asked.is_empty() {
        return Informative::Untested;
    }
    let passes = |row: &usize| of(*row).all(|one| one.decision.outcome == Outcome::Better);
    if asked.iter().any(passes) {
        Informative::Yes
    } else {
        Informative::No
    }
}
