//! `results.json`: every number behind the report, with what depends on the machine set apart.

use super::analysis::{Analysis, BASELINE, run_mean};
use super::input::{Row, Run, Study};
use super::table::mean_members;
use super::verdict::judge;
use crate::metric::Metric;
use crate::statistics::RESAMPLES;
use anyhow::Result;
use serde_json::{Map, Value, json};

/// The version of the layout of `results.json`.
pub const VERSION: u32 = 1;

/// The whole document. All that depends on the machine stands under `environment` and under keys named `cost`.
///
/// # Errors
/// Where a number cannot be written as JSON.
pub fn document(studies: &[(&Study, Vec<Analysis>)], environment: &Value) -> Result<Value> {
    let mut shown = Vec::new();
    for (study, analyses) in studies {
        let scenarios = analyses.iter().map(scenario).collect::<Result<Vec<_>>>()?;
        shown.push(json!({
            "name": study.name,
            "title": study.title,
            "profile": study.profile,
            "notes": study.notes,
            "scenarios": scenarios,
        }));
    }
    Ok(json!({
        "version": VERSION,
        "baseline": BASELINE,
        "primary_metric": Metric::PRIMARY.key(),
        "resamples": RESAMPLES,
        "studies": shown,
        "environment": environment,
    }))
}

fn scenario(analysis: &Analysis) -> Result<Value> {
    let scenario = analysis.scenario;
    let mut rows = Vec::new();
    for numbers in &analysis.rows {
        let mut metrics = Map::new();
        for (metric, estimate) in analysis.metrics.iter().zip(&numbers.estimates) {
            metrics.insert(metric.key(), serde_json::to_value(estimate)?);
        }
        let seeds: Vec<Value> = numbers
            .row
            .runs
            .iter()
            .map(|run| seed_metrics(run.seed, analysis, run))
            .collect();
        rows.push(json!({
            "method": numbers.row.method,
            "label": numbers.row.label,
            "family": numbers.row.family,
            "metrics": metrics,
            "seeds": seeds,
            "tied_share": numbers.tied_share,
            "invalid_output_rate": numbers.invalid_output_rate,
            "validation_loss": numbers.validation_loss,
            "members": members(numbers.row),
            "cost": cost(numbers.row),
        }));
    }
    Ok(json!({
        "name": scenario.name,
        "kind": scenario.kind,
        "target": scenario.target,
        "sources": scenario.sources,
        "split": scenario.split,
        "candidates": scenario.candidates,
        "candidate_hash": scenario.candidate_hash,
        "users": scenario.users,
        "chance": chance(analysis),
        "informative": analysis.informative(),
        "verdict": judge(analysis),
        "rows": rows,
    }))
}

fn chance(analysis: &Analysis) -> Map<String, Value> {
    analysis
        .metrics
        .iter()
        .zip(&analysis.chance)
        .map(|(metric, level)| (metric.key(), json!(level)))
        .collect()
}

fn members(row: &Row) -> Vec<Value> {
    mean_members(&row.runs)
        .into_iter()
        .map(|(name, weight)| json!({ "method": name, "weight": weight }))
        .collect()
}

fn seed_metrics(seed: u64, analysis: &Analysis, run: &Run) -> Value {
    let mut value = Map::new();
    value.insert("seed".to_owned(), json!(seed));
    for metric in &analysis.metrics {
        value.insert(metric.key(), json!(run_mean(run, *metric)));
    }
    Value::Object(value)
}

fn cost(row: &Row) -> Vec<Value> {
    row.runs
        .iter()
        .map(|run| {
            json!({
                "seed": run.seed,
                "train_seconds": run.train_seconds,
                "train_tokens": run.train_tokens,
                "train_flops": run.train_flops,
                "rank_seconds": run.rank_seconds,
                "peak_memory_bytes": run.peak_memory_bytes,
            })
        })
        .collect()
}

/// The numbers that follow from the seeds alone: two runs of the same experiment must agree on this value.
///
/// For each run: its metrics, a fingerprint of all its ranks, its held-out loss and its members.
#[must_use]
pub fn numbers(studies: &[Study]) -> Value {
    let mut shown = Map::new();
    for study in studies {
        let mut scenarios = Map::new();
        for scenario in &study.scenarios {
            let mut rows = Map::new();
            for row in &scenario.rows {
                let runs: Vec<Value> = row.runs.iter().map(run_numbers).collect();
                rows.insert(row.method.clone(), Value::Array(runs));
            }
            let value = json!({ "candidate_hash": scenario.candidate_hash, "rows": rows });
            scenarios.insert(scenario.name.clone(), value);
        }
        shown.insert(study.name.clone(), Value::Object(scenarios));
    }
    Value::Object(shown)
}

fn run_numbers(run: &Run) -> Value {
    let mut users: Vec<_> = run.users.iter().collect();
    users.sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
    let mut ranks = blake3::Hasher::new();
    for user in users {
        // Ids are ended by a byte that no text contains, so that no two lists can read the same.
        ranks.update(user.user_id.as_bytes()).update(&[0xff]);
        ranks
            .update(&user.rank.to_le_bytes())
            .update(&user.tied.to_le_bytes());
    }
    let metrics: Map<String, Value> = Metric::ALL
        .iter()
        .map(|metric| (metric.key(), json!(run_mean(run, *metric))))
        .collect();
    json!({
        "seed": run.seed,
        "users": run.users.len(),
        "ranks": ranks.finalize().to_hex().to_string(),
        "metrics": metrics,
        "invalid_output_rate": run.invalid_output_rate,
        "validation_loss": run.validation_loss,
        "members": run.members,
    })
}
