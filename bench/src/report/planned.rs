//! The planned contrasts of a study: its claims, judged, and repeated where they have to stand as well: on the users on whom ids give nothing
//! away, and under other readings of the same scores.

use super::analysis::Analysis;
use super::input::{Reading, Study};
use crate::claim::decision::{Decision, Outcome, Standing, decide};
use crate::claim::{AVERAGE, ClaimResult, Evidence, apart, judge};
use anyhow::Result;
use serde::Serialize;

/// The claims of a study.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The primary claim, averaged over its scenarios and tested alone.
    pub primary: Claim,
    /// The claims of each scenario, one Holm family.
    pub family: Vec<Claim>,
    /// How many claims the p-values of the family are adjusted for.
    pub size: usize,
    /// The deployment claims, another Holm family.
    pub deployment: Vec<Claim>,
    /// How many claims its p-values are adjusted for.
    pub deployment_size: usize,
}

/// A claim and whether it stands where ids give nothing away, and under other readings.
#[derive(Debug, Clone)]
pub struct Claim {
    /// What became of it on all users.
    pub result: ClaimResult,
    /// The same contrasts on users whose last step descends in id, each decided alone; empty where there are too few of them.
    pub descending: Vec<(String, Decision)>,
    /// The same contrasts under each other reading of all the claim's scenarios, each decided alone.
    pub readings: Vec<(Reading, Vec<(String, Decision)>)>,
}

/// A comparison of a claim that changes its sign under another reading.
#[derive(Debug, Clone, Copy)]
pub struct Turned<'a> {
    /// The row that is compared to.
    pub row: &'a str,
    /// What was decided under the primary reading.
    pub primary: &'a Decision,
    /// The other reading.
    pub reading: Reading,
    /// What was found under it, decided alone.
    pub other: &'a Decision,
}

/// What may be said of a claim. The order is that of a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It holds, on users whose last step descends in id too.
    Held,
    /// The contrary was shown of one of its comparisons.
    Refuted,
    /// One of its comparisons shows no difference beyond the margin, so that it cannot hold by more.
    Equivalent,
    /// It would hold, but is not shown on users whose last step descends in id.
    Withdrawn,
    /// One of its comparisons is shown and has the other sign under raw likelihood or among uniform candidates.
    DependsOnScoring,
    /// There are too few replicates, or too few backbones, for a claim: better is indicated.
    IndicatedBetter,
    /// Likewise: worse is indicated.
    IndicatedWorse,
    /// Likewise: equivalence is indicated.
    IndicatedEquivalent,
    /// Nothing was shown.
    Undecided,
    /// There are too few replicates for anything to be shown.
    Described,
    /// The table lacks one of its rows.
    NotTestable,
}

impl Finding {
    /// All of them, in the order of a summary.
    pub const ALL: [Self; 11] = [
        Self::Held,
        Self::Refuted,
        Self::Equivalent,
        Self::Withdrawn,
        Self::DependsOnScoring,
        Self::IndicatedBetter,
        Self::IndicatedWorse,
        Self::IndicatedEquivalent,
        Self::Undecided,
        Self::Described,
        Self::NotTestable,
    ];

    /// The finding in words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Refuted => "refuted",
            Self::Equivalent => "equivalent",
            Self::Withdrawn => "withdrawn",
            Self::DependsOnScoring => "depends on scoring",
            Self::IndicatedBetter => "indicated: better",
            Self::IndicatedWorse => "indicated: worse",
            Self::IndicatedEquivalent => "indicated: equivalent",
            Self::Undecided => "undecided",
            Self::Described => "described only",
            Self::NotTestable => "not testable",
        }
    }
}

impl Claim {
    /// What may be said of it.
    #[must_use]
    pub fn finding(&self) -> Finding {
        match self.under_primary() {
            known @ (Finding::NotTestable | Finding::Described | Finding::Withdrawn) => known,
            _ if self.turned().next().is_some() => Finding::DependsOnScoring,
            known => known,
        }
    }

