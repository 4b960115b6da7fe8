//! How long and how fast a system is fitted.

use serde::{Deserialize, Serialize};

use crate::train::{Keep, TrainConfig};

/// How the learning rate goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// It stays as it is.
    #[default]
    Constant,
    /// It falls as a cosine to zero at the last of the epochs.
    Cosine,
}

/// How long and how fast a system is fitted: AdamW, an epoch after another, until the validation NDCG@10 has not risen for some. One
/// default for all systems, so that none gets more than another by accident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Learning rate, at its peak.
    pub learning_rate: f64,
    /// How it goes from there.
    pub rate: Rate,
    /// Most passes over the users.
    pub epochs: usize,
    /// Users a step (for BERT4Rec, who sees every user twice an epoch, masked sequences).
    pub batch_size: usize,
    /// Positions that go through the model at one time; only memory depends on it.
    pub rows: usize,
    /// Epochs without a better validation NDCG@10 after which the fit ends; 0 goes through all.
    pub patience: usize,
    /// Steps that patience lasts at least. Where an epoch is a few steps, ten of them without a gain say nothing of what is to come.
    #[serde(skip_serializing_if = "none")]
    pub patience_steps: usize,
    /// Largest norm of the gradient; larger ones are scaled down.
    pub clip: f64,
    /// Decoupled weight decay, of tables and maps; biases and norms have none.
    pub weight_decay: f64,
}

/// Whether a setting asks for nothing, and is not written: what was fitted before there was one keeps its name.
fn none(steps: &usize) -> bool {
    *steps == 0
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            learning_rate: 1e-3,
            rate: Rate::Constant,
            epochs: 20,
            batch_size: 256,
            rows: 16_384,
            patience: 3,
            patience_steps: 0,
            clip: 1.0,
            weight_decay: 0.0,
        }
    }
}

impl Schedule {
    /// Steps an epoch over so many examples.
    pub(super) fn steps_an_epoch(&self, examples: usize) -> usize {
        examples.div_ceil(self.batch_size.max(1))
    }

    /// Epochs of so many steps that patience lasts.
    fn patience_over(&self, steps: usize) -> usize {
        match self.patience {
            0 => 0,
            patience => patience.max(self.patience_steps.div_ceil(steps.max(1))),
        }
    }

    /// The same for the loop: a look and a checkpoint after every epoch.
    pub(super) fn config(&self, examples: usize) -> TrainConfig {
        let steps = self.steps_an_epoch(examples);
        TrainConfig {
            flat: None,
            learning_rate: self.learning_rate,
            epochs: self.epochs,
            batch_size: self.batch_size,
            micro_batch_tokens: self.rows.max(1),
            activation_memory: 0,
            warmup: 0.0,
            weight_decay: self.weight_decay,
            clip: self.clip,
            evaluate_every: steps,
            patience: self.patience_over(steps),
            keep: Keep::Best,
            checkpoint_every: steps,
        }
    }
}
