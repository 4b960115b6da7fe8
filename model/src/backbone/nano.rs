//! `nano`: a decoder of about a million parameters, pre-trained on auxiliary text ([`pretrain`](crate::train::pretrain())), so that LoRA on it means
//! something within minutes on two cores.

use serde::{Deserialize, Serialize};

use super::{DecoderConfig, Family};

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
