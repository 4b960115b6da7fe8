//! `results.json`: every number behind the report, with what depends on the machine set apart. `compare`, `gate`, `readme` and `power` read
//! it.

use super::analysed::Analysed;
use super::analysis::{Analysis, BASELINE, RowNumbers};
use super::compute;
use super::heading;
use super::input::{Cut, Family, Row, Run, Scenario};
use super::learned::Comparison;
use super::planned::{Claim, Planned};
use super::sentence::sentences;
use super::summary::Summary;
use super::table::{self, mean_members};
use super::weights;
use crate::metric::{Metric, Tally};
use crate::statistics::mean;
use anyhow::Result;
use serde_json::{Map, Value, json};

/// The version of the layout of `results.json`.
pub const VERSION: u32 = 3;

/// Keys below which everything depends on the machine, or says where numbers come from: none of it is a number of the study.
pub const MACHINE: [&str; 6] = ["environment", "cost", "command", "units", "cells", "imported"];

/// The key of the summary, which says nothing that is not in the studies.
pub const SUMMARY: &str = "summary";

/// The whole document. All that depends on the machine stands under [`MACHINE`].
///
/// # Errors
/// Where a number cannot be written as JSON.
pub fn document(studies: &[Analysed], summary: &Summary) -> Result<Value> {
    let shown = studies.iter().map(study).collect::<Result<Vec<_>>>()?;
    Ok(json!({
        "version": VERSION,
        "baseline": BASELINE,
        "primary_metric": Metric::PRIMARY.key(),
        "studies": shown,
        SUMMARY: summary,
    }))
}

fn study(analysed: &Analysed) -> Result<Value> {
    let study = analysed.study;
    let scenarios = analysed
        .scenarios
        .iter()
        .map(|one| scenario(analysed, one))
        .collect::<Result<Vec<_>>>()?;
    let planned = analysed.planned.as_ref();
    Ok(json!({
        "name": study.name,
        "title": study.title,
        "profile": study.profile,
        "purpose": study.purpose,
        "command": study.command,
        "headings": heading::of_study(study),
        "replicates": study.replicates,
        "backbones": study.backbones,
        "report_on": Cut::name(study.report_on),
        "rules": study.claims,
        "claims": planned.map(claims).transpose()?,
        "numerics": study.numerics,
        "notes": study.notes,
        "choices": study.choices,
        "environment": study.environments,
        "scenarios": scenarios,
    }))
}

/// The primary claim, the family and its size.
fn claims(planned: &Planned) -> Result<Value> {
    let all = |some: &[Claim]| some.iter().map(claim).collect::<Result<Vec<_>>>();
    Ok(json!({
        "primary": claim(&planned.primary)?,
        "family": all(&planned.family)?,
        "size": planned.size,
        "deployment": all(&planned.deployment)?,
        "deployment_size": planned.deployment_size,
    }))
}

fn claim(claim: &Claim) -> Result<Value> {
    let mut value = serde_json::to_value(&claim.result)?;
    value["finding"] = serde_json::to_value(claim.finding())?;
    value["descending"] = serde_json::to_value(&claim.descending)?;
    let readings = claim.readings.iter();
    let readings = readings.map(|(reading, parts)| Ok((reading.name(), serde_json::to_value(parts)?)));
    value["readings"] = Value::Object(readings.collect::<Result<Map<String, Value>>>()?);
    Ok(value)
}

fn scenario(analysed: &Analysed, analysis: &Analysis) -> Result<Value> {
    let scenario = analysis.scenario;
    let planned = analysed.planned.as_ref();
    let woven = &analysed.study.claims.woven;
    let rows = analysis
        .rows
        .iter()
        .enumerate()
        .map(|(place, numbers)| {
            let mut value = row(analysis, numbers)?;
            let primary = Metric::PRIMARY.key();
            let readings = analysis.readings.iter();
            let readings = readings
                .map(|(reading, scores)| (reading.name(), json!({ primary.clone(): scores.mean(place) })));
            value["readings"] = Value::Object(readings.collect());
            value["at_scale_1"] = json!(analysis.scores.mean_at_one(place));
            value["tokens_times_woven"] = json!(compute::ratio(scenario, woven, &numbers.row.method));
            value["catalogue"] = catalogue(numbers.row);
            Ok(value)
        })
        .collect::<Result<Vec<_>>>()?;
    let learned = &analysis.learned;
    let method = |row: usize| scenario.rows[row].method.as_str();
    // What `minus_baseline` is about, where it is not the document's baseline.
    let instead = analysis.baseline.map(method).filter(|method| *method != BASELINE);
    let comparisons: Vec<Value> = learned
        .comparisons
        .iter()
        .map(|one| comparison(one, method))
        .collect();
    let mut value = json!({
        "name": scenario.name,
        "title": scenario.title(),
        "kind": scenario.kind,
        "units": scenario.units,
        "target": scenario.target,
        "sources": scenario.sources,
        "split": scenario.split,
        "order": scenario.order,
        "candidates": scenario.candidates,
        "candidate_hash": scenario.candidate_hash,
        "users": scenario.cases.len(),
        "descending_users": analysis.descending.users.len(),
        "time_ties": analysis.time_ties,
        "chance": chance(analysis),
        "reading": scenario.reading.name(),
        "readings": scenario.readings.iter().map(|reading| reading.name()).collect::<Vec<_>>(),
        "catalogue_items": scenario.catalogue,
        "contamination": scenario.contamination,
        "compute": table::compute(analysis, woven),
        "lists": scenario.lists.iter().map(list).collect::<Vec<_>>(),
        "exploratory": exploratory(analysis)?,
        "best_naive_merge": scenario.best_naive_merge,
        "informative": learned.informative,
        "heading": heading::of_scenario(analysis),
        "best_floor": learned.floor.map(method),
        "best_floor_chosen_on_validation": learned.floor_chosen,
        "floor_beaten": learned.floor_beaten(),
        "sentences": sentences(analysis, planned, &analysed.study.claims.woven),
        "comparisons": comparisons,
        "leak": analysis.leak.as_ref().map(|leak| &leak.difference),
        "rows": rows,
    });
    if let Some(instead) = instead {
        value["baseline"] = instead.into();
    }
    Ok(value)
}

