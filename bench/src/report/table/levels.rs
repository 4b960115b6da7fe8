//! How high each row stands: the primary metric with what belongs beside it, every metric, and the matrix of all scenarios.

use super::{Cell, Table, emphasise};
use crate::metric::Metric;
use crate::report::analysis::{Analysis, Estimate, RowNumbers};
use crate::report::input::{Family, Run};
use crate::report::number::{NONE, bounds_of_level, magnitude, percent, power_of_ten, with_sd};
use crate::report::planned::Planned;
use crate::report::summary::Summary;
use crate::statistics::mean;

/// The title of the column that says what a row has been given; the last of its tables.
pub(super) const FAMILY: &str = "Family";

/// The primary metric of every competing row, which comes first beside the name, as a phone shows no more; then what ties could have cost
/// and what training took.
#[must_use]
pub fn primary(analysis: &Analysis, planned: Option<&Planned>) -> Table {
    let m = analysis.primary();
    let metric = analysis.metrics[m].label();
    let scenario = analysis.scenario;
    let mut chance = vec![Cell::none(); 9];
    chance[0] = Cell::text("Chance");
    chance[1] = Cell::number(analysis.chance[m], format!("{:.3}", analysis.chance[m]));
    chance[8] = Cell::text("exact");
    let mut rows = vec![chance];
    for (_, numbers) in analysis.competitors() {
        let mark = |planned: &Planned| planned.mark(&scenario.name, &numbers.row.method);
        let estimate = &numbers.estimates[m];
        let mut cells = vec![
            Cell::text(&numbers.row.label),
            Cell {
                mark: planned.map_or("", mark),
                ..Cell::number(estimate.mean, with_sd(estimate.mean, estimate.sd))
            },
            estimate.interval.map_or_else(Cell::none, |interval| {
                Cell::number(interval.low, bounds_of_level(interval))
            }),
            Cell::number(estimate.pessimistic, format!("{:.3}", estimate.pessimistic)),
            Cell::number(numbers.tied_share, percent(numbers.tied_share)),
        ];
        cells.extend(effort(numbers));
        cells.push(Cell::text(numbers.row.family.label()));
        rows.push(cells);
    }
    // Chance is a level, not a competitor: it is never the best.
    emphasise(&mut rows[1..], 1..2);
    Table::new(
        format!(
            "{metric} on {} ({}; {} users, {} candidates each): mean ± sd over replicates, ties by their expectation",
            scenario.target,
            scenario.read_by(),
            scenario.cases.len(),
            scenario.candidates
        ),
        &["Method"],
        &[
            metric.as_str(),
            "95 % (for reading)",
            "Ties at worst",
            "Users with ties",
            "Train steps",
            "Train tokens",
            "Train FLOPs",
        ],
        rows,
    )
    .with_words(FAMILY)
}

/// Steps, tokens and operations of a row's training.
fn effort(numbers: &RowNumbers) -> [Cell; 3] {
    if numbers.row.family == Family::Outside {
        return [Cell::none(), Cell::none(), Cell::none()];
    }
    let average = |value: fn(&Run) -> f64| mean(&numbers.row.runs.iter().map(value).collect::<Vec<_>>());
    let steps = average(|run| run.train_steps as f64);
    let tokens = average(|run| run.train_tokens as f64);
    let flops = average(|run| run.train_flops);
    [
        Cell::number(steps, magnitude(steps)),
        Cell::number(tokens, magnitude(tokens)),
        Cell::number(
            flops,
            if flops > 0.0 {
                power_of_ten(flops, 2)
            } else {
                "0".to_owned()
            },
        ),
    ]
}

