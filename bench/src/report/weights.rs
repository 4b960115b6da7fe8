//! Entropy against NDCG along the weights of a merge: whether choosing weights by entropy, without answers, chooses what answers would.
//!
//! Both are of calibration users, by whom weights are chosen where they are enough, so that the levels are no results; what they say together is exploratory.

use serde::Serialize;

use super::input::{Row, Scenario, WeightCurve, WeightPoint};
use super::number::plus;
use crate::statistics::{mean, rank_correlation, sd};

/// The least mean correlation, in size, that is called a common course.
const CLEAR: f64 = 0.5;

/// How entropy and NDCG go along weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    /// Where entropy is lower, NDCG is higher: what a choice by entropy supposes.
    Apart,
    /// Where entropy is lower, NDCG is lower too.
    Together,
    /// Neither in every replicate.
    None,
}

/// One choice of weights, over replicates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// Of each member.
    pub weights: Vec<f64>,
    /// Mean NDCG over replicates.
    pub ndcg: f64,
    /// Its standard deviation; none of a single replicate.
    pub ndcg_sd: Option<f64>,
    /// Mean entropy over replicates.
    pub entropy: f64,
    /// Its standard deviation.
    pub entropy_sd: Option<f64>,
}

/// What was found along the weights of a row.
#[derive(Debug, Clone, Serialize)]
pub struct Along<'a> {
    /// The row's method name.
    pub method: &'a str,
    /// The name that people read.
    #[serde(skip)]
    pub row: &'a Row,
    /// What was recorded of the first replicate: who the members are, and what the numbers are of.
    #[serde(skip)]
    pub curve: &'a WeightCurve,
    /// The members.
    pub members: &'a [String],
    /// Replicates that have the same points.
    pub replicates: usize,
    /// What was tried, by the weight of the target's own adapter, then those of the others.
    pub points: Vec<Tried>,
    /// The rank correlation of entropy and NDCG over the points, of each replicate in which either differs.
    pub correlations: Vec<f64>,
    /// What they say.
    pub course: Course,
}

/// The rows of a scenario that know their weights' course; none of such as have less than three points.
#[must_use]
pub fn along(scenario: &Scenario) -> Vec<Along<'_>> {
    scenario.rows.iter().filter_map(Along::of).collect()
}

impl<'a> Along<'a> {
    fn of(row: &'a Row) -> Option<Self> {
        let curves = row.runs.iter().filter_map(|run| run.weights.as_ref());
        let all: Vec<&WeightCurve> = curves.collect();
        let first = *all.first()?;
        let same = |curve: &&WeightCurve| {
            curve.members == first.members
                && curve.points.len() == first.points.len()
                && (curve.points.iter().zip(&first.points)).all(|(one, other)| one.weights == other.weights)
        };
        let curves: Vec<&WeightCurve> = all.iter().copied().filter(same).collect();
        if first.points.len() < 3 || first.own >= first.members.len() {
            return None;
        }
        let of = |place: usize, value: fn(&WeightPoint) -> f64| -> Vec<f64> {
            curves.iter().map(|curve| value(&curve.points[place])).collect()
        };
        let tried = |place: usize| {
            let (ndcg, entropy) = (of(place, |point| point.ndcg), of(place, |point| point.entropy));
            Tried {
                weights: first.points[place].weights.clone(),
                ndcg: mean(&ndcg),
                ndcg_sd: sd(&ndcg),
                entropy: mean(&entropy),
                entropy_sd: sd(&entropy),
            }
        };
        let mut points: Vec<Tried> = (0..first.points.len()).map(tried).collect();
        let order = |point: &Tried| {
            let own = point.weights.get(first.own).copied().unwrap_or_default();
            std::iter::once(own)
                .chain(point.weights.iter().copied())
                .collect::<Vec<f64>>()
        };
        points.sort_by(|one, other| {
            let pairs = order(one).into_iter().zip(order(other));
            let differ = pairs.map(|(a, b)| a.total_cmp(&b)).find(|order| order.is_ne());
            differ.unwrap_or(std::cmp::Ordering::Equal)
        });
        let correlation = |curve: &&WeightCurve| {
            let values = |of: fn(&WeightPoint) -> f64| curve.points.iter().map(of).collect::<Vec<f64>>();
            rank_correlation(&values(|point| point.entropy), &values(|point| point.ndcg))
        };
        let correlations: Vec<f64> = curves.iter().filter_map(correlation).collect();
        Some(Along {
            method: &row.method,
            row,
            curve: first,
            members: &first.members,
            replicates: curves.len(),
            points,
            course: course(&correlations),
            correlations,
        })
    }

    /// The weight of the target's own adapter.
    #[must_use]
    pub fn own(&self, point: &Tried) -> f64 {
        point.weights.get(self.curve.own).copied().unwrap_or_default()
    }

    /// The member whose weight that is.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.members[self.curve.own]
    }

    /// The point that a choice by least entropy takes, and that which a choice by NDCG takes; the first of equals.
    #[must_use]
    pub fn taken(&self) -> Option<(&Tried, &Tried)> {
        let least = self
            .points
            .iter()
            .min_by(|a, b| a.entropy.total_cmp(&b.entropy))?;
        let best = self.points.iter().min_by(|a, b| b.ndcg.total_cmp(&a.ndcg))?;
        Some((least, best))
    }

    /// The mean rank correlation, with its range where there are several replicates; none where nothing differs.
    #[must_use]
    pub fn correlation(&self) -> Option<String> {
        let (low, high) = self
            .correlations
            .iter()
            .fold((f64::MAX, f64::MIN), |(low, high), one| {
                (low.min(*one), high.max(*one))
            });
        let shown = |value: f64| plus(value);
        match self.correlations.as_slice() {
            [] => None,
            [one] => Some(shown(*one)),
            several => Some(format!(
                "{}, from {} to {} in {} replicates",
                shown(mean(several)),
                shown(low),
                shown(high),
                several.len()
            )),
        }
    }

    /// What may be said of it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let curve = self.curve;
        let Some(correlation) = self.correlation() else {
            return format!(
                "Along the weights of {}, {} of calibration users or {} is the same everywhere: they say nothing of each other.",
                self.row.label, curve.metric, curve.entropy
            );
        };
        let (course, so) = match self.course {
            Course::Apart => (
                "move apart",
                "weights of less entropy are those of higher NDCG, as a choice by entropy supposes",
            ),
            Course::Together => (
                "move together",
                "weights of less entropy are those of lower NDCG, against what a choice by entropy supposes",
            ),
            Course::None => (
                "have no clear common course",
                "entropy hardly tells which weights are good",
            ),
        };
        let taken = self.taken().map_or_else(String::new, |(least, best)| {
            format!(
                " Where entropy is least, NDCG is {:.3}; where it is highest itself, {:.3}.",
                least.ndcg, best.ndcg
            )
        });
        format!(
            "Along the weights of {}, entropy and NDCG of calibration users {course} (rank correlation {correlation}, {} points): {so}.{taken} \
             Exploratory: by such users weights are chosen, where they are enough, and nothing is tested.",
            self.row.label,
            self.points.len()
        )
    }
}

/// Clear on average, and of one sign in every replicate.
fn course(correlations: &[f64]) -> Course {
    let every = |sign: f64| !correlations.is_empty() && correlations.iter().all(|one| sign * one > 0.0);
    let clear = mean(correlations).abs() >= CLEAR;
    match (clear && every(1.0), clear && every(-1.0)) {
        (true, _) => Course::Together,
        (_, true) => Course::Apart,
        _ => Course::None,
    }
}
