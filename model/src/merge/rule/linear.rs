//! `linear`: the mean of the updates by weights. In the flavour `peft` that of the factors, which has cross terms and is another thing.

use serde::{Deserialize, Serialize};

use super::{Coefficients, Flavor, Inputs, Matrices, Merging, Method, consensus};
use crate::merge::align::Site;
use crate::merge::matrix::Matrix;
use crate::merge::space::Space;
use crate::{Error, Result};

/// The settings of `linear`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Linear {
    /// Whose computation: mergekit's of the updates, or PEFT's of the factors.
    pub flavor: Flavor,
    /// Whether the sum is divided by the sum of the weights; mergekit's alone.
    pub normalize: bool,
}

impl Default for Linear {
    fn default() -> Self {
        Linear {
            flavor: Flavor::Mergekit,
            normalize: true,
        }
    }
}

impl Merging for Linear {
    fn method(&self) -> Method<'_> {
        match self.flavor {
            Flavor::Peft => Method::Matrices(Space::Factors, self),
            _ => Method::Sum(self),
        }
    }

    fn averages(&self) -> bool {
        self.normalize && self.flavor != Flavor::Peft
    }

    fn keeps_largest_rank(&self) -> bool {
        self.flavor == Flavor::Peft
    }
}

impl Coefficients for Linear {
    fn coefficients(&self, _: &Site, weights: &[f64]) -> Result<Vec<f64>> {
        let sum: f64 = if self.normalize { weights.iter().sum() } else { 1.0 };
        if sum.abs() < 1e-12 {
            return Err(Error::Merge(
                "the weights sum to 0, by which nothing is divided; give normalize: false or task_arithmetic"
                    .into(),
            ));
        }
        Ok(weights.iter().map(|weight| weight / sum).collect())
    }
}

impl Matrices for Linear {
    fn merge(&self, inputs: Inputs) -> Result<Matrix> {
        Ok(consensus::sum(inputs.matrices, &inputs.weights))
    }
}
