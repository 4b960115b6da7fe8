//! `tall_masks`: the entries of the sum of all updates that matter to several members, or to one (Wang et al., arXiv 2405.07813).
//!
//! An entry matters to a member where `|τ_i| ≥ λ_i |Σ_j τ_j − τ_i|`: its own part is not drowned by the others'. Consensus Merging keeps
//! the entries that matter to at least two. With a `target` those stay that matter to it, which is the paper's TALL mask of that member;
//! whose the inputs are must be known where it is used.

use serde::{Deserialize, Serialize};

use super::consensus::each_entry;
use super::{Inputs, Matrices, Merging, Method, WEIGHT, place_of_target, within};
use crate::merge::matrix::Matrix;
use crate::merge::setting::Setting;
use crate::merge::space::Space;
use crate::{Error, Result};

/// The settings of `tall_masks`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TallMasks {
    /// How much of the others' part an entry must have to matter to its member; the paper tries 0.2 to 0.6.
    pub tall_lambda: Setting,
    /// To how many members an entry must matter to stay.
    pub agree: usize,
    /// The member to which it must matter in place of that, by its number from 1 among those of a weight.
    pub target: Option<usize>,
    /// What the merged update is multiplied with.
    pub lambda: Setting,
}

impl Default for TallMasks {
    fn default() -> Self {
        TallMasks {
            tall_lambda: 0.4.into(),
            agree: 2,
            target: None,
            lambda: 1.0.into(),
        }
    }
}

impl Merging for TallMasks {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Dense, self)
    }

    fn own_settings(&self) -> &'static [&'static str] {
        &[WEIGHT, "tall_lambda"]
    }

    fn check(&self, members: usize) -> Result<()> {
        within("tall_lambda", &self.tall_lambda, 0.0..=10.0)?;
        match self.target {
            Some(target) => place_of_target(target, members).map(|_| ()),
            None if self.agree > members => Err(Error::Merge(format!(
                "agree is {}, and there are {members} adapters that have a weight: no entry would stay",
                self.agree
            ))),
            None => Ok(()),
        }
    }
}

impl Matrices for TallMasks {
    fn merge(&self, mut inputs: Inputs) -> Result<Matrix> {
        let lambda = inputs.site.shared("lambda", &self.lambda)?;
        let places = 0..inputs.matrices.len();
        let thresholds = places
            .map(|place| inputs.setting(place, "tall_lambda", &self.tall_lambda))
            .collect::<Result<Vec<f64>>>()?;
        for (matrix, weight) in inputs.matrices.iter_mut().zip(&inputs.weights) {
            matrix.scale(*weight);
        }
        let target = match self.target {
            Some(target) => Some(place_of_target(target, inputs.matrices.len())?),
            None => None,
        };
        Ok(each_entry(inputs.matrices, |values| {
            let sum: f64 = values.iter().sum();
            let matters =
                |place: usize| values[place].abs() >= thresholds[place] * (sum - values[place]).abs();
            let stays = match target {
                Some(target) => matters(target),
                None => (0..values.len()).filter(|place| matters(*place)).count() >= self.agree,
            };
            if stays { lambda * sum } else { 0.0 }
        }))
    }
}
