//! Rotary position embedding (Su et al. 2021) in the half-split layout of the Llama family, with a backward.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::math::vectorised;
use super::rows::write_rows;
use super::storage::{contiguous, operand, with_values};

/// Cosines and sines for a set of rows, `(rows, head_dim / 2)` each.
#[derive(Clone, Debug)]
pub struct RopeTable {
    pub(super) cos: Arc<[f32]>,
    pub(super) sin: Arc<[f32]>,
    pub(super) half: usize,
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

/// Which way to rotate; backward is the transpose of forward, and so its gradient.
#[derive(Clone, Copy)]
pub(super) enum Turn {
    Forward,
    Back,
}

/// Rotates the heads of `x`, rows of `width`, where they stand.
pub(super) fn rotate(x: &mut [f32], width: usize, table: &RopeTable, turn: Turn) -> Result<()> {
    let half = table.half;
    if x.len() / width * half != table.cos.len() || !width.is_multiple_of(2 * half) {
        bail!(
            "rope: {} rows of width {width} do not fit a table for {} values",
            x.len() / width,
            table.cos.len()
        );
    }
    let sign = match turn {
        Turn::Forward => 1.0,
        Turn::Back => -1.0,
    };
    write_rows(x, width, |start, x| {
        let first = start / width * half;
        let angles = table.cos[first..]
            .chunks_exact(half)
            .zip(table.sin[first..].chunks_exact(half));
        vectorised(
            #[inline(always)]
            || {
                for (row, (cos, sin)) in x.chunks_exact_mut(width).zip(angles) {
                    for head in row.chunks_exact_mut(2 * half) {
                        let (first, second) = head.split_at_mut(half);
                        for i in 0..half {
                            let (a, b, s) = (first[i], second[i], sin[i] * sign);
                            first[i] = a * cos[i] - b * s;
                            second[i] = b * cos[i] + a * s;
                        }
                    }
                }
            },
        );
    });
    Ok(())
}

struct Rope {
    table: RopeTable,
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let mut y = operand(storage, layout, self.name())?.to_vec();
        rotate(&mut y, width, &self.table, Turn::Forward)?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (rows, width) = x.dims2()?;
        let grad = contiguous(grad)?;
        with_values(&grad, self.name(), |g| {
            let mut dx = g.to_vec();
            rotate(&mut dx, width, &self.table, Turn::Back)?;
            Tensor::from_vec(dx, (rows, width), x.device()).map(Some)
        })
    }
}
