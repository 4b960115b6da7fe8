//! `ties`: the largest entries of each update, of these those of the elected sign, averaged (Yadav et al., arXiv 2306.01708).
//!
//! Three computations bear the name. mergekit's prunes each update by itself and elects by the weighted sum; PEFT's does so with the
//! factors (or, as `ties_svd`, with the updates), elects without the weights, and divides by the number that took part; the paper's has one
//! threshold for all of a model. An even vote goes to the positive sign; the paper's code asks the rest of the model.

use serde::{Deserialize, Serialize};

use super::sparse::{PASSES_OF_THRESHOLD, keep_largest, least_of_all, mergekit_count, restore};
use super::{Election, Flavor, Inputs, Matrices, Merging, Method, Sparse, WEIGHT, consensus};
use crate::merge::align::Aligned;
use crate::merge::matrix::Matrix;
use crate::merge::setting::Setting;
use crate::merge::space::Space;
use crate::{Error, Result};

/// What the paper keeps.
const PAPER: Setting = Setting::Scalar(0.2);

/// The settings of `ties`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ties {
    /// Whose computation.
    pub flavor: Flavor,
    /// How signs are elected, other than in mergekit's.
    pub majority_sign_method: Election,
    /// The rest.
    #[serde(flatten)]
    pub sparse: Sparse,
}

impl Merging for Ties {
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
        self.flavor != Flavor::Mergekit || self.sparse.normalize.unwrap_or(true)
    }

    fn keeps_largest_rank(&self) -> bool {
        self.flavor == Flavor::Peft
    }

    fn over_all(&self, members: &Aligned) -> Result<Option<Vec<f64>>> {
        if self.flavor != Flavor::Paper {
            return Ok(None);
        }
        least_of_all(members, self.sparse.density.as_ref().unwrap_or(&PAPER)).map(Some)
    }

    fn passes(&self, _: usize) -> usize {
        match self.flavor {
            Flavor::Paper => PASSES_OF_THRESHOLD,
            _ => 0,
        }
    }

    fn check(&self, _: usize) -> Result<()> {
        self.sparse.check(self.flavor)?;
        match self.flavor {
            Flavor::Peft => needs_density(&self.sparse),
            Flavor::Paper if self.sparse.space.is_some_and(|space| space != Space::Dense) => {
                Err(Error::Merge(
                    "the paper's threshold is over all entries of the updates; give space: dense, or another flavor".into(),
                ))
            }
            _ => Ok(()),
        }
    }
}

/// PEFT has no density of its own.
pub(super) fn needs_density(sparse: &Sparse) -> Result<()> {
    match sparse.density {
        Some(_) => Ok(()),
        None => Err(Error::Merge(
            "no density, and PEFT has none of its own; give one".into(),
        )),
    }
}

impl Matrices for Ties {
    fn merge(&self, mut inputs: Inputs) -> Result<Matrix> {
        for place in 0..inputs.matrices.len() {
            match self.flavor {
                Flavor::Mergekit => {
                    let density = self.sparse.density_of(&inputs, place, 1.0)?;
                    let matrix = &mut inputs.matrices[place];
                    let before = matrix.absolute();
                    keep_largest(matrix, mergekit_count(density, matrix.values.len()));
                    if self.sparse.rescale == Some(true) {
                        restore(matrix, before);
                    }
                }
                Flavor::Peft => {
                    let density = self.sparse.density_of(&inputs, place, 1.0)?;
                    let matrix = &mut inputs.matrices[place];
                    keep_largest(matrix, (density * matrix.values.len() as f64) as usize);
                }
                Flavor::Paper => {
                    let thresholds = inputs.over_all.unwrap_or_default();
                    let least = thresholds.get(inputs.members[place]).copied().unwrap_or(0.0);
                    let entries = inputs.matrices[place].values.iter_mut();
                    entries
                        .filter(|value| value.abs() < least)
                        .for_each(|value| *value = 0.0);
                }
            }
        }
        let lambda = self.sparse.lambda_at(&inputs)?;
        let mut merged = match self.flavor {
            Flavor::Mergekit => {
                let normalize = self.sparse.normalize.unwrap_or(true);
                consensus::mergekit(inputs.matrices, &inputs.weights, true, normalize)
            }
            _ => consensus::disjoint(inputs.matrices, &inputs.weights, self.majority_sign_method),
        };
        merged.scale(lambda);
        Ok(merged)
    }
}
