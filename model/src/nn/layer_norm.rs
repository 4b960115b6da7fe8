//! Layer normalisation (Ba, Kiros and Hinton 2016).

use candle_core::{D, Tensor};

use super::{Decay, Initial, Parameters};
use crate::Result;

/// `(x − mean) / √(variance + ε) · weight + bias` over the last dimension, of candle's primitives, since its fused one has no backward.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    /// One for rows of `width` values: the parameters `{name}.weight`, at first one, and `{name}.bias`, at first zero.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn new(parameters: &mut Parameters, name: &str, width: usize, epsilon: f64) -> Result<Self> {
        let mut vector =
            |part: &str, initial| parameters.create(&format!("{name}.{part}"), width, initial, Decay::Exempt);
        Ok(LayerNorm {
            weight: vector("weight", Initial::Ones)?,
            bias: vector("bias", Initial::Zeros)?,
            epsilon,
        })
    }

    /// The normalised rows, in the shape of `x`, `(…, width)`. The variance is that of the row itself, not an estimate from it.
    ///
    /// # Errors
    /// Rows of another width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normal = centred.broadcast_div(&(variance + self.epsilon)?.sqrt()?)?;
        Ok(normal.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)?)
    }
}
