//! `table.csv` and `contrasts.csv`, for spreadsheets and plotting tools: one line for each row and metric, and one for each planned contrast.

use super::analysed::Analysed;
use super::analysis::Analysis;
use super::input::{Family, Place, Row, Run, Study};
use super::planned::Claim;
use crate::claim::apart;
use crate::metric::{Metric, Tally};
use crate::statistics::{Interval, mean, sd};
use anyhow::Result;

const LEVELS: [&str; 23] = [
    "study",
    "profile",
    "scenario",
    "kind",
    "sources",
    "target",
    "method",
    "label",
    "family",
    "metric",
    "replicates",
    "users",
    "chance",
    "mean",
    "sd",
    "low_for_reading",
    "high_for_reading",
    "ties_at_worst",
    "tied_share",
    "train_steps",
    "train_tokens",
    "train_flops",
    "reading",
];

const CONTRASTS: [&str; 23] = [
    "study",
    "profile",
    "scenario",
    "claim",
    "claim_finding",
    "against",
    "outcome",
    "standing",
    "replicates",
    "users",
    "difference",
    "low_for_reading",
    "high_for_reading",
    "low_users_only",
    "high_users_only",
    "p",
    "adjusted_p",
    "sd_replicates",
    "sd_users",
    "sd_rest",
    "family_size",
    "reading",
    "scale",
];

