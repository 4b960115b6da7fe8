//! Configuration of a decoder, as Hugging Face's `config.json` states it.
//!
//! Both spellings of the rotary settings are read: `rope_theta` with `rope_scaling` (transformers 4) and `rope_parameters`
//! (transformers 5). Settings that would change the computation and are not implemented here are refused.

mod gemma3;
mod json;
mod rope_scaling;
mod spelling;
#[cfg(test)]
mod tests;
mod unusable;

use std::path::Path;

use serde::{Deserialize, Serialize};

use self::json::ConfigJson;
use crate::op::Activation;
use crate::{Error, Result, foreign};
pub use gemma3::Gemma3;
pub use rope_scaling::RopeScaling;

/// The model families that the decoder covers; what sets them apart from Llama are switches in its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Llama and SmolLM2.
    #[default]
    Llama,
    /// Qwen2 and Qwen2.5: query, key and value projections have a bias.
    Qwen2,
    /// Qwen3: every head's queries and keys are normalised before they are rotated.
    Qwen3,
    /// Gemma 3 (text): as Qwen3, and also what attention and feed-forward add is normalised, norms multiply with one more than
    /// their weights, embeddings are scaled, and most layers see a window with rotary frequencies of their own ([`Gemma3`]).
    Gemma3,
}

impl Family {
    const ALL: [Family; 4] = [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3];

    /// The name that `model_type` has in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Family::Llama => "llama",
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
            Family::Gemma3 => "gemma3_text",
        }
    }

    /// The name that `general.architecture` has in GGUF metadata.
    fn gguf_name(self) -> &'static str {
        match self {
            Family::Gemma3 => "gemma3",
            other => other.name(),
        }
    }

    /// The family of a `model_type`, or a message that lists those there are.
    pub(crate) fn of(name: &str) -> std::result::Result<Self, String> {
        Self::find(name, Self::name)
    }

    /// The family of an architecture in GGUF metadata, or a message that lists those there are.
    pub(crate) fn of_gguf(name: &str) -> std::result::Result<Self, String> {
        Self::find(name, Self::gguf_name)
    }

    fn find(name: &str, called: impl Fn(Self) -> &'static str) -> std::result::Result<Self, String> {
        let found = Self::ALL.into_iter().find(|family| called(*family) == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.into_iter().map(called).collect();
            format!(
                "\"{name}\" is not implemented; take a model of type {}",
                known.join(", ")
            )
        })
    }

    fn architecture(self) -> &'static str {
        match self {
            Family::Llama => "LlamaForCausalLM",
            Family::Qwen2 => "Qwen2ForCausalLM",
            Family::Qwen3 => "Qwen3ForCausalLM",
            Family::Gemma3 => "Gemma3ForCausalLM",
        }
    }

    /// Whether query, key and value projections have a bias.
    pub(crate) fn has_bias(self) -> bool {
        self == Family::Qwen2
    }

    /// Whether queries and keys are normalised head by head.
    pub(crate) fn has_head_norms(self) -> bool {
        matches!(self, Family::Qwen3 | Family::Gemma3)
    }

    /// The name of the norm before the feed-forward, and those of what attention and feed-forward add, if there are any.
    pub(crate) fn inner_norms(self) -> (&'static str, Option<[&'static str; 2]>) {
        match self {
            Family::Gemma3 => (
                "pre_feedforward_layernorm",
                Some(["post_attention_layernorm", "post_feedforward_layernorm"]),
            ),
            _ => ("post_attention_layernorm", None),
        }
    }

    /// What is added to the weight of a norm before it multiplies.
    pub(crate) fn norm_offset(self) -> f64 {
        match self {
            Family::Gemma3 => 1.0,
            _ => 0.0,
        }
    }

    /// What the gate of the feed-forward goes through.
    pub(crate) fn activation(self) -> Activation {
        match self {
            Family::Gemma3 => Activation::Gelu,
            _ => Activation::Silu,
        }
    }
}

/// No model has a size near this one, in heads, widths or tokens; a damaged file may say anything.
pub(crate) const LARGEST_SIZE: usize = 1 << 28;
/// Nor so many layers.
pub(crate) const MOST_LAYERS: usize = 1 << 12;

