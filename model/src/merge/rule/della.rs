//! `della` and `della_linear`: random entries, likelier the larger in their row, of these those of the elected sign, or all added up
//! (Deep et al., arXiv 2406.11617).

use serde::{Deserialize, Serialize};

use super::sparse::drop_by_rank;
use super::{Flavor, Inputs, Matrices, Merging, Method, Sparse, WEIGHT, consensus, within};
use crate::Result;
use crate::merge::align::Site;
use crate::merge::matrix::Matrix;
use crate::merge::setting::Setting;
use crate::merge::space::Space;

/// A rule of random entries, mergekit's; `$elects`: only those of the elected sign are added up, and averaged.
macro_rules! by_rank_in_row {
    ($(#[$doc:meta])* $rule:ident, $name:literal, $elects:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $rule {
            /// How far the chance to stay goes from the density, up for the largest of a row and down for the smallest.
            pub epsilon: Setting,
            /// The rest.
            #[serde(flatten)]
            pub sparse: Sparse,
        }

        impl Default for $rule {
            fn default() -> Self {
                $rule {
                    epsilon: 0.15.into(),
                    sparse: Sparse::default(),
                }
            }
        }

        impl Merging for $rule {
            fn method(&self) -> Method<'_> {
                Method::Matrices(self.sparse.space.unwrap_or(Space::Dense), self)
            }

            fn own_settings(&self) -> &'static [&'static str] {
                &[WEIGHT, "density", "epsilon"]
            }

            fn averages(&self) -> bool {
                self.sparse.normalize.unwrap_or($elects)
            }

            /// Of a member at a time: chances and drawn numbers.
            fn holds(&self, _: &Site, entries: usize) -> usize {
                2 * entries
            }

            fn check(&self, _: usize) -> Result<()> {
                within("epsilon", &self.epsilon, 0.0..=1.0)?;
                self.sparse.check(Flavor::Mergekit)
            }
        }

        impl Matrices for $rule {
            fn merge(&self, mut inputs: Inputs) -> Result<Matrix> {
                drop_by_rank(&mut inputs, &self.sparse, &self.epsilon, $name)?;
                let lambda = self.sparse.lambda_at(&inputs)?;
                let mut merged = consensus::mergekit(inputs.matrices, &inputs.weights, $elects, self.averages());
                merged.scale(lambda);
                Ok(merged)
            }
        }
    };
}

by_rank_in_row!(
    /// The settings of `della`.
    Della,
    "della",
    true
);
by_rank_in_row!(
    /// The settings of `della_linear`.
    DellaLinear,
    "della_linear",
    false
);
