//! The linear map of a projection, with its low-rank update.

use candle_core::{DType, Result, Tensor, bail};

use super::dropout::mask;
use super::known::known;
use crate::op::linear::LoraFactors;
use crate::op::matrix::Matrix;

/// `x Wᵀ + bias`, plus `scale · dropout(x) Aᵀ Bᵀ` where `lora` is given; as [`crate::op::linear()`], in the type of `x`.
pub(in crate::op) fn linear(
    x: &Tensor,
    weight: &Matrix,
    bias: Option<&Tensor>,
    lora: Option<&LoraFactors>,
) -> Result<Tensor> {
    let input = x.detach();
    let unpacked = weight.unpacked(x.device(), x.dtype())?;
    let mut value = input.matmul(&unpacked.t()?)?;
    drop(unpacked);
    if let Some(bias) = bias {
        value = value.broadcast_add(&bias.detach().to_dtype(x.dtype())?)?;
    }
    let Some(lora) = lora else {
        return plain(x, weight, value);
    };
    if weight.is_variable() {
        bail!("linear: a weight that is trained itself carries no low-rank update");
    }
    let update = Update::new(&input, lora)?;
    let h = update.masked(&input)?.matmul(&update.a.t()?)?;
    value = (value + (h.matmul(&update.b.t()?)? * update.scale)?)?;
    let (weight, for_x) = (weight.clone(), x.track_op());
    let types = (lora.a.dtype(), lora.b.dtype());
    known("linear with lora", &[x, &lora.a, &lora.b], value, move |g| {
        let (dh, db) = update.up_gradients(g, &h)?;
        let da = dh.t()?.matmul(&update.masked(&input)?)?;
        let dx = match for_x {
            false => None,
            true => {
                let through = update.masked(&dh.matmul(&update.a)?)?;
                let weight = weight.unpacked(g.device(), g.dtype())?;
                Some((g.matmul(&weight)? + through)?)
            }
        };
        Ok(vec![dx, Some(da.to_dtype(types.0)?), Some(db.to_dtype(types.1)?)])
    })
}

/// A value without an update, as a function of the input and of the weight where that is trained.
fn plain(x: &Tensor, weight: &Matrix, value: Tensor) -> Result<Tensor> {
    let (matrix, for_x) = (weight.clone(), x.track_op());
    let dx = move |g: &Tensor| match for_x {
        false => Ok(None),
        true => g.matmul(&matrix.unpacked(g.device(), g.dtype())?).map(Some),
    };
    match weight {
        Matrix::Values(weight) if weight.is_variable() => {
            let (input, dtype) = (x.detach(), weight.dtype());
            known("linear", &[x, weight], value, move |g| {
                let dw = g.t()?.matmul(&input)?.to_dtype(dtype)?;
                Ok(vec![dx(g)?, Some(dw)])
            })
        }
        _ => known("linear", &[x], value, move |g| Ok(vec![dx(g)?])),
    }
}

/// The factors of an update in the type of the activations, and its mask.
struct Update {
    a: Tensor,
    b: Tensor,
    scale: f64,
    mask: Option<Tensor>,
}

impl Update {
    fn new(x: &Tensor, lora: &LoraFactors) -> Result<Self> {
        let dtype: DType = x.dtype();
        let mask = match lora.dropout {
            None => None,
            Some((p, key)) => Some(mask(x.dims2()?, p, key, dtype, x.device())?),
        };
        Ok(Update {
            a: lora.a.detach().to_dtype(dtype)?,
            b: lora.b.detach().to_dtype(dtype)?,
            scale: lora.scale,
            mask,
        })
    }

    fn masked(&self, x: &Tensor) -> Result<Tensor> {
        match &self.mask {
            None => Ok(x.clone()),
            Some(mask) => x * mask,
        }
    }

    /// The gradient that reaches the rank-sized activations, and that of B.
    fn up_gradients(&self, g: &Tensor, h: &Tensor) -> Result<(Tensor, Tensor)> {
        let dh = (g.matmul(&self.b)? * self.scale)?;
        let db = (g.t()?.matmul(h)? * self.scale)?;
        Ok((dh, db))
    }
}
