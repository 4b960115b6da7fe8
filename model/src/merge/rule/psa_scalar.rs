//! `psa_scalar`: the sum of the updates by weights times the one number that brings it nearest to SharpRec's map of it.
//!
//! In each module it is `c Δ` with `c = ⟨map(Δ), Δ⟩ / ⟨Δ, Δ⟩`, Δ the sum: the map's best fit by a scalar, without its noise, which is
//! independent of Δ. What `psa` does better than this it owes to more than a larger update. Exact in the factors; to find c, the module's
//! updates are made dense.

use serde::{Deserialize, Serialize};

use super::psa::Map;
use super::{Coefficients, Merging, Method};
use crate::Result;
use crate::merge::align::Site;
use crate::merge::matrix::Matrix;
use crate::merge::space::dense;

/// The settings of `psa_scalar`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PsaScalar {
    /// The map that is fitted.
    #[serde(flatten)]
    pub map: Map,
}

impl Merging for PsaScalar {
    fn method(&self) -> Method<'_> {
        Method::Sum(self)
    }

    /// The sum, and an update as it is multiplied and as it is laid out.
    fn holds(&self, _: &Site, entries: usize) -> usize {
        3 * entries
    }

    fn check(&self, _: usize) -> Result<()> {
        self.map.check()
    }
}

impl Coefficients for PsaScalar {
    fn coefficients(&self, site: &Site, weights: &[f64]) -> Result<Vec<f64>> {
        let mut sum = Matrix::zeros(site.shape.0, site.shape.1);
        for (factors, weight) in site.factors.iter().zip(weights) {
            if factors.is_some() {
                sum.add(&dense::update(site, *factors)?, *weight);
            }
        }
        let values = || sum.values.iter();
        let own: f64 = values().map(|value| value * value).sum();
        let mapped: f64 = values().map(|value| value * self.map.of(*value)).sum();
        let scale = if own > 0.0 { mapped / own } else { 1.0 };
        Ok(weights.iter().map(|weight| scale * weight).collect())
    }

    fn are_given(&self) -> bool {
        false
    }
}
