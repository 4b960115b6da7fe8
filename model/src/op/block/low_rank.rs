//! The low-rank updates of the projections that read one input, computed together: their A's stand one below the other, so the
//! input is read once for all of them.

use std::ops::Range;

use crate::op::buffer::Buffer;
use crate::op::gemm::{View, gemm};
use crate::op::linear::drop_out;

/// One projection's update.
pub(super) struct Update {
    pub rank: usize,
    pub scale: f32,
    pub dropout: Option<(f32, u64)>,
    /// The first of this update's columns in the group's activations.
    pub column: usize,
    /// Where its A stands among the block's trained values.
    pub a: Range<usize>,
    /// Where its B stands among them.
    pub b: Range<usize>,
}

/// The updates of the projections of one input, in the block's order; `None` where a projection has none.
pub(super) struct Group {
    /// Width of the input.
    pub width: usize,
    /// Sum of the ranks.
    pub rank: usize,
    pub updates: Vec<Option<Update>>,
}

impl Group {
    fn present(&self) -> impl Iterator<Item = &Update> {
        self.updates.iter().flatten()
    }

    /// Where the group's A's stand, if they can be multiplied with at once: not where each has a dropout mask of its own.
    fn together(&self) -> Option<Range<usize>> {
        let start = self.present().next()?.a.start;
        let end = self.present().last()?.a.end;
        self.present().all(|u| u.dropout.is_none()).then_some(start..end)
    }

    fn masked(input: &[f32], dropout: Option<(f32, u64)>) -> Buffer {
        let mut copy = Buffer::stale(input.len());
        copy.copy_from_slice(input);
        if let Some((p, key)) = dropout {
            drop_out(&mut copy, p, key);
        }
        copy
    }

    /// The rank-sized activations `dropout(x) Aᵀ`, `(rows, rank)`.
    pub fn down(&self, x: &[f32], trained: &[f32]) -> Buffer {
        let rows = x.len() / self.width;
        let mut h = Buffer::stale(rows * self.rank);
        if let Some(range) = self.together() {
            let factors = View::new(&trained[range], self.rank, self.width);
            gemm(
                &mut h,
                self.rank,
                0.0,
                1.0,
                View::new(x, rows, self.width),
                factors.t(),
            );
            return h;
        }
        for update in self.present() {
            let input = Self::masked(x, update.dropout);
            let factor = View::new(&trained[update.a.clone()], update.rank, self.width);
            let input = View::new(&input, rows, self.width);
            gemm(&mut h[update.column..], self.rank, 0.0, 1.0, input, factor.t());
        }
        h
    }

    /// What the update of projection `i` adds to its output, `(rows, out)`: a scaled product.
    pub fn up<'a>(
        &self,
        i: usize,
        h: &'a [f32],
        rows: usize,
        trained: &'a [f32],
    ) -> Option<(f32, View<'a>, View<'a>)> {
        let update = self.updates[i].as_ref()?;
        let h = View::strided(&h[update.column..], rows, update.rank, self.rank);
        let factor = &trained[update.b.clone()];
        let factor = View::new(factor, factor.len() / update.rank, update.rank);
        Some((update.scale, h, factor.t()))
    }

    /// What all updates add to the gradient of the input, given that of the activations, if it is one product.
    pub fn back<'a>(
        &self,
        dh: &'a [f32],
        rows: usize,
        trained: &'a [f32],
    ) -> Option<(f32, View<'a>, View<'a>)> {
        let range = self.together()?;
        let factors = View::new(&trained[range], self.rank, self.width);
        Some((1.0, View::new(dh, rows, self.rank), factors))
    }

    /// From the gradient `g` of projection `i`'s output: the gradient of its columns of the activations, and that of its B, in `d`.
    pub fn up_gradients(&self, i: usize, g: View, h: &[f32], trained: &[f32], dh: &mut [f32], d: &mut [f32]) {
        if let Some(update) = &self.updates[i] {
            let (rows, out) = g.size();
            let factor = View::new(&trained[update.b.clone()], out, update.rank);
            gemm(&mut dh[update.column..], self.rank, 0.0, update.scale, g, factor);
            let h = View::strided(&h[update.column..], rows, update.rank, self.rank);
            gemm(&mut d[update.b.clone()], update.rank, 0.0, update.scale, g.t(), h);
        }
    }

    /// From the gradient of the activations: those of the A's, in `d`, and what they add to the gradient of the input unless
    /// [`back`](Self::back) does.
    pub fn down_gradients(
        &self,
        x: &[f32],
        dh: &[f32],
        rows: usize,
        trained: &[f32],
        d: &mut [f32],
        dx: Option<&mut [f32]>,
    ) {
        let width = self.width;
        if let Some(range) = self.together() {
            let (dh, x) = (View::new(dh, rows, self.rank), View::new(x, rows, width));
            gemm(&mut d[range], width, 0.0, 1.0, dh.t(), x);
            return;
        }
        let mut dx = dx;
        for update in self.present() {
            let dh = View::strided(&dh[update.column..], rows, update.rank, self.rank);
            let input = Self::masked(x, update.dropout);
            gemm(
                &mut d[update.a.clone()],
                width,
                0.0,
                1.0,
                dh.t(),
                View::new(&input, rows, width),
            );
            if let Some(dx) = dx.as_deref_mut() {
                let mut through = Buffer::stale(rows * width);
                let factor = View::new(&trained[update.a.clone()], update.rank, width);
                gemm(&mut through, width, 0.0, 1.0, dh, factor);
                if let Some((p, key)) = update.dropout {
                    drop_out(&mut through, p, key);
                }
                dx.iter_mut().zip(through.iter()).for_each(|(dx, t)| *dx += t);
            }
        }
    }
}
