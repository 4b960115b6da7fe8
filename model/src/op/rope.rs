//! Rotary position embedding (Su et al. 2021) in the half-split layout of the Llama family, with a backward.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::storage::{contiguous, operand, with_values};

/// Cosines and sines for a set of rows, `(rows, head_dim / 2)` each.
#[derive(Clone, Debug)]
pub struct RopeTable {
    cos: Arc<[f32]>,
    sin: Arc<[f32]>,
    half: usize,
}

impl RopeTable {
    /// The table for rows at `positions`, given the inverse frequencies of a head's pairs.
    pub fn new(positions: &[u32], inverse_frequencies: &[f32]) -> Self {
        let angles = || {
            positions
                .iter()
                .flat_map(|p| inverse_frequencies.iter().map(move |f| *p as f32 * f))
        };
        RopeTable {
            cos: angles().map(f32::cos).collect(),
            sin: angles().map(f32::sin).collect(),
            half: inverse_frequencies.len(),
        }
    }
}

/// Rotates each head of `x`, `(rows, heads · head_dim)`, to the positions of the table.
pub fn rope(x: &Tensor, table: &RopeTable) -> Result<Tensor> {
    x.apply_op1(Rope { table: table.clone() })
}

struct Rope {
    table: RopeTable,
}

impl Rope {
    /// `direction` is 1 to rotate and −1 to rotate back, which is the transpose and so the backward.
    fn rotate(&self, x: &[f32], rows: usize, width: usize, direction: f32) -> Result<Vec<f32>> {
        let half = self.table.half;
        if rows * half != self.table.cos.len() || !width.is_multiple_of(2 * half) {
            bail!(
                "rope: rows of shape ({rows}, {width}) do not fit a table for {} values",
                self.table.cos.len()
            );
        }
        let mut y = vec![0.0; x.len()];
        for row in 0..rows {
            let cos = &self.table.cos[row * half..(row + 1) * half];
            let sin = &self.table.sin[row * half..(row + 1) * half];
            let span = row * width..(row + 1) * width;
            let heads = x[span.clone()]
                .chunks_exact(2 * half)
                .zip(y[span].chunks_exact_mut(2 * half));
            for (from, to) in heads {
                let ((first, second), (to_first, to_second)) = (from.split_at(half), to.split_at_mut(half));
                for i in 0..half {
                    let s = sin[i] * direction;
                    to_first[i] = first[i] * cos[i] - second[i] * s;
                    to_second[i] = second[i] * cos[i] + first[i] * s;
                }
            }
        }
        Ok(y)
    }
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let y = self.rotate(operand(storage, layout, self.name())?, rows, width, 1.0)?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (rows, width) = x.dims2()?;
        let grad = contiguous(grad)?;
        with_values(&grad, self.name(), |g| {
            Tensor::from_vec(self.rotate(g, rows, width, -1.0)?, (rows, width), x.device()).map(Some)
        })
    }
}
