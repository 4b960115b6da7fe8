//! The arithmetic that a training step needs, for reports on cost.

use crate::backbone::DecoderConfig;

/// Floating-point operations of training over a frozen base: forward and the gradient of activations through every projection
/// (2 + 2 a weight and token), the output head on the tokens with loss (2 + 2), and the attention products.
///
/// The low-rank factors (under 3 % at rank 16 of a model of 135 million) and element-wise work are left out; `length` is the
/// mean length of a sequence.
pub fn training_flops(config: &DecoderConfig, tokens: u64, targets: u64, length: f64) -> f64 {
    let (hidden, inner) = (config.hidden_size as f64, config.intermediate_size as f64);
    let query = (config.num_attention_heads * config.head_dim()) as f64;
    let key_value = (config.num_key_value_heads * config.head_dim()) as f64;
    let block = hidden * (2.0 * query + 2.0 * key_value + 3.0 * inner);
    let attention = 2.0 * query * length / 2.0;
    let layers = config.num_hidden_layers as f64;
    4.0 * (tokens as f64 * layers * (block + attention) + targets as f64 * hidden * config.vocab_size as f64)
}
