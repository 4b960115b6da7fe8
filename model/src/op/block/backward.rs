//! A block backward: from the gradient of its output to those of its input and its low-rank factors.

use candle_core::Result;

use super::forward::{Saved, SavedToo};
use super::{BlockOp, DOWN, GATE, GROUP_OF, K, O, Q, UP, V};
use crate::op::buffer::Buffer;
use crate::op::gated::{activate, gradients};
use crate::op::gemm::{View, gemm, gemm_and};
use crate::op::rms_norm::{add_input_gradient, add_weight_gradient, normalise};
use crate::op::rope::{Turn, rotate};
use crate::op::rows::copy;

impl BlockOp {
    /// The gradients of the input, where somebody asks for it, and of all trained values.
    pub(super) fn backward(
        &self,
        x: &[f32],
        trained: &[f32],
        g: &[f32],
        mut saved: Saved,
    ) -> Result<(Option<Vec<f32>>, Vec<f32>)> {
        let mut d_trained = vec![0.0; trained.len()];
        let SavedToo {
            probabilities,
            activated,
            normed,
        } = std::mem::take(&mut saved.kept);
        let [normed_input, normed_middle] = normed.map_or([None, None], |normed| normed.map(Some));
        let saved = saved;
        let normed = |kept: Option<Buffer>, x: &[f32], norm: &[f32]| {
            kept.unwrap_or_else(|| {
                let mut normed = Buffer::stale(x.len());
                normalise(x, norm, self.eps, &mut normed);
                normed
            })
        };
        self.with_weights(|[input_norm, post_attention_norm], weights| {
            // From the gradients of a group's outputs to those of what is trained in it, and of its input where that is wanted.
            let through = |outputs: &[(usize, &[f32])],
                           input: &[f32],
                           mut d_input: Option<&mut [f32]>,
                           d_trained: &mut [f32]| {
                let group = GROUP_OF[outputs[0].0].0;
                let (h, group) = (&saved.low_rank[group], &self.groups[group]);
                let rows = input.len() / group.width;
                let mut dh = Buffer::stale(rows * group.rank);
                for (i, g) in outputs {
                    let (out, width) = self.sizes[*i];
                    let g = View::new(g, rows, out);
                    group.up_gradients(GROUP_OF[*i].1, g, h, trained, &mut dh, d_trained);
                    if let Some(range) = &self.trained.weights[*i] {
                        let input = View::new(input, rows, width);
                        gemm(&mut d_trained[range.clone()], width, 0.0, 1.0, g.t(), input);
                    }
                }
                if let Some(d_input) = d_input.as_deref_mut() {
                    for (nth, (i, g)) in outputs.iter().enumerate() {
                        let (out, width) = self.sizes[*i];
                        let product = (1.0, View::new(g, rows, out), View::new(weights[*i], out, width));
                        let last = nth + 1 == outputs.len();
                        let updates = if last {
                            group.back(&dh, rows, trained)
                        } else {
                            None
                        };
                        let keep = if nth == 0 { 0.0 } else { 1.0 };
                        gemm_and(d_input, width, keep, product, updates);
                    }
                }
                group.down_gradients(input, &dh, rows, trained, d_trained, d_input);
            };

            let activated = activated.unwrap_or_else(|| {
                let mut activated = Buffer::stale(saved.gate.len());
                activate(self.weights.activation, &saved.gate, &saved.up, &mut activated);
                activated
            });
            let mut d_up = Buffer::stale(activated.len());
            let d_output = self.through_output_norm(1, &saved, g);
            through(
                &[(DOWN, d_output.as_deref().unwrap_or(g))],
                &activated,
                Some(&mut d_up),
                &mut d_trained,
            );
            drop(d_output);
            let mut d_gate = activated;
            gradients(
                self.weights.activation,
                &saved.gate,
                &saved.up,
                &mut d_gate,
                &mut d_up,
            );
            let mut d_normed = Buffer::stale(saved.middle.len());
            through(
                &[(GATE, &d_gate), (UP, &d_up)],
                &normed(normed_middle, &saved.middle, post_attention_norm),
                Some(&mut d_normed),
                &mut d_trained,
            );
            drop((d_gate, d_up));
            self.norm_gradient(1, &saved.middle, &d_normed, &mut d_trained);
            let mut d_middle = vec![0.0; g.len()];
            copy(g, &mut d_middle);
            add_input_gradient(
                &saved.middle,
                post_attention_norm,
                self.eps,
                &d_normed,
                &mut d_middle,
            );

            let mut d_attended = Buffer::stale(saved.attended.len());
            let d_output = self.through_output_norm(0, &saved, &d_middle);
            through(
                &[(O, d_output.as_deref().unwrap_or(&d_middle))],
                &saved.attended,
                Some(&mut d_attended),
                &mut d_trained,
            );
            if let Some(wanted) = &self.wanted {
                d_attended = scattered(&d_attended, self.sizes[Q].0, wanted, self.rows);
            }
            let [mut d_queries, mut d_keys, mut d_values] =
                [&saved.queries, &saved.keys, &saved.values].map(|like| Buffer::stale(like.len()));
            self.attention.backward(
                [&saved.queries, &saved.keys, &saved.values],
                &d_attended,
                probabilities.as_ref(),
                [&mut d_queries, &mut d_keys, &mut d_values],
            )?;
            drop(probabilities);
            rotate(&mut d_queries, self.sizes[Q].0, &self.table, Turn::Back)?;
            rotate(&mut d_keys, self.sizes[K].0, &self.table, Turn::Back)?;
            if let (Some([query_norm, key_norm]), Some([queries, keys])) = (&self.head_norms, &saved.unnormed)
            {
                self.through_head_norm(queries, query_norm, &mut d_queries);
                self.through_head_norm(keys, key_norm, &mut d_keys);
            }
            let input = normed(normed_input, x, input_norm);
            let mut d_normed = Buffer::stale(x.len());
            let outputs: [(usize, &[f32]); 3] = [(Q, &d_queries), (K, &d_keys), (V, &d_values)];
            if !self.input_needs_gradient && self.trained.norms[0].is_none() {
                through(&outputs, &input, None, &mut d_trained);
                return Ok(None);
            }
            through(&outputs, &input, Some(&mut d_normed), &mut d_trained);
            self.norm_gradient(0, x, &d_normed, &mut d_trained);
            if !self.input_needs_gradient {
                return Ok(None);
            }
            if let Some(wanted) = &self.wanted {
                d_middle = scattered(&d_middle, self.sizes[Q].1, wanted, self.rows).to_vec();
            }
            add_input_gradient(x, input_norm, self.eps, &d_normed, &mut d_middle);
            Ok(Some(d_middle))
        })
        .map(|dx| (dx, d_trained))
    }

