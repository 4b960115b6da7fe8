//! What each row cost, and how clean its outputs were.

use super::{Cell, Table};
use crate::report::analysis::Analysis;
use crate::report::input::{Family, Run};
use crate::report::number::percent;
use crate::statistics::mean;

/// Seconds and memory, where they were measured, are this machine's; the rest follows from seeds.
#[must_use]
pub fn cost(analysis: &Analysis) -> Table {
    let invalid = analysis
        .rows
        .iter()
        .any(|numbers| numbers.invalid_output_rate.is_some());
    let mut heads = vec!["Runs", "Validation loss"];
    if invalid {
        heads.push("Invalid outputs");
    }
    heads.extend(["Train s", "Scoring s", "Peak MiB"]);
    let mut rows = Vec::new();
    for numbers in &analysis.rows {
        let runs = &numbers.row.runs;
        let train = mean(&runs.iter().map(|run| run.train_seconds).collect::<Vec<_>>());
        let memory = |run: &Run| {
            run.peak_memory_bytes
                .map(|bytes| bytes as f64 / f64::from(1 << 20))
        };
        let mut cells = vec![
            Cell::text(&numbers.row.label),
            Cell::count(runs.len()),
            Cell::maybe(numbers.validation_loss, |loss| format!("{loss:.3}")),
        ];
        if invalid {
            cells.push(Cell::maybe(numbers.invalid_output_rate, percent));
        }
        cells.extend([
            match numbers.row.family {
                Family::Outside => Cell::none(),
                _ => Cell::number(train, format!("{train:.1}")),
            },
            Cell::maybe(of_all(runs, |run| run.rank_seconds).map(|all| mean(&all)), |s| {
                format!("{s:.1}")
            }),
            Cell::maybe(
                of_all(runs, memory).map(|all| all.into_iter().fold(0.0, f64::max)),
                |mebibytes| format!("{mebibytes:.0}"),
            ),
        ]);
        rows.push(cells);
    }
    Table::new(
        "Cost, mean over replicates (memory: highest); – where it was not measured for the row alone",
        &["Method"],
        &heads,
        rows,
    )
}

/// A measurement of every run, or nothing: a mean over the few that happened to be measured would be one of others.
fn of_all(runs: &[Run], value: impl Fn(&Run) -> Option<f64>) -> Option<Vec<f64>> {
    runs.iter().map(value).collect()
}
