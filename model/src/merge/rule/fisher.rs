//! `fisher`: the mean of the updates by how sure each member is of each entry, `Σ w_i F_i τ_i / Σ w_i F_i` (Matena and Raffel, arXiv
//! 2111.09832).
//!
//! F is the mean squared gradient of an entry, a small number added, so that the mean stays one where nobody is sure. Of whole weights
//! `W + τ_i` the same mean is the base and this. F comes from a file for each member.

use serde::{Deserialize, Serialize};

use super::statistics::Statistic;
use super::{Inputs, Matrices, Merging, Method, STATISTICS, WEIGHT};
use crate::merge::align::Site;
use crate::merge::matrix::Matrix;
use crate::merge::memory;
use crate::merge::space::Space;
use crate::{Error, Result};

/// The settings of `fisher`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fisher {
    /// What is added to the Fisher information of every entry.
    pub epsilon: f64,
}

impl Default for Fisher {
    fn default() -> Self {
        Fisher { epsilon: 1e-6 }
    }
}

impl Merging for Fisher {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Dense, self)
    }

    fn own_settings(&self) -> &'static [&'static str] {
        &[WEIGHT, STATISTICS]
    }

    fn averages(&self) -> bool {
        true
    }

    /// The sum, what it is divided by, and a member's Fisher information while it is read.
    fn holds(&self, _: &Site, entries: usize) -> usize {
        2 * entries + memory::read(entries)
    }

    fn check(&self, _: usize) -> Result<()> {
        match self.epsilon.is_finite() && self.epsilon >= 0.0 {
            true => Ok(()),
            false => Err(Error::Merge(format!(
                "epsilon is {}; give a number from 0",
                self.epsilon
            ))),
        }
    }
}

impl Matrices for Fisher {
    fn merge(&self, inputs: Inputs) -> Result<Matrix> {
        let (out, input) = inputs.site.shape;
        let (mut sum, mut divisor) = (Matrix::zeros(out, input), Matrix::zeros(out, input));
        let members = inputs.members.iter().zip(&inputs.weights);
        for ((member, weight), matrix) in members.zip(inputs.matrices) {
            let Some(fisher) = Statistic::Fisher.of(inputs.site, *member)? else {
                continue;
            };
            for (place, fisher) in fisher.values.into_iter().enumerate() {
                let share = weight * (fisher + self.epsilon);
                sum.values[place] += share * matrix.values[place];
                divisor.values[place] += share;
            }
        }
        for (value, divisor) in sum.values.iter_mut().zip(divisor.values) {
            // Nobody is sure, or weights cancel.
            *value = if divisor == 0.0 { 0.0 } else { *value / divisor };
        }
        Ok(sum)
    }
}
