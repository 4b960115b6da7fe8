//! A whole transformer block as one operation, forward and backward.
//!
//! Composed of the single operations, a block makes some forty tensors in a training step that are written once and read once,
//! and a gradient for each. Here the values between norm and norm live in buffers that the next block uses again, the backward
//! adds into them in place, what is cheap to compute again (norms, the gated activation, attention probabilities) is not kept,
//! and nothing is ever formed for a frozen weight.

mod backward;
mod composed;
mod forward;
mod low_rank;

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

pub use self::composed::composed_block;
use self::forward::Saved;
use self::low_rank::{Group, Update};
use super::attention::{Attention, Heads, Segment};
use super::linear::LoraFactors;
use super::rope::RopeTable;
use super::storage::{contiguous, operand, with_all_values};

/// A projection: its frozen weight, `(out, in)`, and its low-rank update, if it has one.
#[derive(Clone, Debug)]
pub struct Projection {
    /// The frozen weight.
    pub weight: Tensor,
    /// What is added to it.
    pub lora: Option<LoraFactors>,
}

/// What a block is made of.
#[derive(Clone, Debug)]
pub struct BlockWeights {
    /// Weight of the norm before the attention.
    pub input_norm: Tensor,
    /// Weight of the norm before the feed-forward.
    pub post_attention_norm: Tensor,
    /// q, k, v, o, gate, up, down.
    pub projections: [Projection; 7],
}

impl BlockWeights {
    /// Whether any weight is itself a variable, as in pre-training; [`block`] has no gradient for it.
    pub fn is_trained(&self) -> bool {
        let norms = [&self.input_norm, &self.post_attention_norm];
        norms.into_iter().any(Tensor::is_variable) || self.projections.iter().any(|p| p.weight.is_variable())
    }
}

/// What a pass brings to every block.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Sizes of the heads.
    pub heads: Heads,
    /// Which rows belong together.
    pub segments: Arc<[Segment]>,
    /// The rows' rotations.
    pub table: RopeTable,
    /// Added to the mean square in the norms.
    pub eps: f64,
}

/// The output of a block for `x`, `(rows, width)`, and the keys and values of its rows.
///
/// `cache` holds the keys and values that the segments' contexts refer to. Gradients reach `x` and the low-rank factors; a
/// pass over a cache has none, and keys and values are given only where none are asked for.
///
/// # Errors
/// Shapes that do not fit, and a request for gradients through a cache.
pub fn block(
    x: &Tensor,
    weights: &BlockWeights,
    surroundings: &Surroundings,
    cache: Option<(&Tensor, &Tensor)>,
) -> Result<(Tensor, Option<(Tensor, Tensor)>)> {
    let op = BlockOp::new(x, weights, surroundings, cache)?;
    let [a, b] = flat_factors(weights)?;
    if x.track_op() || a.track_op() || b.track_op() {
        return Ok((x.apply_op3(&a, &b, op)?, None));
    }
    let (y, saved) = with_all_values([x, &a, &b], op.name(), |[x, a, b]| op.forward(x, a, b))?;
    let rows = x.dim(0)?;
    let tensor = |values: &[f32]| Tensor::from_slice(values, (rows, values.len() / rows), x.device());
    let keys_and_values = (tensor(&saved.keys)?, tensor(&saved.values)?);
    Ok((Tensor::from_vec(y, x.shape(), x.device())?, Some(keys_and_values)))
}

/// All A's and all B's of a block, one after another.
fn flat_factors(weights: &BlockWeights) -> Result<[Tensor; 2]> {
    let factors = || weights.projections.iter().filter_map(|p| p.lora.as_ref());
    let join = |parts: Vec<Tensor>| match parts.is_empty() {
        true => Tensor::zeros(1, candle_core::DType::F32, weights.input_norm.device()),
        false => Tensor::cat(&parts, 0),
    };
    Ok([
        join(factors().map(|f| f.a.flatten_all()).collect::<Result<_>>()?)?,
        join(factors().map(|f| f.b.flatten_all()).collect::<Result<_>>()?)?,
    ])
}

/// Positions of the projections in a block.
const Q: usize = 0;
const K: usize = 1;
const V: usize = 2;
const O: usize = 3;
const GATE: usize = 4;
const UP: usize = 5;
const DOWN: usize = 6;

/// For each projection: the group of those that read the same input, and its place in it.
const GROUP_OF: [(usize, usize); 7] = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (3, 0)];

struct BlockOp {
    weights: BlockWeights,
    attention: Attention,
    table: RopeTable,
    eps: f32,
    rows: usize,
    /// `(out, in)` of each projection.
    sizes: [(usize, usize); 7],
    groups: [Group; 4],
    input_needs_gradient: bool,
    /// Kept from forward for backward.
    saved: Mutex<Option<Saved>>,
}

