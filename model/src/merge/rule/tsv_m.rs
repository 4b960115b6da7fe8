//! `tsv_m`: the leading singular directions of each update, those of all made orthogonal (Gargiulo et al., arXiv 2412.00081).
//!
//! Of each update the first ⌊k/n⌋ triplets, k the smaller side of the layer and n the number of members, or as many as its rank is;
//! the U of all side by side, and the V, are put in place of their polar factors. It goes by singular values alone, so the cores give what
//! the updates would. Directions that an update does not have take no part.

use serde::{Deserialize, Serialize};

use super::{Inputs, Matrices, Merging, Method};
use crate::Result;
use crate::merge::matrix::{Matrix, beside, columns_times, polar, svd};
use crate::merge::setting::Setting;
use crate::merge::space::Space;

/// The settings of `tsv_m`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TsvM {
    /// What the merged update is multiplied with.
    pub lambda: Setting,
}

impl Default for TsvM {
    fn default() -> Self {
        TsvM { lambda: 1.0.into() }
    }
}

impl Merging for TsvM {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Core, self)
    }

    fn averages(&self) -> bool {
        true
    }
}

impl Matrices for TsvM {
    fn merge(&self, inputs: Inputs) -> Result<Matrix> {
        let (out, input) = inputs.site.shape;
        let each = (out.min(input) / inputs.matrices.len().max(1)).max(1);
        let (mut left, mut right, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (matrix, weight) in inputs.matrices.iter().zip(&inputs.weights) {
            let parts = svd(matrix.view())?;
            let kept = each.min(parts.values.len());
            left.push(parts.left.subcols(0, kept).to_owned());
            right.push(parts.right.subcols(0, kept).to_owned());
            values.extend(parts.values[..kept].iter().map(|value| value * weight));
        }
        let (left, right) = (polar(beside(&left).as_ref())?, polar(beside(&right).as_ref())?);
        let mut merged =
            Matrix::of_view((columns_times(left.as_ref(), &values) * right.transpose()).as_ref());
        merged.scale(inputs.site.shared("lambda", &self.lambda)?);
        Ok(merged)
    }
}
