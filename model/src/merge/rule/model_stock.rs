//! `model_stock`: the mean, the shorter the less the updates agree: `n c̄ / (1 + (n−1) c̄)` times it, c̄ the mean cosine of two updates
//! (Jang et al., arXiv 2403.19522).

use serde::{Deserialize, Serialize};

use super::{Coefficients, Merging, Method, inner_products};
use crate::merge::align::Site;
use crate::{Error, Result};

/// `model_stock` has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelStock {}

impl Merging for ModelStock {
    fn method(&self) -> Method<'_> {
        Method::Sum(self)
    }

    fn own_settings(&self) -> &'static [&'static str] {
        &[]
    }

    fn check(&self, members: usize) -> Result<()> {
        match members {
            0 | 1 => Err(Error::Merge(
                "model_stock goes by the angles between adapters; give at least two".into(),
            )),
            _ => Ok(()),
        }
    }
}

impl Coefficients for ModelStock {
    fn coefficients(&self, site: &Site, weights: &[f64]) -> Result<Vec<f64>> {
        let count = weights.len();
        let products = inner_products(site)?;
        let mut sum = 0.0;
        for i in 0..count {
            for j in i + 1..count {
                let norms = (products[i][i].max(0.0) * products[j][j].max(0.0)).sqrt();
                sum += (products[i][j] / norms.max(1e-6)).clamp(-1.0, 1.0);
            }
        }
        let n = count as f64;
        let cosine = sum / (n * (n - 1.0) / 2.0);
        let divisor = 1.0 + (n - 1.0) * cosine;
        // Where updates cancel there is no estimate, and the base stays as it is.
        let share = if divisor.abs() < 1e-6 {
            0.0
        } else {
            n * cosine / divisor
        };
        Ok(vec![share / n; count])
    }

    fn are_given(&self) -> bool {
        false
    }
}
