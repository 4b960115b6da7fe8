//! `breadcrumbs` and `breadcrumbs_ties`: entries of middling size of each update, without the very largest and the small, added up, or
//! of these those of the elected sign (Davari and Belilovsky, arXiv 2312.06795).

use serde::{Deserialize, Serialize};

use super::sparse::drop_ends;
use super::{Flavor, Inputs, Matrices, Merging, Method, Sparse, WEIGHT, consensus, within};
use crate::Result;
use crate::merge::align::Site;
use crate::merge::matrix::Matrix;
use crate::merge::setting::Setting;
use crate::merge::space::Space;

/// A rule of entries of middling size, mergekit's; `$elects`: only those of the elected sign are added up.
macro_rules! of_middling_size {
    ($(#[$doc:meta])* $rule:ident, $elects:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $rule {
            /// Share of the largest entries that goes.
            pub gamma: Setting,
            /// The rest.
            #[serde(flatten)]
            pub sparse: Sparse,
        }

        impl Default for $rule {
            fn default() -> Self {
                $rule {
                    gamma: 0.01.into(),
                    sparse: Sparse::default(),
                }
            }
        }

        impl Merging for $rule {
            fn method(&self) -> Method<'_> {
                Method::Matrices(self.sparse.space.unwrap_or(Space::Dense), self)
            }

            fn own_settings(&self) -> &'static [&'static str] {
                &[WEIGHT, "density", "gamma"]
            }

            fn averages(&self) -> bool {
                self.sparse.normalize.unwrap_or(false)
            }

            /// Of a member at a time: the places in order, and room to sort them.
            fn holds(&self, _: &Site, entries: usize) -> usize {
                2 * entries
            }

            fn check(&self, _: usize) -> Result<()> {
                within("gamma", &self.gamma, 0.0..=1.0)?;
                self.sparse.check(Flavor::Mergekit)
            }
        }

        impl Matrices for $rule {
            fn merge(&self, mut inputs: Inputs) -> Result<Matrix> {
                drop_ends(&mut inputs, &self.sparse, &self.gamma)?;
                let lambda = self.sparse.lambda_at(&inputs)?;
                let normalize = self.sparse.normalize.unwrap_or(false);
                let mut merged = consensus::mergekit(inputs.matrices, &inputs.weights, $elects, normalize);
                merged.scale(lambda);
                Ok(merged)
            }
        }
    };
}

of_middling_size!(
    /// The settings of `breadcrumbs`.
    Breadcrumbs,
    false
);
of_middling_size!(
    /// The settings of `breadcrumbs_ties`.
    BreadcrumbsTies,
    true
);
