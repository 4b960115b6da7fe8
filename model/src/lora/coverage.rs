//! Whether everything that an adapter's settings target has factors.
//!
//! A factor that is missing counts as zero wherever adapters are read, so that an adapter of half its layers gives half an answer and
//! no error. The settings say what there should be, and whoever knows the base, how many layers it has.

use super::Adapter;
use super::config::{EMBEDDING, HEAD, OneOrMany, TargetModules};
use crate::backbone::config::MOST_LAYERS;
use crate::backbone::decoder::{PROJECTIONS, layer_of};

pub(crate) use crate::backbone::decoder::layers_among;

/// How many modules a message names.
const NAMED: usize = 3;

impl Adapter {
    /// The fewest layers that the base can have, as far as the adapter says.
    pub fn layers(&self) -> usize {
        let recorded = self.base.as_ref().map(|base| base.layers);
        let named = self
            .config
            .named_layers()
            .iter()
            .map(|layer| layer.saturating_add(1));
        let stored = self
            .modules
            .keys()
            .filter_map(|path| Some(layer_of(path)?.saturating_add(1)));
        match recorded {
            Some(layers) => stored.chain([layers]).max(),
            None => stored.chain(named).max(),
        }
        .unwrap_or(0)
        .min(MOST_LAYERS)
    }

    /// Whether the adapter itself says how many layers its base has, or which of them it is for, so that missing factors are seen without
    /// the base.
    pub fn knows_layers(&self) -> bool {
        self.base.is_some() || !self.config.named_layers().is_empty()
    }

    /// Refuses an adapter that lacks factors for modules which its settings target in a base of so many layers.
    pub(crate) fn check_coverage(&self, layers: usize) -> Result<(), String> {
        let targeted = self.targeted(layers);
        let missing: Vec<&String> = targeted
            .iter()
            .filter(|path| !self.modules.contains_key(*path))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let named: Vec<&str> = missing.iter().take(NAMED).map(|path| path.as_str()).collect();
        let others = match missing.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Err(format!(
            "{} of {} targeted modules have no factors ({}{others}): the adapter was not stored whole, or the settings are another \
             one's; store it again, or read it as partial (--partial), which takes them for zero",
            missing.len(),
            targeted.len(),
            named.join(", ")
        ))
    }

    /// Takes layers out of the settings that a base of so many does not have. PEFT goes through the modules that there are, so that to
    /// name others has no effect.
    pub(super) fn forget_layers_from(&mut self, layers: usize) {
        let named = self.config.named_layers();
        let kept: Vec<usize> = named.iter().copied().filter(|layer| *layer < layers).collect();
        if kept.len() == named.len() {
            return;
        }
        match kept.is_empty() {
            // An empty list would mean every layer.
            true => self.narrow_targets(),
            false => self.config.layers_to_transform = Some(OneOrMany::Many(kept)),
        }
    }

    /// Whether nothing is missing up to the last layer that has factors.
    pub(super) fn is_complete_as_far_as_it_goes(&self) -> bool {
        let stored = self.modules.keys().filter_map(|path| layer_of(path));
        let layers = stored.max().map_or(0, |last| last.saturating_add(1));
        self.check_coverage(layers.min(MOST_LAYERS)).is_ok()
    }

    /// Makes the settings target what has factors and nothing else.
    pub(super) fn narrow_targets(&mut self) {
        self.config.target_modules = TargetModules::Names(self.modules.keys().cloned().collect());
        self.config.exclude_modules = None;
        self.config.layers_to_transform = None;
        self.config.layers_pattern = None;
    }

    /// The modules of a base of so many layers that the settings target, from the first layer to the last.
    fn targeted(&self, layers: usize) -> Vec<String> {
        let projections = (0..layers).flat_map(|layer| {
            PROJECTIONS
                .iter()
                .map(move |name| format!("model.layers.{layer}.{name}"))
        });
        let all = projections.chain([EMBEDDING.to_string(), HEAD.to_string()]);
        all.filter(|path| self.config.targets(path)).collect()
    }
}
