//! Pre-training: all weights of a small decoder, from scratch.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::{CausalLm, Checkpoint, Example, Fit, Outcome, Progress, TrainConfig, fit};
use crate::backbone::{Decoder, DecoderConfig, Weights};
use crate::nn::{Decay, Initial, Parameters};
use crate::{Error, Result};

/// Pre-trains a decoder from scratch, all weights, on `examples`, on the CPU.
///
/// Initial values are normal with deviation 0.02 (norms: one), keyed by the seed and the tensor's name. Progress, checkpoint and
/// resume are those of [`fit`](fit()).
///
/// # Errors
/// Sizes that make no decoder, and those of [`fit`](fit()).
pub fn pretrain(
    config: &DecoderConfig,
    examples: &[Example],
    held_out: &[Example],
    training: &TrainConfig,
    seed: u64,
    checkpoint: Option<&Checkpoint>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Weights, Outcome)> {
    let nascent = Nascent::new(config, seed)?;
    let task = CausalLm {
        parameters: nascent.parameters(),
        decoder: &|_| Ok(nascent.decoder().clone()),
        fingerprint: format!("{config:?}"),
    };
    let request = Fit {
        task: &task,
        examples,
        held_out,
        config: training,
        seed,
        checkpoint,
    };
    let outcome = fit(request, progress)?;
    Ok((nascent.weights()?, outcome))
}

/// A decoder all of whose weights are parameters, for whatever task trains them.
pub struct Nascent {
    config: DecoderConfig,
    parameters: Parameters,
    decoder: Decoder,
}

impl Nascent {
    /// On the CPU, with first values as [`pretrain`](pretrain()) has them.
    ///
    /// # Errors
    /// Sizes that make no decoder.
    pub fn new(config: &DecoderConfig, seed: u64) -> Result<Self> {
        config
            .check()
            .map_err(|message| Error::Usage(format!("the sizes of the decoder: {message}")))?;
        let parameters = RefCell::new(Parameters::new(seed, &Device::Cpu));
        let decoder = Decoder::from_parameters(config, |name, shape| {
            let initial = initial(name, shape)?;
            // Norms too: what was trained before there was a choice was trained so.
            parameters
                .borrow_mut()
                .create(name, shape, initial, Decay::Decayed)
        })?;
        Ok(Nascent {
            config: config.clone(),
            parameters: parameters.into_inner(),
            decoder,
        })
    }

    /// What is trained.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The decoder over the parameters' current values.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// A decoder over a copy of the current values, through which no gradient goes.
    ///
    /// # Errors
    /// Values that cannot be copied.
    pub fn frozen(&self) -> Result<Decoder> {
        Decoder::new(&self.weights()?, &self.config, &Device::Cpu)
    }

    /// A copy of the current values.
    ///
    /// # Errors
    /// Values that cannot be copied.
    pub fn weights(&self) -> Result<Weights> {
        let tensors: HashMap<String, Tensor> = self
            .parameters
            .iter()
            .map(|(name, parameter)| {
                let values = parameter.variable.as_detached_tensor().copy()?;
                Ok((name.to_string(), values))
            })
            .collect::<Result<_>>()?;
        Ok(Weights::from_tensors(tensors))
    }
}

fn initial(name: &str, shape: &[usize]) -> Result<Initial> {
    match shape.len() {
        1 => Ok(Initial::Ones),
        2 => Ok(Initial::Normal(0.02)),
        _ => Err(Error::Usage(format!(
            "{name} has shape {shape:?}; a decoder has vectors and matrices"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backbone::nano::NanoConfig;

    #[test]
    fn sizes_that_make_no_decoder_are_refused_before_anything_is_trained() {
        let sizes = NanoConfig {
            vocabulary: 300,
            width: 24,
            inner: 32,
            layers: 1,
            heads: 4,
            key_value_heads: 2,
        };
        let training: TrainConfig =
            serde_json::from_str(r#"{"learning_rate": 1e-3, "batch_size": 1}"#).unwrap();
        let example = Example {
            tokens: vec![1, 2, 3],
            loss_from: 1,
        };
        let trained = |sizes: NanoConfig| {
            let (examples, config) = ([example.clone()], sizes.llama(0));
            pretrain(&config, &examples, &[], &training, 1, None, &mut |_| ())
        };
        trained(sizes.clone()).unwrap();
        for (wrong, word) in [
            (
                NanoConfig {
                    key_value_heads: 0,
                    ..sizes.clone()
                },
                "num_key_value_heads",
            ),
            (
                NanoConfig {
                    key_value_heads: 3,
                    ..sizes.clone()
                },
                "num_key_value_heads",
            ),
            (
                NanoConfig {
                    heads: 8,
                    ..sizes.clone()
                },
                "even",
            ),
            (
                NanoConfig {
                    layers: 0,
                    ..sizes.clone()
                },
                "num_hidden_layers",
            ),
        ] {
            let error = trained(wrong).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
