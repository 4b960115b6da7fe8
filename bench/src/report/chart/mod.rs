//! Charts as inline SVG, written by hand: colours and text follow the page's style sheet, so that one drawing serves
//! light and dark, screen and print.

mod axis;
mod cost;
mod differences;
mod forest;
mod letters;
mod loss;
mod svg;
mod weights;

use super::analysis::Analysis;
use super::weights::along;
use serde::Serialize;

pub use forest::{Line, OTHER_COMPUTE, forest};
pub use letters::{forest_caption, forest_text};

/// A drawing with the sentence that says how to read it.
#[derive(Debug, Clone, Serialize)]
pub struct Chart {
    /// How to read it.
    pub caption: String,
    /// The drawing: one `<svg>` element.
    pub svg: String,
}

/// Every chart that a scenario has the numbers for, with a word for what it is about; differences within `margin` count as none.
#[must_use]
pub fn charts(analysis: &Analysis, margin: f64) -> Vec<(&'static str, Chart)> {
    let drawn = [
        ("differences", differences::methods(analysis, margin)),
        ("differences", differences::members(analysis, margin)),
        ("cost", cost::accuracy(analysis)),
        ("loss", loss::curves(analysis)),
    ];
    let along = along(analysis.scenario);
    let along = along.iter().map(|along| ("weights", weights::course(along)));
    drawn
        .into_iter()
        .filter_map(|(word, chart)| Some((word, chart?)))
        .chain(along)
        .collect()
}
