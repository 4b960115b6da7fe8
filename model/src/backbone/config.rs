//! Configuration of a decoder, as Hugging Face's `config.json` states it.
//!
//! Both spellings of the rotary settings are read: `rope_theta` with `rope_scaling` (transformers 4) and `rope_parameters`
//! (transformers 5). Settings that would change the computation and are not implemented here are refused.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the rotary frequencies are stretched for contexts longer than the pre-training's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// Llama 3.1's rule: long wavelengths are divided by `factor`, short ones kept, those between interpolated.
    Llama3 {
        /// Divisor of the lowest frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided by `factor`.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` stay as they are.
        high_freq_factor: f64,
        /// Context length of the pre-training.
        original_max_position_embeddings: usize,
    },
}

/// The model families that the decoder covers; what sets them apart from Llama are switches in its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Llama and SmolLM2.
    #[default]
    Llama,
    /// Qwen2 and Qwen2.5: query, key and value projections have a bias.
    Qwen2,
    /// Qwen3: every head's queries and keys are normalised before they are rotated.
    Qwen3,
}

impl Family {
    const ALL: [Family; 3] = [Family::Llama, Family::Qwen2, Family::Qwen3];

    /// The name that `model_type` has in `config.json`, and `general.architecture` in GGUF metadata.
    pub fn name(self) -> &'static str {
        match self {
            Family::Llama => "llama",
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
        }
    }

    /// The family of a name, or a message that lists those there are.
    pub(crate) fn of(name: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.into_iter().find(|family| family.name() == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|family| family.name()).collect();
            format!(
                "\"{name}\" is not implemented; take a model of type {}",
                known.join(", ")
            )
        })
    }

    fn architecture(self) -> &'static str {
        match self {
            Family::Llama => "LlamaForCausalLM",
            Family::Qwen2 => "Qwen2ForCausalLM",
            Family::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// Whether query, key and value projections have a bias.
    pub(crate) fn has_bias(self) -> bool {
        self == Family::Qwen2
    }

    /// Whether queries and keys are normalised head by head.
    pub(crate) fn has_head_norms(self) -> bool {
        self == Family::Qwen3
    }
}

/// Sizes and constants of a decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ConfigJson", into = "ConfigJson")]
pub struct DecoderConfig {
    /// Which blocks it is made of.
    pub family: Family,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key and value heads; divides the number of query heads.
    pub num_key_value_heads: usize,
    /// Width of a head, where it is not `hidden_size / num_attention_heads`.
    pub head_dim: Option<usize>,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretching of the rotary frequencies.
    pub rope_scaling: Option<RopeScaling>,
    /// Longest context the model is meant for.
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Token that starts a sequence.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a sequence.
    pub eos_token_ids: Vec<u32>,
}

impl DecoderConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// A file that cannot be read, or a model of a family or with settings that are not implemented here.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        serde_json::from_str(&text).map_err(|e| Error::Config {
            path: path.to_path_buf(),
            message: e.to_string(),
        })
    }

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
            .unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Rotary frequencies in radians per position, one for each pair of a head's dimensions.
    pub fn inverse_frequencies(&self) -> Vec<f32> {
        let width = self.head_dim();
        (0..width / 2)
            .map(|pair| {
                let plain = self.rope_theta.powf(-((2 * pair) as f64) / width as f64);
                self.rope_scaling.map_or(plain, |scaling| scaling.apply(plain)) as f32
            })
            .collect()
    }

    /// Checks that the sizes fit together.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(format!("{name} is 0"));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(format!(
                "num_attention_heads {} is no multiple of num_key_value_heads {}",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!(
                "hidden_size {} is no multiple of num_attention_heads {} and there is no head_dim",
                self.hidden_size, self.num_attention_heads
            ));
        }
        match self.head_dim() {
            width if width == 0 || width % 2 == 1 => Err(format!(
                "a head of width {width} cannot be rotated: it must be even"
            )),
            _ => Ok(()),
        }
    }
}

impl RopeScaling {
    fn apply(self, frequency: f64) -> f64 {
        let RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } = self;
        let original = original_max_position_embeddings as f64;
        let wavelength = 2.0 * std::f64::consts::PI / frequency;
        if wavelength < original / high_freq_factor {
            frequency
        } else if wavelength > original / low_freq_factor {
            frequency / factor
        } else {
            let smooth = (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
            (1.0 - smooth) * frequency / factor + smooth * frequency
        }
    }
}

