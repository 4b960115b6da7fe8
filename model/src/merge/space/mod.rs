//! Where a rule works that makes one matrix of the members' matrices.
//!
//! * [`factors`]: A and B apart, as PEFT's rules have it;
//! * [`core`]: the updates seen in bases that all of them share, R × R;
//! * [`knots`]: the updates seen in one basis of their outputs, R × in;
//! * [`units`]: the rank-one parts of all updates, one a row;
//! * [`dense`]: the updates themselves, out × in, one module at a time.
//!
//! In all but the last the result has factors; a dense one is folded as it is, or cut to a rank.

pub mod core;
pub mod dense;
pub mod factors;
pub mod knots;
pub mod units;

use faer::Mat;
use serde::{Deserialize, Serialize};

use super::align::Site;
use super::draw::Draws;
use super::matrix::Matrix;
use super::rule::{Inputs, Matrices};
use crate::lora::LoraModule;
use crate::{Error, Result};

/// Where a rule works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// A and B apart: cross terms between the members' factors come in, and ranks must be equal.
    Factors,
    /// Core Space (arXiv 2509.17786).
    Core,
    /// KnOTS (arXiv 2410.19735).
    Knots,
    /// Rank-one units, one a row (LoRA-LEGO, arXiv 2409.16167). Entry by entry they do not belong together, so that no recipe names it.
    #[serde(skip)]
    Units,
    /// The updates themselves.
    Dense,
}

impl Space {
    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Space::Factors => "factors",
            Space::Core => "core",
            Space::Knots => "knots",
            Space::Units => "units",
            Space::Dense => "dense",
        }
    }
}

/// What a rule made of a module, before it is rounded or cut.
#[derive(Clone, Debug)]
pub enum Update {
    /// B A, with B `(out, k)` and A `(k, in)`.
    Factors {
        /// The factor B.
        b: Mat<f64>,
        /// The factor A.
        a: Mat<f64>,
    },
    /// Of any rank, `(out, in)`.
    Dense(Matrix),
}

/// The surroundings of a rule in one module.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    /// The module.
    pub site: &'a Site<'a>,
    /// Weights of the members.
    pub weights: &'a [f64],
    /// Where random masks come from.
    pub draws: &'a dyn Draws,
    /// A number of each member over all modules, where the rule asks for one.
    pub over_all: Option<&'a [f64]>,
}

impl<'a> Here<'a> {
    fn inputs(self, part: &'static str, members: Vec<usize>, matrices: Vec<Matrix>) -> Inputs<'a> {
        Inputs {
            site: self.site,
            part,
            draws: self.draws,
            weights: members.iter().map(|member| self.weights[*member]).collect(),
            all_weights: self.weights,
            over_all: self.over_all,
            members,
            matrices,
        }
    }

    /// Members of a weight other than 0 that adapt the module: of others nothing may come into a basis.
    fn present(self) -> Vec<(usize, &'a LoraModule)> {
        let factors = self.site.factors.iter().enumerate();
        let present = factors.filter_map(|(member, factors)| Some((member, (*factors)?)));
        present
            .filter(|(member, _)| self.weights[*member] != 0.0)
            .collect()
    }
}

/// Has a rule make one module.
pub(super) fn merge(space: Space, rule: &dyn Matrices, here: Here) -> Result<Update> {
    let made = match space {
        Space::Factors => factors::merge(rule, here),
        Space::Core => core::merge(rule, here),
        Space::Knots => knots::merge(rule, here),
        Space::Units => units::merge(rule, here),
        Space::Dense => dense::merge(rule, here),
    };
    made.map_err(|error| match error {
        Error::Merge(message) if !message.contains(here.site.name()) => {
            Error::Merge(format!("{}: {message}", here.site.name()))
        }
        other => other,
    })
}

/// The factors in f64: B times the scale, and A.
fn scaled(module: &LoraModule) -> Result<(Mat<f64>, Mat<f64>)> {
    let (mut b, a) = (Matrix::of(&module.b)?, Matrix::of(&module.a)?);
    b.scale(module.scale);
    Ok((b.view().to_owned(), a.view().to_owned()))
}

/// An update of nothing.
fn nothing((rows, columns): (usize, usize)) -> Update {
    Update::Factors {
        b: Mat::zeros(rows, 1),
        a: Mat::zeros(1, columns),
    }
}
