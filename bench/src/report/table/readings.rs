//! The same rows read otherwise: by raw likelihood, among uniform candidates, at scale 1; and in the whole catalogue.

use super::levels::FAMILY;
use super::{Cell, Table, emphasise};
use crate::metric::Metric;
use crate::report::analysis::Analysis;
use crate::report::input::{Place, Run};
use crate::report::number::with_sd;
use crate::report::scores::{Scores, values_of};
use crate::statistics::{mean, sd};

/// The row that bins are made to say nothing about.
const POPULARITY: &str = "popularity";

/// Every competing row under every reading by the primary metric; none where there is one reading and one scale.
#[must_use]
pub fn readings(analysis: &Analysis) -> Option<Table> {
    let scaled = analysis
        .competitors()
        .any(|(row, _)| analysis.scores.mean_at_one(row).is_some());
    if analysis.readings.is_empty() && !scaled {
        return None;
    }
    let m = analysis.primary();
    let level = |value: f64| Cell::number(value, format!("{value:.3}"));
    let mut heads = vec![analysis.scenario.read_by()];
    if scaled {
        heads.push(format!("{}, c = 1", analysis.scenario.read_by()));
    }
    heads.extend(
        analysis
            .readings
            .iter()
            .map(|(reading, _)| analysis.scenario.in_words(*reading)),
    );
    let mut chance = vec![Cell::text("Chance")];
    chance.resize_with(1 + heads.len(), || level(analysis.chance[m]));
    let mut rows = vec![chance];
    for (row, numbers) in analysis.competitors() {
        let estimate = &numbers.estimates[m];
        let mut cells = vec![Cell::text(&numbers.row.label), level(estimate.mean)];
        if scaled {
            cells.push(level(analysis.scores.mean_at_one(row).unwrap_or(estimate.mean)));
        }
        cells.extend(
            analysis
                .readings
                .iter()
                .map(|(_, scores)| level(scores.mean(row))),
        );
        rows.push(cells);
    }
    let metric = analysis.metrics[m].label();
    let width = heads.len();
    emphasise(&mut rows[1..], 1..1 + width);
    Some(Table::new(
        format!(
            "Sensitivity: {metric} of every row under every reading of the same scores{}",
            popularity(analysis)
        ),
        &["Method"],
        &heads,
        rows,
    ))
}

/// Where popularity stands on each protocol, in words, beside chance.
fn popularity(analysis: &Analysis) -> String {
    let Some(row) = analysis.find(POPULARITY) else {
        return String::new();
    };
    let mut said: Vec<String> = Vec::new();
    let mut known = Vec::new();
    let all = std::iter::once((analysis.scenario.reading, &analysis.scores)).chain(
        analysis
            .readings
            .iter()
            .map(|(reading, scores)| (*reading, scores)),
    );
    for (reading, scores) in all {
        // Popularity has no likelihood: it stands where it stands under either scoring.
        if !known.contains(&reading.protocol) {
            known.push(reading.protocol);
            said.push(format!(
                "{:.3} on {} candidates",
                Scores::mean(scores, row),
                reading.protocol.name()
            ));
        }
    }
    let chance = analysis.chance[analysis.primary()];
    format!(
        ". Popularity alone stands at {}, where chance is {chance:.3}",
        said.join(" and at ")
    )
}

/// Rows that ranked the whole catalogue; none where no row did.
#[must_use]
pub fn catalogue(analysis: &Analysis) -> Option<Table> {
    let items = analysis.scenario.catalogue?;
    let metrics = [Metric::Hr(10), Metric::Ndcg(10)];
    let mut chance = vec![Cell::text("Chance")];
    chance.extend(metrics.map(|metric| {
        let level = metric.chance(items);
        Cell::number(level, format!("{level:.4}"))
    }));
    chance.push(Cell::text("exact"));
    let mut rows = vec![chance];
    let all = analysis.competitors().map(|(_, numbers)| numbers.row);
    for row in all.chain(&analysis.scenario.lists) {
        let places: Option<Vec<&Vec<Place>>> =
            row.runs.iter().map(|run: &Run| run.catalogue.as_ref()).collect();
        let Some(places) = places else {
            continue;
        };
        let mut cells = vec![Cell::text(&row.label)];
        for metric in metrics {
            let runs: Vec<f64> = places
                .iter()
                .map(|places| mean(&values_of(places, &analysis.scores.users, metric)))
                .collect();
            let level = mean(&runs);
            cells.push(Cell::number(level, with_sd(level, sd(&runs))));
        }
        cells.push(Cell::text(row.family.label()));
        rows.push(cells);
    }
    if rows.len() == 1 {
        return None;
    }
    emphasise(&mut rows[1..], 1..3);
    let table = Table::new(
        format!(
            "The whole catalogue of {} ({items} items, those of the user's history left out; {} users): mean ± sd over replicates, ties by \
             their expectation. Language models by raw likelihood at scale 1; a row that is not here ranked candidates alone",
            analysis.scenario.target,
            analysis.scenario.cases.len()
        ),
        &["Method"],
        &metrics.map(Metric::label),
        rows,
    );
    Some(table.with_words(FAMILY))
}
