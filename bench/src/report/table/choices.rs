//! What was chosen by looking at results, and on whose.

use super::{Cell, Table};
use crate::report::input::Study;

/// The choices of a study; no performance is reported on the users that made them.
#[must_use]
pub fn choices(study: &Study) -> Option<Table> {
    let rows = study
        .choices
        .iter()
        .map(|choice| {
            vec![
                Cell::text(&choice.row),
                Cell::text(&choice.what),
                Cell::text(&choice.value),
                Cell::text(&choice.users),
                Cell::number(f64::from(choice.replicate), choice.replicate.to_string()),
            ]
        })
        .collect();
    Table::new(
        "Choices: what was set by looking at results; nothing is reported on the users it was selected on",
        &["Row", "What", "Value", "Selected on"],
        &["Replicate"],
        rows,
    )
    .unless_empty()
}
