//! What a fit came to.

use serde::{Deserialize, Serialize};

use crate::train;

/// What a fit came to. Of a system that is trained twice, on all domains and then on the target, both trainings are in it, one after the
/// other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Steps taken.
    pub steps: usize,
    /// Epochs gone through.
    pub epochs: usize,
    /// The last step of each epoch, in their order. Epochs of two trainings are of other lengths.
    #[serde(default)]
    pub epoch_steps: Vec<usize>,
    /// The epoch whose values were kept, the first being 1.
    pub best_epoch: usize,
    /// Whether the fit ended because nothing got better. One that ended with its last epoch might have gone on to better results.
    pub stopped_early: bool,
    /// Validation NDCG@10 of each epoch that was looked at, (epoch, value); empty without validation users.
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
        let an_epoch = steps_an_epoch.max(1);
        let epoch = |step: usize| step.div_ceil(an_epoch);
        let looks = trained.held_out_curve.iter();
        let gone_through = epoch(trained.steps);
        Outcome {
            steps: trained.steps,
            epochs: gone_through,
            epoch_steps: (1..=gone_through)
                .map(|epoch| (epoch * an_epoch).min(trained.steps))
                .collect(),
            best_epoch: epoch(trained.best_step),
            stopped_early: trained.steps < steps_an_epoch * epochs,
            ndcg: looks.map(|(step, ndcg)| (epoch(*step as usize), *ndcg)).collect(),
            tokens: trained.tokens,
            seconds: trained.seconds,
            curve: trained.curve,
            parameters,
        }
    }

    /// What was found of the epoch that was kept; none where nobody looked.
    pub(super) fn best_ndcg(&self) -> Option<f64> {
        let best = self.ndcg.iter().find(|(epoch, _)| *epoch == self.best_epoch);
        best.map(|(_, ndcg)| *ndcg)
    }

    /// Of this training and of another that came after it, whose epoch was kept. It ended by itself if both did: where either was cut short,
    /// more epochs might have come to more.
    pub(super) fn then(self, second: Outcome) -> Self {
        let (steps, epochs) = (self.steps, self.epochs);
        let ends = second.epoch_steps.into_iter().map(|end| steps + end);
        let looks = second
            .ndcg
            .into_iter()
            .map(|(epoch, ndcg)| (epochs + epoch, ndcg));
        let losses = second
            .curve
            .into_iter()
            .map(|(step, loss)| (steps as u64 + step, loss));
        Outcome {
            steps: steps + second.steps,
            epochs: epochs + second.epochs,
            epoch_steps: self.epoch_steps.into_iter().chain(ends).collect(),
            best_epoch: epochs + second.best_epoch,
            stopped_early: self.stopped_early && second.stopped_early,
            ndcg: self.ndcg.into_iter().chain(looks).collect(),
            tokens: self.tokens + second.tokens,
            seconds: self.seconds + second.seconds,
            curve: self.curve.into_iter().chain(losses).collect(),
            parameters: self.parameters + second.parameters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A training of four epochs at most, which took so many steps.
    fn outcome(steps_an_epoch: usize, steps: usize, best_step: usize, seconds: f64) -> Outcome {
        let looks = (steps_an_epoch..=steps).step_by(steps_an_epoch);
        let trained = train::Outcome {
            steps,
            best_step,
            tokens: 10 * steps as u64,
            seconds,
            curve: (1..=steps as u64).map(|step| (step, 1.0 / step as f64)).collect(),
            held_out_curve: looks.map(|step| (step as u64, step as f64 / 100.0)).collect(),
            ..train::Outcome::default()
        };
        Outcome::new(trained, steps_an_epoch, 4, 7)
    }

    #[test]
    fn epochs_end_where_their_last_steps_are() {
        let one = outcome(5, 20, 15, 1.0);
        assert_eq!((one.epochs, one.best_epoch, one.stopped_early), (4, 3, false));
        assert_eq!(one.epoch_steps, [5, 10, 15, 20]);
        assert_eq!(one.best_ndcg(), Some(0.15));
        // Looks within an epoch may end it there.
        assert_eq!(outcome(5, 12, 12, 1.0).epoch_steps, [5, 10, 12]);
        assert_eq!(Outcome::default().best_ndcg(), None);
    }

    #[test]
    fn two_trainings_are_one_after_the_other_though_their_epochs_are_of_other_lengths() {
        let both = outcome(5, 15, 10, 2.0).then(outcome(2, 6, 4, 1.5));
        assert_eq!((both.steps, both.tokens, both.seconds), (21, 210, 3.5));
        assert_eq!((both.epochs, both.best_epoch, both.parameters), (6, 5, 14));
        assert_eq!(both.epoch_steps, [5, 10, 15, 17, 19, 21]);
        let epochs: Vec<usize> = both.ndcg.iter().map(|(epoch, _)| *epoch).collect();
        assert_eq!(epochs, [1, 2, 3, 4, 5, 6]);
        assert_eq!(both.best_ndcg(), Some(0.04));
        let steps: Vec<u64> = both.curve.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, (1..=21).collect::<Vec<u64>>());
        assert_eq!(both.curve[15], (16, 1.0));
    }

    #[test]
    fn two_trainings_ended_by_themselves_where_neither_was_cut_short() {
        // Four epochs are the bound.
        let (ended, cut) = (|| outcome(5, 15, 10, 1.0), || outcome(5, 20, 20, 1.0));
        assert!(ended().then(ended()).stopped_early);
        assert!(!cut().then(ended()).stopped_early);
        assert!(!ended().then(cut()).stopped_early);
    }
}
