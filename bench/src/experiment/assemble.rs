//! From records to the report's input: no raw logs, no model, and nothing computed that is not in the records, but for where targets
//! stand, which follows from the scores.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use weaverec_model::weave::Domains as DomainSet;

use super::cell::{self, Cell, Record, ScoredCase, Training};
use super::cut::Cut;
use super::environment::Environment;
use super::library::Library;
use super::plan::{Plan, Scorer, Unit, alone, members, scorer};
use super::profile::{Backbone, Scenario};
use super::ranking::scored_hash;
use super::replicate::Replicate;
use super::study_record::StudyRecord;
use crate::method::Method;
use crate::metric::place;
use crate::report::input::{self, Backbones, Case, Choice, Family, Row, Run};

/// What a reader must know of every merge, and of what is said against one.
const MERGES_AS_THEY_ARE: &str = "merges are taken as they are, no scale of theirs having been chosen on calibration users: a uniform mean \
     of nearly orthogonal deltas keeps 1/(number of members) of the target's, so a finding against the naive merge (claim M) may be one \
     of scale alone";

/// The study's part of the report: of the units that are finished, with a note on those that are not; none where no unit is.
///
/// # Errors
/// A record that cannot be read.
pub fn study(study: &StudyRecord, plan: &Plan, library: &Library) -> Result<Option<input::Study>> {
    let records = Records {
        study,
        plan,
        library,
        seen: RefCell::default(),
        trained: RefCell::default(),
    };
    let profile = &study.profile;
    let (mut scenarios, mut notes) = (Vec::new(), Vec::new());
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
            let with = records.scenario(scenario, &finished);
            scenarios.push(with.with_context(|| format!("scenario {name}"))?);
        }
    }
    if scenarios.is_empty() {
        return Ok(None);
    }
    // As long as none is chosen: a reader could take the arithmetic of a mean for the merit of a method.
    notes.push(MERGES_AS_THEY_ARE.to_owned());
    if profile.report_on == Cut::Final {
        notes.push(format!(
            "the final users were ranked under {} version(s) of this profile",
            versions(study, library)?
        ));
    }
    let mut claims = profile.claims.clone();
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
    let choices = records.choices(&scenarios)?;
    let seen = records.seen.into_inner();
    Ok(Some(input::Study {
        name: study.study().name.clone(),
        title: study.study().title.clone(),
        profile: profile.name.clone(),
        purpose: profile.purpose.clone(),
        replicates: profile.replicates as usize,
        backbones: match profile.backbone {
            Backbone::Pretrained { .. } => Backbones::Downloaded,
            Backbone::Nano(_) => Backbones::PreTrained(study.facts.bases.len()),
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

/// The records of a study, and what they were made by.
struct Records<'a> {
    study: &'a StudyRecord,
    plan: &'a Plan,
    library: &'a Library,
    /// By key: where each record that was read comes from, and its numerics version.
    seen: RefCell<BTreeMap<String, (Environment, u32)>>,
    /// Records of trainings by key: several rows merge the same adapters.
    trained: RefCell<BTreeMap<String, Rc<Record>>>,
}

impl Records<'_> {
    /// The replicates of a scenario of which every record is there.
    fn finished(&self, scenario: usize) -> Vec<Replicate> {
        let is_finished = |unit: &&Unit| {
            self.plan
                .cells(unit)
                .into_iter()
                .all(|cell| self.library.has(cell))
        };
        let units = self.plan.units.iter().filter(|unit| unit.scenario == scenario);
        units.filter(is_finished).map(|unit| unit.replicate).collect()
    }

    fn load(&self, cell: &Cell) -> Result<Record> {
        let record = self.library.load(cell)?;
        let from = (record.environment.clone(), record.numerics);
        self.seen.borrow_mut().insert(cell.key.clone(), from);
        Ok(record)
    }

    fn training(&self, cell: &Cell) -> Result<Rc<Record>> {
        if let Some(known) = self.trained.borrow().get(&cell.key) {
            return Ok(Rc::clone(known));
        }
        let record = Rc::new(self.load(cell)?);
        self.trained
            .borrow_mut()
            .insert(cell.key.clone(), Rc::clone(&record));
        Ok(record)
    }

    fn scenario(&self, scenario: &Scenario, replicates: &[Replicate]) -> Result<input::Scenario> {
        let mut cases = Vec::new();
        let mut rows = Vec::new();
        let mut add = |method: String, label: String, family: Family, scorers: Vec<(Replicate, Scorer)>| {
            let deterministic = scorers
                .iter()
                .all(|(_, scorer)| scorer.is_deterministic(self.study));
            let drawn = if deterministic { 1 } else { scorers.len() };
            let mut runs = Vec::new();
            for (replicate, scorer) in scorers.into_iter().take(drawn) {
                let (run, found) = self.run(scenario, replicate, scorer)?;
                if cases.is_empty() {
                    cases = found;
                }
                runs.push(run);
            }
            rows.push(Row {
                method,
                label,
                family,
                deterministic,
                runs,
            });
            anyhow::Ok(())
        };
        for method in Method::all() {
            let of = |replicate: &Replicate| (*replicate, scorer(method, self.study, scenario, *replicate));
            let scorers = replicates.iter().map(of).collect();
            add(
                method.id().into(),
                method.label().into(),
                method.family(),
                scorers,
            )?;
        }
        for domains in members(scenario) {
            let id = member_id(&domains, scenario);
            if id == TARGET_ONLY {
                continue;
            }
            let of = |replicate: &Replicate| (*replicate, alone(domains.clone(), self.study, *replicate));
            let scorers = replicates.iter().map(of).collect();
            add(id, domains.to_string(), Family::Member, scorers)?;
        }
        let domain = self.study.domain(&scenario.target)?;
        Ok(input::Scenario {
            name: scenario.name(),
            kind: scenario.kind,
            target: scenario.target.clone(),
            sources: scenario.sources.clone(),
            candidate_hash: domain.candidate_hash.clone(),
            split: domain.split.clone(),
            order: domain.order.clone(),
            candidates: self.study.profile.prepare.candidates,
            best_floor: None,
            best_naive_merge: None,
            cases,
            rows,
        })
    }

    fn run(&self, scenario: &Scenario, replicate: Replicate, scorer: Scorer) -> Result<(Run, Vec<Case>)> {
        let key = (scenario.target.clone(), scorer);
        let cell = &self.plan.ranking(&key)?.cell;
        let record = self.load(cell)?;
        let ranking = record
            .ranking
            .with_context(|| format!("the record of {} ({}) holds no ranking", cell.label, cell.key))?;
        let on = self.study.profile.report_on;
        let reported: Vec<ScoredCase> = ranking.cases.into_iter().filter(|case| case.cut == on).collect();
        let scored = scored_hash(&reported);
        if scored != ranking.candidate_hash {
            bail!(
                "the scores of {} ({}) are of the candidates {scored}, its record says {}: one of the two files is of another run; delete the \
                 folder to run it again",
                cell.label,
                cell.key,
                ranking.candidate_hash
            );
        }
        let members = key.1.members();
        let records: Vec<Rc<Record>> = members
            .iter()
            .map(|member| self.training(&self.plan.adapter(member)?.cell))
            .collect::<Result<_>>()?;
        let trainings: Vec<&Training> = records
            .iter()
            .map(|record| {
                let missing = || {
                    format!(
                        "the record of {} ({}) holds no training",
                        record.label, record.key
                    )
                };
                record.training.as_ref().with_context(missing)
            })
            .collect::<Result<_>>()?;
        let merged = members.len() > 1;
        let (loss_curve, held_out_curve) = match trainings.as_slice() {
            [one] => (one.outcome.curve.clone(), one.outcome.held_out_curve.clone()),
            _ => Default::default(),
        };
        let places = reported
            .iter()
            .map(|case| place(&case.scores, case.target as usize));
        let run = Run {
            replicate,
            candidate_hash: ranking.candidate_hash,
            places: places.collect(),
            // An empty sum of floats is −0, which a report would show.
            train_seconds: trainings.iter().map(|t| t.outcome.seconds).sum::<f64>() + 0.0,
            train_tokens: trainings.iter().map(|t| t.outcome.tokens).sum(),
            train_steps: trainings.iter().map(|t| t.outcome.steps as u64).sum(),
            train_flops: trainings.iter().map(|t| t.flops).sum::<f64>() + 0.0,
            rank_seconds: Some(ranking.rank_seconds),
            // Where a GPU works, its memory is what runs short.
            peak_memory_bytes: record
                .cost
                .peak_gpu_memory_bytes
                .or(record.cost.peak_memory_bytes),
            invalid_output_rate: ranking.invalid_output_rate,
            validation_loss: ranking.validation_loss,
            loss_curve,
            held_out_curve,
            members: members
                .iter()
                .filter(|_| merged)
                .map(|(domains, _)| (member_id(domains, scenario), 1.0 / members.len() as f64))
                .collect(),
        };
        let cases = reported.into_iter().map(|case| Case {
            user_id: case.user_id,
            descends: case.descends,
            ties: case.ties,
        });
        Ok((run, cases.collect()))
    }

    /// What was chosen for the adapters and backbones of these scenarios, each named once.
    fn choices(&self, scenarios: &[input::Scenario]) -> Result<Vec<Choice>> {
        let mut choices = Vec::new();
        let replicates: BTreeSet<Replicate> = scenarios
            .iter()
            .flat_map(|scenario| &scenario.rows)
            .flat_map(|row| row.runs.iter().map(|run| run.replicate))
            .collect();
        for (replicate, backbone) in &self.plan.backbones {
            if replicates.contains(replicate) {
                let record = self.training(&backbone.cell)?;
                choices.extend(
                    record
                        .choices
                        .iter()
                        .map(|choice| chosen("nano backbone", *replicate, choice)),
                );
            }
        }
        for ((domains, replicate), adapter) in &self.plan.adapters {
            // Those of units that are not finished have not been read.
            let known = self.trained.borrow().get(&adapter.cell.key).map(Rc::clone);
            let all = known.iter().flat_map(|record| &record.choices);
            choices.extend(all.map(|choice| chosen(&domains.to_string(), *replicate, choice)));
        }
        Ok(choices)
    }
}

fn chosen(row: &str, replicate: Replicate, choice: &cell::Choice) -> Choice {
    let letter = match choice.cut {
        Cut::Selection => "S",
        Cut::Calibration => "C",
        other => other.name(),
    };
    Choice {
        row: row.to_string(),
        replicate,
        what: choice.what.clone(),
        value: match &choice.value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        },
        users: format!("{letter} ({} users)", choice.users),
    }
}

const TARGET_ONLY: &str = "target-only";

/// The row that shows an adapter alone: the target-only row is one already.
fn member_id(domains: &DomainSet, scenario: &Scenario) -> String {
    match *domains == DomainSet::of([scenario.target.as_str()]) {
        true => TARGET_ONLY.into(),
        false => format!("adapter:{domains}"),
    }
}
