//! A block forward: norm, attention, norm, gated feed-forward, with both residual sums.

use candle_core::Result;

#[cfg(test)]
use super::KeptBytes;
use super::{BlockOp, DOWN, GATE, GROUP_OF, K, O, Q, UP, V};
use crate::op::attention::Probabilities;
use crate::op::buffer::Buffer;
use crate::op::gated::activate;
use crate::op::gemm::{View, gemm_and};
use crate::op::rms_norm::normalise;
use crate::op::rope::{Turn, rotate};
use crate::op::rows::{copy, write_rows};

/// What the backward reads besides the input; matrices of as many rows, up to the attention.
pub(super) struct Saved {
    /// Queries, rotated.
    pub queries: Buffer,
    /// Keys, rotated.
    pub keys: Buffer,
    pub values: Buffer,
    /// Queries and keys before their norms, where they have norms.
    pub unnormed: Option<[Buffer; 2]>,
    /// Output of the attention, before its projection; from here on of the rows that are wanted alone.
    pub attended: Buffer,
    /// The sum after the attention.
    pub middle: Buffer,
    pub gate: Buffer,
    pub up: Buffer,
    /// What attention and feed-forward add, before their norms, where they have norms.
    pub outputs: Option<[Buffer; 2]>,
    /// Rank-sized activations of the four groups.
    pub low_rank: [Buffer; 4],
    /// What could be computed again.
    pub kept: SavedToo,
}

/// What a backward finds kept as the budget has it.
#[derive(Default)]
pub(super) struct SavedToo {
    pub probabilities: Option<Probabilities>,
    pub activated: Option<Buffer>,
    /// Normalised rows before the attention and before the feed-forward.
    pub normed: Option<[Buffer; 2]>,
}

impl SavedToo {
    /// The memory that its values take.
    #[cfg(test)]
    pub fn bytes(&self) -> KeptBytes {
        let bytes = |buffers: &[Buffer]| buffers.iter().map(|b| 4 * b.len()).sum();
        KeptBytes {
            probabilities: bytes(self.probabilities.as_deref().unwrap_or_default()),
            activated: bytes(self.activated.as_slice()),
            normed: bytes(self.normed.as_ref().map_or(&[], |normed| normed)),
        }
    }
}