/// The file as it is spelt; every key optional that transformers has a default for.
#[derive(Clone, Serialize, Deserialize)]
struct ConfigJson {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    architectures: Vec<String>,
    #[serde(default = "llama")]
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head_dim: Option<usize>,
    #[serde(default = "silu")]
    hidden_act: String,
    #[serde(default = "small")]
    rms_norm_eps: f64,
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(default)]
    rope_scaling: Option<RopeJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_parameters: Option<RopeJson>,
    #[serde(default = "two_thousand")]
    max_position_embeddings: usize,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    use_sliding_window: bool,
    #[serde(default)]
    bos_token_id: Option<u32>,
    #[serde(default)]
    eos_token_id: Option<OneOrMany>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    torch_dtype: Option<String>,
}

/// `rope_scaling` or `rope_parameters`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct RopeJson {
    /// Older files say `type`.
    #[serde(alias = "type")]
    rope_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_rotary_factor: Option<f64>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

fn llama() -> String {
    "llama".into()
}

fn silu() -> String {
    "silu".into()
}

fn small() -> f64 {
    1e-6
}

fn two_thousand() -> usize {
    2048
}

impl RopeJson {
    fn scaling(&self) -> std::result::Result<Option<RopeScaling>, String> {
        if self.partial_rotary_factor.is_some_and(|share| share != 1.0) {
            return Err("partial_rotary_factor other than 1 is not implemented".into());
        }
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(None),
            Some("llama3") => {
                let need = |value: Option<f64>, key: &str| {
                    value.ok_or_else(|| format!("the llama3 rope settings lack {key}"))
                };
                Ok(Some(RopeScaling::Llama3 {
                    factor: need(self.factor, "factor")?,
                    low_freq_factor: need(self.low_freq_factor, "low_freq_factor")?,
                    high_freq_factor: need(self.high_freq_factor, "high_freq_factor")?,
                    original_max_position_embeddings: self
                        .original_max_position_embeddings
                        .ok_or("the llama3 rope settings lack original_max_position_embeddings")?,
                }))
            }
            Some(other) => Err(format!(
                "rope_type \"{other}\" is not implemented; \"default\" and \"llama3\" are"
            )),
        }
    }
}

impl TryFrom<ConfigJson> for DecoderConfig {
    type Error = String;

    fn try_from(json: ConfigJson) -> std::result::Result<Self, String> {
        let family = Family::of(&json.model_type).map_err(|e| format!("model_type {e}"))?;
        if json.hidden_act != "silu" {
            return Err(format!(
                "hidden_act \"{}\" is not implemented; \"silu\" is",
                json.hidden_act
            ));
        }
        if json.attention_bias || json.mlp_bias {
            return Err("biases in attention_bias or mlp_bias are not implemented".into());
        }
        if json.use_sliding_window {
            return Err("use_sliding_window is not implemented: every position sees all before it".into());
        }
        // What transformers takes where the file is silent.
        let head_dim = match family {
            Family::Qwen3 => json.head_dim.or(Some(128)),
            Family::Llama | Family::Qwen2 => json.head_dim,
        };
        let rope = json.rope_parameters.or(json.rope_scaling).unwrap_or_default();
        let config = DecoderConfig {
            family,
            vocab_size: json.vocab_size,
            hidden_size: json.hidden_size,
            intermediate_size: json.intermediate_size,
            num_hidden_layers: json.num_hidden_layers,
            num_attention_heads: json.num_attention_heads,
            num_key_value_heads: json.num_key_value_heads.unwrap_or(json.num_attention_heads),
            head_dim,
            rms_norm_eps: json.rms_norm_eps,
            rope_theta: rope.rope_theta.or(json.rope_theta).unwrap_or(10_000.0),
            rope_scaling: rope.scaling()?,
            max_position_embeddings: json.max_position_embeddings,
            tie_word_embeddings: json.tie_word_embeddings,
            bos_token_id: json.bos_token_id,
            eos_token_ids: match json.eos_token_id {
                None => Vec::new(),
                Some(OneOrMany::One(id)) => vec![id],
                Some(OneOrMany::Many(ids)) => ids,
            },
        };
        config.check()?;
        Ok(config)
    }
}

