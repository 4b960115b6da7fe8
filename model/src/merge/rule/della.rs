//! `della`: random entries, likelier the larger in their row, of these those of the elected sign (Deep et al., arXiv
//! 2406.11617).

use serde::{Deserialize, Serialize};

use super::sparse::drop_by_rank;
use super::{Flavor, Inputs, Matrices, Merging, Method, Sparse, WEIGHT, consensus, within};
use crate::Result;
use crate::merge::matrix::Matrix;
use crate::merge::setting::Setting;
use crate::merge::space::Space;

/// The settings of `della`, which is mergekit's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Della {
    /// How far the chance to stay goes from the density, up for the largest of a row and down for the smallest.
    pub epsilon: Setting,
    /// The rest.
    #[serde(flatten)]
    pub sparse: Sparse,
}

impl Default for Della {
    fn default() -> Self {
        Della {
            epsilon: 0.15.into(),
            sparse: Sparse::default(),
        }
    }
}

impl Merging for Della {
    fn method(&self) -> Method<'_> {
        Method::Matrices(self.sparse.space.unwrap_or(Space::Dense), self)
    }

    fn own_settings(&self) -> &'static [&'static str] {
        &[WEIGHT, "density", "epsilon"]
    }

    fn averages(&self) -> bool {
        self.sparse.normalize.unwrap_or(true)
    }

    fn check(&self, _: usize) -> Result<()> {
        within("epsilon", &self.epsilon, 0.0..=1.0)?;
        self.sparse.check(Flavor::Mergekit)
    }
}

impl Matrices for Della {
    fn merge(&self, mut inputs: Inputs) -> Result<Matrix> {
        drop_by_rank(&mut inputs, &self.sparse, &self.epsilon, "della")?;
        let lambda = self.sparse.lambda_at(&inputs)?;
        let normalize = self.sparse.normalize.unwrap_or(true);
        let mut merged = consensus::mergekit(inputs.matrices, &inputs.weights, true, normalize);
        merged.scale(lambda);
        Ok(merged)
    }
}
