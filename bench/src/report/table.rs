//! One table model: what is shown and how it is marked, with no word about a format.

use super::analysis::{Analysis, Versus};
use super::input::Run;
use super::verdict::plus;
use crate::statistics::mean;
use serde::Serialize;

/// Marks a value above the baseline's where the difference is significant after Holm.
pub const BETTER: &str = "†";
/// Marks a value below the baseline's where the difference is significant after Holm.
pub const WORSE: &str = "‡";
/// Stands where there is no value.
pub const NONE: &str = "–";

/// A table.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// What the table shows.
    pub caption: String,
    /// The heads of its columns.
    pub columns: Vec<Column>,
    /// Its rows, each as wide as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

/// The head of a column.
#[derive(Debug, Clone, Serialize)]
pub struct Column {
    /// The title.
    pub title: String,
    /// Whether its cells are numbers, aligned to the right and sorted by value.
    pub numeric: bool,
}

/// One cell.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cell {
    /// What is shown.
    pub text: String,
    /// What the cell sorts by.
    pub value: Option<f64>,
    /// The best of its column.
    pub best: bool,
    /// The second best of its column.
    pub second: bool,
    /// A mark of significance, or nothing.
    pub mark: &'static str,
}

impl Cell {
    fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    fn number(value: f64, text: String) -> Self {
        Self {
            text,
            value: Some(value),
            ..Self::default()
        }
    }

    fn maybe(value: Option<f64>, show: impl Fn(f64) -> String) -> Self {
        value.map_or_else(|| Self::text(NONE), |value| Self::number(value, show(value)))
    }
}

fn columns(words: &[&str], numbers: &[&str]) -> Vec<Column> {
    let column = |numeric| {
        move |title: &&str| Column {
            title: (*title).to_owned(),
            numeric,
        }
    };
    words
        .iter()
        .map(column(false))
        .chain(numbers.iter().map(column(true)))
        .collect()
}

/// Every competing row in every metric, chance first: mean ± sd over seeds.
#[must_use]
pub fn accuracy(analysis: &Analysis) -> Table {
    let titles: Vec<String> = analysis.metrics.iter().map(|metric| metric.label()).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let mut chance = vec![Cell::text("Chance"), Cell::text("exact")];
    chance.extend(
        analysis
            .chance
            .iter()
            .map(|level| Cell::number(*level, format!("{level:.3}"))),
    );
    let mut rows = vec![chance];
    for (_, numbers) in analysis.competitors() {
        let mut cells = vec![
            Cell::text(&numbers.row.label),
            Cell::text(numbers.row.family.label()),
        ];
        cells.extend(numbers.estimates.iter().map(|estimate| Cell {
            mark: estimate.versus.as_ref().map_or("", mark),
            ..Cell::number(estimate.mean, with_sd(estimate.mean, estimate.sd))
        }));
        rows.push(cells);
    }
    let mut columns = columns(&["Method", "Family"], &titles);
    // Chance is a level, not a competitor: it is never the best.
    emphasise(&mut rows[1..], 2);
    columns
        .iter_mut()
        .skip(2)
        .for_each(|column| column.numeric = true);
    let scenario = analysis.scenario;
    let caption = format!(
        "Accuracy on {} ({} users, {} candidates each): mean ± sd over seeds",
        scenario.target, scenario.users, scenario.candidates
    );
    Table {
        caption,
        columns,
        rows,
    }
}

fn mark(versus: &Versus) -> &'static str {
    match (versus.significant, versus.difference > 0.0) {
        (false, _) => "",
        (true, true) => BETTER,
        (true, false) => WORSE,
    }
}

/// Marks the best and the second value of each column from `first` on; equal values share a mark.
fn emphasise(rows: &mut [Vec<Cell>], first: usize) {
    let width = rows.first().map_or(0, Vec::len);
    for column in first..width {
        let mut values: Vec<f64> = rows.iter().filter_map(|row| row[column].value).collect();
        values.sort_unstable_by(|a, b| b.total_cmp(a));
        values.dedup();
        for row in rows.iter_mut() {
            let cell = &mut row[column];
            cell.best = cell.value.is_some() && cell.value == values.first().copied();
            cell.second = cell.value.is_some() && cell.value == values.get(1).copied();
        }
    }
}

/// Each competing row against the baseline in the primary metric, with interval and tests.
#[must_use]
pub fn differences(analysis: &Analysis) -> Option<Table> {
    let baseline = analysis.baseline?;
    let m = analysis.primary();
    let metric = analysis.metrics[m].label();
    let base = &analysis.rows[baseline].row.label;
    let mut rows = Vec::new();
    for (_, numbers) in analysis.competitors() {
        let Some(versus) = &numbers.estimates[m].versus else {
            continue;
        };
        let interval = versus.interval;
        rows.push(vec![
            Cell::text(&numbers.row.label),
            Cell {
                mark: mark(versus),
                ..Cell::number(versus.difference, plus(versus.difference))
            },
            Cell::number(
                interval.low,
                format!("[{}, {}]", plus(interval.low), plus(interval.high)),
            ),
            Cell::maybe(versus.t.map(|test| test.p), p_value),
            Cell::maybe(versus.wilcoxon.map(|test| test.p), p_value),
            Cell::number(versus.adjusted_p, p_value(versus.adjusted_p)),
            Cell::maybe(versus.dz, plus),
            Cell::number(
                analysis.scenario.users as f64,
                analysis.scenario.users.to_string(),
            ),
        ]);
    }
    let heads = [
        &format!("Δ {metric}"),
        "95 % interval",
        "p (t)",
        "p (Wilcoxon)",
        "p (t, Holm)",
        "dz",
        "n",
    ];
    Some(Table {
        caption: format!("Difference to {base} in {metric}, paired by user"),
        columns: columns(&["Method"], &heads),
        rows,
    })
}

