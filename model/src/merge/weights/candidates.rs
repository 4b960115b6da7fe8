//! Objectives of the candidates' likelihoods, p_c = softmax of their scores: how undecided they are, and how likely what came next is
//! among them.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::logits;
use super::objective::{Case, Decoders, Differentiable, Objective};
use crate::backbone::{Decoder, Pass};
use crate::rank::{Normalisation, Query, score};
use crate::train::task::Room;
use crate::{Error, Result};

/// The entropy of the candidates' normalised likelihoods, in nats: RecCocktail's idea, exact and without decoding. No answer is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CandidateEntropy {
    /// What log-likelihoods are divided by.
    pub normalisation: Normalisation,
}

/// The target's −log p among the candidates, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Likelihood {
    /// What log-likelihoods are divided by.
    pub normalisation: Normalisation,
}

/// Scores of each case's candidates: what prompts begin with is read once.
pub(super) fn scores(
    decoder: &Decoder,
    cases: &[Case],
    normalisation: Normalisation,
    room: Room,
) -> Result<Vec<Vec<f32>>> {
    let queries: Vec<Query> = cases.iter().map(|case| case.query.clone()).collect();
    score(decoder, &queries, normalisation, room.tokens)
}

/// The target of a case that must have one.
pub(super) fn target(cases: &[Case], place: usize) -> Result<usize> {
    let case = &cases[place];
    case.target
        .filter(|target| *target < case.query.candidates.len())
        .ok_or_else(|| {
            Error::Usage(format!(
                "case {place} does not say which of its {} candidates came next: choose by an objective of unlabelled prompts",
                case.query.candidates.len()
            ))
        })
}

/// Logarithms of the softmax of scores.
pub(super) fn log_softmax(scores: &[f32]) -> Vec<f64> {
    let most = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = scores.iter().map(|score| (f64::from(*score) - most).exp()).sum();
    scores
        .iter()
        .map(|score| f64::from(*score) - most - sum.ln())
        .collect()
}

/// A loss of one case's scores and its gradient over them.
pub(super) type Loss = (f64, Vec<f64>);

fn entropy(scores: &[f32]) -> Loss {
    let logs = log_softmax(scores);
    // What has no probability has no share either.
    let share = |log: f64| {
        if log == f64::NEG_INFINITY {
            0.0
        } else {
            log.exp() * log
        }
    };
    let entropy: f64 = -logs.iter().map(|log| share(*log)).sum::<f64>();
    let slope = |log: &f64| -share(*log) - log.exp() * entropy;
    (entropy, logs.iter().map(slope).collect())
}

fn surprise(scores: &[f32], target: usize) -> Loss {
    let logs = log_softmax(scores);
    let slope = |(place, log): (usize, &f64)| log.exp() - f64::from(u8::from(place == target));
    (-logs[target], logs.iter().enumerate().map(slope).collect())
}

impl Objective for CandidateEntropy {
    fn name(&self) -> String {
        "entropy over candidates".into()
    }

    fn value(&self, decoder: &Decoder, cases: &[Case], room: Room) -> Result<f64> {
        let scores = scores(decoder, cases, self.normalisation, room)?;
        let sum: f64 = scores.iter().map(|scores| entropy(scores).0).sum();
        Ok(sum / cases.len() as f64)
    }

    fn differentiable(&self) -> Option<&dyn Differentiable> {
        Some(self)
    }
}

impl Differentiable for CandidateEntropy {
    fn tokens(&self, case: &Case) -> usize {
        tokens(case)
    }

    fn sum(
        &self,
        decoders: Decoders,
        cases: &[Case],
        room: Room,
        backward: &mut dyn FnMut(&Tensor) -> Result<()>,
    ) -> Result<f64> {
        let scores = scores(decoders.frozen, cases, self.normalisation, room)?;
        let losses: Vec<Loss> = scores.iter().map(|scores| entropy(scores)).collect();
        go_back(
            decoders.tracked,
            cases,
            &losses,
            self.normalisation,
            room,
            backward,
        )
    }
}

impl Objective for Likelihood {
    fn name(&self) -> String {
        "−log p of the target among candidates".into()
    }

    fn value(&self, decoder: &Decoder, cases: &[Case], room: Room) -> Result<f64> {
        let losses = self.losses(decoder, cases, room)?;
        Ok(losses.iter().map(|(loss, _)| loss).sum::<f64>() / cases.len() as f64)
    }

    fn differentiable(&self) -> Option<&dyn Differentiable> {
        Some(self)
    }
}

impl Likelihood {
    fn losses(&self, decoder: &Decoder, cases: &[Case], room: Room) -> Result<Vec<Loss>> {
        let targets = (0..cases.len()).map(|place| target(cases, place));
        let targets: Vec<usize> = targets.collect::<Result<_>>()?;
        let scores = scores(decoder, cases, self.normalisation, room)?;
        let pairs = scores.iter().zip(targets);
        Ok(pairs.map(|(scores, target)| surprise(scores, target)).collect())
    }
}