/// Every competing row in every metric, the primary one first: mean ± sd over replicates. Nothing is marked: nothing is tested but the
/// primary metric.
#[must_use]
pub fn accuracy(analysis: &Analysis) -> Table {
    let shown = shown(analysis);
    let titles: Vec<&str> = shown.iter().map(|(_, title)| title.as_str()).collect();
    let mut chance = vec![Cell::text("Chance")];
    chance.extend(shown.iter().map(|(metric, _)| {
        let level = analysis.chance[*metric];
        Cell::number(level, format!("{level:.3}"))
    }));
    chance.push(Cell::text("exact"));
    let mut rows = vec![chance];
    for (_, numbers) in analysis.competitors() {
        let mut cells = vec![Cell::text(&numbers.row.label)];
        let level = |estimate: &Estimate| Cell::number(estimate.mean, with_sd(estimate.mean, estimate.sd));
        let told: Vec<_> = numbers.told(&analysis.metrics).collect();
        cells.extend(
            shown
                .iter()
                .map(|(metric, _)| told[*metric].1.map_or_else(Cell::none, level)),
        );
        cells.push(Cell::text(numbers.row.family.label()));
        rows.push(cells);
    }
    for list in &analysis.scenario.lists {
        let mut cells = vec![Cell::text(&list.label)];
        cells.resize_with(1 + titles.len(), Cell::none);
        cells.push(Cell::text(list.family.label()));
        rows.push(cells);
    }
    emphasise(&mut rows[1..], 1..1 + titles.len());
    Table::new(
        format!(
            "Every metric on {} ({}): mean ± sd over replicates",
            analysis.scenario.target,
            analysis.scenario.read_by()
        ),
        &["Method"],
        &titles,
        rows,
    )
    .with_words(FAMILY)
}

/// The metrics by their places among all, with titles, the primary one first. With one relevant item NDCG@1 is HR@1, and is shown once.
fn shown(analysis: &Analysis) -> Vec<(usize, String)> {
    let hit = analysis.position(Metric::Hr(1));
    let twin = analysis.position(Metric::Ndcg(1)).filter(|_| hit.is_some());
    let title = |place: usize| match Some(place) == hit && twin.is_some() {
        true => format!("{} = {}", Metric::Hr(1).label(), Metric::Ndcg(1).label()),
        false => analysis.metrics[place].label(),
    };
    let primary = analysis.primary();
    let others = (0..analysis.metrics.len()).filter(|place| *place != primary && Some(*place) != twin);
    std::iter::once(primary)
        .chain(others)
        .map(|place| (place, title(place)))
        .collect()
}

/// Every method in every scenario by the primary metric.
#[must_use]
pub fn matrix(summary: &Summary) -> Table {
    let titles: Vec<&str> = summary
        .scenarios
        .iter()
        .map(|column| column.title.as_str())
        .collect();
    let mut rows = Vec::new();
    let mut chance = vec![Cell::text("Chance")];
    chance.extend(
        summary
            .scenarios
            .iter()
            .map(|column| Cell::number(column.chance, format!("{:.3}", column.chance))),
    );
    for method in &summary.methods {
        let mut cells = vec![Cell::text(&method.label)];
        cells.extend(method.levels.iter().map(|level| {
            level.as_ref().map_or_else(
                || Cell::text(NONE),
                |level| Cell {
                    mark: mark(&level.mark),
                    ..Cell::number(level.mean, with_sd(level.mean, level.sd))
                },
            )
        }));
        rows.push(cells);
    }
    emphasise(&mut rows, 1..1 + titles.len());
    rows.insert(0, chance);
    let users: Vec<String> = summary
        .scenarios
        .iter()
        .map(|one| one.users.to_string())
        .collect();
    let mut readings: Vec<&str> = summary.scenarios.iter().map(|one| one.reading.as_str()).collect();
    readings.dedup();
    Table::new(
        format!(
            "{} of every method in every scenario: mean ± sd over replicates ({} users; {})",
            summary.metric,
            users.join(", "),
            readings.join(" / ")
        ),
        &["Method"],
        &titles,
        rows,
    )
}

/// A mark that was read from a file: one of those there are, or nothing.
fn mark(text: &str) -> &'static str {
    ["†", "‡"].into_iter().find(|known| *known == text).unwrap_or("")
}
