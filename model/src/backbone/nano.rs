//! `nano`: a decoder of about a million parameters, pre-trained here on auxiliary text, so that LoRA on it means something within
//! minutes on two cores.

use std::collections::BTreeMap;
use std::collections::HashMap;

use candle_core::{Device, Tensor, Var};
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Decoder, DecoderConfig, Family, Weights};
use crate::op::mix;
use crate::train::{Checkpoint, Example, Fit, Outcome, Progress, TrainConfig, fit};
use crate::{Error, Result};

/// Sizes of a nano decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NanoConfig {
    /// Tokens of the byte-level BPE vocabulary, special ones included.
    pub vocabulary: usize,
    /// Width of the hidden states.
    pub width: usize,
    /// Width of the feed-forward.
    pub inner: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key/value heads.
    pub key_value_heads: usize,
}

impl NanoConfig {
    /// The Llama configuration of these sizes, with tied embeddings.
    pub fn llama(&self, end_of_text: u32) -> DecoderConfig {
        DecoderConfig {
            family: Family::Llama,
            vocab_size: self.vocabulary,
            hidden_size: self.width,
            intermediate_size: self.inner,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.key_value_heads,
            head_dim: None,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            max_position_embeddings: 2048,
            tie_word_embeddings: true,
            bos_token_id: Some(end_of_text),
            eos_token_ids: vec![end_of_text],
            gemma3: None,
        }
    }
}

/// Pre-trains a decoder from scratch, all weights, on `examples`.
///
/// Initial values are normal with deviation 0.02 (norms: one), keyed by the seed and the tensor's name. Progress, checkpoint and
/// resume are those of [`fit`].
///
/// # Errors
/// Sizes that make no decoder, and those of [`fit`].
pub fn pretrain(
    config: &DecoderConfig,
    examples: &[Example],
    held_out: &[Example],
    training: &TrainConfig,
    seed: u64,
    checkpoint: Option<&Checkpoint>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Weights, Outcome)> {
    config
        .check()
        .map_err(|message| Error::Usage(format!("the sizes of the decoder: {message}")))?;
    let variables = std::cell::RefCell::new(BTreeMap::<String, Var>::new());
    let decoder = Decoder::from_parameters(config, |name, shape| {
        let variable = initial(name, shape, seed)?;
        let tensor = variable.as_tensor().clone();
        variables.borrow_mut().insert(name.to_string(), variable);
        Ok(tensor)
    })?;
    let variables = variables.into_inner();
    let request = Fit {
        variables: variables.values().cloned().collect(),
        examples,
        held_out,
        config: training,
        seed,
        identity: format!("{config:?}"),
        checkpoint,
        model: &|_| Ok(decoder.clone()),
    };
    let outcome = fit(request, progress)?;
    let tensors: HashMap<String, Tensor> = variables
        .into_iter()
        .map(|(name, variable)| Ok((name, variable.as_detached_tensor().copy()?)))
        .collect::<Result<_>>()?;
    Ok((Weights::from_tensors(tensors), outcome))
}

fn initial(name: &str, shape: &[usize], seed: u64) -> Result<Var> {
    let count: usize = shape.iter().product();
    let values = match shape.len() {
        1 => vec![1.0; count],
        2 => {
            let mut rng = ChaCha8Rng::seed_from_u64(mix(seed) ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes()));
            let mut normal = || {
                let (u, v): (f32, f32) = (rng.random(), rng.random());
                // Box and Muller; 1 − u is never zero.
                0.02 * (-2.0 * (1.0 - u).ln()).sqrt() * (std::f32::consts::TAU * v).cos()
            };
            (0..count).map(|_| normal()).collect()
        }
        _ => {
            return Err(Error::Usage(format!(
                "{name} has shape {shape:?}; a decoder has vectors and matrices"
            )));
        }
    };
    Ok(Var::from_vec(values, shape, &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
