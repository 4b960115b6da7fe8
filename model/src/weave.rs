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

/// How many examples each domain gives to a training set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// The most that any domain gives.
    pub cap: usize,
    /// The most that a domain after the first gives for each example of the first, rounded up; none: as many as it has. A source
    /// many times the size of the target then does not drown it.
    pub ratio: Option<f64>,
}

impl Mixture {
    /// Up to `cap` examples from each domain.
    pub fn capped(cap: usize) -> Self {
        Mixture { cap, ratio: None }
    }

    /// What a domain of `available` examples gives, where the first domain gives `first` (none: this is the first).
    fn quota(self, available: usize, first: Option<usize>) -> usize {
        let most = match (self.ratio, first) {
            (Some(ratio), Some(first)) => (ratio * first as f64).ceil() as usize,
            _ => usize::MAX,
        };
        available.min(self.cap).min(most)
    }
}

/// The training set of an adapter: what the mixture takes from each domain, shuffled together. The target is the first domain.
///
/// In which order a domain's examples are taken depends on the seed and the domain's name alone, so that of two adapters of one
/// seed that share a domain one has seen the same part of it as the other, or the beginning of that part.
pub fn mix_domains<'a, T: Clone + 'a>(
    domains: impl IntoIterator<Item = (&'a str, &'a [T])>,
    mixture: Mixture,
    seed: u64,
) -> Vec<T> {
    let mut mixed = Vec::new();
    let mut name = String::new();
    let mut first = None;
    for (domain, examples) in domains {
        let mut chosen: Vec<usize> = (0..examples.len()).collect();
        chosen.shuffle(&mut keyed(seed, domain));
        chosen.truncate(mixture.quota(examples.len(), first));
        first = first.or(Some(chosen.len()));
        mixed.extend(chosen.into_iter().map(|i| examples[i].clone()));
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
        let capped = Mixture::capped(40);
        let make = |seed| mix_domains([("a", a.as_slice()), ("b", b.as_slice())], capped, seed);
        let mixed = make(1);
        assert_eq!(mixed.iter().filter(|x| **x < 100).count(), 40);
        assert_eq!(mixed.iter().filter(|x| **x >= 100).count(), 30);
        assert_eq!(mixed, make(1));
        assert_ne!(mixed, make(2));
        assert!(
            mixed[..35].iter().any(|x| *x >= 100),
            "the domains are shuffled together"
        );
        let alone = mix_domains([("a", a.as_slice())], capped, 1);
        assert!(
            mixed.iter().filter(|x| **x < 100).all(|x| alone.contains(x)),
            "a shared domain gives the same part"
        );
    }

    #[test]
    fn a_ratio_holds_sources_to_a_share_of_the_target_and_takes_a_beginning_of_what_they_would_give() {
        let (target, source): (Vec<u32>, Vec<u32>) = ((0..41).collect(), (100..1_000).collect());
        let make = |cap, ratio| {
            let domains = [
                ("target", target.as_slice()),
                ("one", source.as_slice()),
                ("two", source.as_slice()),
            ];
            mix_domains(domains, Mixture { cap, ratio }, 7)
        };
        let sources = |mixed: &[u32]| mixed.iter().filter(|x| **x >= 100).count();
        for (cap, ratio, of_target, of_a_source) in [
            (1_000, None, 41, 900),
            (1_000, Some(0.5), 41, 21),
            (1_000, Some(2.0), 41, 82),
            (1_000, Some(100.0), 41, 900),
            (30, Some(0.5), 30, 15),
            (30, Some(2.0), 30, 30),
        ] {
            let mixed = make(cap, ratio);
            assert_eq!(mixed.len() - sources(&mixed), of_target, "{cap} {ratio:?}");
            assert_eq!(sources(&mixed), 2 * of_a_source, "{cap} {ratio:?}");
        }
        let (few, more) = (make(1_000, Some(0.2)), make(1_000, Some(0.5)));
        assert!(few.iter().all(|x| more.contains(x)));
    }
}
