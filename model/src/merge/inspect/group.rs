//! Modules taken together: those of a layer, of a kind, or all.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ModuleInspection;
use super::signs::Signs;
use crate::lora::coverage::layers_among;

/// What modules come to that are taken together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// What they have in common, as `q_proj` or `layer 3`.
    pub name: String,
    /// How many there are.
    pub modules: usize,
    /// Frobenius norm of each adapter's update in all of them.
    pub norms: Vec<f64>,
    /// The smallest and the largest rank of each adapter's updates, where it has some.
    pub true_ranks: Vec<Option<[usize; 2]>>,
    /// Each two adapters that have a module in common.
    pub pairs: Vec<GroupPair>,
}

/// Two adapters in several modules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupPair {
    /// The places of the two.
    pub adapters: [usize; 2],
    /// Cosine of the updates of all the modules as one vector; a module that one of the two lacks counts for the norm of the other.
    pub cosine: f64,
    /// Entries of all the modules.
    pub signs: Signs,
    /// Share of the subspaces of outputs that is common, on average over the modules.
    pub outputs: f64,
    /// The same of the subspaces of inputs.
    pub inputs: f64,
    /// The shares that there would be by chance, of outputs and inputs.
    pub by_chance: [f64; 2],
}

/// The modules of one kind in all layers, in the order in which they come.
pub fn by_kind(modules: &[ModuleInspection]) -> Vec<Group> {
    let mut kinds: Vec<&str> = Vec::new();
    for module in modules {
        let kind = kind_of(&module.module);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let group = |kind: &&str| {
        let of_kind = modules.iter().filter(|module| kind_of(&module.module) == *kind);
        group(kind, &of_kind.collect::<Vec<_>>())
    };
    kinds.iter().map(group).collect()
}

/// The modules of a layer, from the first to the last; those outside of layers by themselves, at the end.
pub fn by_layer(modules: &[ModuleInspection]) -> Vec<Group> {
    let mut layers: BTreeMap<(usize, &str), Vec<&ModuleInspection>> = BTreeMap::new();
    for module in modules {
        let key = match layers_among([module.module.as_str()].into_iter()) {
            0 => (usize::MAX, module.module.as_str()),
            number => (number - 1, ""),
        };
        layers.entry(key).or_default().push(module);
    }
    let named = layers.into_iter().map(|((layer, name), modules)| match name {
        "" => group(&format!("layer {layer}"), &modules),
        name => group(name, &modules),
    });
    named.collect()
}

/// All modules.
pub fn total(modules: &[ModuleInspection]) -> Group {
    group("all", &modules.iter().collect::<Vec<_>>())
}

/// The last part of a module's path.
fn kind_of(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

fn group(name: &str, modules: &[&ModuleInspection]) -> Group {
    let count = modules.first().map_or(0, |module| module.norms.len());
    let norm = |place: usize| modules.iter().map(|m| m.norms[place].powi(2)).sum::<f64>().sqrt();
    let norms: Vec<f64> = (0..count).map(norm).collect();
    let ranks = |place: usize| {
        let ranks = || {
            modules
                .iter()
                .map(|m| m.true_ranks[place])
                .filter(|rank| *rank > 0)
        };
        Some([ranks().min()?, ranks().max()?])
    };
    let mut pairs = Vec::new();
    for one in 0..count {
        for other in one + 1..count {
            let here = modules.iter().flat_map(|module| &module.pairs);
            let here: Vec<_> = here.filter(|pair| pair.adapters == [one, other]).collect();
            if here.is_empty() {
                continue;
            }
            let mean = |of: &dyn Fn(&super::Pair) -> f64| {
                here.iter().map(|pair| of(pair)).sum::<f64>() / here.len() as f64
            };
            let inner: f64 = here.iter().map(|pair| pair.inner).sum();
            pairs.push(GroupPair {
                adapters: [one, other],
                cosine: (inner / (norms[one] * norms[other])).clamp(-1.0, 1.0),
                signs: Signs {
                    both: here.iter().map(|pair| pair.signs.both).sum(),
                    opposite: here.iter().map(|pair| pair.signs.opposite).sum(),
                },
                outputs: mean(&|pair| pair.outputs.share),
                inputs: mean(&|pair| pair.inputs.share),
                by_chance: [
                    mean(&|pair| pair.outputs.by_chance),
                    mean(&|pair| pair.inputs.by_chance),
                ],
            });
        }
    }
    Group {
        name: name.to_string(),
        modules: modules.len(),
        true_ranks: (0..count).map(ranks).collect(),
        norms,
        pairs,
    }
}
