//! How likely what came next is, whatever else could have come: the loss that adapters are trained with.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::candidates::{Loss, go_back, scores, target, tokens};
use super::objective::{Case, Decoders, Differentiable, Objective};
use crate::Result;
use crate::backbone::Decoder;
use crate::rank::Normalisation;
use crate::train::task::Room;

/// The target's −log p a token, in nats. Other candidates have no part in it, so that a training prompt with its answer alone is a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {}

/// What the answer's log-likelihood is divided by.
const A_TOKEN: Normalisation = Normalisation::Mean;

impl Answer {
    fn losses(decoder: &Decoder, cases: &[Case], room: Room) -> Result<Vec<Loss>> {
        let targets = (0..cases.len()).map(|place| target(cases, place));
        let targets: Vec<usize> = targets.collect::<Result<_>>()?;
        let scores = scores(decoder, cases, A_TOKEN, room)?;
        let loss = |(scores, target): (&Vec<f32>, usize)| {
            let mut slopes = vec![0.0; scores.len()];
            slopes[target] = -1.0;
            (-f64::from(scores[target]), slopes)
        };
        Ok(scores.iter().zip(targets).map(loss).collect())
    }
}

impl Objective for Answer {
    fn name(&self) -> String {
        "−log p of the answer a token".into()
    }

    fn value(&self, decoder: &Decoder, cases: &[Case], room: Room) -> Result<f64> {
        let losses = Self::losses(decoder, cases, room)?;
        Ok(losses.iter().map(|(loss, _)| loss).sum::<f64>() / cases.len() as f64)
    }

    fn differentiable(&self) -> Option<&dyn Differentiable> {
        Some(self)
    }
}

impl Differentiable for Answer {
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
        let losses = Self::losses(decoders.frozen, cases, room)?;
        go_back(decoders.tracked, cases, &losses, A_TOKEN, room, backward)
    }
}
