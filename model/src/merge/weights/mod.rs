//! What the members of a merge weigh: given, or chosen on prompts with the adapters frozen.
//!
//! ```text
//! decoder + adapters ──► stacked, attached once ──► λ ──► objective over cases ──► another λ …
//! ```
//!
//! * [`lambda`]: the weights, a number a member or one a member and module; [`stacked`]: the decoder under any of them, the columns of B
//!   scaled in place;
//! * [`objective`]: what is made small: [`ndcg`] and the likelihood of what came next, among [`candidates`] or by itself ([`answer`]), where
//!   that is known; entropy over the candidates or over the [`vocabulary`] of prompts without answers; [`distillation`] of what each member
//!   says of its own domain;
//! * [`grid`], [`search`] (LoraHub) and [`descent`] (AdaMerging, RecCocktail, WeaveRec's own option, MergeRec, and of [`directions`]
//!   FeDecider): how;
//! * [`chosen`]: what came of it.
//!
//! Cases are prompts of held-out users who choose (C of the cut), never of those on whom results are reported: who calls sees to that.

pub mod answer;
pub mod candidates;
pub mod chosen;
pub mod descent;
mod directions;
pub mod distillation;
pub mod grid;
pub mod lambda;
mod logits;
pub mod ndcg;
pub mod objective;
#[cfg(test)]
mod rivals;
pub mod search;
pub mod stacked;
#[cfg(test)]
mod tests;
pub mod vocabulary;

use serde::{Deserialize, Serialize};

use self::directions::Directions;
use self::search::Course;
use crate::backbone::Decoder;
use crate::lora::Adapter;
use crate::train::task::Room;
use crate::{Error, Result};

pub use answer::Answer;
pub use candidates::{CandidateEntropy, Likelihood};
pub use chosen::{Chosen, Point, along};
pub use descent::{Descent, Form, Start};
pub use distillation::{Distillation, taught};
pub use grid::{Grid, simplex};
pub use lambda::{Grain, Lambda};
pub use ndcg::{Content, Ndcg};
pub use objective::{Case, Decoders, Differentiable, Goal, Objective};
pub use search::Search;
pub use stacked::Stacked;
pub use vocabulary::VocabularyEntropy;

/// How the members are weighed, as settings have it: `{"by": "grid", "divisions": 10, …}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Weights {
    /// One over their number.
    Uniform,
    /// The best point of a simplex.
    Grid(Grid),
    /// Without gradients.
    Search(Search),
    /// By gradients.
    Descent(Descent),
}

impl Weights {
    /// What λ is chosen by; none where nothing is chosen.
    pub fn goal(&self) -> Option<&Goal> {
        match self {
            Weights::Uniform => None,
            Weights::Grid(grid) => Some(&grid.objective),
            Weights::Search(search) => Some(&search.objective),
            Weights::Descent(descent) => Some(&descent.objective),
        }
    }
}

/// Chooses what adapters weigh on a decoder by cases. `progress` is told how much is tried, and of how much.
///
/// The same cases, settings and adapters give the same weights, whatever the number of threads. λ has six decimals, and its objective over
/// all cases is never worse than that of equal parts, or of where else a descent starts (in a search: with its penalty). What is chosen for
/// directions is given as weights of the updates themselves, by module.
///
/// # Errors
/// No cases, adapters that do not fit each other or the decoder, and what the objective refuses.
pub fn choose(
    decoder: &Decoder,
    adapters: &[&Adapter],
    weights: &Weights,
    cases: &[Case],
    room: Room,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Chosen> {
    let mut chosen = Chosen {
        weights: weights.clone(),
        objective: None,
        cases: cases.len(),
        lambda: Lambda::uniform(adapters.len()),
        before: None,
        after: None,
        curve: Vec::new(),
        tried: Vec::new(),
    };
    let Some(goal) = weights.goal() else {
        return Ok(chosen);
    };
    if cases.is_empty() {
        return Err(Error::Usage(
            "no cases to choose weights by: prepare prompts of users who are held out".into(),
        ));
    }
    let directions = match weights {
        Weights::Descent(descent) => descent.target()?,
        _ => None,
    };
    let directions = directions.map(|target| Directions::new(adapters, target));
    let directions = directions.transpose()?;
    let stacked = match &directions {
        Some(directions) => Stacked::new(decoder, &directions.adapters())?,
        None => Stacked::new(decoder, adapters)?,
    };
    let objective = goal.objective();
    let mut course = Course {
        stacked: &stacked,
        objective,
        cases,
        room,
        progress,
    };
    let best_of = |tried: &search::Tried, addition: &dyn Fn(&Lambda) -> f64| {
        let best = tried.best(addition).cloned();
        best.ok_or_else(|| Error::Merge("no weights were tried".into()))
    };
    let (tried, (lambda, after)) = match weights {
        Weights::Uniform => return Ok(chosen),
        Weights::Grid(grid) => {
            let tried = grid.run(&mut course)?;
            let best = best_of(&tried, &|_| 0.0)?;
            (tried, best)
        }
        Weights::Search(search) => {
            let tried = search.run(&mut course)?;
            let best = best_of(&tried, &|lambda| search.penalty(lambda))?;
            (tried, best)
        }
        Weights::Descent(descent) => {
            let (tried, lambda, after) = descent.run(&mut course)?;
            (tried, (lambda, after))
        }
    };
    chosen.objective = Some(objective.name());
    chosen.before = tried.0.first().map(|(_, value)| *value);
    chosen.after = Some(after);
    let of_updates = |lambda: Lambda| match &directions {
        Some(directions) => directions.of_updates(&lambda),
        None => Ok(lambda),
    };
    chosen.lambda = of_updates(lambda)?;
    chosen.curve = tried
        .0
        .iter()
        .map(|(lambda, value)| Point {
            lambda: lambda.mean(),
            value: *value,
        })
        .collect();
    let lambdas = tried.0.into_iter().map(|(lambda, _)| of_updates(lambda));
    chosen.tried = lambdas.collect::<Result<_>>()?;
    Ok(chosen)
}
