//! A whole report on one page: what became of the claims, and every row in every scenario by the primary metric.
//!
//! It stands in `results.json` as well, so that a table in a README can be made from a report's folder alone.

use super::analysed::Analysed;
use super::chart::{Line, OTHER_COMPUTE};
use super::compute;
use super::heading;
use super::input::Family;
use super::planned::{Claim, Finding, Planned};
use super::sentence::decision_words;
use crate::claim::apart;
use crate::claim::decision::{Decision, Outcome, Standing};
use crate::metric::Metric;
use crate::statistics::Interval;
use serde::{Deserialize, Serialize};

/// What is said behind a row of an average whose compute is another in some scenario.
const OTHER: &str = "other compute";

/// The summary of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What the profiles are for: what a reader hears first.
    pub purposes: Vec<String>,
    /// The profiles that the numbers belong to.
    pub profiles: Vec<String>,
    /// What stands above all of it, such as that there is one backbone.
    pub headings: Vec<String>,
    /// What became of the claims, in a sentence.
    pub sentence: String,
    /// The primary metric.
    pub metric: String,
    /// The claims of each study that makes any.
    pub families: Vec<Claims>,
    /// The columns of the matrix: all scenarios of all studies.
    pub scenarios: Vec<Column>,
    /// Its rows: every method that competes in any of them.
    pub methods: Vec<Row>,
    /// What must be said below it, scenario by scenario.
    #[serde(default)]
    pub caveats: Vec<String>,
}

/// The claims of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// The study's title.
    pub study: String,
    /// How many claims the p-values of the family are adjusted for.
    pub size: usize,
    /// The same of the family of deployment claims.
    #[serde(default)]
    pub deployment_size: usize,
    /// The margin within which a difference counts as none.
    pub margin: f64,
    /// The level.
    pub alpha: f64,
    /// The name of the row that they are about.
    pub woven: String,
    /// The primary claim, then the family, then those of deployment.
    pub claims: Vec<ClaimLine>,
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimLine {
    /// Its kind: `W`, `J`, `M` or `D`.
    pub kind: String,
    /// Its scenario, or that it is the primary one.
    pub scenario: String,
    /// Whether it is the primary claim.
    pub primary: bool,
    /// Whether it is one of deployment, which are another family.
    #[serde(default)]
    pub deployment: bool,
    /// What became of it.
    pub finding: Finding,
    /// The same in words; with the missing rows where it is not testable.
    pub words: String,
    /// The largest p-value of its parts.
    pub p: Option<f64>,
    /// The same in its family.
    pub adjusted_p: Option<f64>,
    /// Its comparisons.
    pub parts: Vec<Part>,
}

/// A comparison of a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The name of the row that is compared to.
    pub against: String,
    /// The mean difference.
    pub mean: f64,
    /// Its 95 % interval, for reading.
    pub interval: Option<Interval>,
    /// The interval over users alone.
    pub users_only: Option<Interval>,
    /// Its p-value.
    pub p: Option<f64>,
    /// The same in its family.
    pub adjusted_p: Option<f64>,
    /// What was found.
    pub outcome: Outcome,
    /// How much may be made of it.
    pub standing: Standing,
    /// Both in words.
    pub words: String,
    /// How many replicates were compared.
    pub replicates: usize,
    /// How many users.
    pub users: usize,
}

/// A scenario as a column of the matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The study's title.
    pub study: String,
    /// The scenario in words.
    pub title: String,
    /// How many users are reported on.
    pub users: usize,
    /// How many candidates each has.
    pub candidates: usize,
    /// What they are ranked by, and how candidates were drawn.
    #[serde(default)]
    pub reading: String,
    /// The primary metric of a random order.
    pub chance: f64,
    /// The heading of its table, where it says nothing about methods.
    pub heading: Option<String>,
}

/// A method as a row of the matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The method's identifier.
    pub method: String,
    /// The name that people read.
    pub label: String,
    /// What it has been given.
    pub family: Family,
    /// A level a scenario, where the method is in it.
    pub levels: Vec<Option<Level>>,
}

/// A cell of the matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// The primary metric.
    pub mean: f64,
    /// Its standard deviation over replicates.
    pub sd: Option<f64>,
    /// What a planned contrast of the woven row with this one claims, or nothing.
    pub mark: String,
}

