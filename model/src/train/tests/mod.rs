//! Training as its users see it, on a decoder of a few thousand parameters.
#![allow(clippy::unwrap_used)]

mod devices;
mod flat;
mod gradients;
mod keep;
mod resume;
mod settings;
mod task;

use std::path::Path;

use candle_core::Tensor;

use super::*;
use crate::Result;
use crate::backbone::decoder::tests::tiny;
use crate::lora::{Adapter, LoraConfig};

const SEEDS: Seeds = Seeds { init: 3, data: 3 };

fn config() -> TrainConfig {
    TrainConfig {
        learning_rate: 2e-2,
        epochs: 4,
        batch_size: 4,
        micro_batch_tokens: 24,
        activation_memory: 512,
        warmup: 0.1,
        weight_decay: 0.0,
        clip: 1.0,
        evaluate_every: 3,
        patience: 0,
        flat: None,
        keep: Keep::Best,
        checkpoint_every: 2,
    }
}

/// Sequences in which every token is followed by its double modulo 13.
fn examples(count: u32) -> Vec<Example> {
    let sequence = |start: u32| {
        std::iter::successors(Some(start % 12 + 1), |t| Some(t * 2 % 13))
            .take(9)
            .collect()
    };
    (0..count)
        .map(|i| Example {
            tokens: sequence(i),
            loss_from: 1 + (i as usize) % 3,
        })
        .collect()
}

fn lora(dropout: f64) -> LoraConfig {
    let mut config = LoraConfig::new(4, 8.0);
    config.lora_dropout = dropout;
    config
}

fn kept_in(folder: &Path) -> Checkpoint {
    Checkpoint::new(folder, "the base")
}

fn train(checkpoint: Option<&Path>, progress: &mut dyn FnMut(Progress)) -> Result<(Adapter, Outcome)> {
    train_lora(
        &tiny(),
        lora(0.1),
        &examples(18),
        &examples(5),
        &config(),
        SEEDS,
        checkpoint.map(kept_in).as_ref(),
        progress,
    )
}

fn values(adapter: &Adapter) -> Vec<Vec<f32>> {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    adapter
        .modules
        .values()
        .flat_map(|m| [flat(&m.a), flat(&m.b)])
        .collect()
}

/// Examples whose answer is no answer in training, which makes it ever less likely.
fn unlike_training() -> Vec<Example> {
    let end = |example: Example| Example {
        loss_from: example.tokens.len(),
        tokens: [example.tokens, vec![0]].concat(),
    };
    examples(5).into_iter().map(end).collect()
}

/// A training that is past its best, as [`unlike_training`] sees it, long before its end.
fn overtrained(
    keep: Keep,
    held_out: &[Example],
    checkpoint: Option<&Path>,
    progress: &mut dyn FnMut(Progress),
) -> (Adapter, Outcome) {
    let config = TrainConfig {
        epochs: 30,
        evaluate_every: 4,
        keep,
        ..config()
    };
    train_lora(
        &tiny(),
        lora(0.1),
        &examples(4),
        held_out,
        &config,
        SEEDS,
        checkpoint.map(kept_in).as_ref(),
        progress,
    )
    .unwrap()
}
