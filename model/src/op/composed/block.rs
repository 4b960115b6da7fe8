//! A transformer block composed of single operations.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use super::attention::{Plan, Wanted, attention};
use super::elementwise::{Angles, gated, rms_norm, rope};
use super::linear::linear;
use crate::op::attention::Attention;
use crate::op::block::{self, BlockWeights, DOWN, GATE, K, O, Q, UP, V};

/// What a pass brings to every block, laid out on a device.
pub(crate) struct Surroundings {
    plan: Arc<Plan>,
    angles: Angles,
    head_width: usize,
    eps: f64,
}

impl Surroundings {
    /// For a pass whose activations are of type `dtype`, after `cached` rows.
    pub fn new(of: &block::Surroundings, cached: usize, device: &Device, dtype: DType) -> Result<Self> {
        let attention = Attention {
            heads: of.heads,
            scale: of.scale,
            window: of.window,
            segments: of.segments.clone(),
            cache: None,
        };
        Ok(Surroundings {
            plan: Arc::new(Plan::new(&attention, cached, device)?),
            angles: Angles::new(&of.table, device, dtype)?,
            head_width: of.heads.width,
            eps: of.eps,
        })
    }
}

/// What is shown the inputs `(rows, in)` of projections, with the projection's place in its block.
type Look<'a> = dyn FnMut(usize, &Tensor) -> Result<()> + 'a;

/// The output of a block for `x`, of all rows or of those wanted, and the keys and values of all; as [`crate::op::block()`], on any
/// device. Every projection's input is shown to `look`, which the fused block cannot do: it keeps them in buffers of its own.
pub(crate) fn block(
    x: &Tensor,
    weights: &BlockWeights,
    around: &Surroundings,
    cache: Option<(&Tensor, &Tensor)>,
    wanted: Option<&Wanted>,
    mut look: Option<&mut Look>,
) -> Result<(Tensor, Option<(Tensor, Tensor)>)> {
    let eps = around.eps;
    let mut project = |i: usize, x: &Tensor| {
        if let Some(look) = &mut look {
            look(i, x)?;
        }
        let projection = &weights.projections[i];
        linear(
            x,
            &projection.weight,
            projection.bias.as_ref(),
            projection.lora.as_ref(),
        )
    };
    let head_norm = |x: Tensor, i: usize| match &weights.head_norms {
        Some(norms) => {
            let heads = x.reshape(((), around.head_width))?;
            rms_norm(&heads, &norms[i], eps)?.reshape(x.shape())
        }
        None => Ok(x),
    };
    let output_norm = |x: Tensor, i: usize| match &weights.output_norms {
        Some(norms) => rms_norm(&x, &norms[i], eps),
        None => Ok(x),
    };
    let normed = rms_norm(x, &weights.input_norm, eps)?;
    let queries = rope(&head_norm(project(Q, &normed)?, 0)?, &around.angles)?;
    let keys = rope(&head_norm(project(K, &normed)?, 1)?, &around.angles)?;
    let values = project(V, &normed)?;
    let attended = attention(&queries, &keys, &values, &around.plan, cache)?;
    let (x, attended) = match wanted {
        None => (x.clone(), attended),
        Some(rows) => (rows.of(x)?, rows.of(&attended)?),
    };
    let middle = (x + output_norm(project(O, &attended)?, 0)?)?;
    let normed = rms_norm(&middle, &weights.post_attention_norm, eps)?;
    let (gate, up) = (project(GATE, &normed)?, project(UP, &normed)?);
    let activated = gated(weights.activation, &gate, &up)?;
    let y = (middle + output_norm(project(DOWN, &activated)?, 1)?)?;
    let keys_and_values = (!y.track_op()).then_some((keys, values));
    Ok((y, keys_and_values))
}
