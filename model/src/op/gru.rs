//! A gated recurrent unit (Cho et al. 2014) over packed sequences: one operation over time, with a backward. At each step the sequences
//! that are that long go through one product together, so that nothing is padded.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::gemm::{View, gemm};
use super::math::{exp, vectorised};
use super::storage::{contiguous, operand, with_all_values};

/// The states of packed sequences, `(rows, width)`, each of which begins at zero.
///
/// `inputs` is `(rows, 3 · width)`: what the inputs give to the reset gate, the update gate and the candidate, in PyTorch's order;
/// `recurrent` is `(3 · width, width)`, its `weight_hh`, without biases. With h the state before,
/// `r = σ(i_r + W_r h)`, `z = σ(i_z + W_z h)`, `n = tanh(i_n + r · W_n h)`, and the state is `(1 − z) · n + z · h`. The spans cover the
/// rows from first to last without gaps. In main memory only.
pub fn gru(inputs: &Tensor, recurrent: &Tensor, spans: &Arc<[Range<usize>]>) -> Result<Tensor> {
    let op = Gru {
        spans: spans.clone(),
        keep: inputs.track_op() || recurrent.track_op(),
        kept: Mutex::default(),
    };
    inputs.apply_op2(recurrent, op)
}

struct Gru {
    spans: Arc<[Range<usize>]>,
    keep: bool,
    /// Of each row r, z, n and `W_n h`, from the forward visit.
    kept: Mutex<Vec<f32>>,
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Sequences from the longest to the shortest: those that are still going on at a step are the first ones.
struct ByLength<'a> {
    spans: Vec<&'a Range<usize>>,
}

impl<'a> ByLength<'a> {
    fn new(spans: &'a [Range<usize>]) -> Self {
        let mut spans: Vec<&Range<usize>> = spans.iter().collect();
        spans.sort_by_key(|span| std::cmp::Reverse(span.len()));
        ByLength { spans }
    }

    fn steps(&self) -> usize {
        self.spans.first().map_or(0, |span| span.len())
    }

    /// The rows of a step.
    fn rows(&self, step: usize) -> Vec<usize> {
        let going_on = self.spans.iter().take_while(|span| span.len() > step);
        going_on.map(|span| span.start + step).collect()
    }
}

impl Gru {
    fn check(&self, inputs: &Shape, recurrent: &Shape) -> Result<(usize, usize)> {
        let ((rows, gates), (out, width)) = (inputs.dims2()?, recurrent.dims2()?);
        if gates != 3 * width || out != gates || width == 0 {
            bail!("gru: inputs {inputs:?} do not fit recurrent weights {recurrent:?}");
        }
        let mut next = 0;
        for span in self.spans.iter() {
            if span.start != next || span.end < next {
                bail!("gru: the sequence {span:?} does not follow row {next}");
            }
            next = span.end;
        }
        if next != rows {
            bail!("gru: the sequences cover {next} of {rows} rows");
        }
        Ok((rows, width))
    }
}

