//! How long and how fast to train.

use serde::{Deserialize, Serialize};

/// Which values a training ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Those of the look at the held-out examples that found the least loss; without such examples, the last.
    #[default]
    Best,
    /// Those of the last step of the schedule, whatever the looks found: nothing is chosen, so that members of a merge and what it is
    /// compared with are as long as they are said to be.
    Last,
}

impl Keep {
    fn is_best(&self) -> bool {
        *self == Keep::Best
    }
}

/// Sharpness-aware minimisation ([`Sam`](super::optimizer::Sam)): a step follows the gradient from where the loss near by is worst, so that
/// training ends in a flat minimum. Every step reads its examples twice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flat {
    /// How far that is, in the norm over all variables. With 0 the adapter is the one without, bit for bit.
    pub rho: f64,
}

/// How long and how fast to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Passes over the examples.
    #[serde(default = "one")]
    pub epochs: usize,
    /// Examples an optimiser step (the effective batch).
    pub batch_size: usize,
    /// Tokens computed at one time; a step's examples are split into as many parts as this needs (gradient accumulation).
    #[serde(default = "micro_batch_tokens")]
    pub micro_batch_tokens: usize,
    /// MiB that a part may keep of what its backward could compute again: attention probabilities first, then activated gates, then
    /// normalised rows. Only speed and memory depend on it, so it is no part of what names a training. On a GPU, all is kept.
    #[serde(default = "activation_memory", skip_serializing)]
    pub activation_memory: usize,
    /// Share of the steps in which the rate rises; it falls as a cosine after that.
    #[serde(default = "warmup")]
    pub warmup: f64,
    /// Decoupled weight decay.
    #[serde(default)]
    pub weight_decay: f64,
    /// Largest norm of the gradient over all variables; larger ones are scaled down.
    #[serde(default = "one_f64")]
    pub clip: f64,
    /// Where a step's gradient is taken; none: where the values are. None is not written, as with `keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flat: Option<Flat>,
    /// Steps between two looks at the held-out examples; 0 looks only at the end.
    #[serde(default)]
    pub evaluate_every: usize,
    /// Looks without improvement after which training stops; 0 never stops early.
    #[serde(default)]
    pub patience: usize,
    /// Which values to end with. The default is not written, so that what names a training is what it was before there was a choice.
    #[serde(default, skip_serializing_if = "Keep::is_best")]
    pub keep: Keep,
    /// Steps between two checkpoints; 0 writes none.
    #[serde(default)]
    pub checkpoint_every: usize,
}

impl TrainConfig {
    /// Settings with which nothing would be learnt, or with which steps would go the wrong way.
    pub(super) fn check(&self) -> Result<(), String> {
        let positive = [("learning_rate", self.learning_rate), ("clip", self.clip)];
        if let Some((name, value)) = positive
            .iter()
            .find(|(_, value)| !(value.is_finite() && *value > 0.0))
        {
            return Err(format!("{name} {value}: give a number above 0"));
        }
        let counts = [("epochs", self.epochs), ("batch_size", self.batch_size)];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(format!("{name} 0: nothing would be trained"));
        }
        if !(0.0..=1.0).contains(&self.warmup) {
            return Err(format!(
                "warmup {}: give a share of the steps, 0 to 1",
                self.warmup
            ));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(format!("weight_decay {}: give 0 or more", self.weight_decay));
        }
        if let Some(Flat { rho }) = self.flat
            && !(rho.is_finite() && rho >= 0.0)
        {
            return Err(format!("flat rho {rho}: give 0 or more; 0.05 is usual"));
        }
        if self.keep == Keep::Last && self.patience > 0 {
            return Err(format!(
                "patience {} with keep = \"last\": the last step of the schedule is never reached where training stops early; set \
                 patience to 0, or keep to \"best\"",
                self.patience
            ));
        }
        Ok(())
    }
}

fn one() -> usize {
    1
}
fn one_f64() -> f64 {
    1.0
}
fn micro_batch_tokens() -> usize {
    1024
}
/// As much as 1,024 tokens of a model of 135 million parameters need.
fn activation_memory() -> usize {
    512
}
fn warmup() -> f64 {
    0.05
}
