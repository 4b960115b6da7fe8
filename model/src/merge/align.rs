//! Members side by side: for every module that any of them adapts, the factors of each and what its settings are there.
//!
//! A module that a member does not adapt is a zero update there. Scales come from each member's own ranks and alphas, module by module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::cat::{common_base, common_copies};
use super::setting::{Place, Setting};
use crate::lora::config::EMBEDDING;
use crate::lora::coverage::layers_among;
use crate::lora::{Adapter, LoraModule};
use crate::{Error, Result};

/// The setting by which members are weighed.
pub const WEIGHT: &str = "weight";
/// The setting that names a member's file of statistics.
pub const STATISTICS: &str = "statistics";

/// An adapter that is merged, and what holds for it alone.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The adapter.
    pub adapter: &'a Adapter,
    /// Its own settings, which come before the rule's: `weight`, `density` and the like.
    pub settings: BTreeMap<String, Setting>,
}

impl<'a> Member<'a> {
    /// A member of a weight.
    pub fn weighing(adapter: &'a Adapter, weight: f64) -> Self {
        Member {
            adapter,
            settings: [(WEIGHT.to_string(), weight.into())].into(),
        }
    }
}

/// Members whose modules fit each other.
#[derive(Clone, Debug)]
pub struct Aligned<'a> {
    members: Vec<Member<'a>>,
    ids: Vec<String>,
    shapes: BTreeMap<String, (usize, usize)>,
    layers: usize,
}

impl<'a> Aligned<'a> {
    /// Puts members side by side. One whose weight is 0 everywhere is left out.
    ///
    /// # Errors
    /// No member with a weight, members of different bases by what they know of them, modules of different shapes, or factors that are missing where a
    /// member's settings want some.
    pub fn new(members: Vec<Member<'a>>) -> Result<Self> {
        let given = members.len();
        let weightless = |member: &Member| {
            let weight = member.settings.get(WEIGHT).and_then(Setting::constant);
            weight == Some(0.0)
        };
        let numbered = (1..).zip(members).filter(|(_, member)| !weightless(member));
        let (numbers, members): (Vec<usize>, Vec<Member>) = numbered.unzip();
        if members.is_empty() {
            return Err(Error::Merge("no adapter has a weight other than 0".into()));
        }
        let adapters: Vec<&Adapter> = members.iter().map(|member| member.adapter).collect();
        let layers = adapters.iter().map(|adapter| adapter.layers()).max().unwrap_or(0);
        for (number, adapter) in numbers.iter().zip(&adapters) {
            adapter
                .check_coverage(layers)
                .map_err(|message| Error::Merge(format!("in adapter {number} of {given}, {message}")))?;
        }
        common_base(&adapters)?;
        common_copies(&adapters)?;
        let mut shapes: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for (name, module) in adapters.iter().flat_map(|adapter| &adapter.modules) {
            let shape = module.shape()?;
            if !module.scale.is_finite() {
                return Err(Error::Merge(format!(
                    "{name} has a scale of {}; store the adapter again",
                    module.scale
                )));
            }
            let first = *shapes.entry(name.clone()).or_insert(shape);
            if first != shape {
                return Err(Error::Merge(format!(
                    "{name} is {first:?} in one adapter and {shape:?} in another; they belong to different bases"
                )));
            }
        }
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut ids = Vec::with_capacity(adapters.len());
        for adapter in &adapters {
            let id = adapter.fingerprint()?;
            let times = seen.entry(id.clone()).or_default();
            ids.push(format!("{id}#{times}"));
            *times += 1;
        }
        Ok(Aligned {
            members,
            ids,
            shapes,
            layers,
        })
    }

