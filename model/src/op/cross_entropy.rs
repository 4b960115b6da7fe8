//! Next-token cross-entropy without ever holding all logits: rows are taken a block at a time, and the gradient is formed in
//! the same visit.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::composed;
use super::gemm::{View, gemm};
use super::math::{exp_in_place, vectorised};
use super::rows::map_rows;
use super::storage::operand;

/// Rows whose logits are held at one time: enough for an efficient product, little memory even for a vocabulary of 50,000.
const BLOCK: usize = 64;

/// Sum over the rows of `−log softmax(hidden · headᵀ)[target]`, a scalar; multiply by one over the number of rows for the mean.
///
/// `hidden` is `(rows, width)`, `head` is `(vocabulary, width)`, and `targets` holds a token id a row. The gradient of the head is formed
/// where anything depends on it: where it is a variable, and where it was computed from one.
pub fn cross_entropy(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<Tensor> {
    if composed::applies(hidden) {
        return composed::cross_entropy(hidden, head, targets);
    }
    let op = CrossEntropy {
        targets: targets.to_vec(),
        hidden_gradient: hidden.track_op(),
        head_gradient: head.track_op(),
        gradients: Mutex::default(),
    };
    hidden.apply_op2(head, op)
}

struct CrossEntropy {
    targets: Vec<u32>,
    hidden_gradient: bool,
    head_gradient: bool,
    /// Kept from the forward visit.
    gradients: Mutex<Gradients>,
}

/// Gradients of the sum, where they are wanted.
#[derive(Default)]
struct Gradients {
    hidden: Option<Vec<f32>>,
    head: Option<Vec<f32>>,
}

impl CustomOp2 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross entropy"
    }

    fn cpu_fwd(
        &self,
        hs: &CpuStorage,
        hl: &Layout,
        ws: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((rows, width), (vocabulary, inner)) = (hl.shape().dims2()?, wl.shape().dims2()?);
        if width != inner || rows != self.targets.len() {
            bail!(
                "{}: {:?}, {:?} and {} targets",
                self.name(),
                hl.shape(),
                wl.shape(),
                self.targets.len()
            );
        }
        if let Some(bad) = self.targets.iter().find(|t| **t as usize >= vocabulary) {
            bail!(
                "{}: target {bad} is outside the vocabulary of {vocabulary}",
                self.name()
            );
        }
        let (hidden, head) = (operand(hs, hl, self.name())?, operand(ws, wl, self.name())?);
        let head_view = View::new(head, vocabulary, width);
        let mut d_hidden = self.hidden_gradient.then(|| vec![0.0; rows * width]);
        let mut d_head = self.head_gradient.then(|| vec![0.0; vocabulary * width]);
        let mut logits = vec![0.0; BLOCK.min(rows) * vocabulary];
        let mut total = 0.0f64;
        for start in (0..rows).step_by(BLOCK) {
            let count = BLOCK.min(rows - start);
            let block = View::new(&hidden[start * width..(start + count) * width], count, width);
            let logits = &mut logits[..count * vocabulary];
            gemm(logits, vocabulary, 0.0, 1.0, block, head_view.t());
            let targets = &self.targets[start..start + count];
            let losses = map_rows(logits, vocabulary, |i, row| {
                let target = targets[i] as usize;
                let at_target = row[target];
                vectorised(
                    #[inline(always)]
                    || {
                        let (max, sum) = exp_in_place(row);
                        let inverse = 1.0 / sum;
                        row.iter_mut().for_each(|p| *p *= inverse);
                        row[target] -= 1.0;
                        f64::from(max + sum.ln() - at_target)
                    },
                )
            });
            // One after another, so that the sum does not depend on threads.
            losses.into_iter().for_each(|loss| total += loss);
            let d_logits = View::new(logits, count, vocabulary);
            if let Some(d_hidden) = &mut d_hidden {
                let out = &mut d_hidden[start * width..(start + count) * width];
                gemm(out, width, 0.0, 1.0, d_logits, head_view);
            }
            if let Some(d_head) = &mut d_head {
                gemm(d_head, width, 1.0, 1.0, d_logits.t(), block);
            }
        }
        *self.gradients.lock().unwrap_or_else(|e| e.into_inner()) = Gradients {
            hidden: d_hidden,
            head: d_head,
        };
        Ok((CpuStorage::F32(vec![total as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let factor = grad.to_scalar::<f32>()?;
        let kept = std::mem::take(&mut *self.gradients.lock().unwrap_or_else(|e| e.into_inner()));
        let finish = |values: Option<Vec<f32>>, like: &Tensor| {
            values
                .map(|mut values| {
                    values.iter_mut().for_each(|v| *v *= factor);
                    Tensor::from_vec(values, like.shape(), like.device())
                })
                .transpose()
        };
        Ok((finish(kept.hidden, hidden)?, finish(kept.head, head)?))
    }
}
