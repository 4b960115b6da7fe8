//! `regmean`: the update that comes nearest to each member's outputs on its own inputs (RegMean, Jin et al., arXiv 2212.09849).
//!
//! `(Σ w_i τ_i G_i)(Σ w_i G_i)⁻¹` with `G = Σ x xᵀ` over a member's inputs of the layer, the entries off its diagonal made smaller. Of
//! whole weights `W + τ_i` the same is the base and this. G comes from a file for each member. Only the inputs' side of an update
//! changes, so that it is worked out in the parts of the KnOTS space, R × in, and nothing dense is needed but G.

use faer::prelude::Solve;
use serde::{Deserialize, Serialize};

use super::statistics::Statistic;
use super::{Inputs, Matrices, Merging, Method, STATISTICS, WEIGHT, within};
use crate::merge::align::Site;
use crate::merge::matrix::Matrix;
use crate::merge::memory;
use crate::merge::space::Space;
use crate::{Error, Result};

/// The settings of `regmean`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Regmean {
    /// What the entries of G off the diagonal are multiplied with.
    pub off_diagonal: f64,
}

impl Default for Regmean {
    fn default() -> Self {
        Regmean { off_diagonal: 0.1 }
    }
}

impl Merging for Regmean {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Knots, self)
    }

    fn own_settings(&self) -> &'static [&'static str] {
        &[WEIGHT, STATISTICS]
    }

    fn averages(&self) -> bool {
        true
    }

    /// The sum of the Gram matrices, and another while it is read, which takes more than the two triangles of the decomposition afterwards;
    /// the sum of the parts times theirs, and the last product.
    fn holds(&self, site: &Site, entries: usize) -> usize {
        let gram = site.shape.1 * site.shape.1;
        gram + memory::read(gram) + 2 * entries
    }

    fn check(&self, _: usize) -> Result<()> {
        within("off_diagonal", &self.off_diagonal.into(), 0.0..=1.0)
    }
}

impl Matrices for Regmean {
    fn merge(&self, inputs: Inputs) -> Result<Matrix> {
        let input = inputs.site.shape.1;
        let mut grams = Matrix::zeros(input, input);
        let mut sum = faer::Mat::zeros(inputs.matrices.first().map_or(0, |part| part.rows), input);
        for (member, weight) in inputs.all_weights.iter().enumerate() {
            if *weight == 0.0 {
                continue;
            }
            // A member that does not adapt the module wants the base's outputs there, where its file says on which inputs.
            let Some(mut gram) = Statistic::Gram.of(inputs.site, member)? else {
                continue;
            };
            self.shrink(&mut gram);
            let part = inputs.members.iter().position(|own| *own == member);
            if let Some(part) = part {
                sum += faer::Scale(*weight) * (inputs.matrices[part].view() * gram.view());
            }
            grams.add(&gram, *weight);
        }
        // X G = S is G Xᵀ = Sᵀ, as G is symmetric.
        let solved = grams.view().partial_piv_lu().solve(sum.transpose());
        let merged = Matrix::of_view(solved.transpose());
        match merged.values.iter().all(|value| value.is_finite()) {
            true => Ok(merged),
            false => Err(Error::Merge(
                "regmean: the sum of the Gram matrices cannot be inverted, as some input is always 0 or follows from others; measure \
                 more inputs, or give a smaller off_diagonal"
                    .into(),
            )),
        }
    }
}

impl Regmean {
    fn shrink(&self, gram: &mut Matrix) {
        let columns = gram.columns;
        for (place, value) in gram.values.iter_mut().enumerate() {
            if place / columns != place % columns {
                *value *= self.off_diagonal;
            }
        }
    }
}
