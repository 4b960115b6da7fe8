//! The planned contrasts of a study: its claims, judged, and repeated on the users on whom ids give nothing away.

use super::analysis::Analysis;
use super::input::Study;
use crate::claim::{AVERAGE, ClaimResult, Evidence, judge};
use crate::decision::{Decision, Outcome, Standing, decide};
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
}

/// A claim and whether it stands where ids give nothing away.
#[derive(Debug, Clone)]
pub struct Claim {
    /// What became of it on all users.
    pub result: ClaimResult,
    /// The same contrasts on users whose last step descends in id, each decided alone; empty where there are too few of them.
    pub descending: Vec<(String, Decision)>,
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
    pub const ALL: [Self; 10] = [
        Self::Held,
        Self::Refuted,
        Self::Equivalent,
        Self::Withdrawn,
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
        let repeated = Repeated::new(study, scenarios, limit)?;
        let claim = |result: ClaimResult| Claim {
            descending: repeated.of(&result),
            result,
        };
        Ok(Some(Self {
            primary: claim(judged.primary),
            family: judged.family.into_iter().map(claim).collect(),
            size: judged.size,
        }))
    }

    /// The claims of one scenario.
    pub fn of<'a>(&'a self, scenario: &'a str) -> impl Iterator<Item = &'a Claim> {
        self.family
            .iter()
            .filter(move |claim| claim.result.scenario == scenario)
    }

    /// The primary claim, then those of the family.
    pub fn all(&self) -> impl Iterator<Item = &Claim> {
        std::iter::once(&self.primary).chain(&self.family)
    }

    /// What was decided in a scenario of the woven row against another.
    #[must_use]
    pub fn decision(&self, scenario: &str, row: &str) -> Option<&Decision> {
        self.part(scenario, row).map(|(_, decision)| decision)
    }

    /// The mark of a row in a scenario's tables, see [`Decision::mark`]. What is not shown on users whose last step descends in id has none.
    #[must_use]
    pub fn mark(&self, scenario: &str, row: &str) -> &'static str {
        let Some((claim, decision)) = self.part(scenario, row) else {
            return "";
        };
        let better = |decision: &Decision| decision.outcome == Outcome::Better;
        let repeated = claim.descending.iter().find(|(name, _)| name == row);
        if better(decision) && !repeated.is_some_and(|(_, decision)| better(decision)) {
            return "";
        }
        decision.mark()
    }

    fn part(&self, scenario: &str, row: &str) -> Option<(&Claim, &Decision)> {
        let here = self
            .family
            .iter()
            .filter(|claim| claim.result.scenario == scenario);
        here.flat_map(|claim| claim.result.parts.iter().map(move |part| (claim, part)))
            .find(|(_, (name, _))| name == row)
            .map(|(claim, (_, decision))| (claim, decision))
    }
}

/// The claims on users whose last step descends in id. This is a condition that a claim has to meet and no claim of its own, so each of its
/// contrasts is decided alone.
struct Repeated<'a> {
    study: &'a Study,
    limit: Standing,
    results: Vec<ClaimResult>,
}

impl<'a> Repeated<'a> {
    fn new(study: &'a Study, scenarios: &[Analysis], limit: Standing) -> Result<Self> {
        let concerned = |one: &&Analysis| study.claims.concerns(&one.scenario.name);
        // With a single user nothing is tested.
        let enough: Vec<&Analysis> = scenarios
            .iter()
            .filter(concerned)
            .filter(|one| one.descending.users.len() > 1)
            .collect();
        let mut results = Vec::new();
        if !enough.is_empty() {
            let evidence: Vec<Evidence> = enough.iter().map(|one| one.descending.evidence()).collect();
            let mut claims = study.claims.clone();
            claims.scenarios = enough.iter().map(|one| one.scenario.name.clone()).collect();
            let judged = judge(&claims, &evidence, limit)?;
            results = judged.family;
            // An average over fewer scenarios is another claim.
            if enough.len() == scenarios.iter().filter(concerned).count() {
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
