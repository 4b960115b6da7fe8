//! PEFT's `adapter_config.json`: which modules are adapted, with what rank and scale.

mod modules;
#[cfg(test)]
mod tests;

use std::path::Path;

use fancy_regex::Regex;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use self::modules::{any_layer, ends_in, named_layer, pattern, whole};
use crate::{Error, Result, foreign};

pub use self::modules::{OneOrMany, Patterns, TargetModules};

/// The path of the output head.
pub const HEAD: &str = "lm_head";
/// The path of the embedding.
pub const EMBEDDING: &str = "model.embed_tokens";

/// The settings of a LoRA adapter, under PEFT's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// Always `LORA`.
    #[serde(default = "lora")]
    pub peft_type: String,
    /// What the adapted model is for; `CAUSAL_LM` here.
    #[serde(default)]
    pub task_type: Option<String>,
    /// Name or path of the base model the adapter was trained on.
    #[serde(default)]
    pub base_model_name_or_path: Option<String>,
    /// Rank of the factors, where `rank_pattern` says nothing else.
    #[serde(default = "eight")]
    pub r: usize,
    /// Numerator of the scale, where `alpha_pattern` says nothing else.
    #[serde(default = "eight_real")]
    pub lora_alpha: f64,
    /// Share of the adapter's input dropped in training.
    #[serde(default, deserialize_with = "or_default")]
    pub lora_dropout: f64,
    /// Which modules carry an adapter.
    #[serde(default = "all_linear", deserialize_with = "or_all_linear")]
    pub target_modules: TargetModules,
    /// Which of them carry none all the same.
    #[serde(default)]
    pub exclude_modules: Option<TargetModules>,
    /// The layers whose modules carry an adapter, where the targets are names; none: all layers.
    #[serde(default)]
    pub layers_to_transform: Option<OneOrMany<usize>>,
    /// What stands before the number of a layer in paths, as regular expressions; none: whatever does.
    #[serde(default)]
    pub layers_pattern: Option<OneOrMany<String>>,
    /// Scale by `alpha / √r` instead of `alpha / r`.
    #[serde(default, deserialize_with = "or_default")]
    pub use_rslora: bool,
    /// Other ranks for some modules.
    #[serde(default, deserialize_with = "or_default")]
    pub rank_pattern: Patterns<usize>,
    /// Other alphas for some modules.
    #[serde(default, deserialize_with = "or_default")]
    pub alpha_pattern: Patterns<f64>,
    /// Which biases are trained; only `none` can be used here.
    #[serde(default = "none", deserialize_with = "or_none")]
    pub bias: String,
    /// Weight-decomposed LoRA; cannot be used here.
    #[serde(default, deserialize_with = "or_default")]
    pub use_dora: bool,
    /// Modules stored whole beside the factors; the embedding and the output head can be.
    #[serde(default)]
    pub modules_to_save: Option<Vec<String>>,
    /// Keys that mean nothing here, kept for the tools to which they do.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        LoraConfig {
            peft_type: lora(),
            task_type: Some("CAUSAL_LM".into()),
            base_model_name_or_path: None,
            r: eight(),
            lora_alpha: eight_real(),
            lora_dropout: 0.0,
            target_modules: all_linear(),
            exclude_modules: None,
            layers_to_transform: None,
            layers_pattern: None,
            use_rslora: false,
            rank_pattern: Patterns::default(),
            alpha_pattern: Patterns::default(),
            bias: none(),
            use_dora: false,
            modules_to_save: None,
            other: Map::new(),
        }
    }
}

impl LoraConfig {
    /// Plain LoRA of one rank on all linear layers of every block; the scale is `alpha / rank`.
    pub fn new(rank: usize, alpha: f64) -> Self {
        LoraConfig {
            r: rank,
            lora_alpha: alpha,
            ..LoraConfig::default()
        }
    }

