//! A whole transformer block as one operation, forward and backward.
//!
//! Composed of the single operations, a block makes some forty tensors in a training step that are written once and read once,
//! and a gradient for each. Here the values between norm and norm live in buffers that the next block uses again, the backward
//! adds into them in place, what is cheap to compute again (norms, the gated activation, attention probabilities) is kept as far as a budget goes ([`Kept`]),
//! and nothing is ever formed for a frozen weight. In pre-training, where the weights are variables, it gives their gradients
//! too.

mod backward;
mod forward;
mod kept;
mod low_rank;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use self::forward::Saved;
pub use self::kept::{Kept, KeptBytes};
use self::low_rank::{Group, Update};
use super::attention::{Attention, Heads, Segment};
use super::gated::Activation;
use super::linear::LoraFactors;
use super::matrix::Matrix;
use super::rope::RopeTable;
use super::storage::{contiguous, operand, with_all_values};
use super::threads::{map, threads};

/// A projection: its weight, `(out, in)`, its bias and its low-rank update, if it has them.
#[derive(Clone, Debug)]
pub struct Projection {
    /// The weight, frozen unless it is a variable.
    pub weight: Matrix,
    /// Added to every row of the output, `(out)`; frozen.
    pub bias: Option<Tensor>,
    /// What is added to the weight.
    pub lora: Option<LoraFactors>,
}

/// What a block is made of.
#[derive(Clone, Debug)]
pub struct BlockWeights {
    /// Weight of the norm before the attention.
    pub input_norm: Tensor,
    /// Weight of the norm before the feed-forward.
    pub post_attention_norm: Tensor,
    /// Weights of the norms of what the attention and the feed-forward add, where the family has them; frozen.
    pub output_norms: Option<[Tensor; 2]>,
    /// What the gate of the feed-forward goes through.
    pub activation: Activation,
    /// Weights of the norms of every head's queries and keys, `(head width)` each, where the family has them; frozen.
    pub head_norms: Option<[Tensor; 2]>,
    /// q, k, v, o, gate, up, down.
    pub projections: [Projection; 7],
}

impl BlockWeights {
    fn norms(&self) -> [&Tensor; 2] {
        [&self.input_norm, &self.post_attention_norm]
    }
}

/// What a pass brings to every block.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Sizes of the heads.
    pub heads: Heads,
    /// What attention scores are multiplied with; as a rule [`Heads::scale`].
    pub scale: f32,
    /// How many positions a row sees, its own included; `None`: all up to its own.
    pub window: Option<usize>,
    /// Which rows belong together.
    pub segments: Arc<[Segment]>,
    /// The rows' rotations.
    pub table: RopeTable,
    /// Added to the mean square in the norms.
    pub eps: f64,
}

/// The output of a block for `x`, `(rows, width)`, and the keys and values of its rows.
///
/// With `wanted`, the output has these rows alone, which ascend: the last block need not compute others. `keep` is what the backward
/// finds besides what it must.
///
/// `cache` holds the keys and values that the segments' contexts refer to. Gradients reach `x`, the low-rank factors, and
/// weights that are variables; a pass over a cache has none, and keys and values are given only where none are asked for.
///
/// # Errors
/// Shapes that do not fit, and a request for gradients through a cache.
pub fn block(
    x: &Tensor,
    weights: &BlockWeights,
    surroundings: &Surroundings,
    cache: Option<(&Tensor, &Tensor)>,
    wanted: Option<&[u32]>,
    keep: Kept,
) -> Result<(Tensor, Option<(Tensor, Tensor)>)> {
    let mut op = BlockOp::new(x, weights, surroundings, cache, wanted)?;
    let trained = joined(weights)?;
    if x.track_op() || trained.track_op() {
        op.keep = keep;
        return Ok((x.apply_op2(&trained, op)?, None));
    }
    let (y, saved) = with_all_values([x, &trained], op.name(), |[x, trained]| op.forward(x, trained))?;
    let (rows, width) = x.dims2()?;
    let tensor = |values: &[f32]| Tensor::from_slice(values, (rows, values.len() / rows), x.device());
    let keys_and_values = (tensor(&saved.keys)?, tensor(&saved.values)?);
    let y = Tensor::from_vec(y, (wanted.map_or(rows, <[u32]>::len), width), x.device())?;
    Ok((y, Some(keys_and_values)))
}

