//! `dare_linear` and `dare_ties`: random entries of each update, made larger for those that go, added up, or of these those of the
//! elected sign (Yu et al., arXiv 2311.03099).
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

/// The settings of `dare_linear`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DareLinear {
    /// Whose computation.
    pub flavor: Flavor,
    /// The rest.
    #[serde(flatten)]
    pub sparse: Sparse,
}

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

impl Merging for DareLinear {
    fn method(&self) -> Method<'_> {
        Method::Matrices(space(self.flavor, &self.sparse), self)
    }

    fn own_settings(&self) -> &'static [&'static str] {
        own_settings(self.flavor)
    }

    fn averages(&self) -> bool {
        self.flavor == Flavor::Mergekit && self.sparse.normalize == Some(true)
    }

    fn keeps_largest_rank(&self) -> bool {
        self.flavor == Flavor::Peft
    }

    fn check(&self, _: usize) -> Result<()> {
        check(self.flavor, &self.sparse)
    }
}

impl Matrices for DareLinear {
    fn merge(&self, inputs: Inputs) -> Result<Matrix> {
        merge(inputs, self.flavor, &self.sparse, "dare_linear", None)
    }
}

impl Merging for DareTies {
    fn method(&self) -> Method<'_> {
        Method::Matrices(space(self.flavor, &self.sparse), self)
    }

    fn own_settings(&self) -> &'static [&'static str] {
        own_settings(self.flavor)
    }

    fn averages(&self) -> bool {
        self.flavor != Flavor::Mergekit || self.sparse.normalize == Some(true)
    }

    fn keeps_largest_rank(&self) -> bool {
        self.flavor == Flavor::Peft
    }

    fn check(&self, _: usize) -> Result<()> {
        check(self.flavor, &self.sparse)
    }
}

impl Matrices for DareTies {
    fn merge(&self, inputs: Inputs) -> Result<Matrix> {
        let election = Some(self.majority_sign_method);
        merge(inputs, self.flavor, &self.sparse, "dare_ties", election)
    }
}

fn space(flavor: Flavor, sparse: &Sparse) -> Space {
    let usual = match flavor {
        Flavor::Peft => Space::Factors,
        _ => Space::Dense,
    };
    sparse.space.unwrap_or(usual)
}

fn own_settings(flavor: Flavor) -> &'static [&'static str] {
    match flavor {
        Flavor::Mergekit => &[WEIGHT, "density"],
        _ => &[WEIGHT],
    }
}

fn check(flavor: Flavor, sparse: &Sparse) -> Result<()> {
    sparse.check(flavor)?;
    match flavor {
        Flavor::Mergekit => Ok(()),
        _ => needs_density(sparse),
    }
}

/// What stays is added up, or with an election the elected alone, in the way of the flavour.
fn merge(
    mut inputs: Inputs,
    flavor: Flavor,
    sparse: &Sparse,
    rule: &str,
    election: Option<Election>,
) -> Result<Matrix> {
    drop_random(&mut inputs, sparse, flavor, rule)?;
    let lambda = sparse.lambda_at(&inputs)?;
    let (matrices, weights) = (inputs.matrices, inputs.weights);
    let mut merged = match (flavor, election) {
        (Flavor::Mergekit, election) => {
            let normalize = sparse.normalize.unwrap_or(false);
            consensus::mergekit(matrices, &weights, election.is_some(), normalize)
        }
        (_, Some(election)) => consensus::disjoint(matrices, &weights, election),
        (_, None) => consensus::sum(matrices, &weights),
    };
    merged.scale(lambda);
    Ok(merged)
}
