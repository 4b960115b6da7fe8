//! The gated activation of the Llama family's feed-forward: `silu(gate) · up`.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::math::exp;
use super::storage::{contiguous, operand, with_values};

/// `gate · sigmoid(gate) · up`, element by element; both `(rows, width)`.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2(up, Swiglu)
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
        let y = gate
            .iter()
            .zip(up)
            .map(|(g, u)| g / (1.0 + exp(-g)) * u)
            .collect();
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
        let count = grad.elem_count();
        let (mut d_gate, mut d_up) = (vec![0.0; count], vec![0.0; count]);
        with_values(&grad, self.name(), |d| {
            with_values(gate, self.name(), |g| {
                with_values(up, self.name(), |u| {
                    for i in 0..count {
                        let sigmoid = 1.0 / (1.0 + exp(-g[i]));
                        let silu = g[i] * sigmoid;
                        d_up[i] = d[i] * silu;
                        d_gate[i] = d[i] * u[i] * (sigmoid + silu * (1.0 - sigmoid));
                    }
                    Ok(())
                })
            })
        })?;
        let d_gate = Tensor::from_vec(d_gate, gate.shape(), gate.device())?;
        let d_up = Tensor::from_vec(d_up, up.shape(), up.device())?;
        Ok((Some(d_gate), Some(d_up)))
    }
}
