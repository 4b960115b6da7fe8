//! `emr`: elect, mask, rescale (EMR-Merging, Huang et al., arXiv 2405.17461).
//!
//! Elected is in each place the sign of the sum, with the largest magnitude of those that have this sign: one update for all. The method
//! keeps beside it what is each member's own, a mask of the places where the member has the elected sign and a number that makes the
//! masked update as large, in the sum of magnitudes over the whole model, as the member's. Which member's the inputs are must be known
//! when it is used, so that an adapter can be that of one: `target` says of which, and without it the result is the elected update.

use serde::{Deserialize, Serialize};

use super::consensus::each_entry;
use super::{Inputs, Matrices, Merging, Method, WEIGHT, place_of_target};
use crate::Result;
use crate::merge::align::Aligned;
use crate::merge::matrix::Matrix;
use crate::merge::setting::Setting;
use crate::merge::space::{Space, dense};

/// The settings of `emr`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Emr {
    /// The member whose mask and scale the update gets, by its number from 1 among those of a weight; none: neither.
    pub target: Option<usize>,
    /// What the merged update is multiplied with.
    pub lambda: Setting,
}

impl Default for Emr {
    fn default() -> Self {
        Emr {
            target: None,
            lambda: 1.0.into(),
        }
    }
}

impl Merging for Emr {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Dense, self)
    }

    fn averages(&self) -> bool {
        true
    }

    fn over_all(&self, members: &Aligned) -> Result<Option<Vec<f64>>> {
        let Some(target) = self.target else {
            return Ok(None);
        };
        let count = members.members().len();
        let target = place_of_target(target, count)?;
        let (mut own, mut masked) = (0.0, 0.0);
        for site in members.sites() {
            let mut updates = Vec::with_capacity(count);
            for (member, factors) in site.factors.iter().enumerate() {
                let mut update = dense::update(&site, *factors)?;
                update.scale(site.setting(member, WEIGHT, &1.0.into())?);
                updates.push(update);
            }
            own += updates[target].absolute();
            masked += each_entry(updates, |values| masked_to(elected(values), values[target])).absolute();
        }
        let mut scales = vec![1.0; count];
        if masked > 0.0 {
            scales[target] = own / masked;
        }
        Ok(Some(scales))
    }

    fn passes(&self, _: usize) -> usize {
        usize::from(self.target.is_some())
    }

    fn check(&self, members: usize) -> Result<()> {
        match self.target {
            Some(target) => place_of_target(target, members).map(|_| ()),
            None => Ok(()),
        }
    }
}

impl Matrices for Emr {
    fn merge(&self, mut inputs: Inputs) -> Result<Matrix> {
        let mut lambda = inputs.site.shared("lambda", &self.lambda)?;
        for (matrix, weight) in inputs.matrices.iter_mut().zip(&inputs.weights) {
            matrix.scale(*weight);
        }
        let Some(target) = self.target else {
            return Ok(each_entry(inputs.matrices, |values| lambda * elected(values)));
        };
        let target = place_of_target(target, inputs.matrices.len())?;
        if let Some(scale) = inputs.over_all.and_then(|all| all.get(target)) {
            lambda *= scale;
        }
        Ok(each_entry(inputs.matrices, |values| {
            lambda * masked_to(elected(values), values[target])
        }))
    }
}

/// The largest of the values that have the sign of their sum.
fn elected(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    // As in the authors' code an even vote is negative.
    match sum > 0.0 {
        true => values.iter().copied().fold(0.0, f64::max),
        false => values.iter().copied().fold(0.0, f64::min),
    }
}

fn masked_to(elected: f64, own: f64) -> f64 {
    match elected * own > 0.0 {
        true => elected,
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_the_elected_sign_is_elected() {
        assert_eq!(elected(&[1.0, 3.0, -2.0]), 3.0);
        assert_eq!(elected(&[1.0, -3.0, -2.0]), -3.0);
        assert_eq!(elected(&[2.0, -2.0]), -2.0);
        assert_eq!(elected(&[0.0, 0.0]), 0.0);
        assert_eq!(
            [masked_to(3.0, 0.1), masked_to(3.0, -0.1), masked_to(3.0, 0.0)],
            [3.0, 0.0, 0.0]
        );
    }
}