impl Summary {
    /// Sums up analysed studies.
    #[must_use]
    pub fn new(studies: &[Analysed]) -> Self {
        let mut summary = Self {
            purposes: Vec::new(),
            profiles: Vec::new(),
            headings: Vec::new(),
            sentence: String::new(),
            metric: Metric::PRIMARY.label(),
            families: studies.iter().filter_map(claims).collect(),
            scenarios: Vec::new(),
            methods: Vec::new(),
            caveats: Vec::new(),
        };
        for analysed in studies {
            let study = analysed.study;
            note(&mut summary.profiles, &study.profile);
            if let Some(purpose) = &study.purpose {
                note(&mut summary.purposes, purpose);
            }
            for heading in heading::of_study(study) {
                note(&mut summary.headings, &heading);
            }
            summary.add_scenarios(analysed);
            for scenario in &study.scenarios {
                let said = scenario.caveats.iter();
                said.for_each(|text| note(&mut summary.caveats, &format!("{}: {text}", scenario.title())));
            }
        }
        summary.part_titles(studies);
        // Methods that only later studies have leave gaps behind the last column they are in.
        let width = summary.scenarios.len();
        summary
            .methods
            .iter_mut()
            .for_each(|row| row.levels.resize(width, None));
        summary.sentence = sentence(&summary.families);
        summary
    }

    /// Columns of one title are told apart by their studies' names.
    fn part_titles(&mut self, studies: &[Analysed]) {
        let of_study = |analysed: &Analysed| vec![analysed.study.name.clone(); analysed.scenarios.len()];
        let names: Vec<String> = studies.iter().flat_map(of_study).collect();
        let titles: Vec<String> = self.scenarios.iter().map(|column| column.title.clone()).collect();
        for ((column, name), title) in self.scenarios.iter_mut().zip(names).zip(&titles) {
            if titles.iter().filter(|other| *other == title).count() > 1 {
                column.title = format!("{name}: {title}");
            }
        }
    }

    fn add_scenarios(&mut self, analysed: &Analysed) {
        for analysis in &analysed.scenarios {
            let column = self.scenarios.len();
            let m = analysis.primary();
            self.scenarios.push(Column {
                study: analysed.study.title.clone(),
                title: analysis.scenario.title(),
                users: analysis.scenario.cases.len(),
                candidates: analysis.scenario.candidates,
                reading: analysis.scenario.read_by(),
                chance: analysis.chance[m],
                heading: heading::of_scenario(analysis).map(str::to_owned),
            });
            for (_, numbers) in analysis.competitors() {
                let row = self.row(numbers.row);
                row.levels.resize(column, None);
                let mark = |planned: &Planned| planned.mark(&analysis.scenario.name, &numbers.row.method);
                row.levels.push(Some(Level {
                    mean: numbers.estimates[m].mean,
                    sd: numbers.estimates[m].sd,
                    mark: analysed.planned.as_ref().map_or("", mark).to_owned(),
                }));
            }
        }
    }

    fn row(&mut self, row: &super::input::Row) -> &mut Row {
        let known = self.methods.iter().position(|known| known.method == row.method);
        let index = known.unwrap_or_else(|| {
            self.methods.push(Row {
                method: row.method.clone(),
                label: row.label.clone(),
                family: row.family,
                levels: Vec::new(),
            });
            self.methods.len() - 1
        });
        &mut self.methods[index]
    }
}

fn note(known: &mut Vec<String>, text: &str) {
    if !known.iter().any(|one| one == text) {
        known.push(text.to_owned());
    }
}

fn claims(analysed: &Analysed) -> Option<Claims> {
    let planned = analysed.planned.as_ref()?;
    let rules = &analysed.study.claims;
    Some(Claims {
        study: analysed.study.title.clone(),
        size: planned.size,
        deployment_size: planned.deployment_size,
        margin: rules.margin,
        alpha: rules.alpha,
        woven: analysed.label(&rules.woven).to_owned(),
        claims: planned.all().map(|claim| line(analysed, claim)).collect(),
    })
}

fn line(analysed: &Analysed, claim: &Claim) -> ClaimLine {
    let result = &claim.result;
    let finding = claim.finding();
    let of = |name: &str| -> Option<String> {
        let scenario = analysed.study.scenarios.iter().find(|one| one.name == name);
        scenario.map(super::input::Scenario::title)
    };
    ClaimLine {
        kind: format!("{:?}", result.kind),
        scenario: of(&result.scenario).unwrap_or_else(|| result.scenario.clone()),
        primary: claim.is_average(),
        deployment: result.kind.is_deployment(),
        finding,
        words: result.untestable().unwrap_or_else(|| finding.label().to_owned()),
        p: result.p,
        adjusted_p: result.adjusted_p,
        parts: result
            .parts
            .iter()
            .map(|(row, decision)| {
                let against = analysed.part_label(row) + &footnote(analysed, claim, row);
                part(&against, decision)
            })
            .collect(),
    }
}

