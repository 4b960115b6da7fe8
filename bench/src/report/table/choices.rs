//! What was chosen by looking at results, and on whose.

use super::{Cell, Table};
use crate::choice::LAMBDA;
use crate::report::input::{Choice, Study};
use crate::report::number::NONE;

/// The choices of a study, a line for all replicates of a row; no performance is reported on the users that made them.
#[must_use]
pub fn choices(study: &Study) -> Option<Table> {
    let mut lines: Vec<(&Choice, Vec<&Choice>)> = Vec::new();
    for choice in &study.choices {
        let same = |(first, _): &&mut (&Choice, Vec<&Choice>)| {
            let key = |choice: &'_ Choice| {
                (
                    choice.scenario.clone(),
                    choice.row.clone(),
                    choice.what.clone(),
                    choice.users.clone(),
                )
            };
            key(first) == key(choice)
        };
        match lines.iter_mut().find(same) {
            Some((_, all)) => all.push(choice),
            None => lines.push((choice, vec![choice])),
        }
    }
    let rows = lines
        .into_iter()
        .map(|(first, mut all)| {
            all.sort_by_key(|choice| choice.replicate);
            let (values, replicates): (Vec<&str>, Vec<String>) = all
                .iter()
                .map(|choice| (choice.value.as_str(), choice.replicate.to_string()))
                .unzip();
            let same = values.windows(2).all(|pair| pair[0] == pair[1]);
            vec![
                Cell::text(first.scenario.as_deref().unwrap_or(NONE)),
                Cell::text(&first.row),
                Cell::text(&first.what),
                Cell::text(if same {
                    values[0].to_owned()
                } else {
                    values.join("; ")
                }),
                Cell::text(&first.users),
                Cell::text(replicates.join(", ")),
            ]
        })
        .collect();
    Table::new(
        format!(
            "Choices: what was set by looking at results, replicate by replicate; nothing is reported on the users it was selected on. α: \
             weight of the neutral likelihood; c: scale of the merged update; w: weight of what is added{}",
            of_weights(study)
        ),
        &["Scenario", "Row", "What", "Value", "Selected on", "Replicates"],
        &[] as &[&str],
        rows,
    )
    .unless_empty()
}

/// What is said of the weights within merges: nothing where nothing is merged.
fn of_weights(study: &Study) -> &'static str {
    if study.choices.iter().any(|choice| choice.what == LAMBDA) {
        return "; λ: weights within a merge, which are equal in rows without a line for them";
    }
    let mut rows = study.scenarios.iter().flat_map(|scenario| &scenario.rows);
    match rows.any(|row| row.runs.iter().any(|run| run.members.len() > 1)) {
        true => ". The weights λ within a merge are equal and nobody's choice",
        false => "",
    }
}