    /// The comparisons that have the other sign under another reading, where either of the two is shown: what is not told apart from 0 has
    /// no sign.
    pub fn turned(&self) -> impl Iterator<Item = Turned<'_>> {
        let shown = |decision: &Decision| matches!(decision.outcome, Outcome::Better | Outcome::Worse);
        let all = self
            .readings
            .iter()
            .flat_map(|(reading, parts)| parts.iter().map(move |part| (*reading, part)));
        all.filter_map(move |(reading, (row, other))| {
            let (_, primary) = self.result.parts.iter().find(|(known, _)| known == row)?;
            let opposite = primary.contrast.mean * other.contrast.mean < 0.0;
            (opposite && (shown(primary) || shown(other))).then_some(Turned {
                row,
                primary,
                reading,
                other,
            })
        })
    }

    /// What may be said of it under the primary reading alone.
    #[must_use]
    pub fn under_primary(&self) -> Finding {
        let ClaimResult {
            outcome,
            standing,
            ref missing,
            ref parts,
            ..
        } = self.result;
        if !missing.is_empty() || parts.is_empty() {
            return Finding::NotTestable;
        }
        match (standing, outcome) {
            (Standing::Described, _) => Finding::Described,
            (_, Outcome::Undecided) => Finding::Undecided,
            (Standing::Indicated, Outcome::Worse) => Finding::IndicatedWorse,
            (Standing::Indicated, Outcome::Equivalent) => Finding::IndicatedEquivalent,
            (Standing::Claim, Outcome::Worse) => Finding::Refuted,
            (Standing::Claim, Outcome::Equivalent) => Finding::Equivalent,
            (_, Outcome::Better) if self.only_ascending() => Finding::Withdrawn,
            (Standing::Indicated, Outcome::Better) => Finding::IndicatedBetter,
            (Standing::Claim, Outcome::Better) => Finding::Held,
        }
    }

    /// Whether it is shown on all users and not on those whose last step descends in id. Where hardly one descends, it rests on the others
    /// alone.
    fn only_ascending(&self) -> bool {
        let better = |(_, decision): &(String, Decision)| decision.outcome == Outcome::Better;
        self.descending.is_empty() || !self.descending.iter().all(better)
    }

    /// Whether it is the primary claim.
    #[must_use]
    pub fn is_average(&self) -> bool {
        self.result.scenario == AVERAGE
    }
}

impl Planned {
    /// Judges the claims of a study; none where it claims nothing or has no scenario. `limit` is the most that the study allows.
    ///
    /// # Errors
    /// Where the claims name a scenario that is not there, or rows cannot be paired.
    pub fn new(study: &Study, scenarios: &[Analysis], limit: Standing) -> Result<Option<Self>> {
        if scenarios.is_empty() || study.claims.kinds.is_empty() {
            return Ok(None);
        }
        study.claims.check()?;
        let all: Vec<Evidence> = scenarios.iter().map(|one| one.scores.evidence()).collect();
        let judged = judge(&study.claims, &all, limit)?;
        let concerned: Vec<&Analysis> = scenarios
            .iter()
            .filter(|one| study.claims.concerns(&one.scenario.name))
            .collect();
        // With a single user nothing is tested.
        let descending = concerned.iter().map(|one| {
            let some = one.descending.users.len() > 1;
            // That a claim needs both scales is asked of all users.
            let mut evidence = one.descending.evidence();
            evidence.at_one.clear();
            some.then_some(evidence)
        });
        let descending = Repeated::new(study, descending.collect(), limit)?;
        let mut readings = Vec::new();
        for reading in Reading::ALL {
            let mut evidence = Vec::new();
            for one in &concerned {
                let known = one.readings.iter().find(|(known, _)| *known == reading);
                evidence.push(known.map(|(_, scores)| scores.evidence()));
            }
            if evidence.iter().any(Option::is_some) {
                readings.push((reading, Repeated::new(study, evidence, limit)?));
            }
        }
        let claim = |result: ClaimResult| Claim {
            descending: descending.of(&result),
            readings: readings
                .iter()
                .map(|(reading, repeated)| (*reading, repeated.of(&result)))
                .filter(|(_, parts)| !parts.is_empty())
                .collect(),
            result,
        };
        Ok(Some(Self {
            primary: claim(judged.primary),
            family: judged.family.into_iter().map(claim).collect(),
            size: judged.size,
            deployment: judged.deployment.into_iter().map(claim).collect(),
            deployment_size: judged.deployment_size,
        }))
    }

