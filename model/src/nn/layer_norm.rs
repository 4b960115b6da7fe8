//! Layer normalisation (Ba, Kiros and Hinton 2016).

use candle_core::Tensor;

use super::{Decay, Initial, Parameters};
use crate::Result;
use crate::op;

/// `(x − mean) / √(variance + ε) · weight + bias` over the last dimension.
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
        Ok(op::layer_norm(x, &self.weight, &self.bias, self.epsilon)?)
    }
}
