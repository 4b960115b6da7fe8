//! Every number of one scenario, computed once; tables, charts, sentences and files only choose among them.

use super::input::{Family, Reading, Row, Run, Scenario, Study};
use super::leak::Leak;
use super::learned::{Learned, best_floor};
use super::scores::{Scores, level, values};
use super::table::mean_members;
use crate::claim::decision::{Decision, Standing, decide};
use crate::claim::{AT_ONE, apart};
use crate::metric::{Metric, Tally};
use crate::statistics::{Contrast, Interval, mean, sd};
use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;

/// The method that the others are described beside; where it is not run, the best floor takes its place.
pub const BASELINE: &str = "target-only";

/// The numbers of one scenario.
#[derive(Debug)]
pub struct Analysis<'a> {
    /// What was analysed.
    pub scenario: &'a Scenario,
    /// The metrics that can tell methods apart among the scenario's candidates.
    pub metrics: Vec<Metric>,
    /// The expectation of each metric under a random order.
    pub chance: Vec<f64>,
    /// One entry for each row of the scenario, in its order.
    pub rows: Vec<RowNumbers<'a>>,
    /// Which row the others are described beside: [`BASELINE`], or the best floor.
    pub baseline: Option<usize>,
    /// The merges, each beside its members.
    pub merges: Vec<Merge>,
    /// Whether anything was learned, and how the tuned rows stand beside the floors.
    pub learned: Learned,
    /// What ids give away.
    pub leak: Option<Leak>,
    /// Share of users whose target shares its time with the item before.
    pub time_ties: f64,
    /// The primary metric of all users.
    pub scores: Scores<'a>,
    /// The primary metric of those whose last step descends in id.
    pub descending: Scores<'a>,
    /// The primary metric of all users under each of the scenario's other readings.
    pub readings: Vec<(Reading, Scores<'a>)>,
    /// The woven row against the rows that tell why it stands where it does: each tested alone, no claims.
    pub beside: Vec<(usize, Decision)>,
}

/// The rows that the woven one is shown beside: as many prompts of the target alone, and sources whose titles mean nothing.
pub const BESIDE: [&str; 2] = ["more-target", "placebo"];

/// The numbers of one row.
#[derive(Debug)]
pub struct RowNumbers<'a> {
    /// The row.
    pub row: &'a Row,
    /// One estimate a metric.
    pub estimates: Vec<Estimate>,
    /// Share of users whose target tied with another candidate.
    pub tied_share: f64,
    /// Mean share of free answers that named no candidate.
    pub invalid_output_rate: Option<f64>,
    /// Mean loss on held-out prompts.
    pub validation_loss: Option<f64>,
    /// The primary metric against the baseline; absent for the baseline itself, for members and without a baseline. Not planned: a
    /// description and no test.
    pub versus: Option<Contrast>,
}

/// One metric of one row.
#[derive(Debug, Clone, Serialize)]
pub struct Estimate {
    /// The mean over replicates and users, ties counted by their expectation.
    pub mean: f64,
    /// The standard deviation over replicates; absent with a single run.
    pub sd: Option<f64>,
    /// The 95 % interval over replicates and users, for reading; absent with a single replicate.
    pub interval: Option<Interval>,
    /// The mean with the target after all that tie with it.
    pub pessimistic: f64,
    /// The mean of each run.
    pub runs: Vec<f64>,
}

/// A merge and what it was made of.
#[derive(Debug)]
pub struct Merge {
    /// The merge's row.
    pub row: usize,
    /// Its members.
    pub members: Vec<Member>,
}

/// A member of a merge.
#[derive(Debug)]
pub struct Member {
    /// Its method name.
    pub method: String,
    /// Its weight, averaged over replicates.
    pub weight: f64,
    /// Its row, where it was evaluated alone.
    pub row: Option<usize>,
    /// The merge minus the member alone.
    pub gain: Option<Contrast>,
}

