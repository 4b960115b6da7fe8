//! A linear map that is trained whole.

use candle_core::Tensor;

use super::{Decay, Initial, Parameters};
use crate::Result;
use crate::op;

/// `x Wᵀ + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// A map from `input` to `out` values: the parameters `{name}.weight`, `(out, input)`, and `{name}.bias`, at first zero.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        (out, input): (usize, usize),
        initial: Initial,
    ) -> Result<Self> {
        let weight = format!("{name}.weight");
        Ok(Linear {
            weight: parameters.create(&weight, (out, input), initial, Decay::Decayed)?,
            bias: parameters.create(&format!("{name}.bias"), out, Initial::Zeros, Decay::Exempt)?,
        })
    }

    /// From `(rows, input)` to `(rows, out)`.
    ///
    /// # Errors
    /// Rows of another width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(op::linear(x, &self.weight, None)?.broadcast_add(&self.bias)?)
    }
}
