//! Charts as inline SVG, written by hand: colours and text follow the page's style sheet, so that one drawing serves
//! light and dark, screen and print.

mod axis;
mod bars;
mod cost;
mod forest;
mod loss;
mod svg;

use super::analysis::Analysis;
use serde::Serialize;

pub use forest::{Line, forest};

/// A drawing with the sentence that says how to read it.
#[derive(Debug, Clone, Serialize)]
pub struct Chart {
    /// How to read it.
    pub caption: String,
    /// The drawing: one `<svg>` element.
    pub svg: String,
}

/// Every chart that a scenario has the numbers for.
#[must_use]
pub fn charts(analysis: &Analysis) -> Vec<Chart> {
    [
        Some(bars::methods(analysis)),
        bars::members(analysis),
        cost::accuracy(analysis),
        loss::curves(analysis),
    ]
    .into_iter()
    .flatten()
    .collect()
}
