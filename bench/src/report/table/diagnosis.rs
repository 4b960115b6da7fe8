//! What each member of a merge does alone on the target, beside the merge.

use super::{Cell, Table};
use crate::report::analysis::{Analysis, Merge};
use crate::report::input::Run;
use crate::report::number::{plus, signed, with_sd};
use crate::statistics::mean;

/// Each merge with its members; a description, without tests.
#[must_use]
pub fn diagnosis(analysis: &Analysis) -> Option<Table> {
    let metric = analysis.metrics[analysis.primary()].label();
    let rows: Vec<Vec<Cell>> = analysis
        .merges
        .iter()
        .flat_map(|merge| merge_rows(analysis, merge))
        .collect();
    Table::new(
        format!(
            "Diagnosis: each member alone on {}, beside its merge (described, not tested)",
            analysis.scenario.target
        ),
        &["Merge", "Member"],
        &[
            "Weight",
            format!("{metric} alone").as_str(),
            "Merge minus member (95 %, for reading)",
        ],
        rows,
    )
    .unless_empty()
}

fn merge_rows(analysis: &Analysis, merge: &Merge) -> Vec<Vec<Cell>> {
    let m = analysis.primary();
    let name = &analysis.rows[merge.row].row.label;
    let level = |row: usize| {
        let estimate = &analysis.rows[row].estimates[m];
        Cell::number(estimate.mean, with_sd(estimate.mean, estimate.sd))
    };
    let mut rows: Vec<Vec<Cell>> = merge
        .members
        .iter()
        .map(|member| {
            vec![
                Cell::text(name),
                Cell::text(analysis.member_label(&member.method)),
                Cell::number(member.weight, format!("{:.3}", member.weight)),
                member.row.map_or_else(|| Cell::text("not run alone"), level),
                member.gain.as_ref().map_or_else(Cell::none, |gain| {
                    Cell::number(gain.mean, signed(gain.mean, gain.interval))
                }),
            ]
        })
        .collect();
    rows.push(vec![
        Cell::text(name),
        Cell::text("the merge itself"),
        Cell::none(),
        Cell {
            best: true,
            ..level(merge.row)
        },
        average_of_members(analysis, merge).map_or_else(Cell::none, |average| {
            let difference = analysis.level(merge.row) - average;
            Cell::number(difference, format!("{} to the members' mean", plus(difference)))
        }),
    ]);
    rows
}

/// The weighted mean of the members' levels, where each was run alone.
fn average_of_members(analysis: &Analysis, merge: &Merge) -> Option<f64> {
    let total: f64 = merge.members.iter().map(|member| member.weight).sum();
    let weighted: Option<Vec<f64>> = merge
        .members
        .iter()
        .map(|member| member.row.map(|row| analysis.level(row) * member.weight))
        .collect();
    weighted
        .filter(|_| total > 0.0)
        .map(|levels| levels.iter().sum::<f64>() / total)
}

/// The members of a merge, in their order, with weights averaged over replicates.
#[must_use]
pub fn mean_members(runs: &[Run]) -> Vec<(String, f64)> {
    let mut members: Vec<(String, Vec<f64>)> = Vec::new();
    for (name, weight) in runs.iter().flat_map(|run| &run.members) {
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, weights)) => weights.push(*weight),
            None => members.push((name.clone(), vec![*weight])),
        }
    }
    members
        .into_iter()
        .map(|(name, weights)| (name, mean(&weights)))
        .collect()
}
