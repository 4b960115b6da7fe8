//! A block backward: from the gradient of its output to those of its input and its low-rank factors.

use candle_core::Result;

use super::forward::Saved;
use super::{BlockOp, DOWN, GATE, GROUP_OF, K, O, Q, UP, V};
use crate::op::buffer::Buffer;
use crate::op::gemm::{View, gemm};
use crate::op::rms_norm::{add_input_gradient, normalise};
use crate::op::rope::{Turn, rotate};
use crate::op::swiglu::{activate, gradients};

/// Gradients of the operation's three operands.
pub(super) struct Gradients {
    /// Of the input; `None` where nobody asks for it.
    pub x: Option<Vec<f32>>,
    pub a: Vec<f32>,
    pub b: Vec<f32>,
}

impl BlockOp {
    pub(super) fn backward(
        &self,
        x: &[f32],
        a: &[f32],
        b: &[f32],
        g: &[f32],
        saved: Saved,
    ) -> Result<Gradients> {
        let (mut da, mut db) = (vec![0.0; a.len()], vec![0.0; b.len()]);
        self.with_weights(|[input_norm, post_attention_norm], weights| {
            let rows = self.rows;
            // From the gradients of a group's outputs to those of its factors, and of its input where that is wanted.
            let mut through =
                |outputs: &[(usize, &[f32])], input: &[f32], mut d_input: Option<&mut [f32]>| {
                    let group = GROUP_OF[outputs[0].0].0;
                    let (h, group) = (&saved.low_rank[group], &self.groups[group]);
                    let mut dh = Buffer::stale(rows * group.rank);
                    for (nth, (i, g)) in outputs.iter().enumerate() {
                        let (out, width) = self.sizes[*i];
                        let g = View::new(g, rows, out);
                        group.up_gradients(GROUP_OF[*i].1, g, h, b, &mut dh, &mut db);
                        if let Some(d_input) = d_input.as_deref_mut() {
                            let keep = if nth == 0 { 0.0 } else { 1.0 };
                            gemm(d_input, width, keep, 1.0, g, View::new(weights[*i], out, width));
                        }
                    }
                    group.down_gradients(input, &dh, rows, a, &mut da, d_input);
                };

            let mut activated = Buffer::stale(saved.gate.len());
            activate(&saved.gate, &saved.up, &mut activated);
            let mut d_up = Buffer::stale(activated.len());
            through(&[(DOWN, g)], &activated, Some(&mut d_up));
            let mut d_gate = activated;
            gradients(&saved.gate, &saved.up, &mut d_gate, &mut d_up);
            let (mut normed, mut d_normed) = (Buffer::stale(x.len()), Buffer::stale(x.len()));
            normalise(&saved.middle, post_attention_norm, self.eps, &mut normed);
            through(&[(GATE, &d_gate), (UP, &d_up)], &normed, Some(&mut d_normed));
            drop((d_gate, d_up));
            let mut d_middle = g.to_vec();
            add_input_gradient(
                &saved.middle,
                post_attention_norm,
                self.eps,
                &d_normed,
                &mut d_middle,
            );

            let mut d_attended = Buffer::stale(saved.attended.len());
            through(&[(O, &d_middle)], &saved.attended, Some(&mut d_attended));
            let [mut d_queries, mut d_keys, mut d_values] =
                [&saved.queries, &saved.keys, &saved.values].map(|like| Buffer::stale(like.len()));
            self.attention.backward(
                [&saved.queries, &saved.keys, &saved.values],
                &d_attended,
                [&mut d_queries, &mut d_keys, &mut d_values],
            )?;
            rotate(&mut d_queries, self.sizes[Q].0, &self.table, Turn::Back)?;
            rotate(&mut d_keys, self.sizes[K].0, &self.table, Turn::Back)?;
            normalise(x, input_norm, self.eps, &mut normed);
            let outputs: [(usize, &[f32]); 3] = [(Q, &d_queries), (K, &d_keys), (V, &d_values)];
            if !self.input_needs_gradient {
                through(&outputs, &normed, None);
                return Ok(None);
            }
            through(&outputs, &normed, Some(&mut d_normed));
            add_input_gradient(x, input_norm, self.eps, &d_normed, &mut d_middle);
            Ok(Some(d_middle))
        })
        .map(|dx| Gradients { x: dx, a: da, b: db })
    }
}