impl CustomOp2 for Gru {
    fn name(&self) -> &'static str {
        "gru"
    }

    fn cpu_fwd(
        &self,
        is: &CpuStorage,
        il: &Layout,
        ws: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = self.check(il.shape(), wl.shape())?;
        let (inputs, w) = (operand(is, il, self.name())?, operand(ws, wl, self.name())?);
        let recurrent = View::new(w, 3 * width, width);
        let sequences = ByLength::new(&self.spans);
        let mut state = vec![0.0; sequences.spans.len() * width];
        let mut pre = vec![0.0; sequences.spans.len() * 3 * width];
        let mut out = vec![0.0; rows * width];
        let mut kept = vec![0.0; if self.keep { rows * 4 * width } else { 0 }];
        for step in 0..sequences.steps() {
            let now = sequences.rows(step);
            if step > 0 {
                let before = View::new(&state[..now.len() * width], now.len(), width);
                gemm(&mut pre, 3 * width, 0.0, 1.0, before, recurrent.t());
            }
            vectorised(
                #[inline(always)]
                || {
                    for (nth, row) in now.iter().enumerate() {
                        let x = &inputs[row * 3 * width..][..3 * width];
                        let pre = &pre[nth * 3 * width..][..3 * width];
                        let h = &mut state[nth * width..][..width];
                        for i in 0..width {
                            let r = sigmoid(x[i] + pre[i]);
                            let z = sigmoid(x[width + i] + pre[width + i]);
                            let own = pre[2 * width + i];
                            // tanh(x) = 2 σ(2x) − 1.
                            let n = 2.0 * sigmoid(2.0 * (x[2 * width + i] + r * own)) - 1.0;
                            h[i] = (1.0 - z) * n + z * h[i];
                            if self.keep {
                                let kept = &mut kept[row * 4 * width..][..4 * width];
                                kept[i] = r;
                                kept[width + i] = z;
                                kept[2 * width + i] = n;
                                kept[3 * width + i] = own;
                            }
                        }
                        out[row * width..][..width].copy_from_slice(h);
                    }
                },
            );
        }
        *self.kept.lock().unwrap_or_else(|e| e.into_inner()) = kept;
        Ok((CpuStorage::F32(out), Shape::from((rows, width))))
    }

    fn bwd(
        &self,
        inputs: &Tensor,
        recurrent: &Tensor,
        states: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, width) = self.check(inputs.shape(), recurrent.shape())?;
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(|e| e.into_inner()));
        if kept.len() != rows * 4 * width {
            bail!("gru: a second backward through one forward");
        }
        let grad = contiguous(grad)?;
        let (d_inputs, d_recurrent) =
            with_all_values([recurrent, states, &grad], self.name(), |[w, states, g]| {
                Ok(self.gradients(w, states, g, &kept, width))
            })?;
        let d_inputs = Tensor::from_vec(d_inputs, inputs.shape(), inputs.device())?;
        let d_recurrent = Tensor::from_vec(d_recurrent, recurrent.shape(), recurrent.device())?;
        Ok((
            inputs.track_op().then_some(d_inputs),
            recurrent.track_op().then_some(d_recurrent),
        ))
    }
}

