//! Which claims hold.
//!
//! A claim is a union of null hypotheses: it holds where each of its comparisons is shown, so that its p-value is the largest of theirs and
//! nothing is corrected within. The family of all claims of a study goes through Holm's procedure. The comparisons of a claim that does
//! not hold are adjusted too, by Hochberg's procedure within the claim (whose first step is the claim itself) and by the number of claims
//! that Holm's left over: what a table marks and what a sentence claims come from one procedure, and the chance of any false one among
//! them stays at the level.
//!
//! Where calibration users chose another scale than 1 for a row, each comparison with it is made twice, at the chosen scale and at 1, and
//! both are comparisons of the claim: a claim needs both, and pays for nothing but the larger p-value.

use super::{ClaimKind, Claims, Differences, Evidence};
use crate::claim::decision::{Decision, Outcome, Standing, decide};
use crate::statistics::average::{Stratum, average};
use crate::statistics::family::ascending;
use crate::statistics::{Contrast, hochberg, holm};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What is missing where no naive merge was chosen.
const NOT_CHOSEN: &str = "best naive merge (none was chosen on calibration users)";

/// The scenario of a claim that is averaged over all of them.
pub const AVERAGE: &str = "average over scenarios";

/// What is put behind the name of a row that is compared at scale 1, where another scale was chosen.
pub const AT_ONE: &str = " at c = 1";

/// The row of a comparison, and whether it is the one at scale 1.
#[must_use]
pub fn apart(part: &str) -> (&str, bool) {
    part.strip_suffix(AT_ONE).map_or((part, false), |row| (row, true))
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimResult {
    /// Its kind.
    pub kind: ClaimKind,
    /// Its scenario, or [`AVERAGE`] of the primary claim.
    pub scenario: String,
    /// The rows that it is made against, and what was decided of each.
    pub parts: Vec<(String, Decision)>,
    /// The rows that the table lacks: the claim is not testable.
    pub missing: Vec<String>,
    /// The largest p-value of its parts; absent where it is not testable.
    pub p: Option<f64>,
    /// The same in its family.
    pub adjusted_p: Option<f64>,
    /// Better where it holds, worse where one part is worse, equivalent where one part is: it cannot hold by more than the margin then.
    pub outcome: Outcome,
    /// How much may be made of it.
    pub standing: Standing,
}

impl ClaimResult {
    /// Whether the claim may be made.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.outcome == Outcome::Better && self.standing == Standing::Claim
    }

    /// Why the claim could not be tested: `not testable: no row soup`.
    #[must_use]
    pub fn untestable(&self) -> Option<String> {
        let word = match self.missing.len() {
            0 => return None,
            1 => "row",
            _ => "rows",
        };
        Some(format!("not testable: no {word} {}", self.missing.join(", ")))
    }
}

/// What became of all claims of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The primary claim, averaged over its scenarios and tested alone.
    pub primary: ClaimResult,
    /// The claims of each scenario.
    pub family: Vec<ClaimResult>,
    /// How many claims of the family had something to test, which is what p-values are adjusted for.
    pub size: usize,
    /// The deployment claims of each scenario, a family of their own.
    #[serde(default)]
    pub deployment: Vec<ClaimResult>,
    /// How many of these had something to test.
    #[serde(default)]
    pub deployment_size: usize,
}