    /// Reads an `adapter_config.json`.
    ///
    /// # Errors
    /// A file that cannot be read, or an adapter whose computation is not plain LoRA.
    pub fn read(path: &Path) -> Result<Self> {
        let failure = |message: String| Error::Config {
            path: path.to_path_buf(),
            message,
        };
        let bytes = foreign::read(path)?;
        let keys: Map<String, Value> = foreign::json(&bytes).map_err(failure)?;
        if !["peft_type", "r", "lora_alpha"]
            .iter()
            .any(|key| keys.contains_key(*key))
        {
            return Err(failure(
                "no settings of an adapter: neither peft_type nor r is in it".into(),
            ));
        }
        let config: LoraConfig = foreign::json(&bytes).map_err(failure)?;
        config.check().map_err(failure)?;
        Ok(config)
    }

    /// Whether the module of this path carries an adapter, as PEFT decides it.
    pub fn targets(&self, module: &str) -> bool {
        let excluded = self.exclude_modules.as_ref();
        if excluded.is_some_and(|modules| modules.matches(module)) || self.is_saved(module) {
            return false;
        }
        match &self.target_modules {
            TargetModules::Names(names) if names.iter().any(|name| name == module) => true,
            TargetModules::Names(_) => self.target_modules.matches(module) && self.has_layer_of(module),
            TargetModules::Pattern(_) => self.target_modules.matches(module),
        }
    }

    /// Whether the module of this path is stored whole.
    pub fn is_saved(&self, module: &str) -> bool {
        self.saved_names().any(|name| ends_in(module, name))
    }

    /// The names of `modules_to_save`.
    pub(crate) fn saved_names(&self) -> impl Iterator<Item = &String> {
        self.modules_to_save.iter().flatten()
    }

    /// Whether the targets are all modules of some names, in every layer.
    pub(crate) fn covers_every_layer(&self) -> bool {
        let plain = match &self.target_modules {
            TargetModules::Names(names) => names.iter().all(|name| !name.contains('.')),
            TargetModules::Pattern(_) => self.target_modules.is_all_linear(),
        };
        plain && self.named_layers().is_empty() && self.exclude_modules.is_none()
    }

    /// The layers that the settings name; none: all there are.
    pub(crate) fn named_layers(&self) -> &[usize] {
        self.layers_to_transform.as_ref().map_or(&[], OneOrMany::values)
    }

    fn has_layer_of(&self, module: &str) -> bool {
        let layers = self.named_layers();
        if layers.is_empty() {
            return true;
        }
        let patterns = match self.layers_pattern.as_ref().map_or(&[][..], OneOrMany::values) {
            [] => vec![any_layer()],
            patterns => patterns.iter().map(|pattern| named_layer(pattern)).collect(),
        };
        let mut captures = patterns
            .iter()
            .filter_map(|pattern| Regex::new(pattern).ok()?.captures(module).ok()?);
        let layer = captures
            .next()
            .and_then(|found| found.name("layer")?.as_str().parse().ok());
        layer.is_some_and(|layer: usize| layers.contains(&layer))
    }

    /// Rank of the factors of a module.
    pub fn rank_for(&self, module: &str) -> usize {
        self.rank_pattern.get(module).unwrap_or(self.r)
    }

    /// What the product `B A` of a module is multiplied with.
    pub fn scale_for(&self, module: &str) -> f64 {
        let alpha = self.alpha_pattern.get(module).unwrap_or(self.lora_alpha);
        let rank = self.rank_for(module) as f64;
        if self.use_rslora {
            alpha / rank.sqrt()
        } else {
            alpha / rank
        }
    }

