//! The gated activation of the Llama family's feed-forward: `silu(gate) · up`.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::math::{exp, vectorised};
use super::rows::{write_rows, write_two};
use super::storage::{contiguous, operand, with_values};

/// `gate · sigmoid(gate) · up`, element by element; both `(rows, width)`.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2(up, Swiglu)
}

/// Writes `silu(gate) · up` to `y`.
pub(super) fn activate(gate: &[f32], up: &[f32], y: &mut [f32]) {
    write_rows(y, 1, |start, y| {
        vectorised(|| {
            for ((y, g), u) in y.iter_mut().zip(&gate[start..]).zip(&up[start..]) {
                *y = g / (1.0 + exp(-g)) * u;
            }
        });
    });
}

/// Writes the gradients of `gate` and `up`; `d_up` holds the gradient of the result before.
pub(super) fn gradients(gate: &[f32], up: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
    write_two(d_gate, d_up, 1, |start, d_gate, d_up| {
        vectorised(|| {
            let inputs = gate[start..].iter().zip(&up[start..]);
            for ((d_gate, d_up), (g, u)) in d_gate.iter_mut().zip(d_up).zip(inputs) {
                let sigmoid = 1.0 / (1.0 + exp(-g));
                let silu = g * sigmoid;
                let d = *d_up;
                *d_up = d * silu;
                *d_gate = d * u * (sigmoid + silu * (1.0 - sigmoid));
            }
        });
    });
}

struct Swiglu;

impl CustomOp2 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gs: &CpuStorage,
        gl: &Layout,
        us: &CpuStorage,
        ul: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (operand(gs, gl, self.name())?, operand(us, ul, self.name())?);
        if gl.shape() != ul.shape() {
            bail!(
                "{}: gate {:?} and up {:?} differ",
                self.name(),
                gl.shape(),
                ul.shape()
            );
        }
        let mut y = vec![0.0; gate.len()];
        activate(gate, up, &mut y);
        Ok((CpuStorage::F32(y), gl.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = contiguous(grad)?;
        let mut d_gate = vec![0.0; grad.elem_count()];
        let mut d_up = with_values(&grad, self.name(), |d| Ok(d.to_vec()))?;
        with_values(gate, self.name(), |gate| {
            with_values(up, self.name(), |up| {
                gradients(gate, up, &mut d_gate, &mut d_up);
                Ok(())
            })
        })?;
        let d_gate = Tensor::from_vec(d_gate, gate.shape(), gate.device())?;
        let d_up = Tensor::from_vec(d_up, up.shape(), up.device())?;
        Ok((Some(d_gate), Some(d_up)))
    }
}
