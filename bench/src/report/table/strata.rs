//! Where rows differ among users, and what they recommend: descriptions that nothing was planned about.

use super::{Cell, Table};
use crate::metric::Metric;
use crate::report::analysis::Analysis;
use crate::report::input::{Case, Top};
use crate::report::number::percent;
use crate::report::scores::values;
use crate::statistics::mean;

/// A part of the users.
struct Stratum {
    name: &'static str,
    holds: fn(&Case) -> bool,
}

const STRATA: [Stratum; 8] = [
    Stratum {
        name: "target seen 0–4×",
        holds: |case| case.popularity.is_some_and(|seen| seen < 5),
    },
    Stratum {
        name: "5–19×",
        holds: |case| case.popularity.is_some_and(|seen| (5..20).contains(&seen)),
    },
    Stratum {
        name: "≥ 20×",
        holds: |case| case.popularity.is_some_and(|seen| seen >= 20),
    },
    Stratum {
        name: "history 1–4",
        holds: |case| case.history.is_some_and(|items| items < 5),
    },
    Stratum {
        name: "5–9",
        holds: |case| case.history.is_some_and(|items| (5..10).contains(&items)),
    },
    Stratum {
        name: "≥ 10",
        holds: |case| case.history.is_some_and(|items| items >= 10),
    },
    Stratum {
        name: "item in the training part",
        holds: |case| case.popularity.is_some_and(|seen| seen > 0),
    },
    Stratum {
        name: "not in it",
        holds: |case| case.popularity == Some(0),
    },
];

/// The primary metric of every competing row by how popular the target is, how long the whole history, and whether training has seen the
/// item.
#[must_use]
pub fn strata(analysis: &Analysis) -> Option<Table> {
    let cases = &analysis.scenario.cases;
    let parts: Vec<(String, Vec<usize>)> = STRATA
        .iter()
        .map(|stratum| {
            let users = &analysis.scores.users;
            let users: Vec<usize> = users
                .iter()
                .copied()
                .filter(|user| (stratum.holds)(&cases[*user]))
                .collect();
            (format!("{} ({})", stratum.name, users.len()), users)
        })
        .filter(|(_, users)| !users.is_empty())
        .collect();
    if parts.is_empty() {
        return None;
    }
    let rows = analysis.competitors().map(|(_, numbers)| {
        let level = |users: &Vec<usize>| {
            let runs: Vec<f64> = numbers
                .row
                .runs
                .iter()
                .map(|run| mean(&values(run, users, Metric::PRIMARY)))
                .collect();
            let level = mean(&runs);
            Cell::number(level, format!("{level:.3}"))
        };
        let mut cells = vec![Cell::text(&numbers.row.label)];
        cells.extend(parts.iter().map(|(_, users)| level(users)));
        cells
    });
    let rows = rows.collect();
    let heads: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    Some(Table::new(
        format!(
            "Exploratory: {} by part of the users (how many in brackets). Nothing was planned about these parts, none is tested, and in \
             small ones chance alone moves rows",
            Metric::PRIMARY.label()
        ),
        &["Method"],
        &heads,
        rows,
    ))
}

/// What rows put first: how many different items, and how popular ones.
#[must_use]
pub fn top(analysis: &Analysis) -> Option<Table> {
    let rows: Vec<Vec<Cell>> = analysis
        .competitors()
        .filter_map(|(_, numbers)| {
            let tops: Vec<Top> = numbers
                .row
                .runs
                .iter()
                .map(|run| run.top)
                .collect::<Option<_>>()?;
            let average = |of: fn(&Top) -> f64| mean(&tops.iter().map(of).collect::<Vec<_>>());
            let (coverage, popularity) = (average(|top| top.coverage), average(|top| top.popularity));
            Some(vec![
                Cell::text(&numbers.row.label),
                Cell::number(coverage, percent(coverage)),
                Cell::number(popularity, format!("{popularity:.1}")),
            ])
        })
        .collect();
    Table::new(
        format!(
            "Exploratory: the first five of {} candidates, mean over replicates. Coverage is the share of all items that are anybody's \
             candidates; popularity the mean training interactions",
            analysis.scenario.reading.protocol.name()
        ),
        &["Method"],
        &["Coverage", "Mean popularity"],
        rows,
    )
    .unless_empty()
}