/// Tests all claims of a study. `standing` is the most that it allows, such as [`Standing::Indicated`] with a single pre-trained backbone.
///
/// # Errors
/// Where a scenario that the claims name is not there, or where rows cannot be paired.
pub fn judge(claims: &Claims, evidence: &[Evidence], standing: Standing) -> Result<Judgement> {
    for name in &claims.scenarios {
        ensure!(
            evidence.iter().any(|one| one.scenario == name),
            "[claims] names the scenario {name}, which is not one of {}",
            evidence
                .iter()
                .map(|one| one.scenario)
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    let concerned: Vec<&Evidence> = evidence
        .iter()
        .filter(|one| claims.concerns(one.scenario))
        .collect();
    ensure!(!concerned.is_empty(), "there is no scenario to make a claim of");
    let drafts = |deployment: bool| -> Result<Vec<Draft>> {
        let mut drafts = Vec::new();
        for one in &concerned {
            for &kind in claims
                .kinds
                .iter()
                .filter(|kind| kind.is_deployment() == deployment)
            {
                drafts.push(Draft::of_scenario(claims, one, kind)?);
            }
        }
        Ok(drafts)
    };
    let (family, deployment) = (drafts(false)?, drafts(true)?);
    let size = |drafts: &[Draft]| drafts.iter().filter(|draft| !draft.parts.is_empty()).count();
    let primary = Draft::of_average(claims, &concerned)?;
    let mut alone = decided(vec![primary], claims, standing);
    Ok(Judgement {
        primary: alone.remove(0),
        size: size(&family),
        family: decided(family, claims, standing),
        deployment_size: size(&deployment),
        deployment: decided(deployment, claims, standing),
    })
}

/// A claim with its numbers, before it is decided.
struct Draft {
    kind: ClaimKind,
    scenario: String,
    parts: Vec<(String, Contrast)>,
    missing: Vec<String>,
}

impl Draft {
    fn of_scenario(claims: &Claims, evidence: &Evidence, kind: ClaimKind) -> Result<Self> {
        let mut draft = Self {
            kind,
            scenario: evidence.scenario.to_owned(),
            parts: Vec::new(),
            missing: Vec::new(),
        };
        let ours = kind.row(&claims.woven);
        draft.note_missing(&ours, &ours, evidence);
        for row in evidence.against(kind) {
            let name = row.unwrap_or(NOT_CHOSEN);
            match evidence.contrast(&ours, name)? {
                Some(contrast) => draft.parts.push((name.to_owned(), contrast)),
                None => draft.note_missing(name, &ours, evidence),
            }
            if let Some(contrast) = evidence.contrast_at_one(&ours, name)? {
                draft.parts.push((format!("{name}{AT_ONE}"), contrast));
            }
        }
        Ok(draft)
    }

    fn of_average(claims: &Claims, evidence: &[&Evidence]) -> Result<Self> {
        let kind = claims.primary;
        let mut draft = Self {
            kind,
            scenario: AVERAGE.to_owned(),
            parts: Vec::new(),
            missing: Vec::new(),
        };
        let people = people(evidence);
        // One list a scenario, of the same length: the naive merges alone may be others in each.
        let against: Vec<Vec<Option<&str>>> = evidence.iter().map(|one| one.against(kind)).collect();
        evidence
            .iter()
            .for_each(|one| draft.note_missing(&claims.woven, &claims.woven, one));
        for place in 0..against.first().map_or(0, Vec::len) {
            let named: Vec<&str> = against
                .iter()
                .map(|rows| rows[place].unwrap_or(NOT_CHOSEN))
                .collect();
            let mut names = Vec::new();
            named.iter().for_each(|name| note(&mut names, name));
            let label = names.join(" / ");
            let mut scenarios = Vec::new();
            for (one, name) in evidence.iter().zip(&named) {
                match one.differences(&claims.woven, name)? {
                    Some(differences) => scenarios.push(differences),
                    None => draft.note_missing(name, &claims.woven, one),
                }
            }
            // Whatever one scenario lacks, the average lacks.
            if scenarios.len() < evidence.len() {
                continue;
            }
            let averaged = |scenarios: Vec<Differences>| -> Result<Option<Contrast>> {
                let Some(scenarios) = common(scenarios) else {
                    return Ok(None);
                };
                let strata: Vec<Stratum<Vec<f64>>> = scenarios
                    .iter()
                    .zip(&people)
                    .map(|(differences, people)| Stratum { people, differences })
                    .collect();
                let contrast = average(&strata);
                contrast
                    .map(Some)
                    .with_context(|| format!("{AVERAGE}: {} against {label}", claims.woven))
            };
            match averaged(scenarios)? {
                Some(contrast) => draft.parts.push((label.clone(), contrast)),
                None => note(
                    &mut draft.missing,
                    &format!("{label} in the same replicate of each scenario"),
                ),
            }
            let scaled = |(one, name): (&&Evidence, &&str)| one.is_scaled(&claims.woven, name);
            if evidence.iter().zip(&named).any(scaled) {
                let both = evidence.iter().zip(&named);
                let at_one = both.map(|(one, name)| one.differences_at_one(&claims.woven, name));
                let at_one: Option<Vec<Differences>> = at_one.collect::<Result<_>>()?;
                if let Some(contrast) = at_one.map(averaged).transpose()?.flatten() {
                    draft.parts.push((format!("{label}{AT_ONE}"), contrast));
                }
            }
        }
        Ok(draft)
    }

    /// Notes a row that could not be compared here: it is not in the table, or in no replicate of the woven row.
    fn note_missing(&mut self, name: &str, woven: &str, evidence: &Evidence) {
        let known = |row| evidence.rows.contains_key(row);
        if !known(name) {
            note(&mut self.missing, name);
        } else if known(woven) && name != woven {
            note(&mut self.missing, &format!("{name} in a replicate of {woven}"));
        }
    }

    /// The p-values of the parts; what could not be tested is evidence for nothing.
    fn p_values(&self) -> Vec<f64> {
        self.parts
            .iter()
            .map(|(_, contrast)| contrast.p.unwrap_or(1.0))
            .collect()
    }

    /// The claim's own p-value; 1 while rows are missing, since it cannot hold.
    fn p(&self) -> f64 {
        if self.missing.is_empty() {
            self.p_values().into_iter().fold(0.0, f64::max)
        } else {
            1.0
        }
    }
}

fn note(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

/// Users by number, a list for each scenario: one who is in several has the same number in all.
fn people(evidence: &[&Evidence]) -> Vec<Vec<usize>> {
    let mut known = HashMap::new();
    let mut number = |user| {
        let next = known.len();
        *known.entry(user).or_insert(next)
    };
    let mut lists = Vec::with_capacity(evidence.len());
    for one in evidence {
        lists.push(one.users.iter().map(|user| number(*user)).collect());
    }
    lists
}

/// The differences of the replicates that all scenarios have; `None` where that is none.
fn common(mut scenarios: Vec<Differences>) -> Option<Vec<Vec<Vec<f64>>>> {
    let mut shared: Vec<u32> = scenarios.first()?.keys().copied().collect();
    shared.retain(|replicate| scenarios.iter().all(|one| one.contains_key(replicate)));
    let rows = |one: &mut Differences| {
        shared
            .iter()
            .filter_map(|replicate| one.remove(replicate))
            .collect()
    };
    (!shared.is_empty()).then(|| scenarios.iter_mut().map(rows).collect())
}

/// Decides all claims of a family, in their order.
fn decided(drafts: Vec<Draft>, claims: &Claims, standing: Standing) -> Vec<ClaimResult> {
    let tested: Vec<usize> = (0..drafts.len())
        .filter(|index| !drafts[*index].parts.is_empty())
        .collect();
    let own: Vec<f64> = tested.iter().map(|index| drafts[*index].p()).collect();
    let in_family = holm(&own);
    // What Holm's procedure multiplies a claim by: how many were left when its turn came. Those that are not shown all stay to the end.
    let shown = in_family.iter().filter(|p| **p < claims.alpha).count();
    let mut adjusted = vec![(1.0, 1.0); drafts.len()];
    for (position, place) in ascending(&own).into_iter().enumerate() {
        let left = tested.len() - position.min(shown);
        adjusted[tested[place]] = (in_family[place], left as f64);
    }
    drafts
        .into_iter()
        .zip(adjusted)
        .map(|(draft, (adjusted, times))| result(draft, adjusted, times, claims, standing))
        .collect()
}

fn result(draft: Draft, adjusted: f64, times: f64, claims: &Claims, standing: Standing) -> ClaimResult {
    let testable = draft.missing.is_empty() && !draft.parts.is_empty();
    let p = testable.then(|| draft.p());
    let within = hochberg(&draft.p_values());
    let parts: Vec<(String, Decision)> = draft
        .parts
        .into_iter()
        .zip(within)
        .map(|((row, contrast), within)| {
            let part = (within * times).min(1.0);
            (row, decide(contrast, Some(part), claims, standing))
        })
        .collect();
    let any = |outcome| parts.iter().any(|(_, part)| part.outcome == outcome);
    let outcome = if !testable {
        Outcome::Undecided
    } else if parts.iter().all(|(_, part)| part.outcome == Outcome::Better) {
        Outcome::Better
    } else if any(Outcome::Worse) {
        Outcome::Worse
    } else if any(Outcome::Equivalent) {
        Outcome::Equivalent
    } else {
        Outcome::Undecided
    };
    let lowest = parts.iter().map(|(_, part)| part.standing).min();
    ClaimResult {
        kind: draft.kind,
        scenario: draft.scenario,
        missing: draft.missing,
        p,
        adjusted_p: testable.then_some(adjusted),
        outcome,
        standing: lowest.map_or(Standing::Described, |lowest| lowest.min(standing)),
        parts,
    }
}

#[cfg(test)]
mod tests;