    /// Refuses, with the reason, what would be silently wrong as plain LoRA.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        if self.peft_type != "LORA" {
            return Err(format!(
                "peft_type \"{}\" is not LORA, which alone can be used",
                self.peft_type
            ));
        }
        if self.bias != "none" {
            return Err(format!(
                "bias \"{}\": trained biases are not low-rank factors and cannot be merged; train with bias \"none\"",
                self.bias
            ));
        }
        if self.use_dora {
            return Err(
                "use_dora: a DoRA update depends on the norm of the base weights and is not B·A; \
                        train without it"
                    .into(),
            );
        }
        let whole_modules = [EMBEDDING, HEAD];
        if let Some(name) = self
            .saved_names()
            .find(|name| !whole_modules.iter().any(|module| ends_in(module, name)))
        {
            return Err(format!(
                "modules_to_save \"{name}\": only the embedding (embed_tokens) and the output head (lm_head) can be stored \
                 whole here; train without it"
            ));
        }
        if let Some((key, reason)) = CHANGES_THE_COMPUTATION.iter().find(|(key, _)| self.is_set(key)) {
            return Err(format!("{key}: {reason}; train without it"));
        }
        let ends = [EMBEDDING, HEAD];
        if let Some(module) = ends.into_iter().find(|m| self.is_saved(m) || self.targets(m))
            && self.is_set("ensure_weight_tying")
        {
            return Err(format!(
                "ensure_weight_tying: what is trained of {module} counts for the embedding and the head alike; train without it"
            ));
        }
        let start = self.other.get("init_lora_weights").unwrap_or(&Value::Null);
        let changes_base = start
            .as_str()
            .is_some_and(|start| !["gaussian", "eva", "orthogonal", "true", "false"].contains(&start));
        if changes_base {
            return Err(format!(
                "init_lora_weights {start} subtracts from the base weights; convert the adapter to plain LoRA first"
            ));
        }
        if self.r == 0 || self.rank_pattern.0.iter().any(|(_, rank)| *rank == 0) {
            return Err("a rank of 0".into());
        }
        let keys = self.rank_pattern.0.iter().map(|(key, _)| key);
        for key in keys.chain(self.alpha_pattern.0.iter().map(|(key, _)| key)) {
            pattern(key).map_err(|e| format!("pattern \"{key}\" is no regular expression: {e}"))?;
        }
        let named = [
            ("target_modules", Some(&self.target_modules)),
            ("exclude_modules", self.exclude_modules.as_ref()),
        ];
        for (key, modules) in named {
            if let Some(TargetModules::Pattern(pattern)) = modules {
                whole(pattern).map_err(|e| format!("{key} \"{pattern}\" is no regular expression: {e}"))?;
            }
        }
        for pattern in self.layers_pattern.as_ref().map_or(&[][..], OneOrMany::values) {
            Regex::new(&named_layer(pattern))
                .map_err(|e| format!("layers_pattern \"{pattern}\" is no regular expression: {e}"))?;
        }
        Ok(())
    }

    fn is_set(&self, key: &str) -> bool {
        match self.other.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Array(values)) => !values.is_empty(),
            Some(Value::Object(values)) => !values.is_empty(),
            Some(_) => true,
        }
    }
}

/// Settings of PEFT 0.21 with which an adapter is more, or other, than `scale · B A`.
const CHANGES_THE_COMPUTATION: [(&str, &str); 12] = [
    ("lora_bias", "a bias on B is not a low-rank factor"),
    ("fan_in_fan_out", "the factors belong to transposed weights"),
    ("use_qalora", "the factors see pooled inputs"),
    (
        "alora_invocation_tokens",
        "the adapter works on a part of the tokens only",
    ),
    (
        "trainable_token_indices",
        "rows of the embedding are stored beside the factors",
    ),
    ("target_parameters", "the factors belong to bare parameters"),
    ("layer_replication", "the base model's layers are replicated"),
    ("megatron_config", "the factors belong to a sharded model"),
    (
        "kasa_config",
        "the base weights are truncated and a diagonal stands between the factors",
    ),
    ("use_bdlora", "the factors are stored as blocks"),
    ("monteclora_config", "the factors are sampled"),
    ("arrow_config", "the adapter routes between others"),
];

fn lora() -> String {
    "LORA".into()
}

fn none() -> String {
    "none".into()
}

fn eight() -> usize {
    8
}

fn eight_real() -> f64 {
    8.0
}

fn all_linear() -> TargetModules {
    TargetModules::Pattern("all-linear".into())
}

fn or_all_linear<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<TargetModules, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_else(all_linear))
}

fn or_none<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<String, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_else(none))
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    input: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}
