//! From run records to the report's input: nothing is computed here that is not in the records.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use weaverec_model::weave::Domains as DomainSet;

use super::cell::{Record, ScoredCase, Training};
use super::plan::{AdapterKey, Plan, Scorer, alone, members, runs};
use super::profile::Scenario;
use super::runner::Bench;
use super::store::Store;
use crate::method::Method;
use crate::metric::pessimistic_rank;
use crate::report::input::{self, Family, Row, Run, UserScore};

/// The study's part of the report.
///
/// # Errors
/// A cell that is not finished.
pub fn study(bench: &Bench, plan: &Plan, store: &Store) -> Result<input::Study> {
    let mut notes: BTreeSet<String> = BTreeSet::new();
    for domain in bench.domains.values() {
        notes.extend(domain.notes.iter().map(|note| format!("{}: {note}", domain.name)));
    }
    let scenarios = bench
        .study
        .scenarios
        .iter()
        .map(|s| scenario(bench, plan, store, s).with_context(|| format!("scenario {}", s.name())))
        .collect::<Result<_>>()?;
    Ok(input::Study {
        name: bench.study.name.clone(),
        title: bench.study.title.clone(),
        profile: bench.profile.name.clone(),
        notes: bench.study.notes.iter().cloned().chain(notes).collect(),
        scenarios,
    })
}

fn scenario(bench: &Bench, plan: &Plan, store: &Store, scenario: &Scenario) -> Result<input::Scenario> {
    let target = bench.domain(&scenario.target)?;
    let seeds = &bench.profile.seeds;
    let mut rows = Vec::new();
    for method in Method::all() {
        let runs = runs(method, scenario, seeds)
            .into_iter()
            .map(|(seed, scorer)| run(plan, store, scenario, seed, scorer))
            .collect::<Result<_>>()?;
        rows.push(Row {
            method: method.id().into(),
            label: method.label().into(),
            family: method.family(),
            runs,
        });
    }
    for domains in members(scenario) {
        let id = member_id(&domains, scenario);
        if rows.iter().any(|row| row.method == id) {
            continue;
        }
        let runs = seeds
            .iter()
            .map(|seed| run(plan, store, scenario, *seed, alone(&domains, *seed)))
            .collect::<Result<_>>()?;
        rows.push(Row {
            method: id,
            label: domains.to_string(),
            family: Family::Member,
            runs,
        });
    }
    Ok(input::Scenario {
        name: scenario.name(),
        kind: scenario.kind,
        target: scenario.target.clone(),
        sources: scenario.sources.clone(),
        candidate_hash: target.candidate_hash.clone(),
        split: target.folder.manifest().split.clone(),
        candidates: bench.profile.prepare.candidates,
        users: target.test.len(),
        rows,
    })
}

/// The row that shows an adapter alone: the target-only row is one already.
fn member_id(domains: &DomainSet, scenario: &Scenario) -> String {
    match *domains == DomainSet::of([scenario.target.as_str()]) {
        true => "target-only".into(),
        false => format!("adapter:{domains}"),
    }
}

fn run(plan: &Plan, store: &Store, scenario: &Scenario, seed: u64, scorer: Scorer) -> Result<Run> {
    let key = (scenario.target.clone(), scorer);
    let cell = &plan
        .rankings
        .get(&key)
        .context("a ranking of this scenario is not planned")?
        .cell;
    let record: Record = store.load(cell)?;
    let ranking = record
        .ranking
        .with_context(|| format!("the record of {} holds no ranking", cell.label))?;
    let empty: &[AdapterKey] = &[];
    let members = match &key.1 {
        Scorer::LanguageModel { members } => members.as_slice(),
        _ => empty,
    };
    let trainings: Vec<Training> = members
        .iter()
        .map(|m| training(plan, store, m))
        .collect::<Result<_>>()?;
    let merged = members.len() > 1;
    Ok(Run {
        seed,
        candidate_hash: ranking.candidate_hash,
        users: ranking.cases.iter().map(user).collect(),
        // An empty sum of floats is −0, which a report would show.
        train_seconds: trainings.iter().map(|t| t.outcome.seconds).sum::<f64>() + 0.0,
        train_tokens: trainings.iter().map(|t| t.outcome.tokens).sum(),
        train_flops: trainings.iter().map(|t| t.flops).sum::<f64>() + 0.0,
        rank_seconds: ranking.rank_seconds,
        peak_memory_bytes: record.cost.peak_memory_bytes.unwrap_or(0),
        invalid_output_rate: ranking.invalid_output_rate,
        validation_loss: ranking.validation_loss,
        loss_curve: match trainings.as_slice() {
            [one] => one.outcome.curve.clone(),
            _ => Vec::new(),
        },
        held_out_curve: match trainings.as_slice() {
            [one] => one.outcome.held_out_curve.clone(),
            _ => Vec::new(),
        },
        members: members
            .iter()
            .filter(|_| merged)
            .map(|(domains, _)| (member_id(domains, scenario), 1.0 / members.len() as f64))
            .collect(),
    })
}

fn user(case: &ScoredCase) -> UserScore {
    let (rank, tied) = pessimistic_rank(&case.scores, case.target as usize);
    UserScore {
        user_id: case.user_id.clone(),
        rank,
        tied,
    }
}

fn training(plan: &Plan, store: &Store, key: &AdapterKey) -> Result<Training> {
    let cell = &plan
        .adapters
        .get(key)
        .context("an adapter of this scenario is not planned")?
        .cell;
    store
        .load(cell)?
        .training
        .with_context(|| format!("the record of {} holds no training", cell.label))
}