impl Differentiable for Likelihood {
    fn tokens(&self, case: &Case) -> usize {
        tokens(case)
    }

    fn sum(
        &self,
        decoders: Decoders,
        cases: &[Case],
        room: Room,
        backward: &mut dyn FnMut(&Tensor) -> Result<()>,
    ) -> Result<f64> {
        let losses = self.losses(decoders.frozen, cases, room)?;
        go_back(
            decoders.tracked,
            cases,
            &losses,
            self.normalisation,
            room,
            backward,
        )
    }
}

/// There is no gradient through what several sequences see, so each candidate goes after a prompt of its own.
pub(super) fn tokens(case: &Case) -> usize {
    let candidates = case.query.candidates.iter();
    candidates
        .map(|candidate| case.query.prompt.len() + candidate.len() - 1)
        .sum()
}

/// A candidate after its prompt, and what its log-likelihood is multiplied with.
struct Weighed<'a> {
    prompt: &'a [u32],
    candidate: &'a [u32],
    weight: f32,
}

/// Lets the losses' gradients through the decoder: to first order, they are sums of log-likelihoods times constants. Gives the sum of the
/// losses.
pub(super) fn go_back(
    tracked: &Decoder,
    cases: &[Case],
    losses: &[Loss],
    normalisation: Normalisation,
    room: Room,
    backward: &mut dyn FnMut(&Tensor) -> Result<()>,
) -> Result<f64> {
    let weighed = cases.iter().zip(losses).flat_map(|(case, (_, slopes))| {
        let pairs = case.query.candidates.iter().zip(slopes);
        pairs.map(|(candidate, slope)| Weighed {
            prompt: &case.query.prompt,
            candidate,
            weight: match normalisation {
                Normalisation::Sum => *slope as f32,
                Normalisation::Mean => (slope / candidate.len() as f64) as f32,
            },
        })
    });
    let (mut held, mut together) = (0, Vec::new());
    for one in weighed.filter(|one| one.weight != 0.0) {
        let rows = one.prompt.len() + one.candidate.len() - 1;
        if !together.is_empty() && held + rows > room.tokens {
            backward(&log_likelihood(tracked, &together, room)?)?;
            together.clear();
            held = 0;
        }
        held += rows;
        together.push(one);
    }
    if !together.is_empty() {
        backward(&log_likelihood(tracked, &together, room)?)?;
    }
    Ok(losses.iter().map(|(loss, _)| loss).sum())
}

/// A scalar with the gradient of Σ weight · log p(candidate | prompt), from one pass.
fn log_likelihood(decoder: &Decoder, together: &[Weighed], room: Room) -> Result<Tensor> {
    let (mut rows, mut targets, mut weights, mut start) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut sequences = Vec::with_capacity(together.len());
    for one in together {
        let needed = one.candidate.len() - 1;
        let first = start + one.prompt.len() - 1;
        rows.extend((first..=first + needed).map(|row| row as u32));
        targets.extend_from_slice(one.candidate);
        weights.extend(std::iter::repeat_n(one.weight, one.candidate.len()));
        sequences.push([one.prompt, &one.candidate[..needed]].concat());
        start += one.prompt.len() + needed;
    }
    let mut pass = Pass::sequences(sequences.iter().map(Vec::as_slice));
    pass.keep(room.activation_memory);
    let hidden = decoder.hidden_of(&pass, &rows, None)?;
    let sum = logits::log_likelihood(&hidden, decoder.head(), &targets, &weights)?;
    sum.gradient
        .ok_or_else(|| Error::Usage("a decoder without variables has no gradient".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_scores_have_the_gradients_that_finite_differences_give() {
        let scores = [-3.0f32, -4.5, -3.25, -9.0];
        let step = 1.0 / 64.0;
        for loss in [&entropy as &dyn Fn(&[f32]) -> Loss, &|scores: &[f32]| {
            surprise(scores, 2)
        }] {
            let (_, slopes) = loss(&scores);
            for (place, slope) in slopes.iter().enumerate() {
                let moved = |by: f32| {
                    let mut scores = scores;
                    scores[place] += by;
                    loss(&scores).0
                };
                let estimate = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
                assert!(
                    (estimate - slope).abs() < 2e-4,
                    "{place}: {slope} against {estimate}"
                );
            }
        }
        let (undecided, slopes) = entropy(&[-2.0; 4]);
        assert!((undecided - 4f64.ln()).abs() < 1e-12);
        assert!(slopes.iter().all(|slope| slope.abs() < 1e-12));
        let (decided, slopes) = entropy(&[0.0, f32::NEG_INFINITY]);
        assert_eq!((decided, slopes), (0.0, vec![0.0, 0.0]));
    }
}
