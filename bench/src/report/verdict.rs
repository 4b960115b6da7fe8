//! What a scenario allows to be said, in plain sentences.

use super::analysis::{Analysis, BASELINE};
use super::input::{Family, Scenario};
use crate::metric::Metric;
use crate::statistics::Interval;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// How far a scenario's numbers carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// No tuned row left chance behind: the table compares nothing.
    Uninformative,
    /// One row is above each other row, by the interval of their paired difference.
    Winner,
    /// The best row is not told apart from some other.
    Undecided,
}

/// What may be said about a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// How far the numbers carry.
    pub outcome: Outcome,
    /// The method that won, where one did.
    pub winner: Option<String>,
    /// The conclusion in plain sentences.
    pub sentence: String,
}

/// The heading of a table that compares nothing.
pub const UNINFORMATIVE: &str = "uninformative at this budget";

/// What may be said about a scenario.
///
/// # Errors
/// Where its rows cannot be compared.
pub fn verdict(scenario: &Scenario) -> Result<Verdict> {
    Ok(judge(&Analysis::new(scenario)?))
}

/// What may be said about an analysed scenario.
#[must_use]
pub fn judge(analysis: &Analysis) -> Verdict {
    let m = analysis.primary();
    let metric = Metric::PRIMARY.label();
    let score = |row: usize| analysis.rows[row].estimates[m].mean;
    let label = |row: usize| analysis.rows[row].row.label.as_str();
    let mut remarks = Vec::new();
    if analysis.informative() {
        remarks.extend(woven_remark(analysis));
    }
    remarks.extend(floor_remark(analysis));

    let best = analysis
        .competitors()
        .map(|(row, _)| row)
        .reduce(|best, row| if score(row) > score(best) { row } else { best });
    let (outcome, winner, head) = match best {
        Some(best) if analysis.informative() => {
            let mut rivals: Vec<(usize, f64, Interval)> = analysis
                .competitors()
                .filter(|(row, _)| *row != best)
                .map(|(row, _)| {
                    let (difference, interval) = analysis.difference(best, row, m);
                    (row, difference, interval)
                })
                .collect();
            rivals.sort_by(|a, b| a.1.total_cmp(&b.1));
            let unsettled: Vec<_> = rivals
                .iter()
                .filter(|(_, _, interval)| !interval.above(0.0))
                .collect();
            if let Some((row, difference, interval)) = unsettled.first() {
                let others = unsettled[1..]
                    .iter()
                    .map(|(row, ..)| label(*row))
                    .collect::<Vec<_>>();
                let also = if others.is_empty() {
                    String::new()
                } else {
                    format!(", nor from {}", others.join(", "))
                };
                let head = format!(
                    "No winner: {} has the highest {metric} ({:.3}), but it is not told apart from {} ({}){also}.",
                    label(best),
                    score(best),
                    label(*row),
                    signed(*difference, *interval),
                );
                (Outcome::Undecided, None, head)
            } else {
                let closest = rivals
                    .first()
                    .map_or(String::new(), |(row, difference, interval)| {
                        format!(
                            "; closest is {} ({})",
                            label(*row),
                            signed(*difference, *interval)
                        )
                    });
                let head = format!(
                    "{} wins: its {metric} ({:.3}) is above that of every other row, each 95 % interval of the paired difference lying above zero{closest}.",
                    label(best),
                    score(best),
                );
                (
                    Outcome::Winner,
                    Some(analysis.rows[best].row.method.clone()),
                    head,
                )
            }
        }
        _ => {
            let head = format!(
                "Uninformative at this budget: no tuned row's 95 % interval of {metric} lies above chance ({:.3}), so the rows say nothing about the methods.",
                analysis.chance[m],
            );
            (Outcome::Uninformative, None, head)
        }
    };
    remarks.insert(0, head);
    Verdict {
        outcome,
        winner,
        sentence: remarks.join(" "),
    }
}

/// The question the harness exists for: does weaving beat the target's own adapter?
fn woven_remark(analysis: &Analysis) -> Option<String> {
    let baseline = analysis.baseline?;
    let (row, numbers) = analysis
        .competitors()
        .find(|(_, numbers)| numbers.row.family == Family::Woven)?;
    let m = analysis.primary();
    let (difference, interval) = analysis.difference(row, baseline, m);
    let meaning = if interval.above(0.0) {
        "better"
    } else if interval.below(0.0) {
        "worse"
    } else {
        "no difference shown"
    };
    let base = analysis
        .find(BASELINE)
        .map_or(BASELINE, |row| analysis.rows[row].row.label.as_str());
    Some(format!(
        "{} against {base}: {} ({meaning}).",
        numbers.row.label,
        signed(difference, interval)
    ))
}

/// A reader must hear of it where counting purchases does as well as training.
fn floor_remark(analysis: &Analysis) -> Option<String> {
    let m = analysis.primary();
    let popularity = analysis.find("popularity")?;
    let (best, _) = analysis
        .competitors()
        .filter(|(_, numbers)| numbers.row.family.is_tuned())
        .max_by(|a, b| a.1.estimates[m].mean.total_cmp(&b.1.estimates[m].mean))?;
    let (difference, interval) = analysis.difference(best, popularity, m);
    if interval.above(0.0) {
        return None;
    }
    let floor = &analysis.rows[popularity];
    Some(format!(
        "{} ({:.3}), which reads no text, is not beaten: the best tuned row, {}, stands {} from it.",
        floor.row.label,
        floor.estimates[m].mean,
        analysis.rows[best].row.label,
        signed(difference, interval),
    ))
}

/// A difference with its interval: `+0.021 [+0.004, +0.038]`.
#[must_use]
pub fn signed(difference: f64, interval: Interval) -> String {
    format!(
        "{} [{}, {}]",
        plus(difference),
        plus(interval.low),
        plus(interval.high)
    )
}

/// A signed number with three decimals; a rounded zero has no sign.
#[must_use]
pub fn plus(value: f64) -> String {
    let text = format!("{value:+.3}");
    if text == "-0.000" || text == "+0.000" {
        "0.000".to_owned()
    } else {
        text.replace('-', "−")
    }
}
