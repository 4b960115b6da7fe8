//! Merging adapters: one file a rule, exact in the factors where they suffice.
//!
//! ```text
//! recipe ──► rule + members ──► align ──► module by module: rule in its space ──► an adapter (or a base) and its receipt
//! ```
//!
//! * [`recipe`]: mergekit's YAML, and the same keys as TOML or flags;
//! * [`align`]: the members' factors by module, and each one's weights and settings there ([`setting`]);
//! * [`rule`]: the rules; [`space`]: whether they work on factors, cores or dense updates; [`draw`]: random masks;
//! * [`run`]: a rule carried out, and what that takes ([`memory`]); [`made`]: what comes of a module; [`receipt`]: what it made of what, to be recomputed;
//! * [`cat`]: the weighted sum of the updates, `Σ w_i · s_i B_i A_i`, exact; with equal weights it is WeaveRec's merge, as it is or scaled;
//! * [`svd`]: the best adapter of a smaller rank, from the factors;
//! * [`weights`]: what the members weigh, chosen on prompts;
//! * [`fold`]: an adapter added into the base weights; [`base`]: the same from file to file, a block of rows in memory at a time;
//! * [`measure`]: statistics of members that a rule goes by;
//! * [`inspect`]: how alike updates are, before anything is merged.
//!
//! Modules that adapters store whole (the embedding, the output head) are averaged where that is exact, and refused with the reason
//! where it is not. Scales are taken module by module, ranks may differ, and a module that one adapter does not target counts as zero.

pub mod align;
pub mod base;
pub mod cat;
#[cfg(test)]
mod conformance;
pub mod draw;
pub mod fold;
pub mod inspect;
mod long_side;
pub mod made;
pub mod matrix;
pub mod measure;
mod memory;
#[cfg(test)]
mod oracles;
pub mod receipt;
pub mod recipe;
pub mod rule;
pub mod run;
pub mod setting;
pub mod space;
pub mod svd;
#[cfg(test)]
mod tests;
mod threshold;
pub mod weights;

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::lora::config::{Patterns, TargetModules};
use crate::lora::{Adapter, LoraConfig, LoraModule};

pub use cat::{uniform, uniform_scaled, weighted};
pub use fold::fold;
pub use svd::truncate;

/// An adapter of factors whose product is the whole update: every scale is 1, as alpha equals the rank everywhere.
///
/// The settings come from `like`, less its ranks, alphas and initialisation; the modules are those given.
fn scaled_by_one(
    like: &LoraConfig,
    modules: BTreeMap<String, LoraModule>,
    saved: BTreeMap<String, Tensor>,
) -> Adapter {
    let r = modules.values().map(LoraModule::rank).max().unwrap_or(1);
    // Paths as patterns: the dots match themselves, and no path of a decoder is a suffix of another after a dot.
    let other_ranks: Vec<_> = modules
        .iter()
        .filter(|(_, module)| module.rank() != r)
        .map(|(name, module)| (name.clone(), module.rank()))
        .collect();
    let alphas = other_ranks
        .iter()
        .map(|(name, rank)| (name.clone(), *rank as f64))
        .collect();
    let whole: Vec<String> = saved.keys().map(|path| last_part(path).to_string()).collect();
    let config = LoraConfig {
        task_type: like.task_type.clone(),
        base_model_name_or_path: like.base_model_name_or_path.clone(),
        r,
        lora_alpha: r as f64,
        target_modules: names_of(&modules, like.covers_every_layer()),
        rank_pattern: Patterns(other_ranks),
        alpha_pattern: Patterns(alphas),
        modules_to_save: (!whole.is_empty()).then_some(whole),
        ..LoraConfig::default()
    };
    Adapter {
        saved,
        ..Adapter::new(config, modules)
    }
}

/// The targets that are these modules and no others: the last parts of the paths, which is how PEFT states them, where they mean the
/// same in every layer, else the paths.
fn names_of(modules: &BTreeMap<String, LoraModule>, every_layer: bool) -> TargetModules {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for path in modules.keys() {
        *counts.entry(last_part(path)).or_default() += 1;
    }
    let most = counts.values().max();
    let names: Vec<String> = match every_layer && counts.values().all(|count| Some(count) == most) {
        true => counts.into_keys().map(str::to_string).collect(),
        false => modules.keys().cloned().collect(),
    };
    TargetModules::Names(names)
}

fn last_part(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}
