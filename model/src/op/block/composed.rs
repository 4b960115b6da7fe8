//! A block composed of single operations: for pre-training, and what the fused block is tested against.

use candle_core::{Result, Tensor};

use super::{BlockWeights, DOWN, GATE, K, O, Projection, Q, Surroundings, UP, V};
use crate::op::{attention, linear, rms_norm, rope, swiglu};

/// As [`super::block`], with gradients for weights that are variables too.
pub fn composed_block(
    x: &Tensor,
    weights: &BlockWeights,
    surroundings: &Surroundings,
    cache: Option<(&Tensor, &Tensor)>,
) -> Result<(Tensor, Option<(Tensor, Tensor)>)> {
    let project = |i: usize, x: &Tensor| {
        let Projection { weight, lora } = &weights.projections[i];
        linear(x, weight, lora.as_ref())
    };
    let Surroundings {
        heads,
        segments,
        table,
        eps,
    } = surroundings;
    let normed = rms_norm(x, &weights.input_norm, *eps)?;
    let queries = rope(&project(Q, &normed)?, table)?;
    let keys = rope(&project(K, &normed)?, table)?;
    let values = project(V, &normed)?;
    let mixed = attention(&queries, &keys, &values, *heads, segments, cache)?;
    let x = (x + project(O, &mixed)?)?;
    let normed = rms_norm(&x, &weights.post_attention_norm, *eps)?;
    let activated = swiglu(&project(GATE, &normed)?, &project(UP, &normed)?)?;
    let y = (x + project(DOWN, &activated)?)?;
    Ok((y, Some((keys, values))))
}
