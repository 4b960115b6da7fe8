//! What a report says of the spread of its planned contrasts, and of what they cost.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::claim::Judgement;
use crate::statistics::Contrast;
use crate::statistics::contrast::Components;

/// The spread of differences in one scenario.
#[derive(Debug, Clone)]
pub(super) struct Pilot {
    /// What it is of.
    pub(super) name: String,
    /// The contrast it is of, among several.
    pub(super) contrast: Option<String>,
    /// The standard deviations that were seen.
    pub(super) seen: Components,
    /// On how many replicates and users.
    pub(super) size: Option<(usize, usize)>,
    /// What a replicate costs.
    pub(super) costs: Option<Costs>,
}

/// What the rows of one scenario cost in one replicate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Costs {
    /// All trainings.
    pub(super) train_seconds: f64,
    /// Ranking one user with every row.
    pub(super) rank_seconds_a_user: f64,
}

/// One pilot for each scenario with planned contrasts: the contrast whose mean is known worst, since a claim needs all of them.
///
/// # Errors
/// Where the folder holds no report, or one without planned contrasts of two replicates or more.
pub(super) fn of_report(folder: &Path, scenario: Option<&str>) -> Result<Vec<Pilot>> {
    let path = folder.join("results.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let report: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let pilots = read(&report).with_context(|| path.display().to_string())?;
    ensure!(
        !pilots.is_empty(),
        "{} holds no planned contrast of two replicates or more; give the spread by --replicate-sd, --user-sd and --residual-sd",
        path.display()
    );
    let Some(scenario) = scenario else {
        return Ok(pilots);
    };
    let names: Vec<String> = pilots.iter().map(|pilot| pilot.name.clone()).collect();
    let chosen: Vec<Pilot> = pilots
        .into_iter()
        .filter(|pilot| pilot.name == scenario)
        .collect();
    if chosen.is_empty() {
        bail!(
            "{} has no planned contrasts of the scenario {scenario}, only of {}",
            path.display(),
            names.join(", ")
        );
    }
    Ok(chosen)
}

/// `studies[].claims` is a [`Judgement`], `studies[].scenarios[].rows[].cost[]` what each replicate of a row took.
fn read(report: &Value) -> Result<Vec<Pilot>> {
    let mut pilots: Vec<Pilot> = Vec::new();
    for study in list(&report["studies"]) {
        if study["claims"].is_null() {
            continue;
        }
        let claims = Judgement::deserialize(&study["claims"]).context("`claims` of a study")?;
        for scenario in list(&study["scenarios"]) {
            let parts = claims
                .family
                .iter()
                .filter(|claim| scenario["name"] == claim.scenario.as_str())
                .flat_map(|claim| &claim.parts);
            let error = |contrast: &Contrast| contrast.standard_error.unwrap_or(0.0);
            let worst = parts
                .filter(|(_, part)| part.contrast.components.is_some())
                .max_by(|(_, a), (_, b)| error(&a.contrast).total_cmp(&error(&b.contrast)));
            let Some((row, part)) = worst else {
                continue;
            };
            let contrast = &part.contrast;
            if let (Some(seen), Some(name)) = (contrast.components, scenario["name"].as_str()) {
                pilots.push(Pilot {
                    name: name.to_owned(),
                    contrast: Some(format!("against {row}")),
                    seen,
                    size: Some((contrast.replicates, contrast.users)),
                    costs: costs(scenario, contrast.users),
                });
            }
        }
    }
    Ok(pilots)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The mean over replicates of each row, added up over rows. A training that two rows share counts for both of them.
fn costs(scenario: &Value, users: usize) -> Option<Costs> {
    let mut costs = Costs {
        train_seconds: 0.0,
        rank_seconds_a_user: 0.0,
    };
    for row in list(&scenario["rows"]) {
        let replicates = list(&row["cost"]).count().max(1) as f64;
        for run in list(&row["cost"]) {
            costs.train_seconds += run["train_seconds"].as_f64().unwrap_or(0.0) / replicates;
            costs.rank_seconds_a_user +=
                run["rank_seconds"].as_f64().unwrap_or(0.0) / replicates / users as f64;
        }
    }
    (costs.train_seconds + costs.rank_seconds_a_user > 0.0).then_some(costs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::claim::decision::Standing;
    use crate::claim::{Claims, Evidence, judge};
    use serde_json::json;

    fn report(replicates: usize) -> Value {
        let users = ["a", "b", "c", "d"];
        let scores = |shift: f64| -> Vec<Vec<f64>> {
            (0..replicates)
                .map(|r| {
                    (0..users.len())
                        .map(|u| shift * (r as f64 + 1.0) + (shift * 7.0 * (u * u + r) as f64).sin())
                        .collect()
                })
                .collect()
        };
        let rows = [
            ("weaverec", scores(0.3)),
            ("target-only", scores(0.1)),
            ("naive-merge", scores(0.2)),
        ];
        let evidence = Evidence {
            scenario: "a → b",
            users: users.to_vec(),
            rows: rows
                .iter()
                .map(|(name, rows)| (*name, (0..).zip(rows.iter().map(Vec::as_slice)).collect()))
                .collect(),
            at_one: std::collections::BTreeMap::new(),
            best_naive_merge: Some("naive-merge"),
        };
        let claims = judge(&Claims::default(), &[evidence], Standing::Claim).unwrap();
        json!({ "studies": [{
            "name": "s",
            "claims": claims,
            "scenarios": [{
                "name": "a → b",
                "rows": [
                    { "method": "weaverec", "cost": [
                        { "train_seconds": 10.0, "rank_seconds": 4.0 },
                        { "train_seconds": 14.0, "rank_seconds": 4.0 },
                    ] },
                    { "method": "random", "cost": [{ "train_seconds": 0.0, "rank_seconds": null }] },
                ],
            }],
        }, { "name": "without claims", "scenarios": [{ "name": "c → d" }] }] })
    }

    #[test]
    fn a_report_is_its_own_pilot() {
        let written: Value = serde_json::from_str(&report(3).to_string()).unwrap();
        let pilots = read(&written).unwrap();
        assert_eq!(pilots.len(), 1);
        let pilot = &pilots[0];
        assert_eq!((pilot.name.as_str(), pilot.size), ("a → b", Some((3, 4))));
        assert!(pilot.seen.replicate > 0.0 && pilot.seen.residual > 0.0);
        let costs = pilot.costs.unwrap();
        assert_eq!((costs.train_seconds, costs.rank_seconds_a_user), (12.0, 1.0));
    }

    #[test]
    fn one_replicate_says_nothing_of_spread_and_a_folder_without_a_report_is_named() {
        assert!(read(&report(1)).unwrap().is_empty());
        let folder = tempfile::tempdir().unwrap();
        let error = |scenario| format!("{:#}", of_report(folder.path(), scenario).unwrap_err());
        assert!(error(None).contains("results.json"));
        let path = folder.path().join("results.json");
        std::fs::write(&path, report(1).to_string()).unwrap();
        assert!(error(None).contains("--replicate-sd"));
        std::fs::write(&path, report(4).to_string()).unwrap();
        assert!(error(Some("x")).contains("only of a → b"));
        assert_eq!(of_report(folder.path(), Some("a → b")).unwrap().len(), 1);
    }
}
