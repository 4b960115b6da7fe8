//! `fedecider`: the updates' directions, weighed, as long as one member's update (FeDecider, one shot).
//!
//! In each module `m_T Σ_i w_i τ_i/‖τ_i‖`, m_T the norm of the target's update there: what a member's length says, of its scale or of how
//! long it was trained, has no part in it. The method learns the weights on the target's training prompts; here they are given, and
//! equal where none are. All from the factors, and exact in them.

use serde::{Deserialize, Serialize};

use super::{Coefficients, Merging, Method, inner_products, place_of_target};
use crate::Result;
use crate::merge::align::Site;

/// The settings of `fedecider`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fedecider {
    /// The member whose length the result has, by its number from 1 among those of a weight.
    pub target: usize,
}

impl Default for Fedecider {
    fn default() -> Self {
        Fedecider { target: 1 }
    }
}

impl Merging for Fedecider {
    fn method(&self) -> Method<'_> {
        Method::Sum(self)
    }

    fn check(&self, members: usize) -> Result<()> {
        place_of_target(self.target, members).map(|_| ())
    }
}

impl Coefficients for Fedecider {
    fn coefficients(&self, site: &Site, weights: &[f64]) -> Result<Vec<f64>> {
        let target = place_of_target(self.target, weights.len())?;
        let products = inner_products(site)?;
        let norm = |member: usize| products[member][member].max(0.0).sqrt();
        let length = norm(target);
        let coefficient = |(member, weight): (usize, &f64)| match norm(member) {
            // The target's own is taken as it is: with its weight alone the result is the target to the last bit.
            _ if member == target => *weight,
            0.0 => 0.0,
            own => weight * length / own,
        };
        Ok(weights.iter().enumerate().map(coefficient).collect())
    }

    fn are_given(&self) -> bool {
        false
    }
}