impl BlockOp {
    fn new(
        x: &Tensor,
        weights: &BlockWeights,
        surroundings: &Surroundings,
        cache: Option<(&Tensor, &Tensor)>,
    ) -> Result<Self> {
        let (rows, width) = x.dims2()?;
        let mut sizes = [(0, 0); 7];
        for (size, projection) in sizes.iter_mut().zip(&weights.projections) {
            *size = projection.weight.dims2()?;
        }
        let attention = Attention {
            heads: surroundings.heads,
            segments: surroundings.segments.clone(),
            cache: cache.map(|(k, v)| (k.clone(), v.clone())),
        };
        let projected = |i: usize| Shape::from((rows, sizes[i].0));
        attention.check(&projected(Q), &projected(K), &projected(V))?;
        let inner = sizes[GATE].0;
        let inputs = [width, width, width, sizes[Q].0, width, width, inner];
        let fits = sizes
            .iter()
            .zip(inputs)
            .all(|((_, input), expected)| *input == expected)
            && sizes[O].0 == width
            && sizes[UP].0 == inner
            && sizes[DOWN].0 == width
            && weights.input_norm.elem_count() == width
            && weights.post_attention_norm.elem_count() == width;
        if !fits {
            bail!("block: projections of sizes {sizes:?} do not fit rows of width {width}");
        }
        Ok(BlockOp {
            weights: weights.clone(),
            attention,
            table: surroundings.table.clone(),
            eps: surroundings.eps as f32,
            rows,
            sizes,
            groups: groups(&weights.projections, &sizes)?,
            input_needs_gradient: x.track_op(),
            saved: Mutex::default(),
        })
    }

    /// The norms' weights and the projections' weights.
    fn with_weights<R>(&self, f: impl FnOnce([&[f32]; 2], [&[f32]; 7]) -> Result<R>) -> Result<R> {
        let norms = [&self.weights.input_norm, &self.weights.post_attention_norm];
        with_all_values(norms, self.name(), |norms| {
            let projections = self.weights.projections.each_ref().map(|p| &p.weight);
            with_all_values(projections, self.name(), |weights| f(norms, weights))
        })
    }
}

/// Lays the factors out, as [`flat_factors`] joins them.
fn groups(projections: &[Projection; 7], sizes: &[(usize, usize); 7]) -> Result<[Group; 4]> {
    let mut groups = [Q, O, GATE, DOWN].map(|first| Group {
        width: sizes[first].1,
        rank: 0,
        updates: Vec::new(),
    });
    let (mut a, mut b) = (0, 0);
    for ((projection, (out, input)), (group, _)) in projections.iter().zip(sizes).zip(GROUP_OF) {
        let group = &mut groups[group];
        let Some(factors) = &projection.lora else {
            group.updates.push(None);
            continue;
        };
        let rank = factors.a.dim(0)?;
        if factors.a.dims2()? != (rank, *input) || factors.b.dims2()? != (*out, rank) {
            bail!(
                "block: factors {:?} and {:?} do not fit a weight ({out}, {input})",
                factors.a.shape(),
                factors.b.shape()
            );
        }
        group.updates.push(Some(Update {
            rank,
            scale: factors.scale as f32,
            dropout: factors.dropout,
            column: group.rank,
            a: a..a + rank * input,
            b: b..b + rank * out,
        }));
        group.rank += rank;
        (a, b) = (a + rank * input, b + rank * out);
    }
    Ok(groups)
}

impl CustomOp3 for BlockOp {
    fn name(&self) -> &'static str {
        "block"
    }

    fn cpu_fwd(
        &self,
        s_x: &CpuStorage,
        l_x: &Layout,
        s_a: &CpuStorage,
        l_a: &Layout,
        s_b: &CpuStorage,
        l_b: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let name = self.name();
        let (x, a, b) = (
            operand(s_x, l_x, name)?,
            operand(s_a, l_a, name)?,
            operand(s_b, l_b, name)?,
        );
        let (y, saved) = self.forward(x, a, b)?;
        *self.saved.lock().unwrap_or_else(|e| e.into_inner()) = Some(saved);
        Ok((CpuStorage::F32(y), l_x.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let saved = self.saved.lock().unwrap_or_else(|e| e.into_inner()).take();
        let Some(saved) = saved else {
            bail!("block: its values were used up by an earlier backward");
        };
        let grad = contiguous(grad)?;
        let gradients = with_all_values([x, a, b, &grad], self.name(), |[x, a, b, g]| {
            self.backward(x, a, b, g, saved)
        })?;
        let tensor = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((
            gradients.x.map(|dx| tensor(dx, x)).transpose()?,
            Some(tensor(gradients.a, a)?),
            Some(tensor(gradients.b, b)?),
        ))
    }
}

#[cfg(test)]
mod tests;