/// Everything in a block that may be trained, one after another: weights that are variables, then all A's, then all B's. The
/// operation takes them as one operand, and their gradients leave it as one.
fn joined(weights: &BlockWeights) -> Result<Tensor> {
    let projections = || weights.projections.iter();
    let values = |p: &'_ Projection| match &p.weight {
        Matrix::Values(tensor) => Some(tensor.clone()),
        Matrix::Packed(_) => None,
    };
    let variables: Vec<Tensor> = weights
        .norms()
        .into_iter()
        .cloned()
        .chain(projections().filter_map(values))
        .filter(Tensor::is_variable)
        .collect();
    let factors = || projections().filter_map(|p| p.lora.as_ref());
    let parts = variables
        .iter()
        .chain(factors().map(|f| &f.a))
        .chain(factors().map(|f| &f.b))
        .map(Tensor::flatten_all)
        .collect::<Result<Vec<_>>>()?;
    match parts.is_empty() {
        true => Tensor::zeros(1, DType::F32, weights.input_norm.device()),
        false => Tensor::cat(&parts, 0),
    }
}

/// Where the variables among a block's weights stand among its trained values; `None` for frozen ones.
struct Trained {
    norms: [Option<Range<usize>>; 2],
    weights: [Option<Range<usize>>; 7],
}

/// Positions of the projections in a block.
pub(super) const Q: usize = 0;
pub(super) const K: usize = 1;
pub(super) const V: usize = 2;
pub(super) const O: usize = 3;
pub(super) const GATE: usize = 4;
pub(super) const UP: usize = 5;
pub(super) const DOWN: usize = 6;

/// For each projection: the group of those that read the same input, and its place in it.
const GROUP_OF: [(usize, usize); 7] = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (3, 0)];

struct BlockOp {
    weights: BlockWeights,
    attention: Attention,
    table: RopeTable,
    eps: f32,
    rows: usize,
    /// The rows that the output has; none: all.
    wanted: Option<Vec<u32>>,
    /// `(out, in)` of each projection.
    sizes: [(usize, usize); 7],
    /// Biases, where there are any.
    biases: [Option<Vec<f32>>; 7],
    /// Weights of the norms of queries and keys, where there are any.
    head_norms: Option<[Vec<f32>; 2]>,
    /// Weights of the norms of what is added to the residual stream, where there are any.
    output_norms: Option<[Vec<f32>; 2]>,
    trained: Trained,
    groups: [Group; 4],
    input_needs_gradient: bool,
    /// What of the rest is kept.
    keep: Kept,
    /// Kept from forward for backward.
    saved: Mutex<Option<Saved>>,
}

