//! From the places of every user's target to a report: one analysis, one table model, several renderers.
//!
//! ```text
//! Study ──► Analysed ──► Table, Chart, sentences, Summary ──► Markdown, HTML, LaTeX, CSV, JSON, terminal
//! ```
//! Everything here is a pure function of its input: the same studies give the same bytes. What is better, worse, equivalent or undecided
//! says [`crate::decision`]; here it is computed, put into words and drawn.

pub mod across;
pub mod analysed;
pub mod analysis;
pub mod chart;
pub mod check;
pub mod compute;
pub mod csv;
pub mod folder;
pub mod heading;
pub mod imported;
pub mod input;
pub mod json;
pub mod junit;
pub mod leak;
pub mod learned;
mod markup;
pub mod number;
pub mod page;
pub mod per_user;
pub mod planned;
pub mod readme;
pub mod scores;
pub mod sentence;
pub mod summary;
pub mod table;
pub mod terminal;
pub mod weights;
mod write;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use analysed::Analysed;
pub use input::{
    Backbones, Case, Choice, Claims, Contamination, Cut, Family, Import, Place, Reading, Row, Run, Scenario,
    ScenarioKind, Study, Top,
};
pub use summary::Summary;
pub use terminal::terminal;
pub use write::{FILES, contents, write_all};
