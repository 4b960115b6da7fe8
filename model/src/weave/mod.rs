//! WeaveRec (arXiv 2510.26546): which adapters a scenario needs, what each is trained on, and how they are merged.
//!
//! For a target domain T and sources S₁…S_N the method trains a *target-only* adapter on D_T and one *hybrid* adapter on
//! D_T ∪ D_Si for each source, and merges them, `Δ = Σ λᵢ · sᵢ BᵢAᵢ` over {T, T+S₁, …, T+S_N}, uniformly by default. Because every
//! member has seen the target, every member is good on it, and so is their mean. What it is compared with merges or trains
//! otherwise from the same data:
//!
//! | row | adapters, merged uniformly |
//! |---|---|
//! | source-only | S₁, …, S_N |
//! | target-only | T |
//! | joint training | one on D_T ∪ D_S1 ∪ … ∪ D_SN |
//! | naive merge | T, S₁, …, S_N |
//! | WeaveRec | T, T+S₁, …, T+S_N |
//!
//! The weave's members are more, and are trained for longer, than those rows. Controls tell what comes of that from what comes of the
//! sources; n is a domain's [share](Budget::share), its prompts up to the cap:
//!
//! | control | adapters, merged uniformly | asks |
//! |---|---|---|
//! | soup | T, T+T, …, T+T: in place of n_Si prompts of a source as many of D_T again | averaging? |
//! | longer ×k | T, for k times the passes | more steps? |
//! | more target | one on as many prompts of the target as the weave's members see together, fresh ones first | more data? |
//! | joint-matched | joint training on as many tokens as the weave's members see together | more compute? |
//! | joint soup | T on as many tokens, none of them of a fresh prompt | the same, without sources |
//! | placebo weave | the weave, the titles of each source permuted among its items | the sources' order? |
//!
//! What an adapter is trained on is its [`Diet`], which names it: a hybrid of two domains is one adapter whichever of them is the target,
//! and with a single source joint training *is* the hybrid.

mod budget;
mod diet;
mod domains;
mod mixture;
mod recipe;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use budget::{Budget, Supply};
pub use diet::{Diet, Portion};
pub use domains::Domains;
pub use mixture::{Mixture, mix_domains, mix_portions};
pub use recipe::{Recipe, plan};

/// A target and the sources that are to help it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// The domain recommended in.
    pub target: String,
    /// The other domains.
    pub sources: Vec<String>,
}
