//! What rows were trained on beside the woven one.

use super::{Cell, Table};
use crate::report::analysis::Analysis;
use crate::report::compute::{MEANT, is_matched, ratio};
use crate::report::input::Run;
use crate::report::number::magnitude;
use crate::statistics::mean;

/// The rows that are meant to have the woven row's compute, and whether they have; none where none is there.
#[must_use]
pub fn compute(analysis: &Analysis, woven: &str) -> Option<Table> {
    let mut rows = Vec::new();
    for method in MEANT {
        let Some((row, ratio)) = analysis.find(method).zip(ratio(analysis.scenario, woven, method)) else {
            continue;
        };
        let numbers = &analysis.rows[row];
        let average = |of: fn(&Run) -> f64| mean(&numbers.row.runs.iter().map(of).collect::<Vec<_>>());
        let tokens = average(|run| run.train_tokens as f64);
        let steps = average(|run| run.train_steps as f64);
        rows.push(vec![
            Cell::text(&numbers.row.label),
            Cell::text(match is_matched(ratio) {
                true => "matched".to_owned(),
                false => format!("not matched: {:+.0} %", 100.0 * (ratio - 1.0)).replace('-', "−"),
            }),
            Cell::number(steps, magnitude(steps)),
            Cell::number(tokens, magnitude(tokens)),
            Cell::number(ratio, format!("{ratio:.2}")),
        ]);
    }
    Table::new(
        format!(
            "Compute beside {}: rows count as matched whose training tokens are within 10 % of its own",
            analysis.label(woven)
        ),
        &["Method", "Compute"],
        &["Train steps", "Train tokens", "Tokens, times its own"],
        rows,
    )
    .unless_empty()
}
