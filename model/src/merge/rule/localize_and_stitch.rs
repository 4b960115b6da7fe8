//! `localize_and_stitch`: the largest entries of each update, and where several have one their mean (He et al., arXiv 2408.13656).
//!
//! It is the paper's variant without data, in which a member's mask are its entries of the largest magnitude over all modules; each
//! entry is `Σ mask_i w_i τ_i / Σ mask_i`.

use serde::{Deserialize, Serialize};

use super::consensus::each_entry;
use super::sparse::{PASSES_OF_THRESHOLD, least_of_all};
use super::{Inputs, Matrices, Merging, Method, within};
use crate::Result;
use crate::merge::align::Aligned;
use crate::merge::matrix::Matrix;
use crate::merge::setting::Setting;
use crate::merge::space::Space;

/// The settings of `localize_and_stitch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalizeAndStitch {
    /// Share of a member's entries, over all modules, that its mask keeps.
    pub density: Setting,
    /// What the merged update is multiplied with.
    pub lambda: Setting,
}

impl Default for LocalizeAndStitch {
    fn default() -> Self {
        LocalizeAndStitch {
            density: 0.05.into(),
            lambda: 1.0.into(),
        }
    }
}

impl Merging for LocalizeAndStitch {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Dense, self)
    }

    fn averages(&self) -> bool {
        true
    }

    fn over_all(&self, members: &Aligned) -> Result<Option<Vec<f64>>> {
        least_of_all(members, &self.density).map(Some)
    }

    fn passes(&self, _: usize) -> usize {
        PASSES_OF_THRESHOLD
    }

    fn check(&self, _: usize) -> Result<()> {
        within("density", &self.density, 0.0..=1.0)
    }
}

impl Matrices for LocalizeAndStitch {
    fn merge(&self, inputs: Inputs) -> Result<Matrix> {
        let lambda = inputs.site.shared("lambda", &self.lambda)?;
        let least: Vec<f64> = inputs
            .members
            .iter()
            .map(|member| {
                inputs
                    .over_all
                    .and_then(|all| all.get(*member))
                    .copied()
                    .unwrap_or(0.0)
            })
            .collect();
        let weights = inputs.weights;
        Ok(each_entry(inputs.matrices, |values| {
            let (mut sum, mut count) = (0.0, 0u32);
            for ((value, weight), least) in values.iter().zip(&weights).zip(&least) {
                // A member that has nothing in a place is in no mask there, however many entries stay.
                if *value != 0.0 && value.abs() >= *least {
                    sum += weight * value;
                    count += 1;
                }
            }
            lambda * sum / f64::from(count.max(1))
        }))
    }
}
