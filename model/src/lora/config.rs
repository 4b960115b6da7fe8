//! PEFT's `adapter_config.json`: which modules are adapted, with what rank and scale.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use regex::Regex;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Which modules carry an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetModules {
    /// Names: a module is meant if its path is one of them or ends in a dot and one of them.
    Names(Vec<String>),
    /// A regular expression for the whole path, or `all-linear`: every linear layer but the output head.
    Pattern(String),
}

/// Values for modules that a regular expression picks; the first that matches counts, so the order is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Patterns<T>(pub Vec<(String, T)>);

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Patterns(Vec::new())
    }
}

impl<T: Copy> Patterns<T> {
    /// The value of the first key K for which `(.*\.)?(K)$` matches the path, as PEFT decides it.
    pub fn get(&self, module: &str) -> Option<T> {
        let matches = |key: &str| pattern(key).is_ok_and(|regex| regex.is_match(module));
        self.0
            .iter()
            .find(|(key, _)| matches(key))
            .map(|(_, value)| *value)
    }
}

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
    #[serde(default)]
    pub lora_dropout: f64,
    /// Which modules carry an adapter.
    #[serde(default = "all_linear", deserialize_with = "or_all_linear")]
    pub target_modules: TargetModules,
    /// Scale by `alpha / √r` instead of `alpha / r`.
    #[serde(default)]
    pub use_rslora: bool,
    /// Other ranks for some modules.
    #[serde(default, deserialize_with = "or_default")]
    pub rank_pattern: Patterns<usize>,
    /// Other alphas for some modules.
    #[serde(default, deserialize_with = "or_default")]
    pub alpha_pattern: Patterns<f64>,
    /// Which biases are trained; only `none` can be used here.
    #[serde(default = "none")]
    pub bias: String,
    /// Weight-decomposed LoRA; cannot be used here.
    #[serde(default)]
    pub use_dora: bool,
    /// Modules trained and stored whole; cannot be used here.
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
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let failure = |message: String| Error::Config {
            path: path.to_path_buf(),
            message,
        };
        let config: LoraConfig = serde_json::from_str(&text).map_err(|e| failure(e.to_string()))?;
        config.check().map_err(failure)?;
        Ok(config)
    }

    /// Whether the module of this path carries an adapter.
    pub fn targets(&self, module: &str) -> bool {
        match &self.target_modules {
            TargetModules::Names(names) => names.iter().any(|name| {
                module
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }),
            TargetModules::Pattern(pattern) if pattern == "all-linear" => module != "lm_head",
            TargetModules::Pattern(pattern) => whole(pattern).is_ok_and(|regex| regex.is_match(module)),
        }
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
            return Err(format!("peft_type \"{}\" is not LORA", self.peft_type));
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
        if self
            .modules_to_save
            .as_ref()
            .is_some_and(|modules| !modules.is_empty())
        {
            return Err(
                "modules_to_save: whole modules stored beside the factors are not merged; \
                        train without them"
                    .into(),
            );
        }
        if let Some((key, reason)) = CHANGES_THE_COMPUTATION.iter().find(|(key, _)| self.is_set(key)) {
            return Err(format!("{key}: {reason}; train without it"));
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
        if let TargetModules::Pattern(pattern) = &self.target_modules {
            whole(pattern)
                .map_err(|e| format!("target_modules \"{pattern}\" is no regular expression: {e}"))?;
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

fn pattern(key: &str) -> std::result::Result<Regex, regex::Error> {
    // Python's `re.match`, which PEFT calls, anchors at the start.
    Regex::new(&format!(r"^(.*\.)?({key})$"))
}

fn whole(pattern: &str) -> std::result::Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

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

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    input: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

impl<T: Serialize> Serialize for Patterns<T> {
    fn serialize<S: Serializer>(&self, output: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = output.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> std::result::Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Patterns<T>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a table from patterns to numbers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Patterns(entries))
            }
        }
        input.deserialize_map(InOrder(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn parse(json: &str) -> LoraConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_first_matching_pattern_decides_rank_and_scale() {
        let config = parse(
            r#"{"r": 4, "lora_alpha": 8, "rank_pattern": {"layers.1.*q_proj": 2, "q_proj": 16},
                "alpha_pattern": {"model.layers.1.self_attn.q_proj": 3, "q_proj$|k_proj": 32}}"#,
        );
        let (first, second) = (
            "model.layers.0.self_attn.q_proj",
            "model.layers.1.self_attn.q_proj",
        );
        assert_eq!((config.rank_for(first), config.scale_for(first)), (16, 2.0));
        assert_eq!((config.rank_for(second), config.scale_for(second)), (2, 1.5));
        assert_eq!(config.scale_for("model.layers.0.self_attn.k_proj"), 8.0);
        assert_eq!(config.scale_for("model.layers.0.mlp.up_proj"), 2.0);
        assert_eq!(
            config.rank_for("model.layers.0.self_attn.xq_proj"),
            4,
            "a key starts at a dot"
        );
    }

    #[test]
    fn rslora_divides_by_the_root_of_the_rank() {
        let config = parse(r#"{"r": 16, "lora_alpha": 8, "use_rslora": true}"#);
        assert_eq!(config.scale_for("model.layers.0.mlp.up_proj"), 2.0);
    }

    #[test]
    fn targets_are_names_a_pattern_or_every_linear_layer() {
        let q = "model.layers.0.self_attn.q_proj";
        assert!(parse(r#"{"target_modules": ["q_proj"]}"#).targets(q));
        assert!(!parse(r#"{"target_modules": ["proj"]}"#).targets(q));
        assert!(parse(r#"{"target_modules": ".*self_attn\\.[qv]_proj"}"#).targets(q));
        assert!(!parse(r#"{"target_modules": "[qv]_proj"}"#).targets(q));
        assert!(parse(r#"{"target_modules": "all-linear"}"#).targets(q));
        assert!(!parse(r#"{"target_modules": "all-linear"}"#).targets("lm_head"));
    }

    #[test]
    fn what_is_not_plain_lora_is_refused_by_name() {
        for (json, word) in [
            (r#"{"bias": "all"}"#, "bias"),
            (r#"{"use_dora": true}"#, "DoRA"),
            (r#"{"modules_to_save": ["lm_head"]}"#, "modules_to_save"),
            (r#"{"lora_bias": true}"#, "lora_bias"),
            (r#"{"init_lora_weights": "pissa"}"#, "pissa"),
            (r#"{"peft_type": "IA3"}"#, "IA3"),
            (r#"{"rank_pattern": {"(": 3}}"#, "regular expression"),
            (r#"{"r": 0}"#, "rank"),
        ] {
            let reason = parse(json).check().unwrap_err();
            assert!(reason.contains(word), "{reason}");
        }
        for json in [
            r#"{"modules_to_save": [], "lora_bias": false}"#,
            r#"{"init_lora_weights": true}"#,
        ] {
            parse(json).check().unwrap();
        }
    }

    #[test]
    fn a_config_written_reads_back_equal_with_unknown_keys_and_order() {
        let json = r#"{"r": 4, "revision": "main", "rank_pattern": {"z": 1, "a": 2}, "alpha_pattern": null}"#;
        let config = parse(json);
        let again = parse(&serde_json::to_string(&config).unwrap());
        assert_eq!(again, config);
        assert_eq!(again.rank_pattern.0, [("z".to_string(), 1), ("a".to_string(), 2)]);
        assert_eq!(again.other["revision"], "main");
    }
}