impl BlockOp {
    fn new(
        x: &Tensor,
        weights: &BlockWeights,
        surroundings: &Surroundings,
        cache: Option<(&Tensor, &Tensor)>,
        wanted: Option<&[u32]>,
    ) -> Result<Self> {
        let (rows, width) = x.dims2()?;
        if let Some(wanted) = wanted
            && !(wanted.is_sorted_by(|a, b| a < b)
                && wanted.last().is_none_or(|last| (*last as usize) < rows))
        {
            bail!("block: rows {wanted:?} of {rows} are wanted, which are no ascending rows of it");
        }
        let mut sizes = [(0, 0); 7];
        for (size, projection) in sizes.iter_mut().zip(&weights.projections) {
            let [out, input] = projection.weight.dims() else {
                bail!("block: a projection of shape {:?}", projection.weight.dims());
            };
            *size = (*out, *input);
        }
        let attention = Attention {
            heads: surroundings.heads,
            scale: surroundings.scale,
            window: surroundings.window,
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
        let mut biases = [const { None }; 7];
        for (bias, (projection, (out, _))) in biases.iter_mut().zip(weights.projections.iter().zip(sizes)) {
            *bias = projection
                .bias
                .as_ref()
                .map(|b| frozen_vector(b, out))
                .transpose()?;
        }
        let frozen_pair = |norms: &Option<[Tensor; 2]>, width: usize| match norms {
            None => Ok(None),
            Some([a, b]) => {
                Ok::<_, candle_core::Error>(Some([frozen_vector(a, width)?, frozen_vector(b, width)?]))
            }
        };
        let head_norms = frozen_pair(&weights.head_norms, surroundings.heads.width)?;
        let output_norms = frozen_pair(&weights.output_norms, width)?;
        let mut factors_start = 0;
        let mut place = |variable: bool, count: usize| {
            let start = factors_start;
            variable.then(|| {
                factors_start += count;
                start..factors_start
            })
        };
        let trained = Trained {
            norms: weights.norms().map(|t| place(t.is_variable(), t.elem_count())),
            weights: weights
                .projections
                .each_ref()
                .map(|p| place(p.weight.is_variable(), p.weight.dims().iter().product())),
        };
        Ok(BlockOp {
            weights: weights.clone(),
            attention,
            table: surroundings.table.clone(),
            eps: surroundings.eps as f32,
            rows,
            wanted: wanted.map(<[u32]>::to_vec),
            sizes,
            biases,
            head_norms,
            output_norms,
            trained,
            groups: groups(&weights.projections, &sizes, factors_start)?,
            input_needs_gradient: x.track_op(),
            keep: Kept::default(),
            saved: Mutex::default(),
        })
    }

    /// The norms' weights and the projections' weights, unpacked where they are packed.
    fn with_weights<R>(&self, f: impl FnOnce([&[f32]; 2], [&[f32]; 7]) -> Result<R>) -> Result<R> {
        let unpacked = self.unpacked()?;
        with_all_values(self.weights.norms(), self.name(), |norms| {
            with_all_values(unpacked.each_ref(), self.name(), |weights| f(norms, weights))
        })
    }

    fn unpacked(&self) -> Result<[Tensor; 7]> {
        let projections = &self.weights.projections;
        let packed = projections.iter().any(|p| matches!(p.weight, Matrix::Packed(_)));
        // What is not packed is there already.
        let threads = if packed { threads() } else { 1 };
        let values = map(threads, projections.len(), |i| projections[i].weight.values());
        let values: Vec<Tensor> = values.into_iter().collect::<Result<_>>()?;
        values
            .try_into()
            .map_err(|_| candle_core::Error::Msg("block: seven projections are expected".into()))
    }
}

/// The values of a bias or of a head's norm, for which there are no gradients.
fn frozen_vector(tensor: &Tensor, expected: usize) -> Result<Vec<f32>> {
    if tensor.is_variable() || tensor.dims1()? != expected {
        bail!(
            "block: a vector {:?} that is not frozen or not of length {expected}",
            tensor.shape()
        );
    }
    tensor.to_vec1()
}

/// Lays the factors out as [`joined`] joins them, from `start` on.
fn groups(projections: &[Projection; 7], sizes: &[(usize, usize); 7], start: usize) -> Result<[Group; 4]> {
    let mut groups = [Q, O, GATE, DOWN].map(|first| Group {
        width: sizes[first].1,
        rank: 0,
        updates: Vec::new(),
    });
    let factors = projections.iter().filter_map(|p| p.lora.as_ref());
    let (mut a, mut b) = (start, start + factors.map(|f| f.a.elem_count()).sum::<usize>());
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

impl CustomOp2 for BlockOp {
    fn name(&self) -> &'static str {
        "block"
    }

    fn cpu_fwd(
        &self,
        s_x: &CpuStorage,
        l_x: &Layout,
        s_trained: &CpuStorage,
        l_trained: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = operand(s_x, l_x, self.name())?;
        let (y, saved) = self.forward(x, operand(s_trained, l_trained, self.name())?)?;
        *self.saved.lock().unwrap_or_else(|e| e.into_inner()) = Some(saved);
        let width = self.sizes[Q].1;
        let shape = Shape::from((y.len() / width, width));
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        trained: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let saved = self.saved.lock().unwrap_or_else(|e| e.into_inner()).take();
        let Some(saved) = saved else {
            bail!("block: its values were used up by an earlier backward");
        };
        let grad = contiguous(grad)?;
        let tensors = [x, trained, &grad];
        let (dx, d_trained) = with_all_values(tensors, self.name(), |[x, trained, g]| {
            self.backward(x, trained, g, saved)
        })?;
        let tensor = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((
            dx.map(|dx| tensor(dx, x)).transpose()?,
            Some(tensor(d_trained, trained)?),
        ))
    }
}

#[cfg(test)]
mod tests;