/// What nothing was planned about.
fn exploratory(analysis: &Analysis) -> Result<Value> {
    let mut found = json!({ "strata": table::strata(analysis), "top": table::top(analysis) });
    let along = weights::along(analysis.scenario);
    if !along.is_empty() {
        found["weights"] = serde_json::to_value(along)?;
    }
    Ok(found)
}

fn chance(analysis: &Analysis) -> Map<String, Value> {
    let levels = analysis.metrics.iter().zip(&analysis.chance);
    levels
        .map(|(metric, level)| (metric.key(), json!(level)))
        .collect()
}

fn comparison<'a>(one: &Comparison, method: impl Fn(usize) -> &'a str) -> Value {
    json!({
        "row": method(one.row),
        "bar": one.bar,
        "other": method(one.other),
        "decision": one.decision,
    })
}

fn row(analysis: &Analysis, numbers: &RowNumbers) -> Result<Value> {
    let mut metrics = Map::new();
    for (metric, estimate) in numbers.told(&analysis.metrics) {
        if let Some(estimate) = estimate {
            metrics.insert(metric.key(), serde_json::to_value(estimate)?);
        }
    }
    let row = numbers.row;
    let runs: Vec<Value> = row
        .runs
        .iter()
        .map(|run| {
            let mut numbers = run_numbers(analysis.scenario, &analysis.scores.users, run);
            if row.family == Family::Outside {
                // What another program took is not known.
                ["train_tokens", "train_steps", "train_flops"]
                    .iter()
                    .for_each(|unknown| numbers[*unknown] = Value::Null);
            }
            numbers
        })
        .collect();
    let mut value = json!({
        "method": row.method,
        "label": row.label,
        "family": row.family,
        "deterministic": row.deterministic,
        "metrics": metrics,
        "cells": row.runs.iter().map(|run| &run.cells).collect::<Vec<_>>(),
        "minus_baseline": numbers.versus,
        "tied_share": numbers.tied_share,
        "invalid_output_rate": numbers.invalid_output_rate,
        "validation_loss": numbers.validation_loss,
        "members": members(row),
        "runs": runs,
        "cost": match row.family {
            Family::Outside => Vec::new(),
            _ => row.runs.iter().map(cost).collect(),
        },
    });
    add_files(&mut value, row);
    Ok(value)
}

/// Adds where another program's runs come from.
fn add_files(value: &mut Value, row: &Row) {
    let files: Vec<_> = row.runs.iter().filter_map(|run| run.import.as_ref()).collect();
    if !files.is_empty() {
        value["imported"] = json!(files);
    }
}

/// A row that knows the best of the catalogue alone.
fn list(row: &Row) -> Value {
    let mut value = json!({
        "method": row.method,
        "label": row.label,
        "family": row.family,
        "deterministic": row.deterministic,
        "replicates": row.runs.iter().map(|run| run.replicate).collect::<Vec<_>>(),
        "catalogue": catalogue(row),
    });
    add_files(&mut value, row);
    value
}

/// What a row comes to in the whole catalogue, or nothing.
fn catalogue(row: &Row) -> Value {
    let places: Option<Vec<_>> = row.runs.iter().map(|run| run.catalogue.as_deref()).collect();
    let Some(places) = places else {
        return Value::Null;
    };
    let level = |metric: Metric| {
        let runs: Vec<f64> = places
            .iter()
            .map(|places| Tally::of(places).mean(metric))
            .collect();
        (metric.key(), json!({ "mean": mean(&runs), "runs": runs }))
    };
    Value::Object(
        [Metric::Hr(10), Metric::Ndcg(10)]
            .map(level)
            .into_iter()
            .collect(),
    )
}

fn members(row: &Row) -> Vec<Value> {
    mean_members(&row.runs)
        .into_iter()
        .map(|(name, weight)| json!({ "method": name, "weight": weight }))
        .collect()
}

/// What follows from a run's seeds alone, with a fingerprint of every user's place.
fn run_numbers(scenario: &Scenario, users: &[usize], run: &Run) -> Value {
    let mut places = blake3::Hasher::new();
    for &user in users {
        let place = run.places[user];
        // Ids are ended by a byte that no text contains, so that no two lists can read the same.
        places
            .update(scenario.cases[user].user_id.as_bytes())
            .update(&[0xff])
            .update(&place.above.to_le_bytes())
            .update(&place.tied.to_le_bytes());
    }
    json!({
        "replicate": run.replicate,
        "places": places.finalize().to_hex().to_string(),
        "invalid_output_rate": run.invalid_output_rate,
        "validation_loss": run.validation_loss,
        "train_tokens": run.train_tokens,
        "train_steps": run.train_steps,
        "train_flops": run.train_flops,
        "scale": run.scale,
        "top": run.top,
        "members": run.members,
    })
}

fn cost(run: &Run) -> Value {
    json!({
        "replicate": run.replicate,
        "train_seconds": run.train_seconds,
        "rank_seconds": run.rank_seconds,
        "peak_memory_bytes": run.peak_memory_bytes,
    })
}