impl From<DecoderConfig> for ConfigJson {
    fn from(config: DecoderConfig) -> Self {
        let rope_scaling = config.rope_scaling.map(|scaling| {
            let RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } = scaling;
            RopeJson {
                rope_type: Some("llama3".into()),
                factor: Some(factor),
                low_freq_factor: Some(low_freq_factor),
                high_freq_factor: Some(high_freq_factor),
                original_max_position_embeddings: Some(original_max_position_embeddings),
                ..RopeJson::default()
            }
        });
        let eos_token_id = match config.eos_token_ids.as_slice() {
            [] => None,
            [one] => Some(OneOrMany::One(*one)),
            many => Some(OneOrMany::Many(many.to_vec())),
        };
        ConfigJson {
            architectures: vec![config.family.architecture().into()],
            model_type: config.family.name().into(),
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            num_key_value_heads: Some(config.num_key_value_heads),
            head_dim: config.head_dim,
            hidden_act: silu(),
            rms_norm_eps: config.rms_norm_eps,
            rope_theta: Some(config.rope_theta),
            rope_scaling,
            rope_parameters: None,
            max_position_embeddings: config.max_position_embeddings,
            tie_word_embeddings: config.tie_word_embeddings,
            attention_bias: false,
            mlp_bias: false,
            use_sliding_window: false,
            bos_token_id: config.bos_token_id,
            eos_token_id,
            torch_dtype: Some("float32".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const SIZES: &str = r#""model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4"#;

    fn parse(more: &str) -> std::result::Result<DecoderConfig, serde_json::Error> {
        serde_json::from_str(&format!("{{{SIZES}{more}}}"))
    }

    #[test]
    fn defaults_are_those_of_transformers() {
        let config = parse("").unwrap();
        assert_eq!((config.num_key_value_heads, config.head_dim()), (4, 8));
        assert_eq!((config.rms_norm_eps, config.rope_theta), (1e-6, 10_000.0));
        assert!(!config.tie_word_embeddings && config.eos_token_ids.is_empty());
    }

    #[test]
    fn both_spellings_of_the_rotary_settings_are_the_same() {
        let older = parse(
            r#", "rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
            "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}"#,
        );
        let newer = parse(
            r#", "rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0,
            "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}"#,
        );
        assert_eq!(older.unwrap(), newer.unwrap());
    }

    #[test]
    fn what_would_change_the_computation_is_refused() {
        for (more, word) in [
            (r#", "rope_scaling": {"type": "yarn", "factor": 2.0}"#, "yarn"),
            (r#", "hidden_act": "gelu""#, "gelu"),
            (r#", "attention_bias": true"#, "bias"),
            (r#", "num_key_value_heads": 3"#, "multiple"),
            (r#", "head_dim": 7"#, "even"),
            (r#", "use_sliding_window": true"#, "sliding"),
        ] {
            let message = parse(more).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn a_config_written_reads_back_equal() {
        let mut config = parse(r#", "eos_token_id": [2, 7], "bos_token_id": 1, "head_dim": 16"#).unwrap();
        config.rope_scaling = Some(RopeScaling::Llama3 {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        });
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<DecoderConfig>(&text).unwrap(), config);
    }

    #[test]
    fn families_are_told_by_model_type_and_written_back() {
        for family in Family::ALL {
            let text = format!("{{{SIZES}}}").replace("\"llama\"", &format!("\"{}\"", family.name()));
            let config: DecoderConfig = serde_json::from_str(&text).unwrap();
            assert_eq!(config.family, family);
            let again: DecoderConfig =
                serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
            assert_eq!(again, config);
        }
        let other = format!("{{{SIZES}}}").replace("\"llama\"", "\"mamba\"");
        let message = serde_json::from_str::<DecoderConfig>(&other)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("mamba") && message.contains("qwen2"),
            "{message}"
        );
    }

    #[test]
    fn llama3_scaling_keeps_high_frequencies_and_divides_low_ones() {
        let plain = parse(r#", "rope_theta": 5e5, "head_dim": 64"#).unwrap();
        let mut scaled = plain.clone();
        scaled.rope_scaling = Some(RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        });
        let (plain, scaled) = (plain.inverse_frequencies(), scaled.inverse_frequencies());
        assert_eq!((plain.len(), plain[0], scaled[0]), (32, 1.0, 1.0));
        assert!((plain[31] / scaled[31] - 8.0).abs() < 1e-4);
        assert!(scaled.windows(2).all(|pair| pair[1] < pair[0]));
    }
}
