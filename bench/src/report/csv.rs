//! `table.csv` and `contrasts.csv`, for spreadsheets and plotting tools: one line for each row and metric, and one for each planned contrast.

use super::analysed::Analysed;
use super::planned::Claim;
use crate::statistics::Interval;
use anyhow::Result;

const LEVELS: [&str; 22] = [
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
];

const CONTRASTS: [&str; 21] = [
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
        for numbers in &analysis.rows {
            let runs = &numbers.row.runs;
            let average = |total: f64| (total / runs.len() as f64).to_string();
            let training = [
                average(runs.iter().map(|run| run.train_steps as f64).sum()),
                average(runs.iter().map(|run| run.train_tokens as f64).sum()),
                average(runs.iter().map(|run| run.train_flops).sum()),
            ];
            for (m, estimate) in numbers.estimates.iter().enumerate() {
                let mut fields = vec![
                    study.name.clone(),
                    study.profile.clone(),
                    scenario.name.clone(),
                    scenario.kind.label().to_owned(),
                    scenario.sources.join("+"),
                    scenario.target.clone(),
                    numbers.row.method.clone(),
                    numbers.row.label.clone(),
                    numbers.row.family.label().to_owned(),
                    analysis.metrics[m].key(),
                    runs.len().to_string(),
                    scenario.cases.len().to_string(),
                    analysis.chance[m].to_string(),
                    estimate.mean.to_string(),
                    maybe(estimate.sd),
                ];
                fields.extend(ends(estimate.interval));
                fields.push(estimate.pessimistic.to_string());
                fields.push(numbers.tied_share.to_string());
                fields.extend(training.clone());
                writer.write_record(fields)?;
            }
        }
    }
    finish(writer)
}

/// The planned contrasts of all studies, the primary claim's first. A claim whose row is missing has a line without numbers.
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
            let size = if claim.is_average() { 1 } else { planned.size };
            for fields in lines(claim, size) {
                let study = [analysed.study.name.clone(), analysed.study.profile.clone()];
                writer.write_record(study.into_iter().chain(fields))?;
            }
        }
    }
    finish(writer)
}

fn lines(claim: &Claim, size: usize) -> Vec<Vec<String>> {
    let result = &claim.result;
    let head = [
        result.scenario.clone(),
        format!("{:?}", result.kind),
        result
            .untestable()
            .unwrap_or_else(|| claim.finding().label().to_owned()),
    ];
    let mut lines = Vec::new();
    for (row, decision) in &result.parts {
        let contrast = &decision.contrast;
        let mut fields = head.to_vec();
        fields.extend([
            row.clone(),
            decision.outcome.label().to_owned(),
            decision.standing.label().to_owned(),
            contrast.replicates.to_string(),
            contrast.users.to_string(),
            contrast.mean.to_string(),
        ]);
        fields.extend(ends(contrast.interval));
        fields.extend(ends(contrast.users_only));
        fields.extend([maybe(contrast.p), maybe(decision.p)]);
        let sds = contrast.components;
        fields.extend([
            maybe(sds.map(|sd| sd.replicate)),
            maybe(sds.map(|sd| sd.user)),
            maybe(sds.map(|sd| sd.residual)),
        ]);
        fields.push(size.to_string());
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
