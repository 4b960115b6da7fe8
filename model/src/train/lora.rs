//! Training of LoRA adapters.

use super::{CausalLm, Checkpoint, Example, Fit, Outcome, Progress, TrainConfig, fit};
use crate::Result;
use crate::backbone::Decoder;
use crate::lora::{Adapter, LoraConfig, TrainableLora};
use crate::op::mix;

/// What a training leaves to chance, and the seeds that decide it.
///
/// They are two, so that adapters that are to be merged can start from the same values and yet see their examples in orders of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// Of the initial values.
    pub init: u64,
    /// Of the order of the examples and of dropout.
    pub data: u64,
}

impl Seeds {
    /// One seed for everything.
    pub fn both(seed: u64) -> Self {
        Seeds {
            init: seed,
            data: seed,
        }
    }
}

/// Trains one LoRA adapter on `examples` over the frozen `decoder`.
///
/// Early stopping and the choice of the best step, where [`Keep`](super::Keep) leaves one, use `held_out`. With a checkpoint, an
/// interrupted training goes on where it stopped and ends with the same adapter as one that was never interrupted; it is to be
/// [removed](Checkpoint::remove) once the adapter is saved.
///
/// # Errors
/// No examples, settings that cannot train, a loss that is not a number (with advice), or a checkpoint that cannot be written.
#[expect(
    clippy::too_many_arguments,
    reason = "each is a choice of its own, and none has a default"
)]
pub fn train_lora(
    decoder: &Decoder,
    lora: LoraConfig,
    examples: &[Example],
    held_out: &[Example],
    config: &TrainConfig,
    seeds: Seeds,
    checkpoint: Option<&Checkpoint>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Adapter, Outcome)> {
    // A base that was moved is the same: the checkpoint knows it by its weights.
    let nameless = LoraConfig {
        base_model_name_or_path: None,
        ..lora.clone()
    };
    let fingerprint = format!("{:?} {nameless:?} {}", decoder.config(), seeds.init);
    let trainable = TrainableLora::new(decoder, lora, seeds.init)?;
    let task = CausalLm {
        parameters: trainable.parameters(),
        decoder: &|mode| trainable.attach(decoder, mode.key()),
        fingerprint,
    };
    let request = Fit {
        task: &task,
        examples,
        held_out,
        config,
        seed: mix(seeds.data),
        checkpoint,
    };
    let outcome = fit(request, progress)?;
    Ok((trainable.adapter()?, outcome))
}