/// Sizes and constants of a decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "ConfigJson")]
pub struct DecoderConfig {
    /// Which blocks it is made of.
    pub family: Family,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key and value heads; divides the number of query heads.
    pub num_key_value_heads: usize,
    /// Width of a head, where it is not `hidden_size / num_attention_heads`.
    pub head_dim: Option<usize>,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretching of the rotary frequencies.
    pub rope_scaling: Option<RopeScaling>,
    /// Longest context the model is meant for.
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Token that starts a sequence.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a sequence.
    pub eos_token_ids: Vec<u32>,
    /// What Gemma 3 has besides; there if and only if the family is.
    pub gemma3: Option<Gemma3>,
}

impl DecoderConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// A file that cannot be read, or a model of a family or with settings that are not implemented here.
    pub fn read(path: &Path) -> Result<Self> {
        let failure = |message: String| Error::Config {
            path: path.to_path_buf(),
            message,
        };
        let bytes = foreign::read(path)?;
        unusable::check(&foreign::json(&bytes).map_err(failure)?).map_err(failure)?;
        foreign::json(&bytes).map_err(failure)
    }

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
            .unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Rotary frequencies in radians per position, one for each pair of a head's dimensions.
    pub fn inverse_frequencies(&self) -> Vec<f32> {
        self.frequencies(self.rope_theta, self.rope_scaling)
    }

    /// Those of the layers that see a window, where there are such layers.
    pub fn inverse_frequencies_in_a_window(&self) -> Option<Vec<f32>> {
        let gemma3 = self.gemma3.as_ref()?;
        Some(self.frequencies(gemma3.local_rope_theta, None))
    }

    fn frequencies(&self, theta: f64, scaling: Option<RopeScaling>) -> Vec<f32> {
        let width = self.head_dim();
        (0..width / 2)
            .map(|pair| {
                let plain = theta.powf(-((2 * pair) as f64) / width as f64);
                scaling.map_or(plain, |scaling| scaling.apply(plain)) as f32
            })
            .collect()
    }

    /// What attention scores are multiplied with.
    pub fn attention_scale(&self) -> f64 {
        let width = self.gemma3.as_ref().map(|gemma3| gemma3.query_pre_attn_scalar);
        1.0 / (width.unwrap_or(self.head_dim()) as f64).sqrt()
    }

    /// What embeddings are multiplied with.
    pub fn embedding_scale(&self) -> f64 {
        match self.family {
            Family::Gemma3 => (self.hidden_size as f64).sqrt(),
            _ => 1.0,
        }
    }

    /// How many positions a row of a layer sees, its own included; `None`: all up to its own.
    pub fn window(&self, layer: usize) -> Option<usize> {
        let gemma3 = self.gemma3.as_ref()?;
        let windowed = !gemma3.full_attention.get(layer).copied().unwrap_or(true);
        windowed.then_some(gemma3.sliding_window)
    }

    /// Checks that the sizes fit together.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(format!("{name} is 0"));
        }
        let head_dim = ("head_dim", self.head_dim.unwrap_or(1));
        let too_large = |(name, size): &&(&str, usize)| match *name {
            "num_hidden_layers" => *size > MOST_LAYERS,
            _ => *size > LARGEST_SIZE,
        };
        if let Some((name, size)) = sizes.iter().chain([&head_dim]).find(too_large) {
            return Err(format!("{name} is {size}, which no model has"));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(format!(
                "num_attention_heads {} is no multiple of num_key_value_heads {}",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!(
                "hidden_size {} is no multiple of num_attention_heads {} and there is no head_dim",
                self.hidden_size, self.num_attention_heads
            ));
        }
        if let Some(gemma3) = &self.gemma3 {
            gemma3.check(self.num_hidden_layers)?;
        }
        match self.head_dim() {
            width if width == 0 || width % 2 == 1 => Err(format!(
                "a head of width {width} cannot be rotated: it must be even"
            )),
            _ => Ok(()),
        }
    }
}
