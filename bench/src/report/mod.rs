//! From per-user ranks to a report: one analysis, one table model, several renderers.
//!
//! ```text
//! Study ──► Analysis ──► Table, Chart, Verdict ──► Markdown, HTML, LaTeX, CSV, JSON, terminal
//! ```
//! Everything here is a pure function of its input: the same studies give the same bytes.

pub mod analysis;
pub mod chart;
pub mod check;
pub mod csv;
pub mod input;
pub mod json;
pub mod page;
pub mod per_user;
pub mod table;
pub mod terminal;
pub mod verdict;
mod write;

#[cfg(test)]
mod tests;

pub use input::{Family, Row, Run, Scenario, ScenarioKind, Study, UserScore};
pub use json::numbers;
pub use terminal::terminal;
pub use verdict::{Outcome, Verdict, verdict};
pub use write::{FILES, write_all};
