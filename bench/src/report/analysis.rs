//! Every number of one scenario, computed once; tables, charts, verdicts and files only choose among them.

use super::check::scenario_comparable;
use super::input::{Family, Row, Run, Scenario};
use crate::metric::Metric;
use crate::statistics::{
    ALPHA, Bootstrap, Interval, Test, effect_size_dz, holm, mean, paired_t, sd, wilcoxon,
};
use anyhow::Result;
use serde::Serialize;

/// The method that the others are compared to.
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
    /// Which row is [`BASELINE`].
    pub baseline: Option<usize>,
    bootstrap: Bootstrap,
}

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
}

/// One metric of one row.
#[derive(Debug, Clone, Serialize)]
pub struct Estimate {
    /// The mean over seeds and users.
    pub mean: f64,
    /// The standard deviation over seeds; absent with a single run.
    pub sd: Option<f64>,
    /// The bootstrap interval over users, seeds averaged.
    pub interval: Interval,
    /// The comparison to the baseline; absent for the baseline itself, for members and without a baseline.
    pub versus: Option<Versus>,
}

/// A row against the baseline, paired by user.
#[derive(Debug, Clone, Serialize)]
pub struct Versus {
    /// Mean difference; positive where the row is better.
    pub difference: f64,
    /// Its bootstrap interval.
    pub interval: Interval,
    /// The paired t test.
    pub t: Option<Test>,
    /// The Wilcoxon signed-rank test.
    pub wilcoxon: Option<Test>,
    /// The t test's p-value after Holm, over all rows of the table in this metric.
    pub adjusted_p: f64,
    /// Cohen's d for paired samples.
    pub dz: Option<f64>,
    /// Whether the adjusted p-value is below the level.
    pub significant: bool,
}

impl<'a> Analysis<'a> {
    /// Computes every number of a scenario.
    ///
    /// # Errors
    /// Where rows cannot be compared, see [`scenario_comparable`].
    pub fn new(scenario: &'a Scenario) -> Result<Self> {
        scenario_comparable(scenario)?;
        let metrics: Vec<Metric> = Metric::ALL
            .into_iter()
            .filter(|metric| metric.discriminates(scenario.candidates))
            .collect();
        let width = metrics.len();
        let baseline = scenario.rows.iter().position(|row| row.method == BASELINE);
        let columns: Vec<Vec<f64>> = scenario
            .rows
            .iter()
            .flat_map(|row| metrics.iter().map(|metric| per_user(row, *metric)))
            .collect();
        // The users alone decide the draw, so scenarios with the same users share it and rows may come and go.
        let key = format!("report/{}/{}", scenario.candidate_hash, scenario.users);
        let bootstrap = Bootstrap::new(&key, &columns)?;
        let mut rows: Vec<RowNumbers> = Vec::with_capacity(scenario.rows.len());
        for (index, row) in scenario.rows.iter().enumerate() {
            let estimates = metrics
                .iter()
                .enumerate()
                .map(|(m, metric)| Estimate {
                    mean: mean(&columns[index * width + m]),
                    sd: sd(&row
                        .runs
                        .iter()
                        .map(|run| run_mean(run, *metric))
                        .collect::<Vec<_>>()),
                    interval: bootstrap.interval(index * width + m),
                    versus: baseline
                        .filter(|baseline| *baseline != index && row.family != Family::Member)
                        .map(|baseline| {
                            versus(&bootstrap, &columns, index * width + m, baseline * width + m)
                        }),
                })
                .collect();
            rows.push(RowNumbers {
                row,
                estimates,
                tied_share: tied_share(row),
                invalid_output_rate: mean_of(row, |run| run.invalid_output_rate),
                validation_loss: mean_of(row, |run| run.validation_loss),
            });
        }
        let chance = metrics
            .iter()
            .map(|metric| metric.chance(scenario.candidates))
            .collect();
        let mut analysis = Self {
            scenario,
            metrics,
            chance,
            rows,
            baseline,
            bootstrap,
        };
        analysis.adjust();
        Ok(analysis)
    }