fn maybe(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn ends(interval: Option<Interval>) -> [String; 2] {
    [
        maybe(interval.map(|interval| interval.low)),
        maybe(interval.map(|interval| interval.high)),
    ]
}

fn finish(writer: csv::Writer<Vec<u8>>) -> Result<Vec<u8>> {
    Ok(writer.into_inner().map_err(|error| error.into_error())?)
}

/// All rows of all scenarios in all metrics. An empty field has no value.
///
/// # Errors
/// Where a line cannot be encoded.
pub fn table(studies: &[Analysed]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(LEVELS)?;
    let scenarios = studies
        .iter()
        .flat_map(|analysed| analysed.scenarios.iter().map(move |one| (analysed.study, one)));
    for (study, analysis) in scenarios {
        let scenario = analysis.scenario;
        for (row, numbers) in analysis.rows.iter().enumerate() {
            let runs = &numbers.row.runs;
            // What another program took is not known.
            let average = |total: f64| match numbers.row.family {
                Family::Outside => String::new(),
                _ => (total / runs.len() as f64).to_string(),
            };
            let training = [
                average(runs.iter().map(|run| run.train_steps as f64).sum()),
                average(runs.iter().map(|run| run.train_tokens as f64).sum()),
                average(runs.iter().map(|run| run.train_flops).sum()),
            ];
            for (m, (metric, estimate)) in numbers.told(&analysis.metrics).enumerate() {
                let Some(estimate) = estimate else {
                    continue;
                };
                let mut fields = head(study, analysis, numbers.row);
                fields.extend([
                    metric.key(),
                    runs.len().to_string(),
                    scenario.cases.len().to_string(),
                    analysis.chance[m].to_string(),
                    estimate.mean.to_string(),
                    maybe(estimate.sd),
                ]);
                fields.extend(ends(estimate.interval));
                fields.push(estimate.pessimistic.to_string());
                fields.push(numbers.tied_share.to_string());
                fields.extend(training.clone());
                fields.push(scenario.reading.name());
                writer.write_record(fields)?;
            }
            for (reading, metric, chance, mean, sd) in others(analysis, row) {
                let mut fields = head(study, analysis, numbers.row);
                fields.extend([
                    metric.key(),
                    runs.len().to_string(),
                    scenario.cases.len().to_string(),
                    chance.to_string(),
                    mean.to_string(),
                    maybe(sd),
                ]);
                fields.resize(LEVELS.len() - 4, String::new());
                fields.extend(training.clone());
                fields.push(reading);
                writer.write_record(fields)?;
            }
        }
        for row in &scenario.lists {
            for (reading, metric, chance, mean, sd) in catalogue(analysis, &row.runs) {
                let mut fields = head(study, analysis, row);
                fields.extend([
                    metric.key(),
                    row.runs.len().to_string(),
                    scenario.cases.len().to_string(),
                    chance.to_string(),
                    mean.to_string(),
                    maybe(sd),
                ]);
                fields.resize(LEVELS.len() - 1, String::new());
                fields.push(reading);
                writer.write_record(fields)?;
            }
        }
    }
    finish(writer)
}

/// What a line of levels begins with.
fn head(study: &Study, analysis: &Analysis, row: &Row) -> Vec<String> {
    let scenario = analysis.scenario;
    vec![
        study.name.clone(),
        study.profile.clone(),
        scenario.name.clone(),
        scenario.kind.label().to_owned(),
        scenario.sources.join("+"),
        scenario.target.clone(),
        row.method.clone(),
        row.label.clone(),
        row.family.label().to_owned(),
    ]
}

/// A row's levels under other readings, at scale 1, and in the whole catalogue: reading, metric, chance, mean, sd over replicates.
fn others(analysis: &Analysis, row: usize) -> Vec<(String, Metric, f64, f64, Option<f64>)> {
    let scenario = analysis.scenario;
    let runs = &analysis.rows[row].row.runs;
    let chance = analysis.chance[analysis.primary()];
    let line = |reading: String, metric: Metric, chance: f64, places: Vec<&[Place]>| {
        let means: Vec<f64> = places
            .iter()
            .map(|places| Tally::of(places).mean(metric))
            .collect();
        (reading, metric, chance, mean(&means), sd(&means))
    };
    let mut lines = Vec::new();
    for (place, reading) in scenario.readings.iter().enumerate() {
        let places = runs.iter().map(|run| run.readings[place].as_slice()).collect();
        lines.push(line(reading.name(), Metric::PRIMARY, chance, places));
    }
    if runs.iter().any(|run| run.at_one.is_some()) {
        let places = runs
            .iter()
            .map(|run| run.at_one.as_ref().unwrap_or(&run.places).as_slice())
            .collect();
        lines.push(line(
            format!("{} at c = 1", scenario.reading.name()),
            Metric::PRIMARY,
            chance,
            places,
        ));
    }
    lines.extend(catalogue(analysis, runs));
    lines
}

/// Levels in the whole catalogue, as of [`others`].
fn catalogue(analysis: &Analysis, runs: &[Run]) -> Vec<(String, Metric, f64, f64, Option<f64>)> {
    let places: Option<Vec<&[Place]>> = runs.iter().map(|run| run.catalogue.as_deref()).collect();
    let (Some(places), Some(items)) = (places, analysis.scenario.catalogue) else {
        return Vec::new();
    };
    let line = |metric: Metric| {
        let means: Vec<f64> = places
            .iter()
            .map(|places| Tally::of(places).mean(metric))
            .collect();
        let name = "catalogue".to_owned();
        (name, metric, metric.chance(items), mean(&means), sd(&means))
    };
    [Metric::Hr(10), Metric::Ndcg(10)].map(line).into()
}

/// The planned contrasts of all studies, the primary claim's first, and behind those of each claim the same under other readings, which have no
/// adjusted p. A claim whose row is missing has a line without numbers.
///
/// # Errors
/// Where a line cannot be encoded.
pub fn contrasts(studies: &[Analysed]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(CONTRASTS)?;
    for analysed in studies {
        let Some(planned) = &analysed.planned else {
            continue;
        };
        for claim in planned.all() {
            let reading = reading_of(analysed, claim);
            for fields in lines(claim, planned.size_for(claim), &reading) {
                let study = [analysed.study.name.clone(), analysed.study.profile.clone()];
                writer.write_record(study.into_iter().chain(fields))?;
            }
        }
    }
    finish(writer)
}

/// The primary reading of a claim's scenarios; of an average, where all have the same.
fn reading_of(analysed: &Analysed, claim: &Claim) -> String {
    let concerned = analysed.scenarios.iter().filter(|one| {
        claim.result.scenario == one.scenario.name
            || claim.is_average() && analysed.study.claims.concerns(&one.scenario.name)
    });
    let mut names: Vec<String> = concerned.map(|one| one.scenario.reading.name()).collect();
    names.dedup();
    names.join(" ")
}

fn lines(claim: &Claim, size: usize, reading: &str) -> Vec<Vec<String>> {
    let result = &claim.result;
    let head = [
        result.scenario.clone(),
        format!("{:?}", result.kind),
        result
            .untestable()
            .unwrap_or_else(|| claim.finding().label().to_owned()),
    ];
    let mut lines = Vec::new();
    let primary = result
        .parts
        .iter()
        .map(|part| (reading.to_owned(), Some(size), part));
    let others = claim
        .readings
        .iter()
        .flat_map(|(reading, parts)| parts.iter().map(move |part| (reading.name(), None, part)));
    for (reading, size, (part, decision)) in primary.chain(others) {
        let contrast = &decision.contrast;
        let (row, at_one) = apart(part);
        let mut fields = head.to_vec();
        fields.extend([
            row.to_owned(),
            decision.outcome.label().to_owned(),
            decision.standing.label().to_owned(),
            contrast.replicates.to_string(),
            contrast.users.to_string(),
            contrast.mean.to_string(),
        ]);
        fields.extend(ends(contrast.interval));
        fields.extend(ends(contrast.users_only));
        fields.extend([maybe(contrast.p), maybe(decision.p.filter(|_| size.is_some()))]);
        let sds = contrast.components;
        fields.extend([
            maybe(sds.map(|sd| sd.replicate)),
            maybe(sds.map(|sd| sd.user)),
            maybe(sds.map(|sd| sd.residual)),
        ]);
        fields.extend([
            size.map_or_else(String::new, |size| size.to_string()),
            reading,
            if at_one { "1" } else { "chosen" }.to_owned(),
        ]);
        lines.push(fields);
    }
    for row in &result.missing {
        let mut fields = head.to_vec();
        fields.push(row.clone());
        fields.resize(CONTRASTS.len() - 2, String::new());
        lines.push(fields);
    }
    lines
}
