//! Fusions: a row's score and a weight times what a floor knows.

use super::choice::{Chosen, LEAST, plainest};
use super::score::primary;
use super::{Case, Reading, scored};

/// The weights, the plainest first.
pub const WEIGHTS: [f32; 11] = [0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0];

/// What is added to a row's score.
#[derive(Clone, Copy, Debug)]
pub enum Added<'a> {
    /// ln(n + ½) of the training interactions n of each candidate.
    Popularity(&'a [u32]),
    /// Another row's scores, standardised within the case.
    Row(&'a [f32]),
}

impl Added<'_> {
    fn values(self) -> Vec<f64> {
        match self {
            Added::Popularity(counts) => counts
                .iter()
                .map(|count| (f64::from(*count) + 0.5).ln())
                .collect(),
            Added::Row(scores) => standardised(scores),
        }
    }
}

/// Scores of one case with their mean taken away, over their standard deviation; 0 throughout where all are alike. What is no finite
/// number stays it, and counts in neither.
#[must_use]
pub fn standardised(scores: &[f32]) -> Vec<f64> {
    let finite: Vec<f64> = scores
        .iter()
        .filter(|score| score.is_finite())
        .map(|score| f64::from(*score))
        .collect();
    let count = finite.len().max(1) as f64;
    let mean = finite.iter().sum::<f64>() / count;
    let sd = (finite.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / count).sqrt();
    let of = |score: &f32| match f64::from(*score) - mean {
        deviation if !deviation.is_finite() => deviation,
        deviation if sd > 0.0 => deviation / sd,
        _ => 0.0,
    };
    scores.iter().map(of).collect()
}

/// Cases of a row, each with what is added to its scores.
#[derive(Clone, Debug)]
pub struct Weighing<'a> {
    cases: Vec<Case<'a>>,
    own: Vec<Vec<f64>>,
    added: Vec<Vec<f64>>,
}

impl<'a> Weighing<'a> {
    /// The cases of a row under a reading and α. `likelihood` says whether its scores are nats; those of a row that counts are
    /// standardised as what is added is, so that a weight means the same in whatever units it counts.
    #[must_use]
    pub fn new(cases: &[(Case<'a>, Added<'a>)], reading: Reading, alpha: f32, likelihood: bool) -> Self {
        let own = |case: &Case| {
            let scores = scored(case, reading.scoring, alpha);
            match likelihood {
                true => scores.into_iter().map(f64::from).collect(),
                false => standardised(&scores),
            }
        };
        Weighing {
            own: cases.iter().map(|(case, _)| own(case)).collect(),
            added: cases.iter().map(|(_, added)| added.values()).collect(),
            cases: cases.iter().map(|(case, _)| *case).collect(),
        }
    }

    /// The cases.
    #[must_use]
    pub fn cases(&self) -> &[Case<'a>] {
        &self.cases
    }

    /// The scores of one case's candidates at a weight.
    #[must_use]
    pub fn scores(&self, case: usize, weight: f32) -> Vec<f32> {
        let sum = |(own, added): (&f64, &f64)| (own + f64::from(weight) * added) as f32;
        self.own[case].iter().zip(&self.added[case]).map(sum).collect()
    }

    /// The weight, where these are calibration users: the smallest within one standard error of the best. None where they are fewer than
    /// [`LEAST`]: no weight is plainer than any other then.
    #[must_use]
    pub fn choose(&self, reading: Reading) -> Option<Chosen> {
        if self.cases.len() < LEAST {
            return None;
        }
        let at = |weight: &f32| {
            primary(&self.cases, reading.protocol, |case, _| {
                self.scores(case, *weight)
            })
        };
        let options: Vec<Vec<f64>> = WEIGHTS.iter().map(at).collect();
        let (place, best) = plainest(&options);
        let end = |place| place == 0 || place + 1 == WEIGHTS.len();
        Some(Chosen {
            value: WEIGHTS[place],
            users: self.cases.len(),
            chosen: true,
            edge: end(place) || end(best),
        })
    }
}
