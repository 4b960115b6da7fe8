//! What goes through a decoder at one time, and what is kept of it for the next.

use std::ops::Range;

use candle_core::Tensor;

use crate::Result;
use crate::op::Segment;

/// What one forward pass is given: packed tokens, their positions, and which rows belong together.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    pub(super) tokens: Vec<u32>,
    pub(super) positions: Vec<u32>,
    pub(super) segments: Vec<Segment>,
    pub(super) activation_memory: usize,
}

impl Pass {
    /// Packs whole sequences, each from position 0.
    pub fn sequences<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        Self::continuing(sequences.into_iter().map(|tokens| (tokens, 0..0)))
    }

    /// Packs continuations: each goes on after the cached rows it names, at the positions that follow them.
    pub fn continuing<'a>(parts: impl IntoIterator<Item = (&'a [u32], Range<usize>)>) -> Self {
        let mut pass = Pass::default();
        for (tokens, context) in parts {
            pass.push(tokens, context, Vec::new());
        }
        pass
    }

    /// Packs tokens that go on after cached rows and then after rows `after` of this pass, and tells their own rows.
    pub fn push(&mut self, tokens: &[u32], context: Range<usize>, after: Vec<Range<usize>>) -> Range<usize> {
        let start = self.tokens.len();
        let segment = Segment {
            rows: start..start + tokens.len(),
            context,
            after,
        };
        let rows = segment.rows.clone();
        if !tokens.is_empty() {
            self.tokens.extend_from_slice(tokens);
            self.positions
                .extend((0..tokens.len()).map(|i| (segment.seen() + i) as u32));
            self.segments.push(segment);
        }
        rows
    }

    /// Lets a pass whose gradients are asked for keep as many bytes of what its backward could compute again ([`Kept`](crate::op::Kept));
    /// without this, none. Only time depends on it.
    pub fn keep(&mut self, bytes: usize) {
        self.activation_memory = bytes;
    }

    /// Number of packed rows.
    pub fn rows(&self) -> usize {
        self.tokens.len()
    }
}

/// Keys and values of rows already seen, a pair of `(rows, kv width)` tensors a layer.
#[derive(Clone, Debug, Default)]
pub struct KvCache {
    pub(super) layers: Vec<(Tensor, Tensor)>,
}

impl KvCache {
    /// Number of cached rows.
    pub fn rows(&self) -> usize {
        self.layers.first().map_or(0, |(k, _)| k.dims()[0])
    }

    /// Puts the rows of `later` after the rows held.
    pub fn append(&mut self, later: KvCache) -> Result<()> {
        if self.layers.is_empty() {
            self.layers = later.layers;
            return Ok(());
        }
        for ((k, v), (later_k, later_v)) in self.layers.iter_mut().zip(later.layers) {
            *k = Tensor::cat(&[&*k, &later_k], 0)?;
            *v = Tensor::cat(&[&*v, &later_v], 0)?;
        }
        Ok(())
    }
}
