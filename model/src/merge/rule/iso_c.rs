//! `iso_c`: the sum of the updates with all its singular values put to their mean (Marczak et al., arXiv 2502.04959).
//!
//! The paper takes the mean over all min(out, in) values of a dense sum. A sum of low ranks has no others than its R, and the mean here is
//! over those: over all, the update would fade with the width of the layer.

use serde::{Deserialize, Serialize};

use super::{Inputs, Matrices, Merging, Method};
use crate::Result;
use crate::merge::matrix::{Matrix, columns_times, svd};
use crate::merge::setting::Setting;
use crate::merge::space::Space;

/// The settings of `iso_c`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IsoC {
    /// What the merged update is multiplied with.
    pub lambda: Setting,
}

impl Default for IsoC {
    fn default() -> Self {
        IsoC { lambda: 1.0.into() }
    }
}

impl Merging for IsoC {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Core, self)
    }

    fn averages(&self) -> bool {
        true
    }
}

impl Matrices for IsoC {
    fn merge(&self, inputs: Inputs) -> Result<Matrix> {
        let sum = super::consensus::sum(inputs.matrices, &inputs.weights);
        let parts = svd(sum.view())?;
        let count = parts.values.len();
        let mean = parts.values.iter().sum::<f64>() / count.max(1) as f64;
        let equal = columns_times(parts.left.as_ref(), &vec![mean; count]);
        let mut merged = match count {
            0 => sum,
            _ => Matrix::of_view((equal * parts.right.transpose()).as_ref()),
        };
        merged.scale(inputs.site.shared("lambda", &self.lambda)?);
        Ok(merged)
    }
}