    /// The members, in the order given.
    pub fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The adapters, in the order given.
    pub fn adapters(&self) -> Vec<&'a Adapter> {
        self.members.iter().map(|member| member.adapter).collect()
    }

    /// The modules of all members, in the order of their paths.
    pub fn sites(&self) -> impl Iterator<Item = Site<'_>> {
        self.shapes.iter().map(|(name, shape)| self.site_of(name, *shape))
    }

    /// The place of a module that members store whole, which has no factors.
    pub fn site_of_whole<'s>(&'s self, name: &'s str) -> Site<'s> {
        Site {
            factors: vec![None; self.members.len()],
            ..self.site_of(name, (0, 0))
        }
    }

    fn site_of<'s>(&'s self, name: &'s str, shape: (usize, usize)) -> Site<'s> {
        let factors = self.members.iter().map(|member| member.adapter.modules.get(name));
        Site {
            place: Place {
                module: name,
                depth: depth(name, self.layers),
            },
            shape,
            factors: factors.collect(),
            members: &self.members,
            ids: &self.ids,
        }
    }

    /// The paths of modules that members store whole.
    pub fn whole(&self) -> BTreeSet<&String> {
        let members = self.members.iter();
        members.flat_map(|member| member.adapter.saved.keys()).collect()
    }
}

/// As mergekit has it: linear in the number of the layer.
fn depth(module: &str, layers: usize) -> f64 {
    match layers_among([module].into_iter()) {
        0 if module == EMBEDDING => 0.0,
        up_to if up_to > 0 && layers > 1 => (up_to - 1) as f64 / (layers - 1) as f64,
        // The output head, and the only layer of a model of one.
        _ => 1.0,
    }
}

/// One module of all members.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// Which module, and how deep.
    pub place: Place<'a>,
    /// `(out, in)`.
    pub shape: (usize, usize),
    /// The factors of each member; none: it does not adapt the module.
    pub factors: Vec<Option<&'a LoraModule>>,
    members: &'a [Member<'a>],
    ids: &'a [String],
}

impl Site<'_> {
    /// Path of the module.
    pub fn name(&self) -> &str {
        self.place.module
    }

    /// Identity of a member.
    pub fn id(&self, member: usize) -> &str {
        &self.ids[member]
    }

    /// A member's own setting of this name here, else the rule's.
    ///
    /// # Errors
    /// No filter lets the module through.
    pub fn setting(&self, member: usize, key: &str, rule: &Setting) -> Result<f64> {
        let own = self.members[member].settings.get(key);
        own.unwrap_or(rule)
            .at(self.place)
            .map_err(|error| Error::Merge(format!("{key}: {}", bare(&error))))
    }

    /// The rule's setting here.
    ///
    /// # Errors
    /// No filter lets the module through.
    pub fn shared(&self, key: &str, rule: &Setting) -> Result<f64> {
        rule.at(self.place)
            .map_err(|error| Error::Merge(format!("{key}: {}", bare(&error))))
    }

    /// A member's file of statistics, where it has one.
    pub fn statistics(&self, member: usize) -> Option<&Path> {
        self.members[member].settings.get(STATISTICS)?.file()
    }

    /// Ranks of all members; 0 where one does not adapt the module.
    pub fn ranks(&self) -> Vec<usize> {
        let ranks = self.factors.iter().map(|factors| factors.map_or(0, |f| f.rank()));
        ranks.collect()
    }
}

fn bare(error: &Error) -> String {
    match error {
        Error::Merge(message) => message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lora::config::HEAD;

    #[test]
    fn depth_goes_from_the_embedding_to_the_head() {
        for (module, layers, expected) in [
            ("model.layers.0.mlp.up_proj", 5, 0.0),
            ("model.layers.1.mlp.up_proj", 5, 0.25),
            ("model.layers.4.mlp.up_proj", 5, 1.0),
            ("model.layers.0.mlp.up_proj", 1, 1.0),
            (EMBEDDING, 5, 0.0),
            (HEAD, 5, 1.0),
        ] {
            assert_eq!(depth(module, layers), expected, "{module}");
        }
    }
}
