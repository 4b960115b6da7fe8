//! From per-user ranks to a report: one analysis, one table model, several renderers.

pub mod analysis;
pub mod check;
pub mod input;
pub mod json;
pub mod table;
pub mod verdict;

pub use input::{Family, Row, Run, Scenario, ScenarioKind, Study, UserScore};
pub use json::numbers;
pub use verdict::{Outcome, Verdict, verdict};
