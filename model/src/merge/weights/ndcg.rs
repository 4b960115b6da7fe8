//! How high what came next is ranked: the metric itself, which has no gradient.

use serde::{Deserialize, Serialize};

use super::candidates::{scores, target};
use super::objective::{Case, Objective};
use crate::backbone::Decoder;
use crate::rank::{Normalisation, neutral};
use crate::train::task::Room;
use crate::{Error, Result};

/// One less NDCG at a cut-off, with one relevant candidate; equal scores count by their expectation over a random order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ndcg {
    /// Places that count.
    pub at: usize,
    /// What log-likelihoods are divided by.
    pub normalisation: Normalisation,
    /// What is taken away of them; none: nothing. It depends on the domain, and is no part of what is written.
    #[serde(skip)]
    pub content: Option<Content>,
}

/// Makes content scores of likelihoods: log p(title | history) − α log p(title | neutral histories), under the same decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// α.
    pub alpha: f64,
    /// The neutral histories, whole prompts of one title each.
    pub histories: Vec<Vec<u32>>,
}

impl Default for Ndcg {
    fn default() -> Self {
        Ndcg {
            at: 5,
            normalisation: Normalisation::Sum,
            content: None,
        }
    }
}

impl Objective for Ndcg {
    fn name(&self) -> String {
        match &self.content {
            None => format!("1 − NDCG@{}", self.at),
            Some(content) => format!("1 − NDCG@{} of content scores at α = {}", self.at, content.alpha),
        }
    }

    fn value(&self, decoder: &Decoder, cases: &[Case], room: Room) -> Result<f64> {
        if self.at == 0 {
            return Err(Error::Usage(
                "NDCG@0 tells nothing apart; give a place of 1 or more".into(),
            ));
        }
        let targets = (0..cases.len()).map(|place| target(cases, place));
        let targets: Vec<usize> = targets.collect::<Result<_>>()?;
        let mut scores = scores(decoder, cases, self.normalisation, room)?;
        if let Some(content) = &self.content {
            let titles = cases
                .iter()
                .flat_map(|case| case.query.candidates.iter().cloned());
            let titles: Vec<Vec<u32>> = titles.collect();
            let common = neutral(
                decoder,
                &content.histories,
                &titles,
                self.normalisation,
                &mut |_| (),
            )?;
            let all = scores.iter_mut().flatten();
            for (score, common) in all.zip(common) {
                *score -= content.alpha as f32 * common;
            }
        }
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