    /// Holm over the rows of the table, metric by metric.
    fn adjust(&mut self) {
        for m in 0..self.metrics.len() {
            let compared: Vec<&mut Versus> = self
                .rows
                .iter_mut()
                .filter_map(|row| row.estimates[m].versus.as_mut())
                .collect();
            // A difference without spread cannot be tested, which is no evidence for anything.
            let raw: Vec<f64> = compared
                .iter()
                .map(|versus| versus.t.map_or(1.0, |test| test.p))
                .collect();
            for (versus, adjusted) in compared.into_iter().zip(holm(&raw)) {
                versus.adjusted_p = adjusted;
                versus.significant = adjusted < ALPHA;
            }
        }
    }

    /// The position of a metric among [`Self::metrics`].
    #[must_use]
    pub fn position(&self, metric: Metric) -> Option<usize> {
        self.metrics.iter().position(|known| *known == metric)
    }

    /// The position of the metric that verdicts rest on.
    #[must_use]
    pub fn primary(&self) -> usize {
        // NDCG discriminates among any number of candidates, so the primary metric is always there.
        self.position(Metric::PRIMARY).unwrap_or(0)
    }

    /// The rows that compete: all but the members of merges.
    pub fn competitors(&self) -> impl Iterator<Item = (usize, &RowNumbers<'a>)> {
        self.rows
            .iter()
            .enumerate()
            .filter(|(_, numbers)| numbers.row.family != Family::Member)
    }

    /// The row with this method name.
    #[must_use]
    pub fn find(&self, method: &str) -> Option<usize> {
        self.rows.iter().position(|numbers| numbers.row.method == method)
    }

    /// The paired difference of two rows in a metric, with its interval.
    #[must_use]
    pub fn difference(&self, row: usize, other: usize, metric: usize) -> (f64, Interval) {
        let width = self.metrics.len();
        let difference = self.rows[row].estimates[metric].mean - self.rows[other].estimates[metric].mean;
        (
            difference,
            self.bootstrap
                .difference(row * width + metric, other * width + metric),
        )
    }

    /// Whether at least one tuned row's interval of the primary metric lies above chance.
    #[must_use]
    pub fn informative(&self) -> bool {
        let m = self.primary();
        self.rows
            .iter()
            .any(|row| row.row.family.is_tuned() && row.estimates[m].interval.above(self.chance[m]))
    }
}

fn versus(bootstrap: &Bootstrap, columns: &[Vec<f64>], column: usize, baseline: usize) -> Versus {
    let differences: Vec<f64> = columns[column]
        .iter()
        .zip(&columns[baseline])
        .map(|(a, b)| a - b)
        .collect();
    Versus {
        difference: mean(&differences),
        interval: bootstrap.difference(column, baseline),
        t: paired_t(&differences),
        wilcoxon: wilcoxon(&differences),
        adjusted_p: 1.0,
        dz: effect_size_dz(&differences),
        significant: false,
    }
}

/// Each user's score averaged over seeds, users in the order of their ids.
fn per_user(row: &Row, metric: Metric) -> Vec<f64> {
    let mut sums: Vec<f64> = Vec::new();
    for run in &row.runs {
        let mut users: Vec<_> = run.users.iter().collect();
        users.sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
        sums.resize(users.len(), 0.0);
        sums.iter_mut()
            .zip(users)
            .for_each(|(sum, user)| *sum += metric.score(user.rank));
    }
    sums.iter_mut().for_each(|sum| *sum /= row.runs.len() as f64);
    sums
}

/// The mean of a metric over the users of one run.
#[must_use]
pub fn run_mean(run: &Run, metric: Metric) -> f64 {
    // Summed in the order of ids, so that the order of the input does not reach the last digit.
    let mut users: Vec<_> = run.users.iter().collect();
    users.sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
    mean(
        &users
            .iter()
            .map(|user| metric.score(user.rank))
            .collect::<Vec<_>>(),
    )
}

fn tied_share(row: &Row) -> f64 {
    let shares: Vec<f64> = row
        .runs
        .iter()
        .map(|run| {
            run.users.iter().filter(|user| user.tied > 0).count() as f64 / run.users.len().max(1) as f64
        })
        .collect();
    mean(&shares)
}

fn mean_of(row: &Row, value: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = row.runs.iter().filter_map(value).collect();
    (!values.is_empty()).then(|| mean(&values))
}