impl Gru {
    /// The gradients of inputs and recurrent weights, from the last step to the first.
    fn gradients(
        &self,
        w: &[f32],
        states: &[f32],
        g: &[f32],
        kept: &[f32],
        width: usize,
    ) -> (Vec<f32>, Vec<f32>) {
        let rows = states.len() / width;
        let sequences = ByLength::new(&self.spans);
        let count = sequences.spans.len();
        let mut carry = vec![0.0; count * width];
        // What reaches the products with the state before, of a step, and of all rows.
        let mut d_pre = vec![0.0; count * 3 * width];
        let mut d_products = vec![0.0; rows * 3 * width];
        let mut before = vec![0.0; rows * width];
        let mut d_inputs = vec![0.0; rows * 3 * width];
        for step in (0..sequences.steps()).rev() {
            let now = sequences.rows(step);
            vectorised(
                #[inline(always)]
                || {
                    for (nth, row) in now.iter().enumerate() {
                        let kept = &kept[row * 4 * width..][..4 * width];
                        let g = &g[row * width..][..width];
                        let before = &mut before[row * width..][..width];
                        if step > 0 {
                            before.copy_from_slice(&states[(row - 1) * width..][..width]);
                        }
                        let carry = &mut carry[nth * width..][..width];
                        let d_in = &mut d_inputs[row * 3 * width..][..3 * width];
                        let d_pre = &mut d_pre[nth * 3 * width..][..3 * width];
                        for i in 0..width {
                            let (r, z, n) = (kept[i], kept[width + i], kept[2 * width + i]);
                            let d_state = g[i] + carry[i];
                            let d_n = d_state * (1.0 - z) * (1.0 - n * n);
                            let d_z = d_state * (before[i] - n) * z * (1.0 - z);
                            let d_r = d_n * kept[3 * width + i] * r * (1.0 - r);
                            (d_in[i], d_in[width + i], d_in[2 * width + i]) = (d_r, d_z, d_n);
                            (d_pre[i], d_pre[width + i], d_pre[2 * width + i]) = (d_r, d_z, d_n * r);
                            carry[i] = d_state * z;
                        }
                        d_products[row * 3 * width..][..3 * width].copy_from_slice(d_pre);
                    }
                },
            );
            if step > 0 {
                let d_pre = View::new(&d_pre[..now.len() * 3 * width], now.len(), 3 * width);
                gemm(&mut carry, width, 1.0, 1.0, d_pre, View::new(w, 3 * width, width));
            }
        }
        let mut d_recurrent = vec![0.0; 3 * width * width];
        let d_products = View::new(&d_products, rows, 3 * width);
        gemm(
            &mut d_recurrent,
            width,
            0.0,
            1.0,
            d_products.t(),
            View::new(&before, rows, width),
        );
        (d_inputs, d_recurrent)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::op::tests::{check, flat, random, variable};
    use candle_core::{Device, Var};

    /// The same of candle's primitives, row by row.
    fn slow(inputs: &Tensor, recurrent: &Tensor, spans: &[Range<usize>]) -> Tensor {
        let width = recurrent.dim(1).unwrap();
        let mut states = Vec::new();
        for span in spans {
            let mut h = Tensor::zeros((1, width), candle_core::DType::F32, &Device::Cpu).unwrap();
            for row in span.clone() {
                let x = inputs.narrow(0, row, 1).unwrap();
                let pre = h.matmul(&recurrent.t().unwrap()).unwrap();
                let part = |t: &Tensor, nth: usize| t.narrow(1, nth * width, width).unwrap();
                let sigmoid = |t: Tensor| candle_nn::ops::sigmoid(&t).unwrap();
                let r = sigmoid((part(&x, 0) + part(&pre, 0)).unwrap());
                let z = sigmoid((part(&x, 1) + part(&pre, 1)).unwrap());
                let n = (part(&x, 2) + (r * part(&pre, 2)).unwrap())
                    .unwrap()
                    .tanh()
                    .unwrap();
                // n + z (h − n).
                h = (&n + (z * (h - &n).unwrap()).unwrap()).unwrap();
                states.push(h.clone());
            }
        }
        Tensor::cat(&states, 0).unwrap()
    }

    #[test]
    fn it_agrees_with_primitives_and_its_gradients_with_differences() {
        // Neither sorted by length nor all of one.
        let spans: Arc<[Range<usize>]> = vec![0..2, 2..6, 6..7, 7..10].into();
        let (inputs, recurrent) = (variable(&[10, 15], 1), variable(&[15, 5], 2));
        check(
            &[inputs.clone(), recurrent.clone()],
            &|| gru(&inputs, &recurrent, &spans).unwrap(),
            &|| slow(&inputs, &recurrent, &spans),
        );
    }

    #[test]
    fn with_an_update_gate_at_zero_and_no_recurrence_into_it_only_the_last_input_counts() {
        // PyTorch's z keeps the state before: z = 0 makes the candidate the state, and without W_n h nothing else is left.
        let spans: Arc<[Range<usize>]> = std::iter::once(0..3).collect();
        let recurrent = Tensor::zeros((6, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        let inputs = |first: f32| {
            let rows = [first, -1.0, 0.3].map(|v| [0.5, 0.5, -100.0, -100.0, v, 2.0 * v]);
            gru(&Tensor::new(&rows, &Device::Cpu).unwrap(), &recurrent, &spans).unwrap()
        };
        let (one, other) = (flat(&inputs(1.0)), flat(&inputs(-2.0)));
        assert!(one[0] != other[0] && one[4..] == other[4..]);
        assert!((one[4] - 0.3f32.tanh()).abs() < 1e-6);
    }

    #[test]
    fn without_variables_it_only_computes_and_gaps_are_refused() {
        let spans: Arc<[Range<usize>]> = std::iter::once(0..4).collect();
        let (inputs, recurrent) = (random(&[4, 6], 1), random(&[6, 2], 2));
        let tracked = Var::from_tensor(&inputs).unwrap();
        let (one, two) = (
            gru(&inputs, &recurrent, &spans).unwrap(),
            gru(&tracked, &recurrent, &spans).unwrap(),
        );
        assert_eq!(flat(&one), flat(&two));
        let short: Arc<[Range<usize>]> = std::iter::once(0..3).collect();
        let error = gru(&inputs, &recurrent, &short).unwrap_err().to_string();
        assert!(error.contains("3 of 4"), "{error}");
    }
}
