//! What is trained, seen from the loop: examples, parts of a step that fit a pass, and their summed loss.

use std::hash::Hasher;

use candle_core::Tensor;

use super::record::rounded;
use super::schedule::cosine_with_warmup;
use crate::Result;
use crate::nn::Parameters;

/// Something to learn: a model's parameters and the loss of examples under them.
///
/// [`fit`](super::fit()) does the rest (order, steps, schedule, clipping, early stopping, checkpoints), so that all tasks are trained alike.
pub trait Task {
    /// One of the things that it learns from.
    type Example;
    /// What goes through the model at one time.
    type Batch;

    /// What is trained.
    fn parameters(&self) -> &Parameters;

    /// Everything besides settings, examples and shapes that decides the outcome, in any words: the task, the model, its first values. A
    /// checkpoint that was made under others is not taken up.
    fn fingerprint(&self) -> String;

    /// Writes all of an example that decides the outcome.
    fn hash(&self, example: &Self::Example, hasher: &mut dyn Hasher);

    /// Number of targets of an example: losses are means over targets, and an example without any teaches nothing.
    fn targets(&self, example: &Self::Example) -> usize;

    /// Cuts examples into parts, none of which needs more than the room (unless a single example does).
    ///
    /// # Errors
    /// Examples that are not this model's.
    fn parts(&self, examples: &[&Self::Example], room: Room) -> Result<Vec<Part<Self::Batch>>>;

    /// The loss of a part, summed over its targets: a scalar in f32, through which in training gradients reach the parameters.
    ///
    /// # Errors
    /// A batch that does not fit the model.
    fn summed_loss(&self, batch: &Self::Batch, mode: Mode) -> Result<Tensor>;

    /// What a look at held-out examples, one of which at least has a target, finds in the parameters as they are: it chooses the step to
    /// keep and ends training early. The mean loss, unless the task knows better.
    ///
    /// # Errors
    /// Examples that are not this model's.
    fn look(&self, held_out: &[&Self::Example], room: Room) -> Result<f64> {
        let parts = self.parts(held_out, room)?;
        let loss = mean_loss(&parts, |batch| self.summed_loss(batch, Mode::Evaluation))?;
        Ok(loss.unwrap_or(f64::NAN))
    }

    /// Which of two looks found the better parameters.
    fn better(&self) -> Better {
        Better::Less
    }

    /// The factor on the peak learning rate at a step of `total`, with a warm-up over a share of them: a cosine to zero after that, unless
    /// the task has another schedule.
    fn rate(&self, step: usize, total: usize, warmup: f64) -> f64 {
        cosine_with_warmup(step, total, warmup)
    }
}

/// Which of two numbers speaks for the parameters that it was found with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The smaller one: a loss.
    Less,
    /// The greater one: a measure of how good a ranking is.
    More,
}

impl Better {
    /// Whether the number found now is better than the best one before.
    pub(super) fn improved(self, now: f64, before: f64) -> bool {
        match self {
            Better::Less => now < before,
            Better::More => now > before,
        }
    }

    /// What a look finds, in words.
    pub(super) fn what(self) -> &'static str {
        match self {
            Better::Less => "the loss on held-out examples",
            Better::More => "the measure on held-out examples",
        }
    }
}

/// What a loss is computed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For its gradients. Dropout, and whatever else is drawn anew for every part, depends on the key alone.
    Training {
        /// Another one for every part of every step.
        key: u64,
    },
    /// For its value: nothing is dropped.
    Evaluation,
}

impl Mode {
    /// The key, in training.
    pub fn key(self) -> Option<u64> {
        match self {
            Mode::Training { key } => Some(key),
            Mode::Evaluation => None,
        }
    }
}

/// How much there is room for at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Tokens (rows of whatever the model reads) that go through it.
    pub tokens: usize,
    /// Bytes that it may keep of what its backward could compute again; only time depends on them.
    pub activation_memory: usize,
}

/// A part of a step.
#[derive(Clone, Debug)]
pub struct Part<B> {
    /// What goes through the model.
    pub batch: B,
    /// Number of targets in it.
    pub targets: usize,
    /// Number of tokens that the model reads in it.
    pub tokens: usize,
}

/// Mean loss a target over parts, from each one's summed loss; none where no token is a target.
pub(super) fn mean_loss<B>(
    parts: &[Part<B>],
    summed_loss: impl Fn(&B) -> Result<Tensor>,
) -> Result<Option<f64>> {
    let (mut losses, mut targets) = (Vec::new(), 0);
    for part in parts {
        losses.push(summed_loss(&part.batch)?.detach());
        targets += part.targets;
    }
    if targets == 0 {
        return Ok(None);
    }
    // Read in one go, for a GPU to work on the next part meanwhile.
    let losses = Tensor::stack(&losses, 0)?.to_vec1::<f32>()?;
    let sum: f64 = losses.iter().map(|loss| f64::from(*loss)).sum();
    Ok(Some(rounded(sum / targets as f64)))
}
