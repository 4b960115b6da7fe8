//! `magnitude_prune`: the largest entries of each, added up, as PEFT has it: of the factors, or of the updates with `space: dense`.

use serde::{Deserialize, Serialize};

use super::sparse::keep_largest;
use super::ties::needs_density;
use super::{Flavor, Inputs, Matrices, Merging, Method, Sparse, consensus};
use crate::Result;
use crate::merge::matrix::Matrix;
use crate::merge::space::Space;

/// The settings of `magnitude_prune`, which is PEFT's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MagnitudePrune {
    /// The settings.
    #[serde(flatten)]
    pub sparse: Sparse,
}

impl Merging for MagnitudePrune {
    fn method(&self) -> Method<'_> {
        Method::Matrices(self.sparse.space.unwrap_or(Space::Factors), self)
    }

    fn keeps_largest_rank(&self) -> bool {
        true
    }

    fn check(&self, _: usize) -> Result<()> {
        self.sparse.check(Flavor::Peft)?;
        needs_density(&self.sparse)
    }
}

impl Matrices for MagnitudePrune {
    fn merge(&self, mut inputs: Inputs) -> Result<Matrix> {
        for place in 0..inputs.matrices.len() {
            let density = self.sparse.density_of(&inputs, place, 1.0)?;
            let matrix = &mut inputs.matrices[place];
            keep_largest(matrix, (density * matrix.values.len() as f64) as usize);
        }
        let lambda = self.sparse.lambda_at(&inputs)?;
        let mut merged = consensus::sum(inputs.matrices, &inputs.weights);
        merged.scale(lambda);
        Ok(merged)
    }
}
