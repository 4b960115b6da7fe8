//! Norm, rotation and gated activation.

use candle_core::{D, DType, Device, Result, Tensor, bail};

use super::known::known;
use crate::op::gated::{Activation, CUBIC, SLOPE};
use crate::op::rope::RopeTable;

/// `x / √(mean(x²) + eps) · weight` over the last dimension.
pub(in crate::op) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let (input, scale) = (x.detach(), weight.detach().to_dtype(DType::F32)?);
    let wide = input.to_dtype(DType::F32)?;
    let inverse = (wide.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?.recip()?;
    let value = wide
        .broadcast_mul(&inverse)?
        .broadcast_mul(&scale)?
        .to_dtype(x.dtype())?;
    let (for_x, for_weight) = (x.track_op(), weight.is_variable());
    let weight_type = weight.dtype();
    known("rms norm", &[x, weight], value, move |g| {
        let normed = input.to_dtype(DType::F32)?.broadcast_mul(&inverse)?;
        let g = g.to_dtype(DType::F32)?;
        let dx = match for_x {
            false => None,
            true => {
                let scaled = g.broadcast_mul(&scale)?;
                let along = (&scaled * &normed)?.mean_keepdim(D::Minus1)?;
                let across = (scaled - normed.broadcast_mul(&along)?)?;
                Some(across.broadcast_mul(&inverse)?.to_dtype(input.dtype())?)
            }
        };
        let dw = match for_weight {
            false => None,
            true => {
                let width = normed.dim(D::Minus1)?;
                let sum = (g * normed)?.reshape(((), width))?.sum(0)?;
                Some(sum.to_dtype(weight_type)?)
            }
        };
        Ok(vec![dx, dw])
    })
}

/// Cosines and sines of the rows' rotations, `(rows, 1, 1, half a head)` each.
pub(super) struct Angles {
    cos: Tensor,
    sin: Tensor,
}

impl Angles {
    pub fn new(table: &RopeTable, device: &Device, dtype: DType) -> Result<Self> {
        let half = table.half;
        let tensor = |values: &[f32]| {
            Tensor::from_slice(values, (values.len() / half, 1, 1, half), device)?.to_dtype(dtype)
        };
        Ok(Angles {
            cos: tensor(&table.cos)?,
            sin: tensor(&table.sin)?,
        })
    }
}

/// Rotates each head of `x`, `(rows, heads · head width)`.
pub(super) fn rope(x: &Tensor, angles: &Angles) -> Result<Tensor> {
    let (cos, sin) = (angles.cos.clone(), angles.sin.clone());
    let value = turned(&x.detach(), &cos, &sin)?;
    // Backward is the transpose of forward: the rotation back.
    known("rope", &[x], value, move |g| {
        Ok(vec![Some(turned(g, &cos, &sin.neg()?)?)])
    })
}

fn turned(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let ((rows, width), (known_rows, _, _, half)) = (x.dims2()?, cos.dims4()?);
    if rows != known_rows || !width.is_multiple_of(2 * half) {
        bail!("rope: {rows} rows of width {width} do not fit a table for {known_rows} rows of {half}");
    }
    let halves = x.reshape((rows, width / (2 * half), 2, half))?;
    let (first, second) = (halves.narrow(2, 0, 1)?, halves.narrow(2, 1, 1)?);
    let turned_first = (first.broadcast_mul(cos)? - second.broadcast_mul(sin)?)?;
    let turned_second = (second.broadcast_mul(cos)? + first.broadcast_mul(sin)?)?;
    Tensor::cat(&[turned_first, turned_second], 2)?.reshape((rows, width))
}

/// `activation(gate) · up`, element by element.
pub(in crate::op) fn gated(activation: Activation, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let (gate_values, up_values) = (gate.detach(), up.detach());
    let value = {
        let wide = gate_values.to_dtype(DType::F32)?;
        let activated = (&wide * sigmoid(&inner(activation, &wide)?)?)?;
        (activated * up_values.to_dtype(DType::F32)?)?.to_dtype(gate.dtype())?
    };
    known("gated activation", &[gate, up], value, move |g| {
        let (gate, up) = (gate_values.to_dtype(DType::F32)?, up_values.to_dtype(DType::F32)?);
        let (g, sigmoid) = (g.to_dtype(DType::F32)?, sigmoid(&inner(activation, &gate)?)?);
        let activated = (&gate * &sigmoid)?;
        let d_up = (&g * &activated)?.to_dtype(up_values.dtype())?;
        let mut bend = (activated * (1.0 - &sigmoid)?)?;
        if activation == Activation::Gelu {
            let cubic = f64::from(3.0 * CUBIC);
            let slope = ((gate.sqr()? * cubic)? + 1.0)?;
            bend = ((bend * slope)? * f64::from(SLOPE))?;
        }
        let d_gate = ((g * up)? * (sigmoid + bend)?)?.to_dtype(gate_values.dtype())?;
        Ok(vec![Some(d_gate), Some(d_up)])
    })
}

/// What stands inside the sigmoid.
fn inner(activation: Activation, gate: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Silu => Ok(gate.clone()),
        Activation::Gelu => {
            let bent = ((gate.sqr()? * f64::from(CUBIC))? + 1.0)?;
            (gate * bent)? * f64::from(SLOPE)
        }
    }
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}
