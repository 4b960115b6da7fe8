//! Where the numbers of a scenario are kept: the cells that each row was read from.

use super::{Cell, Table};
use crate::report::analysis::Analysis;
use crate::report::input::{Row, Run};
use crate::report::number::NONE;

/// A line for each row: the cells that its runs were read from, replicate by replicate. None where nothing is known of them.
#[must_use]
pub fn cells(analysis: &Analysis) -> Option<Table> {
    let scenario = analysis.scenario;
    let known = |row: &&Row| row.runs.iter().any(|run| !run.cells.is_empty());
    let line = |row: &Row| {
        let replicates: Vec<String> = row.runs.iter().map(|run| run.replicate.to_string()).collect();
        let (mut own, mut trained): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for cell in row.runs.iter().flat_map(|run: &Run| &run.cells) {
            let of = match cell.starts_with("adapters/") || cell.starts_with("recommenders/") {
                true => &mut trained,
                false => &mut own,
            };
            if !of.contains(&cell.as_str()) {
                of.push(cell);
            }
        }
        let listed = |cells: Vec<&str>| match cells.is_empty() {
            true => NONE.to_owned(),
            false => cells.join(", "),
        };
        vec![
            Cell::text(&row.label),
            Cell::text(replicates.join(", ")),
            Cell::text(listed(own)),
            Cell::text(listed(trained)),
        ]
    };
    let rows: Vec<Vec<Cell>> = scenario
        .rows
        .iter()
        .chain(&scenario.lists)
        .filter(known)
        .map(line)
        .collect();
    Table::new(
        "The cells that each row was read from, in the order of its replicates. What a cell computed lies in its record.json, in the work \
         folder below cells/ and, where records are kept with the report, in its folder below records/; the command makes again what is in \
         neither",
        &["Row", "Replicates", "Ranked in", "Adapters, recommenders"],
        &[] as &[&str],
        rows,
    )
    .unless_empty()
}
