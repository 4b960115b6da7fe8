//! What was chosen, and on whom.

use std::collections::BTreeSet;

use anyhow::Result;

use super::records::Records;
use crate::cut::Cut;
use crate::experiment::cell;
use crate::experiment::replicate::Replicate;
use crate::report::input::{self, Choice, Family};
use crate::scoring::Chosen;

/// What was chosen for the adapters, backbones and recommenders of these scenarios, each named once.
///
/// # Errors
/// A record that cannot be read.
pub fn of_trainings(records: &Records, scenarios: &[input::Scenario]) -> Result<Vec<Choice>> {
    let mut choices = Vec::new();
    let replicates: BTreeSet<Replicate> = scenarios
        .iter()
        .flat_map(|scenario| &scenario.rows)
        // What other programs were drawn from is theirs.
        .filter(|row| row.family != Family::Outside)
        .flat_map(|row| row.runs.iter().map(|run| run.replicate))
        .collect();
    for (replicate, backbone) in &records.plan.backbones {
        if replicates.contains(replicate) {
            let record = records.training(&backbone.cell)?;
            let all = record.choices.iter();
            choices.extend(all.map(|choice| recorded(None, "nano backbone", *replicate, choice)));
        }
    }
    for ((diet, replicate), adapter) in &records.plan.adapters {
        // Those of units that are not finished have not been read.
        let known = records.trained_before(&adapter.cell);
        let all = known.iter().flat_map(|record| &record.choices);
        choices.extend(all.map(|choice| recorded(None, &diet.to_string(), *replicate, choice)));
    }
    for (key, recommender) in &records.plan.recommenders {
        let known = records.trained_before(&recommender.cell);
        let all = known.iter().flat_map(|record| &record.choices);
        let mut of = format!("{} on {}", key.method, key.target);
        if !key.sources.is_empty() {
            of.push_str(&format!(" with {}", key.sources.join(" + ")));
        }
        choices.extend(all.map(|choice| recorded(None, &of, key.replicate, choice)));
    }
    Ok(choices)
}

/// A choice as it is recorded.
pub fn recorded(scenario: Option<&str>, row: &str, replicate: Replicate, choice: &cell::Choice) -> Choice {
    let letter = match choice.cut {
        Cut::Selection => "S",
        Cut::Calibration => "C",
        other => other.name(),
    };
    Choice {
        scenario: scenario.map(str::to_owned),
        row: row.to_string(),
        replicate,
        what: choice.what.clone(),
        value: match &choice.value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        },
        users: match choice.users {
            0 => "nobody who is held out".into(),
            users => format!("{letter} ({users} users)"),
        },
    }
}

/// A choice that calibration users made just now; none where they did not.
pub fn calibrated(
    scenario: &str,
    row: &str,
    replicate: Replicate,
    what: impl Into<String>,
    chosen: &Chosen,
) -> Option<Choice> {
    chosen.chosen.then(|| Choice {
        scenario: Some(scenario.to_owned()),
        row: row.to_owned(),
        replicate,
        what: what.into(),
        value: match chosen.edge {
            true => format!("{} (at an edge of the grid)", chosen.value),
            false => chosen.value.to_string(),
        },
        users: format!("C ({} users)", chosen.users),
    })
}
