//! What a fit came to.

use serde::{Deserialize, Serialize};

use crate::train;

/// What a fit came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Steps taken.
    pub steps: usize,
    /// Epochs gone through.
    pub epochs: usize,
    /// The epoch whose values were kept, the first being 1.
    pub best_epoch: usize,
    /// Whether the fit ended because nothing got better. One that ended with its last epoch might have gone on to better results.
    pub stopped_early: bool,
    /// Validation NDCG@10 of each epoch, (epoch, value); empty without validation users.
    pub ndcg: Vec<(usize, f64)>,
    /// Positions read in training: real ones, without padding.
    pub tokens: u64,
    /// Seconds, over all runs that it took, validation among them.
    pub seconds: f64,
    /// (step, mean loss a target in nats) of every step.
    pub curve: Vec<(u64, f64)>,
    /// Number of trained values.
    pub parameters: usize,
}

impl Outcome {
    /// Of a training with so many steps an epoch, of so many epochs at most.
    pub(super) fn new(
        trained: train::Outcome,
        steps_an_epoch: usize,
        epochs: usize,
        parameters: usize,
    ) -> Self {
        let epoch = |step: usize| step.div_ceil(steps_an_epoch.max(1));
        let looks = trained.held_out_curve.iter();
        Outcome {
            steps: trained.steps,
            epochs: epoch(trained.steps),
            best_epoch: epoch(trained.best_step),
            stopped_early: trained.steps < steps_an_epoch * epochs,
            ndcg: looks.map(|(step, ndcg)| (epoch(*step as usize), *ndcg)).collect(),
            tokens: trained.tokens,
            seconds: trained.seconds,
            curve: trained.curve,
            parameters,
        }
    }
}
