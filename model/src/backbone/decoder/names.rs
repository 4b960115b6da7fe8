//! The names of a decoder's parts in Hugging Face checkpoints, with their shapes.

use std::collections::BTreeSet;

use crate::backbone::DecoderConfig;

/// The projections of a block that adapters attach to, as paths below `model.layers.N.`.
pub const PROJECTIONS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// The projections of a decoder, with their `(out, in)` shapes, from the first layer to the last.
pub(crate) fn modules_of(config: &DecoderConfig) -> Vec<(String, (usize, usize))> {
    let shapes = projection_shapes(config);
    (0..config.num_hidden_layers)
        .flat_map(|layer| {
            PROJECTIONS
                .iter()
                .zip(shapes)
                .map(move |(name, shape)| (format!("model.layers.{layer}.{name}"), shape))
        })
        .collect()
}

/// `(out, in)` of each projection, in the order of [`PROJECTIONS`].
pub(super) fn projection_shapes(config: &DecoderConfig) -> [(usize, usize); 7] {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let query = config.num_attention_heads * config.head_dim();
    let key_value = config.num_key_value_heads * config.head_dim();
    [
        (query, hidden),
        (key_value, hidden),
        (key_value, hidden),
        (hidden, query),
        (inner, hidden),
        (inner, hidden),
        (hidden, inner),
    ]
}

/// The layers of a base, by the names of its weights.
pub(crate) fn layers_among<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let layers: BTreeSet<usize> = names.filter_map(layer_of).collect();
    layers.last().map_or(0, |last| last.saturating_add(1))
}

/// The layer that a part with this path belongs to, if it is part of one.
pub(crate) fn layer_of(path: &str) -> Option<usize> {
    path.strip_prefix("model.layers.")?
        .split('.')
        .next()?
        .parse()
        .ok()
}
