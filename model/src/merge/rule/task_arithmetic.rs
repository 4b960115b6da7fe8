//! `task_arithmetic`: λ times the sum of the updates by weights (Ilharco et al., arXiv 2212.04089).

use serde::{Deserialize, Serialize};

use super::{Coefficients, Merging, Method};
use crate::Result;
use crate::merge::align::Site;
use crate::merge::setting::Setting;

/// The settings of `task_arithmetic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskArithmetic {
    /// What the sum is multiplied with.
    pub lambda: Setting,
    /// Whether the sum is divided by the sum of the weights.
    pub normalize: bool,
    /// How mergekit stores masks, which changes nothing here.
    pub int8_mask: bool,
}

impl Default for TaskArithmetic {
    fn default() -> Self {
        TaskArithmetic {
            lambda: 1.0.into(),
            normalize: false,
            int8_mask: false,
        }
    }
}

impl Merging for TaskArithmetic {
    fn method(&self) -> Method<'_> {
        Method::Sum(self)
    }

    fn averages(&self) -> bool {
        self.normalize
    }
}

impl Coefficients for TaskArithmetic {
    fn coefficients(&self, site: &Site, weights: &[f64]) -> Result<Vec<f64>> {
        let lambda = site.shared("lambda", &self.lambda)?;
        let sum: f64 = weights.iter().sum();
        // As in mergekit: weights that cancel are not divided by.
        let divisor = if self.normalize && sum.abs() >= 1e-8 {
            sum
        } else {
            1.0
        };
        Ok(weights.iter().map(|weight| lambda * weight / divisor).collect())
    }
}