    /// From the gradient of a normalised output to that of the output before its norm; `None` where there is no norm.
    fn through_output_norm(&self, which: usize, saved: &Saved, g: &[f32]) -> Option<Buffer> {
        let (norms, outputs) = (self.output_norms.as_ref()?, saved.outputs.as_ref()?);
        let mut d = Buffer::stale(g.len());
        d.fill(0.0);
        add_input_gradient(&outputs[which], &norms[which], self.eps, g, &mut d);
        Some(d)
    }

    /// Turns the gradient of normalised heads into that of the heads before.
    fn through_head_norm(&self, x: &[f32], norm: &[f32], d: &mut Buffer) {
        let mut dx = Buffer::stale(x.len());
        dx.fill(0.0);
        add_input_gradient(x, norm, self.eps, d, &mut dx);
        *d = dx;
    }

    fn norm_gradient(&self, norm: usize, x: &[f32], d_normed: &[f32], d_trained: &mut [f32]) {
        if let Some(range) = &self.trained.norms[norm] {
            add_weight_gradient(x, self.eps, d_normed, &mut d_trained[range.clone()]);
        }
    }
}

/// Rows back in their places, with zeros for all others.
fn scattered(from: &[f32], width: usize, places: &[u32], rows: usize) -> Buffer {
    let mut to = Buffer::stale(rows * width);
    to.fill(0.0);
    for (from, row) in from.chunks_exact(width).zip(places) {
        let at = *row as usize * width;
        to[at..at + width].copy_from_slice(from);
    }
    to
}