impl BlockOp {
    pub(super) fn forward(&self, x: &[f32], trained: &[f32]) -> Result<(Vec<f32>, Saved)> {
        self.with_weights(|[input_norm, post_attention_norm], weights| {
            let add_projection = |i: usize, keep: f32, input: &[f32], h: &[f32], y: &mut [f32]| {
                let (out, width) = self.sizes[i];
                let rows = input.len() / width;
                let (group, place) = GROUP_OF[i];
                let weight = View::new(weights[i], out, width);
                let update = self.groups[group].up(place, h, rows, trained);
                let product = (1.0, View::new(input, rows, width), weight.t());
                gemm_and(y, out, keep, product, update);
                if let Some(bias) = &self.biases[i] {
                    add_bias(y, bias);
                }
            };
            let project = |i: usize, input: &[f32], h: &[f32]| {
                let (out, width) = self.sizes[i];
                let mut y = Buffer::stale(input.len() / width * out);
                add_projection(i, 0.0, input, h, &mut y);
                y
            };

            let mut input = Buffer::stale(x.len());
            normalise(x, input_norm, self.eps, &mut input);
            let h_qkv = self.groups[0].down(&input, trained);
            let mut queries = project(Q, &input, &h_qkv);
            let mut keys = project(K, &input, &h_qkv);
            let values = project(V, &input, &h_qkv);
            let input = self.keep.normed.then_some(input);
            let unnormed = self.head_norms.as_ref().map(|[query_norm, key_norm]| {
                [
                    self.norm_heads(&mut queries, query_norm),
                    self.norm_heads(&mut keys, key_norm),
                ]
            });
            rotate(&mut queries, self.sizes[Q].0, &self.table, Turn::Forward)?;
            rotate(&mut keys, self.sizes[K].0, &self.table, Turn::Forward)?;
            let mut attended = Buffer::stale(queries.len());
            let probabilities =
                self.attention
                    .forward([&queries, &keys, &values], &mut attended, self.keep.probabilities)?;
            // From here on every row is for itself, so those nobody asks for end here.
            if let Some(wanted) = &self.wanted {
                attended = gathered(&attended, self.sizes[Q].0, wanted);
            }
            let h_o = self.groups[1].down(&attended, trained);
            let mut middle = match &self.wanted {
                Some(wanted) => gathered(x, self.sizes[Q].1, wanted),
                None => {
                    let mut middle = Buffer::stale(x.len());
                    copy(x, &mut middle);
                    middle
                }
            };
            let output_norms = self.output_norms.as_ref();
            let attention_output = match output_norms {
                None => {
                    add_projection(O, 1.0, &attended, &h_o, &mut middle);
                    None
                }
                Some([norm, _]) => Some(self.add_normed(project(O, &attended, &h_o), norm, &mut middle)),
            };

            let mut normed = Buffer::stale(middle.len());
            normalise(&middle, post_attention_norm, self.eps, &mut normed);
            let h_gate_up = self.groups[2].down(&normed, trained);
            let gate = project(GATE, &normed, &h_gate_up);
            let up = project(UP, &normed, &h_gate_up);
            let normed = input.zip(self.keep.normed.then_some(normed));
            let mut activated = Buffer::stale(gate.len());
            activate(self.weights.activation, &gate, &up, &mut activated);
            let h_down = self.groups[3].down(&activated, trained);
            let mut y = vec![0.0; middle.len()];
            copy(&middle, &mut y);
            let output = match output_norms {
                None => {
                    add_projection(DOWN, 1.0, &activated, &h_down, &mut y);
                    None
                }
                Some([_, norm]) => Some(self.add_normed(project(DOWN, &activated, &h_down), norm, &mut y)),
            };
            let saved = Saved {
                queries,
                keys,
                values,
                unnormed,
                attended,
                middle,
                gate,
                up,
                outputs: attention_output.zip(output).map(<[Buffer; 2]>::from),
                low_rank: [h_qkv, h_o, h_gate_up, h_down],
                kept: SavedToo {
                    probabilities,
                    activated: self.keep.activated.then_some(activated),
                    normed: normed.map(<[Buffer; 2]>::from),
                },
            };
            Ok((y, saved))
        })
    }

    /// Adds the normalised output of attention or feed-forward to the residual stream; gives it back as it was.
    fn add_normed(&self, output: Buffer, norm: &[f32], to: &mut [f32]) -> Buffer {
        let mut normed = Buffer::stale(output.len());
        normalise(&output, norm, self.eps, &mut normed);
        to.iter_mut().zip(normed.iter()).for_each(|(to, y)| *to += y);
        output
    }

    /// Normalises every head; gives back what was there before.
    fn norm_heads(&self, x: &mut Buffer, norm: &[f32]) -> Buffer {
        let mut normed = Buffer::stale(x.len());
        normalise(x, norm, self.eps, &mut normed);
        std::mem::replace(x, normed)
    }
}

/// Some of the rows of a matrix, one after another.
fn gathered(from: &[f32], width: usize, rows: &[u32]) -> Buffer {
    let mut to = Buffer::stale(rows.len() * width);
    write_rows(&mut to, width, |at, to| {
        for (to, row) in to.chunks_exact_mut(width).zip(&rows[at / width..]) {
            let at = *row as usize * width;
            to.copy_from_slice(&from[at..at + width]);
        }
    });
    to
}

fn add_bias(y: &mut [f32], bias: &[f32]) {
    write_rows(y, bias.len(), |_, y| {
        for row in y.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    });
}
