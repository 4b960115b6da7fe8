//! `iso_cts`: as `iso_c`, with directions of each member beside those that they share (Marczak et al., arXiv 2502.04959).
//!
//! A share of the sum's R directions is kept as common; the others are given, as many to each member, to the leading directions of what
//! its update has outside of the common ones. All are made orthogonal, and all singular values are put to their mean. The paper counts
//! min(out, in) directions, here it is the R that there are.

use serde::{Deserialize, Serialize};

use super::{Inputs, Matrices, Merging, Method, within};
use crate::Result;
use crate::merge::matrix::{Matrix, beside, columns_times, polar, svd};
use crate::merge::setting::Setting;
use crate::merge::space::Space;

/// The settings of `iso_cts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IsoCts {
    /// Share of the directions that is common.
    pub common_space_fraction: Setting,
    /// What the merged update is multiplied with.
    pub lambda: Setting,
}

impl Default for IsoCts {
    fn default() -> Self {
        IsoCts {
            common_space_fraction: 0.8.into(),
            lambda: 1.0.into(),
        }
    }
}

impl Merging for IsoCts {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Core, self)
    }

    fn averages(&self) -> bool {
        true
    }

    fn check(&self, _: usize) -> Result<()> {
        within("common_space_fraction", &self.common_space_fraction, 0.0..=1.0)
    }
}

impl Matrices for IsoCts {
    fn merge(&self, inputs: Inputs) -> Result<Matrix> {
        let fraction = inputs
            .site
            .shared("common_space_fraction", &self.common_space_fraction)?;
        let lambda = inputs.site.shared("lambda", &self.lambda)?;
        let members = inputs.matrices.len();
        let sum = super::consensus::sum(inputs.matrices.clone(), &inputs.weights);
        let whole = svd(sum.view())?;
        let rank = whole.values.len();
        if rank == 0 {
            return Ok(sum);
        }
        let (common, own) = split(rank, fraction, members);
        let shared = whole.left.subcols(0, common);
        let mut left = vec![shared.to_owned()];
        let mut right = vec![whole.right.subcols(0, common).to_owned()];
        let mut values = whole.values[..common].to_vec();
        for (matrix, weight) in inputs.matrices.iter().zip(&inputs.weights) {
            let mut matrix = matrix.clone();
            matrix.scale(*weight);
            let rest = matrix.view() - shared * (shared.transpose() * matrix.view());
            let parts = svd(rest.as_ref())?;
            let kept = own.min(parts.values.len());
            left.push(parts.left.subcols(0, kept).to_owned());
            right.push(parts.right.subcols(0, kept).to_owned());
            values.extend(&parts.values[..kept]);
        }
        let (left, right) = (polar(beside(&left).as_ref())?, polar(beside(&right).as_ref())?);
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let equal = columns_times(left.as_ref(), &vec![mean; values.len()]);
        let mut merged = Matrix::of_view((equal * right.transpose()).as_ref());
        merged.scale(lambda);
        Ok(merged)
    }
}

/// How many directions are common, and how many each member has for itself: as many for all.
fn split(rank: usize, fraction: f64, members: usize) -> (usize, usize) {
    let common = (rank as f64 * fraction) as usize;
    let each = ((rank - common) as f64 / members.max(1) as f64).round_ties_even() as usize;
    let each = each.min(rank / members.max(1));
    (rank - each * members, each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_common_is_divided_evenly() {
        assert_eq!(split(20, 0.8, 2), (16, 2));
        assert_eq!(split(6, 0.8, 2), (4, 1));
        assert_eq!(split(6, 1.0, 3), (6, 0));
        assert_eq!(split(4, 0.0, 3), (1, 1));
    }
}
