//! `svd`: the sum of the updates by weights, cut to the largest rank of a member or to that which the recipe names, as PEFT has it; from
//! the factors.

use serde::{Deserialize, Serialize};

use super::{Coefficients, Merging, Method};
use crate::Result;
use crate::merge::align::Site;

/// `svd` has no settings but the recipe's rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Svd {}

impl Merging for Svd {
    fn method(&self) -> Method<'_> {
        Method::Sum(self)
    }

    fn keeps_largest_rank(&self) -> bool {
        true
    }
}

impl Coefficients for Svd {
    fn coefficients(&self, _: &Site, weights: &[f64]) -> Result<Vec<f64>> {
        Ok(weights.to_vec())
    }
}
