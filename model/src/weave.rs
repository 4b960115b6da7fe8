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
//! An adapter is named by the set of domains it is trained on, so a hybrid of two domains is one adapter whichever of them is the
//! target, and with a single source joint training *is* the hybrid.

use std::collections::BTreeSet;
use std::fmt;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::op::mix;

/// The domains an adapter is trained on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Domains(BTreeSet<String>);

impl Domains {
    /// The set of the given domains.
    pub fn of<'a>(domains: impl IntoIterator<Item = &'a str>) -> Self {
        Domains(domains.into_iter().map(str::to_string).collect())
    }

    /// The domains, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Domains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join("+"))
    }
}

/// A target and the sources that are to help it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// The domain recommended in.
    pub target: String,
    /// The other domains.
    pub sources: Vec<String>,
}

/// A row of the table that is made of adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// Adapters of the sources alone.
    SourceOnly,
    /// The adapter of the target alone.
    TargetOnly,
    /// One adapter on everything.
    Joint,
    /// Mean of single-domain adapters.
    NaiveMerge,
    /// Mean of the target-only adapter and the hybrids.
    Weave,
}

impl Recipe {
    /// All recipes, in the order of the table.
    pub const ALL: [Recipe; 5] = [
        Recipe::SourceOnly,
        Recipe::TargetOnly,
        Recipe::Joint,
        Recipe::NaiveMerge,
        Recipe::Weave,
    ];

    /// The adapters this recipe merges uniformly in a scenario.
    pub fn members(self, scenario: &Scenario) -> Vec<Domains> {
        let target = scenario.target.as_str();
        let sources = || scenario.sources.iter().map(String::as_str);
        let target_only = || std::iter::once(Domains::of([target]));
        let source_only = || sources().map(|s| Domains::of([s]));
        let hybrids = || sources().map(|s| Domains::of([target, s]));
        match self {
            Recipe::SourceOnly => source_only().collect(),
            Recipe::TargetOnly => target_only().collect(),
            Recipe::Joint => vec![Domains::of(sources().chain([target]))],
            Recipe::NaiveMerge => target_only().chain(source_only()).collect(),
            Recipe::Weave => target_only().chain(hybrids()).collect(),
        }
    }
}

/// Every adapter that the recipes need in the scenarios, each once.
pub fn plan<'a>(scenarios: impl IntoIterator<Item = &'a Scenario>, recipes: &[Recipe]) -> BTreeSet<Domains> {
    scenarios
        .into_iter()
        .flat_map(|s| recipes.iter().flat_map(|r| r.members(s)))
        .collect()
}

/// The training set of an adapter: up to `cap` examples from each domain, shuffled together.
///
/// Which examples a domain gives depends on the seed and the domain's name alone, so that two adapters that share a domain have
/// seen the same part of it.
pub fn mix_domains<'a, T: Clone + 'a>(
    domains: impl IntoIterator<Item = (&'a str, &'a [T])>,
    cap: usize,
    seed: u64,
) -> Vec<T> {
    let mut mixed = Vec::new();
    let mut name = String::new();
    for (domain, examples) in domains {
        let mut chosen: Vec<usize> = (0..examples.len()).collect();
        chosen.shuffle(&mut keyed(seed, domain));
        mixed.extend(chosen.into_iter().take(cap).map(|i| examples[i].clone()));
        name.push('+');
        name.push_str(domain);
    }
    mixed.shuffle(&mut keyed(seed, &name));
    mixed
}

fn keyed(seed: u64, name: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(mix(seed) ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(target: &str, sources: &[&str]) -> Scenario {
        Scenario {
            target: target.into(),
            sources: sources.iter().map(|s| s.to_string()).collect(),
        }
    }

    fn names(recipe: Recipe, scenario: &Scenario) -> Vec<String> {
        recipe.members(scenario).iter().map(Domains::to_string).collect()
    }

    #[test]
    fn weaving_takes_the_target_and_one_hybrid_a_source() {
        let s = scenario("beauty", &["sports", "pantry"]);
        assert_eq!(
            names(Recipe::Weave, &s),
            ["beauty", "beauty+sports", "beauty+pantry"]
        );
        assert_eq!(names(Recipe::NaiveMerge, &s), ["beauty", "sports", "pantry"]);
        assert_eq!(names(Recipe::SourceOnly, &s), ["sports", "pantry"]);
        assert_eq!(names(Recipe::Joint, &s), ["beauty+pantry+sports"]);
    }

    #[test]
    fn a_hybrid_serves_both_directions_and_is_planned_once() {
        let both = [scenario("a", &["b"]), scenario("b", &["a"])];
        let planned: Vec<String> = plan(&both, &Recipe::ALL).iter().map(Domains::to_string).collect();
        assert_eq!(planned, ["a", "a+b", "b"]);
    }

    #[test]
    fn mixing_caps_each_domain_and_depends_on_the_seed_alone() {
        let (a, b): (Vec<u32>, Vec<u32>) = ((0..100).collect(), (100..130).collect());
        let make = |seed| mix_domains([("a", a.as_slice()), ("b", b.as_slice())], 40, seed);
        let mixed = make(1);
        assert_eq!(mixed.iter().filter(|x| **x < 100).count(), 40);
        assert_eq!(mixed.iter().filter(|x| **x >= 100).count(), 30);
        assert_eq!(mixed, make(1));
        assert_ne!(mixed, make(2));
        assert!(
            mixed[..35].iter().any(|x| *x >= 100),
            "the domains are shuffled together"
        );
        let alone = mix_domains([("a", a.as_slice())], 40, 1);
        assert!(
            mixed.iter().filter(|x| **x < 100).all(|x| alone.contains(x)),
            "a shared domain gives the same part"
        );
    }
}
