//! A linear map that is trained whole.

use candle_core::Tensor;

use super::{Decay, Initial, Parameters};
use crate::op::{self, Nonlinearity};
use crate::{Error, Result};

/// `x Wᵀ + b`, or `x Wᵀ` alone.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
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
            bias: Some(parameters.create(&format!("{name}.bias"), out, Initial::Zeros, Decay::Exempt)?),
        })
    }

    /// The same without a bias: for maps that have none, and where one would change nothing and so never learn, as that of the keys of an
    /// attention.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn without_bias(
        parameters: &mut Parameters,
        name: &str,
        (out, input): (usize, usize),
        initial: Initial,
    ) -> Result<Self> {
        let weight = format!("{name}.weight");
        Ok(Linear {
            weight: parameters.create(&weight, (out, input), initial, Decay::Decayed)?,
            bias: None,
        })
    }

    /// From `(rows, input)` to `(rows, out)`.
    ///
    /// # Errors
    /// Rows of another width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let product = op::linear(x, &self.weight, None)?;
        match &self.bias {
            None => Ok(product),
            Some(bias) => Ok(op::biased(&product, bias, Nonlinearity::Identity)?),
        }
    }

    /// The same, and what follows it in one visit.
    ///
    /// # Errors
    /// Rows of another width, and a map without a bias.
    pub fn forward_then(&self, x: &Tensor, nonlinearity: Nonlinearity) -> Result<Tensor> {
        let Some(bias) = &self.bias else {
            return Err(Error::Usage(
                "a map without a bias has nothing that could follow it".into(),
            ));
        };
        Ok(op::biased(
            &op::linear(x, &self.weight, None)?,
            bias,
            nonlinearity,
        )?)
    }
}