impl<'a> Analysis<'a> {
    /// Computes every number of a scenario whose rows can be compared, see [`super::check`]. `limit` is the most that the study allows.
    ///
    /// # Errors
    /// Where a contrast cannot be made.
    pub fn new(study: &'a Study, scenario: &'a Scenario, limit: Standing) -> Result<Self> {
        let metrics: Vec<Metric> = Metric::ALL
            .into_iter()
            .filter(|metric| metric.discriminates(scenario.candidates))
            .collect();
        let chance: Vec<f64> = metrics
            .iter()
            .map(|metric| metric.chance(scenario.candidates))
            .collect();
        let mut users: Vec<usize> = (0..scenario.cases.len()).collect();
        users.sort_unstable_by(|a, b| scenario.cases[*a].user_id.cmp(&scenario.cases[*b].user_id));
        let descending = users
            .iter()
            .copied()
            .filter(|user| scenario.cases[*user].descends)
            .collect();
        let readings = scenario.readings.iter().enumerate();
        let readings = readings
            .map(|(place, reading)| {
                let of = Scores::of_reading(scenario, users.clone(), study.replicates, place);
                (*reading, of)
            })
            .collect();
        let scores = Scores::new(scenario, users, study.replicates);
        let descending = Scores::new(scenario, descending, study.replicates);
        let mut rows = scenario
            .rows
            .par_iter()
            .map(|row| RowNumbers::new(row, &metrics, &scores.users, study.replicates))
            .collect::<Result<Vec<_>>>()?;
        let levels: Vec<f64> = primary_levels(&rows, &metrics);
        let named = scenario.rows.iter().position(|row| row.method == BASELINE);
        let baseline = named.or_else(|| best_floor(scenario, &levels));
        rows.par_iter_mut()
            .enumerate()
            .try_for_each(|(index, numbers)| -> Result<()> {
                let is_beside = |other: &usize| *other != index && numbers.row.family != Family::Member;
                if let Some(other) = baseline.filter(is_beside) {
                    numbers.versus = scores.contrast(index, other)?;
                }
                Ok(())
            })?;
        let ties = scenario.cases.iter().filter(|case| case.ties).count();
        Ok(Self {
            learned: Learned::new(study, scenario, &scores, &levels, limit)?,
            leak: Leak::new(scenario, &scores)?,
            beside: beside(study, scenario, &scores, limit)?,
            readings,
            merges: merges(scenario, &scores)?,
            time_ties: ties as f64 / scenario.cases.len() as f64,
            scenario,
            metrics,
            chance,
            rows,
            baseline,
            scores,
            descending,
        })
    }

    /// The position of a metric among [`Self::metrics`].
    #[must_use]
    pub fn position(&self, metric: Metric) -> Option<usize> {
        self.metrics.iter().position(|known| *known == metric)
    }

    /// The position of the metric that everything rests on.
    #[must_use]
    pub fn primary(&self) -> usize {
        // NDCG discriminates among any number of candidates, so the primary metric is always there.
        self.position(Metric::PRIMARY).unwrap_or(0)
    }

    /// The rows that compete: neither members of merges nor probes.
    pub fn competitors(&self) -> impl Iterator<Item = (usize, &RowNumbers<'a>)> {
        self.rows
            .iter()
            .enumerate()
            .filter(|(_, numbers)| numbers.row.family.competes())
    }

    /// The row with this method name.
    #[must_use]
    pub fn find(&self, method: &str) -> Option<usize> {
        self.rows.iter().position(|numbers| numbers.row.method == method)
    }

    /// The name that people read of the row with this method name, or the method name where there is none.
    #[must_use]
    pub fn label<'b>(&'b self, method: &'b str) -> &'b str {
        self.find(method)
            .map_or(method, |row| self.rows[row].row.label.as_str())
    }

    /// The name that people read of a merge's member, which may have no row.
    #[must_use]
    pub fn member_label<'b>(&'b self, member: &'b str) -> &'b str {
        let label = self.label(member);
        label.strip_prefix("adapter:").unwrap_or(label)
    }

    /// The name that people read of the row of a comparison: `Soup`, or `Soup at c = 1`.
    #[must_use]
    pub fn part_label(&self, part: &str) -> String {
        let (row, at_one) = apart(part);
        format!("{}{}", self.label(row), if at_one { AT_ONE } else { "" })
    }

