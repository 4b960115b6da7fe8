//! From records to the report's input: no raw logs, no model, and nothing computed that is not in the records, but for where targets
//! stand, which follows from the scores.

mod choices;
mod drafts;
mod notes;
mod outside;
mod read;
mod records;
mod rows;
pub mod scores;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::cell::Record;
use super::environment::Environment;
use super::library::Library;
use super::plan::Plan;
use super::profile::Backbone;
use super::study_record::StudyRecord;
use crate::cut::Cut;
use crate::report::input::{self, Backbones};
use records::Records;

/// What a reader must know of a merge whose scale nobody chose, and of what is said against one.
const MERGES_AS_THEY_ARE: &str = "merges are taken as they are, no scale of theirs having been chosen on calibration users: a uniform mean \
     of nearly orthogonal deltas keeps 1/(number of members) of the target's, so a finding against the naive merge (claim M) may be one \
     of scale alone";

/// The study's part of the report: of the units that are finished, with a note on those that are not; none where no unit is.
///
/// # Errors
/// A record that cannot be read.
pub fn study(study: &StudyRecord, plan: &Plan, library: &Library) -> Result<Option<input::Study>> {
    let records = Records::new(study, plan, library);
    let profile = &study.profile;
    let (mut scenarios, mut notes, mut choices) = (Vec::new(), Vec::new(), Vec::new());
    let mut as_they_are = Vec::new();
    for (place, scenario) in study.study().scenarios.iter().enumerate() {
        let finished = records.finished(place);
        let name = scenario.name();
        if finished.len() < profile.replicates as usize {
            notes.push(format!(
                "{name}: {} of {} replicates are finished",
                finished.len(),
                profile.replicates
            ));
        }
        if !finished.is_empty() {
            let made = rows::scenario(&records, scenario, &finished);
            let made = made.with_context(|| format!("scenario {name}"))?;
            if made.merges_as_they_are {
                as_they_are.push(name.clone());
            }
            notes.extend(made.notes.iter().map(|note| format!("{name}: {note}")));
            choices.extend(made.choices);
            scenarios.push(made.scenario);
        }
    }
    if scenarios.is_empty() {
        return Ok(None);
    }
    let rows = study.study().rows(profile)?;
    notes.extend(profile.fitted_of(study.study()).notes(&rows));
    // Where none is chosen, a reader could take the arithmetic of a mean for the merit of a method.
    if as_they_are.len() == scenarios.len() {
        notes.push(MERGES_AS_THEY_ARE.to_owned());
    } else if !as_they_are.is_empty() {
        notes.push(format!("{}: {MERGES_AS_THEY_ARE}", as_they_are.join("; ")));
    }
    if profile.report_on == Cut::Final {
        notes.push(format!(
            "the final users were ranked under {} version(s) of this profile",
            versions(study, library)?
        ));
    }
    let mut claims = profile.claims_of(study.study()).clone();
    let of_some = !claims.scenarios.is_empty();
    claims
        .scenarios
        .retain(|named| scenarios.iter().any(|scenario| scenario.name == *named));
    if of_some && claims.scenarios.is_empty() {
        bail!(
            "study {} of profile {}: no unit of a scenario that [claims] names is finished; `weaverec reproduce` runs what is missing",
            study.study().name,
            profile.name
        );
    }
    let mut of_domains = BTreeSet::new();
    for (name, domain) in &study.facts.domains {
        of_domains.extend(domain.notes.iter().map(|note| format!("{name}: {note}")));
    }
    let stated = study.study().notes.iter().cloned();
    let mut of_trainings = choices::of_trainings(&records, &scenarios)?;
    of_trainings.extend(choices);
    let choices = of_trainings;
    notes.extend(notes::of_codes(&records));
    let seen = records.seen.into_inner();
    Ok(Some(input::Study {
        name: study.study().name.clone(),
        title: study.study().title.clone(),
        profile: profile.name.clone(),
        purpose: profile.purpose.clone(),
        command: None,
        replicates: profile.replicates as usize,
        backbones: match profile.backbone {
            Backbone::Pretrained { .. } => Backbones::Downloaded,
            Backbone::Nano(_) | Backbone::Codes(_) => Backbones::PreTrained(study.facts.bases.len()),
            Backbone::None => Backbones::None,
        },
        claims,
        report_on: profile.report_on,
        notes: stated.chain(of_domains).chain(notes).collect(),
        environments: environments(seen.values().map(|(environment, _)| environment))?,
        numerics: seen
            .values()
            .map(|(_, numerics)| *numerics)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        choices,
        scenarios,
    }))
}

/// How many versions of a profile have ranked a study's final users: once is what these users are for. Versions that this program could
/// not read count as well.
fn versions(study: &StudyRecord, library: &Library) -> Result<usize> {
    let (profile, name) = (study.profile.name.as_str(), study.study().name.as_str());
    let of = |record: &Record| {
        let configuration = &record.configuration;
        configuration["name"] == profile
            && configuration["study"][0]["name"] == name
            && configuration["report_on"] == Cut::Final.name()
    };
    Ok(library.studies()?.iter().filter(|record| of(record)).count())
}

/// The distinct environments, each with how many records were made there.
fn environments<'a>(all: impl Iterator<Item = &'a Environment>) -> Result<Vec<serde_json::Value>> {
    let mut counted: BTreeMap<&Environment, usize> = BTreeMap::new();
    for environment in all {
        *counted.entry(environment).or_default() += 1;
    }
    let described = counted.into_iter().map(|(environment, records)| {
        let mut value = serde_json::to_value(environment)?;
        value["records"] = records.into();
        Ok(value)
    });
    described.collect()
}
