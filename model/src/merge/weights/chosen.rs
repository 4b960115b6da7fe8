//! What a choice of λ came to.

use serde::{Deserialize, Serialize};

use super::objective::{Case, Objective};
use super::{Lambda, Stacked, Weights};
use crate::Result;
use crate::train::task::Room;

/// λ and how it was chosen. The weights are given from there on: merging them again needs no prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// How.
    pub weights: Weights,
    /// By what, in words; none where nothing was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<String>,
    /// On how many cases.
    pub cases: usize,
    /// λ.
    pub lambda: Lambda,
    /// The objective where the choice began, over all cases: of equal parts where nothing else is said. Less is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<f64>,
    /// That of λ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<f64>,
    /// What was tried, in that order.
    #[serde(default)]
    pub curve: Vec<Point>,
    /// The same λ whole, for curves of other objectives over them ([`along`]); not written.
    #[serde(skip)]
    pub tried: Vec<Lambda>,
}

/// A λ that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Of each member, the mean over modules; of directions, where the choice is of these.
    pub lambda: Vec<f64>,
    /// The objective there: over all cases, or in a descent over those of the step.
    pub value: f64,
}

/// An objective at every one of several λ: whether entropy moves with what it stands for is seen by two of these.
///
/// # Errors
/// What the objective refuses, and weights that are not those of the adapters.
pub fn along(
    stacked: &mut Stacked,
    lambdas: &[Lambda],
    objective: &dyn Objective,
    cases: &[Case],
    room: Room,
) -> Result<Vec<f64>> {
    let at = |lambda: &Lambda| objective.value(stacked.at(lambda)?, cases, room);
    lambdas.iter().map(at).collect()
}