/// What is said behind a row that a claim is made against and that was not trained on as much as the woven one.
fn footnote(analysed: &Analysed, claim: &Claim, part: &str) -> String {
    let (rules, result) = (&analysed.study.claims, &claim.result);
    if result.kind.is_deployment() {
        return String::new();
    }
    let rows = apart(part).0;
    if !claim.is_average() {
        let scenario = analysed
            .study
            .scenarios
            .iter()
            .find(|one| one.name == result.scenario);
        return scenario.map_or_else(String::new, |one| compute::footnote(one, &rules.woven, rows));
    }
    let concerned = analysed
        .study
        .scenarios
        .iter()
        .filter(|one| rules.concerns(&one.name));
    let mut ratios = concerned.flat_map(|one| {
        let of = |row| compute::ratio(one, &rules.woven, row);
        rows.split(" / ").filter_map(of)
    });
    match ratios.all(compute::is_matched) {
        true => String::new(),
        false => format!(" ({OTHER})"),
    }
}

fn part(against: &str, decision: &Decision) -> Part {
    let contrast = &decision.contrast;
    Part {
        against: against.to_owned(),
        mean: contrast.mean,
        interval: contrast.interval,
        users_only: contrast.users_only,
        p: contrast.p,
        adjusted_p: decision.p,
        outcome: decision.outcome,
        standing: decision.standing,
        words: decision_words(decision),
        replicates: contrast.replicates,
        users: contrast.users,
    }
}

/// How many claims were held, refuted and so on, and what became of the primary ones.
fn sentence(families: &[Claims]) -> String {
    let claims = || families.iter().flat_map(|family| &family.claims);
    if families.is_empty() {
        return "Nothing was claimed.".to_owned();
    }
    let counted = |deployment: bool| {
        let some = claims().filter(|claim| !claim.primary && claim.deployment == deployment);
        let findings: Vec<Finding> = some.map(|claim| claim.finding).collect();
        let counts: Vec<String> = Finding::ALL
            .into_iter()
            .filter_map(|finding| {
                let count = findings.iter().filter(|found| **found == finding).count();
                (count > 0).then(|| match (count, finding) {
                    (2.., Finding::DependsOnScoring) => format!("{count} depend on scoring"),
                    _ => format!("{count} {}", finding.label()),
                })
            })
            .collect();
        let noun = if findings.len() == 1 { "claim" } else { "claims" };
        (findings.len(), noun, counts.join(", "))
    };
    let primaries: Vec<String> = claims()
        .filter(|claim| claim.primary)
        .map(|claim| format!("{}: {}", claim.kind, claim.words))
        .collect();
    let (noun, verb) = match primaries.len() {
        1 => ("primary claim", "was"),
        _ => ("primary claims", "were"),
    };
    let mut text = String::new();
    // A profile may claim deployment alone.
    if let (count @ 1.., claims, counts) = counted(false) {
        text.push_str(&format!("Of {count} {claims}: {counts}. "));
    }
    text.push_str(&format!("The {noun} {verb} {}.", primaries.join("; ")));
    if let (count @ 1.., claims, counts) = counted(true) {
        text.push_str(&format!(" Of {count} deployment {claims}: {counts}."));
    }
    text
}

/// The planned contrasts as lines of a forest plot, the primary claim's first in each study.
#[must_use]
pub fn lines(families: &[Claims]) -> Vec<Line> {
    let group = |family: &Claims, claim: &ClaimLine| match families.len() {
        1 => claim.scenario.clone(),
        _ => format!("{} · {}", claim.scenario, family.study),
    };
    let mut lines = Vec::new();
    for family in families {
        for claim in &family.claims {
            for part in &claim.parts {
                lines.push(Line {
                    group: group(family, claim),
                    label: format!("{}: {}", claim.kind, short(&part.against)),
                    mean: part.mean,
                    interval: part.interval,
                    users_only: part.users_only,
                    style: part.outcome.label(),
                });
            }
        }
    }
    lines
}

/// A row that is compared to, with a mark in place of what is said of its compute, for which a drawing has no room.
fn short(against: &str) -> String {
    let is_compute = |said: &str| said.ends_with(compute::TIMES_TOKENS) || said == OTHER;
    match against.rsplit_once(" (") {
        Some((row, said)) if is_compute(said.trim_end_matches(')')) => format!("{row}{OTHER_COMPUTE}"),
        _ => against.to_owned(),
    }
}
