//! NDCG of calibration users and entropy of prompts without answers, along the weights of a merge.

use super::{Cell, Table};
use crate::report::analysis::Analysis;
use crate::report::number::with_sd;
use crate::report::weights::{Along, along};

/// A table for each row whose weights were tried on a grid and of which both are known.
#[must_use]
pub fn weights(analysis: &Analysis) -> Vec<Table> {
    along(analysis.scenario).iter().map(table).collect()
}

fn table(along: &Along) -> Table {
    let curve = along.curve;
    let taken = along.taken();
    let rows = along.points.iter().map(|point| {
        let mut cells: Vec<Cell> = point
            .weights
            .iter()
            .map(|weight| Cell::number(*weight, format!("{weight:.3}")))
            .collect();
        cells.push(Cell {
            best: taken.is_some_and(|(_, best)| best == point),
            ..Cell::number(point.ndcg, with_sd(point.ndcg, point.ndcg_sd))
        });
        cells.push(Cell {
            best: taken.is_some_and(|(least, _)| least == point),
            ..Cell::number(point.entropy, with_sd(point.entropy, point.entropy_sd))
        });
        cells
    });
    let weights = along.members.iter().map(|member| format!("λ of {member}"));
    let heads: Vec<String> = weights
        .chain([
            "NDCG of calibration users".to_owned(),
            "Entropy (nats)".to_owned(),
        ])
        .collect();
    let correlation = along
        .correlation()
        .unwrap_or_else(|| "unknown: one of them is the same everywhere".to_owned());
    Table::new(
        format!(
            "Exploratory: along the weights of {}, {} of {} calibration users, and {} of {} of their prompts without answers: mean ± sd over {} replicates. Rank correlation {correlation}",
            along.row.label, curve.metric, curve.users, curve.entropy, curve.entropy_users, along.replicates
        ),
        &[] as &[&str],
        &heads,
        rows.collect(),
    )
}