    /// The claims of one scenario.
    pub fn of<'a>(&'a self, scenario: &'a str) -> impl Iterator<Item = &'a Claim> {
        self.family
            .iter()
            .chain(&self.deployment)
            .filter(move |claim| claim.result.scenario == scenario)
    }

    /// The primary claim, then those of the family, then those of deployment.
    pub fn all(&self) -> impl Iterator<Item = &Claim> {
        std::iter::once(&self.primary)
            .chain(&self.family)
            .chain(&self.deployment)
    }

    /// How many claims the p-value of a claim is adjusted for.
    #[must_use]
    pub fn size_for(&self, claim: &Claim) -> usize {
        match claim.is_average() {
            true => 1,
            false if claim.result.kind.is_deployment() => self.deployment_size,
            false => self.size,
        }
    }

    /// What was decided in a scenario of the woven row against another.
    #[must_use]
    pub fn decision(&self, scenario: &str, row: &str) -> Option<&Decision> {
        self.part(scenario, row).map(|(_, decision)| decision)
    }

    /// The mark of a row in a scenario's tables, see [`Decision::mark`]. What is not shown on users whose last step descends in id has none,
    /// nor what is not shown at scale 1 or changes its sign under another reading.
    #[must_use]
    pub fn mark(&self, scenario: &str, row: &str) -> &'static str {
        let Some((claim, decision)) = self.part(scenario, row) else {
            return "";
        };
        let better = |decision: &Decision| decision.outcome == Outcome::Better;
        let at_one = claim
            .result
            .parts
            .iter()
            .find(|(name, _)| apart(name) == (row, true));
        if at_one.is_some_and(|(_, other)| other.outcome != decision.outcome)
            || claim.turned().any(|turned| turned.row == row)
        {
            return "";
        }
        let repeated = claim.descending.iter().find(|(name, _)| name == row);
        if better(decision) && !repeated.is_some_and(|(_, decision)| better(decision)) {
            return "";
        }
        decision.mark()
    }

    fn part(&self, scenario: &str, row: &str) -> Option<(&Claim, &Decision)> {
        // Marks say what the woven row is better than, and the deployment claims are about another row.
        let here = self
            .family
            .iter()
            .filter(|claim| claim.result.scenario == scenario);
        here.flat_map(|claim| claim.result.parts.iter().map(move |part| (claim, part)))
            .find(|(_, (name, _))| name == row)
            .map(|(claim, (_, decision))| (claim, decision))
    }
}

/// The claims asked once more of other evidence. This is a condition that a claim has to meet and no claim of its own, so each of its
/// contrasts is decided alone.
struct Repeated<'a> {
    study: &'a Study,
    limit: Standing,
    results: Vec<ClaimResult>,
}

impl<'a> Repeated<'a> {
    /// Of the evidence of each scenario that is concerned; none where there is nothing to be tested.
    fn new(study: &'a Study, evidence: Vec<Option<Evidence>>, limit: Standing) -> Result<Self> {
        let concerned = evidence.len();
        let enough: Vec<Evidence> = evidence.into_iter().flatten().collect();
        let mut results = Vec::new();
        if !enough.is_empty() {
            let mut claims = study.claims.clone();
            claims.scenarios = enough.iter().map(|one| one.scenario.to_owned()).collect();
            let judged = judge(&claims, &enough, limit)?;
            results = judged.family;
            results.extend(judged.deployment);
            // An average over fewer scenarios is another claim.
            if enough.len() == concerned {
                results.push(judged.primary);
            }
        }
        Ok(Self {
            study,
            limit,
            results,
        })
    }

    fn of(&self, claim: &ClaimResult) -> Vec<(String, Decision)> {
        let same = |one: &&ClaimResult| one.scenario == claim.scenario && one.kind == claim.kind;
        let parts = self.results.iter().find(same).map(|one| one.parts.as_slice());
        let alone = |(row, decision): &(String, Decision)| {
            let contrast = decision.contrast.clone();
            (
                row.clone(),
                decide(contrast, None, &self.study.claims, self.limit),
            )
        };
        parts.unwrap_or_default().iter().map(alone).collect()
    }
}
