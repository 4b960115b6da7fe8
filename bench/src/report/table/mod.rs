//! One table model: what is shown and how it is marked, with no word about a format.

mod cells;
mod choices;
mod compute;
mod contrasts;
mod cost;
mod diagnosis;
mod levels;
mod readings;
mod strata;
mod weights;

use super::analysed::Analysed;
use super::number::NONE;
use crate::claim::decision::Standing;
use serde::Serialize;

pub use cells::cells;
pub use choices::choices;
pub use compute::compute;
pub use contrasts::{across, claims, differences, id_order, learned, planned, repeated};
pub use cost::cost;
pub use diagnosis::{diagnosis, mean_members};
pub use levels::{accuracy, matrix, primary};
pub use readings::{catalogue, readings};
pub use strata::{strata, top};
pub use weights::weights;

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

impl Table {
    /// A table whose first columns hold words and the others numbers.
    fn new(
        caption: impl Into<String>,
        words: &[impl AsRef<str>],
        numbers: &[impl AsRef<str>],
        rows: Vec<Vec<Cell>>,
    ) -> Self {
        let column = |title: &str, numeric| Column {
            title: title.to_owned(),
            numeric,
        };
        let words = words.iter().map(|title| column(title.as_ref(), false));
        let numbers = numbers.iter().map(|title| column(title.as_ref(), true));
        Self {
            caption: caption.into(),
            columns: words.chain(numbers).collect(),
            rows,
        }
    }

    /// The same table, the last of whose cells stand below one more head and hold words.
    fn with_words(mut self, title: &str) -> Self {
        self.columns.push(Column {
            title: title.to_owned(),
            numeric: false,
        });
        self
    }

    /// The same table, or none where it has no row.
    fn unless_empty(self) -> Option<Self> {
        (!self.rows.is_empty()).then_some(self)
    }
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
    /// What a planned contrast says of the cell, or nothing.
    pub mark: &'static str,
}

impl Cell {
    fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    fn number(value: f64, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            value: Some(value),
            ..Self::default()
        }
    }

    fn count(value: usize) -> Self {
        Self::number(value as f64, value.to_string())
    }

    fn none() -> Self {
        Self::text(NONE)
    }

    /// A number that may be missing.
    fn maybe(value: Option<f64>, show: impl Fn(f64) -> String) -> Self {
        value.map_or_else(Self::none, |value| Self::number(value, show(value)))
    }
}

/// What the marks of a study's tables mean, or that there is nothing to mark.
#[must_use]
pub fn legend(analysed: &Analysed) -> String {
    let claims = &analysed.study.claims;
    let contrasts = analysed.planned.iter().flat_map(|planned| &planned.family);
    if contrasts.flat_map(|claim| &claim.result.parts).next().is_none() {
        return "No row is marked, as no planned contrast is made here. Intervals are for reading and decide nothing.".to_owned();
    }
    let woven = analysed.label(&claims.woven);
    format!(
        "†/‡: {woven} is better/worse than this row by a planned contrast (adjusted p below {}, {} replicates or more, with the same sign \
         under every reading and at scale 1); nothing else is marked. Intervals are for reading and decide nothing.",
        claims.alpha,
        Standing::CLAIM_REPLICATES
    )
}

/// Marks the best and the second value of each column from `first` on; equal values share a mark.
fn emphasise(rows: &mut [Vec<Cell>], columns: std::ops::Range<usize>) {
    for column in columns {
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
