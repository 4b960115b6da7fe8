//! What rows were trained on beside the woven one, in tokens: what is called compute-matched has to be.

use super::input::{Row, Scenario};
use crate::statistics::mean;

/// Tokens within this share of the woven row's count as the same compute.
pub const MATCHED: f64 = 0.1;

/// Rows that are there to have the woven row's compute, and those that they are chosen among.
pub const MEANT: [&str; 9] = [
    "soup",
    "longer",
    "longer-2",
    "longer-most",
    "more-target",
    "joint-matched",
    "joint-longer",
    "joint-soup",
    "placebo",
];

/// A row's training tokens over the woven row's, averaged over the replicates that both have; none where either was not trained.
#[must_use]
pub fn ratio(scenario: &Scenario, woven: &str, method: &str) -> Option<f64> {
    let find = |name: &str| scenario.rows.iter().find(|row| row.method == name);
    let (woven, row) = (find(woven)?, find(method)?);
    let tokens = |row: &Row, replicate: u32| {
        let run = row.runs.iter().find(|run| run.replicate == replicate)?;
        (run.train_tokens > 0).then_some(run.train_tokens as f64)
    };
    let of = |replicate: u32| Some(tokens(row, replicate)? / tokens(woven, replicate)?);
    let ratios: Vec<f64> = woven.runs.iter().filter_map(|run| of(run.replicate)).collect();
    (!ratios.is_empty()).then(|| mean(&ratios))
}

/// Whether so many times the tokens is the same compute.
#[must_use]
pub fn is_matched(ratio: f64) -> bool {
    (ratio - 1.0).abs() <= MATCHED
}

/// What is put behind the name of a row that a claim is made against and that has another compute: ` (0.33× the tokens)`.
#[must_use]
pub fn footnote(scenario: &Scenario, woven: &str, method: &str) -> String {
    match ratio(scenario, woven, method) {
        Some(ratio) if !is_matched(ratio) => format!(" ({})", words(ratio)),
        _ => String::new(),
    }
}

/// What follows a ratio in words.
pub const TIMES_TOKENS: &str = "× the tokens";

/// `0.33× the tokens`.
#[must_use]
pub fn words(ratio: f64) -> String {
    format!("{ratio:.2}{TIMES_TOKENS}")
}
