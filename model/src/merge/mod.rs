//! Merging adapters: one file a rule, all exact, in the factors where they suffice.
//!
//! * [`cat`]: the weighted sum of the updates, `Σ w_i · s_i B_i A_i`, exact; with equal weights it is WeaveRec's merge;
//! * [`svd`]: the best adapter of a smaller rank, from the factors;
//! * [`fold`]: an adapter added into the base weights.
//!
//! Scales are taken module by module, ranks may differ, and a module that one adapter lacks counts as zero.

pub mod cat;
pub mod fold;
pub mod svd;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::lora::config::{Patterns, TargetModules};
use crate::lora::{Adapter, LoraConfig, LoraModule};

pub use cat::{uniform, weighted};
pub use fold::fold;
pub use svd::truncate;

/// An adapter of factors whose product is the whole update: every scale is 1, as alpha equals the rank everywhere.
///
/// The settings come from `like`, less its ranks, alphas and initialisation; the modules are those given.
fn scaled_by_one(like: &LoraConfig, modules: BTreeMap<String, LoraModule>) -> Adapter {
    let r = modules.values().map(LoraModule::rank).max().unwrap_or(1);
    // Paths as patterns: the dots match themselves, and no path of a Llama decoder is a suffix of another after a dot.
    let other_ranks: Vec<_> = modules
        .iter()
        .filter(|(_, module)| module.rank() != r)
        .map(|(name, module)| (name.clone(), module.rank()))
        .collect();
    let alphas = other_ranks
        .iter()
        .map(|(name, rank)| (name.clone(), *rank as f64))
        .collect();
    let config = LoraConfig {
        task_type: like.task_type.clone(),
        base_model_name_or_path: like.base_model_name_or_path.clone(),
        r,
        lora_alpha: r as f64,
        target_modules: names_of(modules.keys()),
        rank_pattern: Patterns(other_ranks),
        alpha_pattern: Patterns(alphas),
        ..LoraConfig::default()
    };
    Adapter { config, modules }
}

/// The last parts of the paths, which is how PEFT states targets.
fn names_of<'a>(paths: impl Iterator<Item = &'a String>) -> TargetModules {
    let mut names: Vec<String> = paths
        .map(|path| path.rsplit('.').next().unwrap_or(path).to_string())
        .collect();
    names.sort();
    names.dedup();
    TargetModules::Names(names)
}
