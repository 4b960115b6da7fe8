//! Where rows of other programs come from: the command that imports each file, and what made it.

use super::input::{Import, Row, Run, Scenario, Study};
use serde::Serialize;

/// A file of another program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The row, and its replicate where something in it is drawn.
    pub row: String,
    /// The command that makes its record of FILE.
    pub command: String,
    /// Hash of that file.
    pub file: String,
    /// What made it, or that this was not said.
    pub made_by: String,
}

/// The files that rows of a scenario were imported from, in the order of the rows and their replicates.
#[must_use]
pub fn imported(study: &Study, scenario: &Scenario) -> Vec<Imported> {
    let mut all = Vec::new();
    for row in scenario.rows.iter().chain(&scenario.lists) {
        for run in &row.runs {
            all.extend(run.import.as_ref().map(|import| of(study, row, run, import)));
        }
    }
    all
}

fn of(study: &Study, row: &Row, run: &Run, import: &Import) -> Imported {
    Imported {
        row: match row.deterministic {
            true => row.label.clone(),
            false => format!("{}, replicate {}", row.label, run.replicate),
        },
        command: format!("weaverec score import FILE {} {}", profile(study), import.options),
        file: import.file.clone(),
        made_by: match &import.made_by {
            Some(text) => format!("made by: {text}"),
            None => "what made it was not said".to_owned(),
        },
    }
}

/// The words that name a study's profile and its logs. Where and how models run is no matter of a file.
fn profile(study: &Study) -> String {
    let of_command = study.command.as_deref();
    let Some((_, options)) = of_command.and_then(|command| command.split_once(" reproduce ")) else {
        return format!("--profile {}", study.profile);
    };
    let ends = [" --device ", " --arithmetic "].map(|option| options.find(option));
    let end = ends.into_iter().flatten().min().unwrap_or(options.len());
    options[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::study;

    #[test]
    fn a_file_is_imported_into_the_same_profile_wherever_models_run() {
        let mut study = study(3);
        for (command, words) in [
            (
                Some("weaverec reproduce --profile tiny.toml --data logs --device cuda --arithmetic bf16"),
                "--profile tiny.toml --data logs",
            ),
            (Some("weaverec reproduce --profile tiny"), "--profile tiny"),
            (None, "--profile tiny"),
        ] {
            study.command = command.map(str::to_owned);
            assert_eq!(profile(&study), words);
        }
    }
}
