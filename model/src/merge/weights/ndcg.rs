//! How high what came next is ranked: the metric itself, which has no gradient.

use serde::{Deserialize, Serialize};

use super::candidates::{scores, target};
use super::objective::{Case, Objective};
use crate::backbone::Decoder;
use crate::rank::Normalisation;
use crate::train::task::Room;
use crate::{Error, Result};

/// One less NDCG at a cut-off, with one relevant candidate; equal scores count by their expectation over a random order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ndcg {
    /// Places that count.
    pub at: usize,
    /// What log-likelihoods are divided by.
    pub normalisation: Normalisation,
}

impl Default for Ndcg {
    fn default() -> Self {
        Ndcg {
            at: 5,
            normalisation: Normalisation::Sum,
        }
    }
}

impl Objective for Ndcg {
    fn name(&self) -> String {
        format!("1 − NDCG@{}", self.at)
    }

    fn value(&self, decoder: &Decoder, cases: &[Case], room: Room) -> Result<f64> {
        if self.at == 0 {
            return Err(Error::Usage(
                "NDCG@0 tells nothing apart; give a place of 1 or more".into(),
            ));
        }
        let targets = (0..cases.len()).map(|place| target(cases, place));
        let targets: Vec<usize> = targets.collect::<Result<_>>()?;
        let scores = scores(decoder, cases, self.normalisation, room)?;
        let gains = scores
            .iter()
            .zip(targets)
            .map(|(scores, target)| gain(scores, target, self.at));
        Ok(1.0 - gains.sum::<f64>() / cases.len() as f64)
    }
}

fn gain(scores: &[f32], target: usize, at: usize) -> f64 {
    let own = scores[target];
    let above = scores.iter().filter(|score| **score > own).count();
    let equal = scores.iter().filter(|score| **score == own).count();
    let of_place = |place: usize| {
        if place < at {
            1.0 / ((place + 2) as f64).log2()
        } else {
            0.0
        }
    };
    (above..above + equal).map(of_place).sum::<f64>() / equal as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_by_their_expectation_and_places_beyond_the_cut_not_at_all() {
        let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-12, "{one} {other}");
        near(gain(&[-1.0, -3.0, -2.0], 0, 5), 1.0);
        near(gain(&[-1.0, -3.0, -2.0], 1, 5), 0.5);
        near(gain(&[-1.0, -3.0, -2.0], 1, 2), 0.0);
        near(gain(&[-1.0, -1.0, -2.0], 1, 5), (1.0 + 1.0 / 3f64.log2()) / 2.0);
        near(gain(&[-1.0; 4], 2, 1), 0.25);
    }
}
