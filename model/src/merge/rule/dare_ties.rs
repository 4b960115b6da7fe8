//! `dare_ties`: random entries of each update, made larger for those that go, of these those of the elected sign (Yu et al., arXiv 2311.03099).
//!
//! mergekit makes them larger until the sum of magnitudes is what it was; PEFT and the paper divide by the density, which does so on
//! average.

use serde::{Deserialize, Serialize};

use super::sparse::drop_random;
use super::ties::needs_density;
use super::{Election, Flavor, Inputs, Matrices, Merging, Method, Sparse, WEIGHT, consensus};
use crate::Result;
use crate::merge::matrix::Matrix;
use crate::merge::space::Space;

/// The settings of `dare_ties`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DareTies {
    /// Whose computation.
    pub flavor: Flavor,
    /// How signs are elected, other than in mergekit's.
    pub majority_sign_method: Election,
    /// The rest.
    #[serde(flatten)]
    pub sparse: Sparse,
}

impl Merging for DareTies {
    fn method(&self) -> Method<'_> {
        let usual = match self.flavor {
            Flavor::Peft => Space::Factors,
            _ => Space::Dense,
        };
        Method::Matrices(self.sparse.space.unwrap_or(usual), self)
    }

    fn own_settings(&self) -> &'static [&'static str] {
        match self.flavor {
            Flavor::Mergekit => &[WEIGHT, "density"],
            _ => &[WEIGHT],
        }
    }

    fn averages(&self) -> bool {
        self.flavor != Flavor::Mergekit || self.sparse.normalize == Some(true)
    }

    fn keeps_largest_rank(&self) -> bool {
        self.flavor == Flavor::Peft
    }

    fn check(&self, _: usize) -> Result<()> {
        self.sparse.check(self.flavor)?;
        match self.flavor {
            Flavor::Mergekit => Ok(()),
            _ => needs_density(&self.sparse),
        }
    }
}

impl Matrices for DareTies {
    fn merge(&self, mut inputs: Inputs) -> Result<Matrix> {
        drop_random(&mut inputs, &self.sparse, self.flavor, "dare_ties")?;
        let lambda = self.sparse.lambda_at(&inputs)?;
        let mut merged = match self.flavor {
            Flavor::Mergekit => {
                let normalize = self.sparse.normalize.unwrap_or(false);
                consensus::mergekit(inputs.matrices, &inputs.weights, true, normalize)
            }
            _ => consensus::disjoint(inputs.matrices, &inputs.weights, self.majority_sign_method),
        };
        merged.scale(lambda);
        Ok(merged)
    }
}