    /// What the rows are described beside, in words: the baseline, or the best floor and where it is the best.
    #[must_use]
    pub fn beside_what(&self) -> Option<String> {
        let row = self.rows[self.baseline?].row;
        Some(match row.method == BASELINE {
            true => row.label.clone(),
            false => format!("{} ({})", row.label, self.learned.floor_words()),
        })
    }

    /// A row's primary metric.
    #[must_use]
    pub fn level(&self, row: usize) -> f64 {
        self.rows[row].estimates[self.primary()].mean
    }
}

impl<'a> RowNumbers<'a> {
    /// The estimates by metric; none of metrics that the row's lists cannot tell.
    pub fn told<'b>(&'b self, metrics: &'b [Metric]) -> impl Iterator<Item = (Metric, Option<&'b Estimate>)> {
        let listed = self.row.runs.iter().any(|run| run.listed);
        let told = move |metric: Metric| !listed || metric.cut().is_some();
        let all = metrics.iter().zip(&self.estimates);
        all.map(move |(metric, estimate)| (*metric, Some(estimate).filter(|_| told(*metric))))
    }

    fn new(row: &'a Row, metrics: &[Metric], users: &[usize], planned: usize) -> Result<Self> {
        let tallies: Vec<Tally> = row.runs.iter().map(|run| Tally::of(&run.places)).collect();
        let estimates = metrics
            .iter()
            .map(|metric| estimate(row, *metric, users, planned, &tallies))
            .collect::<Result<_>>()?;
        let tied: Vec<f64> = tallies.iter().map(Tally::tied_share).collect();
        Ok(Self {
            row,
            estimates,
            tied_share: mean(&tied),
            invalid_output_rate: mean_of(row, |run| run.invalid_output_rate),
            validation_loss: mean_of(row, |run| run.validation_loss),
            versus: None,
        })
    }
}

fn estimate(
    row: &Row,
    metric: Metric,
    users: &[usize],
    planned: usize,
    tallies: &[Tally],
) -> Result<Estimate> {
    let scores: Vec<Vec<f64>> = row.runs.iter().map(|run| values(run, users, metric)).collect();
    let level = level(row, &scores, planned)?;
    let runs: Vec<f64> = tallies.iter().map(|tally| tally.mean(metric)).collect();
    let pessimistic: Vec<f64> = tallies
        .iter()
        .map(|tally| tally.pessimistic_mean(metric))
        .collect();
    Ok(Estimate {
        mean: level.mean,
        sd: sd(&runs),
        interval: level.interval,
        pessimistic: mean(&pessimistic),
        runs,
    })
}

fn primary_levels(rows: &[RowNumbers], metrics: &[Metric]) -> Vec<f64> {
    let primary = metrics.iter().position(|metric| *metric == Metric::PRIMARY);
    rows.iter()
        .map(|row| row.estimates[primary.unwrap_or(0)].mean)
        .collect()
}

fn merges(scenario: &Scenario, scores: &Scores) -> Result<Vec<Merge>> {
    let mut merges = Vec::new();
    for (row, merge) in scenario.rows.iter().enumerate() {
        let mut members = Vec::new();
        for (method, weight) in mean_members(&merge.runs) {
            let alone = scenario.rows.iter().position(|row| row.method == method);
            let gain = match alone {
                Some(alone) => scores.contrast(row, alone)?,
                None => None,
            };
            members.push(Member {
                method,
                weight,
                row: alone,
                gain,
            });
        }
        if merge.family.competes() && !members.is_empty() {
            merges.push(Merge { row, members });
        }
    }
    Ok(merges)
}

fn beside(
    study: &Study,
    scenario: &Scenario,
    scores: &Scores,
    limit: Standing,
) -> Result<Vec<(usize, Decision)>> {
    let find = |method: &str| scenario.rows.iter().position(|row| row.method == method);
    let mut beside = Vec::new();
    let Some(woven) = find(&study.claims.woven) else {
        return Ok(beside);
    };
    for row in BESIDE.into_iter().filter_map(find) {
        if let Some(contrast) = scores.contrast(woven, row)? {
            beside.push((row, decide(contrast, None, &study.claims, limit)));
        }
    }
    Ok(beside)
}

fn mean_of(row: &Row, value: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = row.runs.iter().filter_map(value).collect();
    (!values.is_empty()).then(|| mean(&values))
}
