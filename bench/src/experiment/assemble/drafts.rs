//! The rows that a scenario is to have, before anything is read of them.

use anyhow::{Context, Result};
use weaverec_model::weave::{Diet, Domains};

use super::records::Records;
use crate::experiment::plan::{self, members};
use crate::experiment::profile::Scenario;
use crate::experiment::study_record::StudyRecord;
use crate::method::{self, How, Method};
use crate::report::input::{Family, Row};

/// The row that shows the target's own adapter.
const TARGET_ONLY: &str = "target-only";

/// Where the runs of a row come from.
pub enum Source {
    /// A row of the registry.
    Method(&'static dyn Method),
    /// An adapter alone.
    Member(Diet),
}

/// A row that is being made.
pub struct Draft {
    /// The row, without runs.
    pub row: Row,
    /// Where they come from.
    pub source: Source,
    /// The primary metric of calibration users in each run.
    pub calibration: Vec<Option<f64>>,
}

/// The rows of a scenario's table, then the adapters that take part in its merges.
///
/// # Errors
/// A row that the program does not know, or a domain that the record lacks.
pub fn drafts(records: &Records, scenario: &Scenario) -> Result<Vec<Draft>> {
    let draft = |method: String, label: String, family, deterministic, source| Draft {
        row: Row {
            method,
            label,
            family,
            deterministic,
            runs: Vec::new(),
        },
        source,
        calibration: Vec::new(),
    };
    let mut drafts = Vec::new();
    for method in plan::rows(records.study, scenario)? {
        drafts.push(draft(
            method.id().into(),
            method.label().into(),
            method.family(),
            is_deterministic(method, records.study, scenario)?,
            Source::Method(method),
        ));
    }
    for diet in members(records.study, scenario)? {
        let id = shown_as(&diet, records, scenario)?;
        if drafts.iter().all(|draft| draft.row.method != id) {
            drafts.push(draft(
                id,
                diet.to_string(),
                Family::Member,
                false,
                Source::Member(diet),
            ));
        }
    }
    Ok(drafts)
}

/// Whether nothing of a row is drawn, so that its one run counts for every replicate.
fn is_deterministic(method: &dyn Method, study: &StudyRecord, scenario: &Scenario) -> Result<bool> {
    Ok(match method.how() {
        How::Best(_) => false,
        How::Fusion { of, with } => {
            is_deterministic(part(of)?, study, scenario)? && is_deterministic(part(with)?, study, scenario)?
        }
        _ => {
            let scorer = plan::scorer(method, study, scenario, 0)?;
            scorer.is_some_and(|scorer| scorer.is_deterministic(study))
        }
    })
}

/// A row that another one is made of.
///
/// # Errors
/// One that there is not.
pub fn part(id: &str) -> Result<&'static dyn Method> {
    method::named(id).with_context(|| format!("there is no row {id}, which another one is made of"))
}

/// The row that shows an adapter alone in a table: where one of the table's own rows is that adapter, as joint training is the hybrid of a
/// single source, it is that row, so that nothing is shown under two names.
///
/// # Errors
/// A row that the program does not know, or a domain that the record lacks.
pub fn shown_as(diet: &Diet, records: &Records, scenario: &Scenario) -> Result<String> {
    let scorer = plan::alone(diet.clone(), records.study, 0);
    for method in plan::rows(records.study, scenario)? {
        if plan::scorer(method, records.study, scenario, 0)?.as_ref() == Some(&scorer) {
            return Ok(method.id().to_owned());
        }
    }
    Ok(member_id(diet, scenario))
}

/// The row that shows an adapter alone: the target-only row is one already.
pub fn member_id(diet: &Diet, scenario: &Scenario) -> String {
    match diet.is_plain() && diet.domains() == Domains::of([scenario.target.as_str()]) {
        true => TARGET_ONLY.into(),
        false => format!("adapter:{diet}"),
    }
}
