//! The gated activations of the feed-forward: `silu(gate) · up`, and `gelu(gate) · up` in the form with a hyperbolic tangent.
//!
//! Both are `gate · sigmoid(inner(gate)) · up`: with the gate itself inside, and with twice what GELU has inside its tangent.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::composed;
use super::math::{exp, vectorised};
use super::rows::{write_rows, write_two};
use super::storage::{contiguous, operand, with_values};

/// What the gate goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`, of Llama and Qwen.
    #[default]
    Silu,
    /// `x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`, of Gemma.
    Gelu,
}

/// Twice `√(2/π)`.
pub(super) const SLOPE: f32 = 1.595_769;
pub(super) const CUBIC: f32 = 0.044_715;

impl Activation {
    /// What stands inside the sigmoid, and its derivative.
    #[inline(always)]
    fn inner(self, x: f32) -> (f32, f32) {
        match self {
            Activation::Silu => (x, 1.0),
            Activation::Gelu => (
                SLOPE * (x + CUBIC * x * x * x),
                SLOPE * (1.0 + 3.0 * CUBIC * x * x),
            ),
        }
    }
}

/// `activation(gate) · up`, element by element; both `(rows, width)`.
pub fn gated(activation: Activation, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if composed::applies(gate) {
        return composed::gated(activation, gate, up);
    }
    gate.apply_op2(up, Gated { activation })
}

/// Writes `activation(gate) · up` to `y`.
pub(super) fn activate(activation: Activation, gate: &[f32], up: &[f32], y: &mut [f32]) {
    write_rows(y, 1, |start, y| {
        vectorised(
            #[inline(always)]
            || {
                for ((y, g), u) in y.iter_mut().zip(&gate[start..]).zip(&up[start..]) {
                    *y = g / (1.0 + exp(-activation.inner(*g).0)) * u;
                }
            },
        );
    });
}

/// Writes the gradients of `gate` and `up`; `d_up` holds the gradient of the result before.
pub(super) fn gradients(
    activation: Activation,
    gate: &[f32],
    up: &[f32],
    d_gate: &mut [f32],
    d_up: &mut [f32],
) {
    write_two(d_gate, d_up, 1, |start, d_gate, d_up| {
        vectorised(
            #[inline(always)]
            || {
                let inputs = gate[start..].iter().zip(&up[start..]);
                for ((d_gate, d_up), (g, u)) in d_gate.iter_mut().zip(d_up).zip(inputs) {
                    let (inner, slope) = activation.inner(*g);
                    let sigmoid = 1.0 / (1.0 + exp(-inner));
                    let activated = g * sigmoid;
                    let d = *d_up;
                    *d_up = d * activated;
                    *d_gate = d * u * (sigmoid + activated * (1.0 - sigmoid) * slope);
                }
            },
        );
    });
}

struct Gated {
    activation: Activation,
}

impl CustomOp2 for Gated {
    fn name(&self) -> &'static str {
        "gated activation"
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
        activate(self.activation, gate, up, &mut y);
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
                gradients(self.activation, gate, up, &mut d_gate, &mut d_up);
                Ok(())
            })
        })?;
        let d_gate = Tensor::from_vec(d_gate, gate.shape(), gate.device())?;
        let d_up = Tensor::from_vec(d_up, up.shape(), up.device())?;
        Ok((Some(d_gate), Some(d_up)))
    }
}