/// The diagnosis: what each member of a merge does alone on the target, beside the merge.
#[must_use]
pub fn diagnosis(analysis: &Analysis) -> Option<Table> {
    let m = analysis.primary();
    let metric = analysis.metrics[m].label();
    let mut rows = Vec::new();
    for (index, merge) in analysis.competitors() {
        let members = mean_members(&merge.row.runs);
        if members.is_empty() {
            continue;
        }
        let mut alone = Vec::new();
        for (member, weight) in &members {
            let found = analysis.find(member);
            let score = found.map(|row| analysis.rows[row].estimates[m].mean);
            alone.extend(score.map(|score| (score, *weight)));
            rows.push(vec![
                Cell::text(&merge.row.label),
                Cell::text(found.map_or(member.as_str(), |row| analysis.rows[row].row.label.as_str())),
                Cell::number(*weight, format!("{weight:.3}")),
                found.map_or_else(
                    || Cell::text("not run alone"),
                    |row| {
                        let estimate = &analysis.rows[row].estimates[m];
                        Cell::number(estimate.mean, with_sd(estimate.mean, estimate.sd))
                    },
                ),
                found.map_or_else(
                    || Cell::text(NONE),
                    |row| {
                        let (difference, interval) = analysis.difference(index, row, m);
                        Cell::number(difference, super::verdict::signed(difference, interval))
                    },
                ),
            ]);
        }
        let estimate = &merge.estimates[m];
        let total: f64 = alone.iter().map(|(_, weight)| weight).sum();
        let average = (alone.len() == members.len() && total > 0.0)
            .then(|| alone.iter().map(|(score, weight)| score * weight).sum::<f64>() / total);
        rows.push(vec![
            Cell::text(&merge.row.label),
            Cell::text("the merge itself"),
            Cell::text(NONE),
            Cell {
                best: true,
                ..Cell::number(estimate.mean, with_sd(estimate.mean, estimate.sd))
            },
            average.map_or_else(
                || Cell::text(NONE),
                |average| {
                    let difference = estimate.mean - average;
                    Cell::number(difference, format!("{} to the members' mean", plus(difference)))
                },
            ),
        ]);
    }
    (!rows.is_empty()).then(|| Table {
        caption: format!(
            "Diagnosis: each member alone on {}, beside its merge",
            analysis.scenario.target
        ),
        columns: columns(
            &["Merge", "Member"],
            &["Weight", &format!("{metric} alone"), "Merge minus member"],
        ),
        rows,
    })
}

/// The members of a merge, in their order, with weights averaged over seeds.
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

/// What each row cost, and how clean its outputs were. Times and memory are this machine's; the rest follows from seeds.
#[must_use]
pub fn cost(analysis: &Analysis) -> Table {
    let average = |runs: &[Run], value: fn(&Run) -> f64| mean(&runs.iter().map(value).collect::<Vec<_>>());
    let invalid = analysis
        .rows
        .iter()
        .any(|numbers| numbers.invalid_output_rate.is_some());
    let mut heads = vec![
        "Seeds",
        "Train tokens",
        "Train FLOPs",
        "Validation loss",
        "Users with ties",
    ];
    if invalid {
        heads.push("Invalid outputs");
    }
    heads.extend(["Train s", "Rank s", "Peak MiB"]);
    let mut rows = Vec::new();
    for numbers in &analysis.rows {
        let runs = &numbers.row.runs;
        let tokens = average(runs, |run| run.train_tokens as f64);
        let flops = average(runs, |run| run.train_flops);
        let train = average(runs, |run| run.train_seconds);
        let rank = average(runs, |run| run.rank_seconds);
        let peak =
            runs.iter().map(|run| run.peak_memory_bytes).max().unwrap_or(0) as f64 / f64::from(1 << 20);
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let mut cells = vec![
            Cell::text(&numbers.row.label),
            Cell::number(runs.len() as f64, runs.len().to_string()),
            Cell::number(tokens, magnitude(tokens)),
            Cell::number(flops, magnitude(flops)),
            Cell::maybe(numbers.validation_loss, |loss| format!("{loss:.3}")),
            Cell::number(numbers.tied_share, percent(numbers.tied_share)),
        ];
        if invalid {
            cells.push(Cell::maybe(numbers.invalid_output_rate, percent));
        }
        cells.extend([
            Cell::number(train, format!("{train:.1}")),
            Cell::number(rank, format!("{rank:.1}")),
            Cell::number(peak, format!("{peak:.0}")),
        ]);
        rows.push(cells);
    }
    Table {
        caption: "Cost, mean over seeds (memory: highest)".to_owned(),
        columns: columns(&["Method"], &heads),
        rows,
    }
}

/// `0.412 ± 0.010`, or the mean alone where there is a single run.
fn with_sd(mean: f64, sd: Option<f64>) -> String {
    sd.map_or_else(|| format!("{mean:.3}"), |sd| format!("{mean:.3} ± {sd:.3}"))
}

fn p_value(p: f64) -> String {
    if p < 0.001 {
        "< 0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}

/// A count in at most four digits and a unit: `12.3 M`, `4.56e15`.
#[must_use]
pub fn magnitude(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 1e3 => format!("{value:.0}"),
        value if value < 1e6 => format!("{:.1} k", value / 1e3),
        value if value < 1e9 => format!("{:.1} M", value / 1e6),
        value if value < 1e12 => format!("{:.1} G", value / 1e9),
        value => format!("{value:.2e}"),
    }
}
