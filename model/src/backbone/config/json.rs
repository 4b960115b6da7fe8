//! `config.json` as it is spelt, and what transformers takes where it is silent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{DecoderConfig, Family, Gemma3, MOST_LAYERS, RopeScaling, spelling};
use crate::op::Activation;

/// The file as it is spelt; every key optional that transformers has a default for.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ConfigJson {
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hidden_act: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hidden_activation: Option<String>,
    #[serde(default = "small")]
    rms_norm_eps: f64,
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(default)]
    rope_scaling: Option<RopeJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_parameters: Option<RopeParameters>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_local_base_freq: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query_pre_attn_scalar: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sliding_window: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sliding_window_pattern: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer_types: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attn_logit_softcapping: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    final_logit_softcapping: Option<f64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    use_bidirectional_attention: bool,
    #[serde(default = "two_thousand")]
    max_position_embeddings: usize,
    #[serde(default)]
    tie_word_embeddings: Option<bool>,
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

/// Rotary settings of each type of layer; [`spelling`] gives those without types to all layers.
#[derive(Clone, Serialize, Deserialize)]
struct RopeParameters {
    #[serde(default)]
    full_attention: RopeJson,
    #[serde(default)]
    sliding_attention: Option<RopeJson>,
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

fn small() -> f64 {
    1e-6
}

fn two_thousand() -> usize {
    2048
}

impl RopeJson {
    fn scaling(&self) -> Result<Option<RopeScaling>, String> {
        if self.partial_rotary_factor.is_some_and(|share| share != 1.0) {
            return Err("partial_rotary_factor other than 1 is not implemented".into());
        }
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(None),
            Some("linear") => Ok(Some(RopeScaling::Linear {
                factor: self.factor.ok_or("the linear rope settings lack factor")?,
            })),
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
                "rope_type \"{other}\" is not implemented; \"default\", \"linear\" and \"llama3\" are"
            )),
        }
    }
}

fn activation_name(family: Family) -> &'static str {
    match family.activation() {
        Activation::Silu => "silu",
        Activation::Gelu => "gelu_pytorch_tanh",
    }
}

impl ConfigJson {
    /// What Gemma 3 has besides, with transformers' defaults.
    fn gemma3(&self) -> Result<Gemma3, String> {
        let in_windows = self
            .rope_parameters
            .as_ref()
            .and_then(|rope| rope.sliding_attention.as_ref());
        if let Some(rope) = in_windows
            && rope.scaling()?.is_some()
        {
            return Err("scaled rotary frequencies in layers with a window are not implemented".into());
        }
        let local = in_windows
            .and_then(|rope| rope.rope_theta)
            .or(self.rope_local_base_freq);
        let full_attention = match &self.layer_types {
            Some(types) => Gemma3::parse(types)?,
            // Before a list of so many layers is made.
            None if self.num_hidden_layers > MOST_LAYERS => {
                return Err(format!(
                    "num_hidden_layers is {}, which no model has",
                    self.num_hidden_layers
                ));
            }
            None => Gemma3::every(self.sliding_window_pattern.unwrap_or(6), self.num_hidden_layers),
        };
        Ok(Gemma3 {
            query_pre_attn_scalar: self.query_pre_attn_scalar.unwrap_or(256),
            sliding_window: self.sliding_window.unwrap_or(4096),
            full_attention,
            local_rope_theta: local.unwrap_or(10_000.0),
        })
    }
}

impl TryFrom<Value> for DecoderConfig {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let Value::Object(settings) = value else {
            return Err("a table of settings is expected, and this is none".into());
        };
        let settings = spelling::unified(settings)?;
        let json: ConfigJson = serde_json::from_value(Value::Object(settings.clone()))
            .map_err(|error| culprit(&settings, &error.to_string()).unwrap_or_else(|| error.to_string()))?;
        json.try_into()
    }
}

/// The setting without which the file would be read, or fail in another way, with what is wrong with it.
fn culprit(settings: &Map<String, Value>, error: &str) -> Option<String> {
    settings.iter().find_map(|(key, value)| {
        let mut others = settings.clone();
        others.remove(key);
        let parsed = serde_json::from_value::<ConfigJson>(Value::Object(others));
        let other = parsed.err().is_none_or(|other| other.to_string() != error);
        other.then(|| {
            let value: String = value.to_string().chars().take(80).collect();
            format!("{key} is {value}: {error}")
        })
    })
}

impl TryFrom<ConfigJson> for DecoderConfig {
    type Error = String;

    fn try_from(json: ConfigJson) -> Result<Self, String> {
        let family = Family::of(&json.model_type).map_err(|e| format!("model_type {e}"))?;
        let expected = activation_name(family);
        let given = [&json.hidden_act, &json.hidden_activation];
        // Gemma's older files say `gelu` in one place and the exact form in the other, which counts.
        let counts = given.into_iter().flatten().next_back();
        if let Some(other) = counts.filter(|name| *name != expected) {
            return Err(format!(
                "hidden_act \"{other}\" is not implemented; \"{expected}\" is"
            ));
        }
        if json.attn_logit_softcapping.is_some() || json.final_logit_softcapping.is_some() {
            return Err("attn_logit_softcapping and final_logit_softcapping are not implemented".into());
        }
        if json.use_bidirectional_attention {
            return Err("use_bidirectional_attention is not implemented: it is for embedding models".into());
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
            Family::Gemma3 => json.head_dim.or(Some(256)),
            Family::Llama | Family::Qwen2 => json.head_dim,
        };
        let gemma3 = match family {
            Family::Gemma3 => Some(json.gemma3()?),
            _ => None,
        };
        let windowed = |kind: &String| kind != "full_attention";
        if let Some(kind) = json
            .layer_types
            .iter()
            .flatten()
            .find(|kind| gemma3.is_none() && windowed(kind))
        {
            return Err(format!(
                "layer_types has \"{kind}\", which is implemented for {} alone; \"full_attention\" is",
                Family::Gemma3.name()
            ));
        }
        let rope = match json.rope_parameters {
            Some(by_layer) => by_layer.full_attention,
            None => json.rope_scaling.unwrap_or_default(),
        };
        let default_theta = if gemma3.is_some() { 1_000_000.0 } else { 10_000.0 };
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
            rope_theta: rope.rope_theta.or(json.rope_theta).unwrap_or(default_theta),
            rope_scaling: rope.scaling()?,
            max_position_embeddings: json.max_position_embeddings,
            // Gemma ties them where the file is silent, the others do not.
            tie_word_embeddings: json.tie_word_embeddings.unwrap_or(gemma3.is_some()),
            bos_token_id: json.bos_token_id,
            eos_token_ids: match json.eos_token_id {
                None => Vec::new(),
                Some(OneOrMany::One(id)) => vec![id],
                Some(OneOrMany::Many(ids)) => ids,
            },
            gemma3,
        };
        config.check()?;
        Ok(config)
    }
}

impl From<DecoderConfig> for ConfigJson {
    fn from(config: DecoderConfig) -> Self {
        let rope_scaling = config.rope_scaling.map(|scaling| match scaling {
            RopeScaling::Linear { factor } => RopeJson {
                rope_type: Some("linear".into()),
                factor: Some(factor),
                ..RopeJson::default()
            },
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => RopeJson {
                rope_type: Some("llama3".into()),
                factor: Some(factor),
                low_freq_factor: Some(low_freq_factor),
                high_freq_factor: Some(high_freq_factor),
                original_max_position_embeddings: Some(original_max_position_embeddings),
                ..RopeJson::default()
            },
        });
        let activation = Some(activation_name(config.family).to_string());
        let (hidden_act, hidden_activation) = match config.gemma3 {
            None => (activation, None),
            Some(_) => (None, activation),
        };
        let gemma3 = config.gemma3.as_ref();
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
            hidden_act,
            hidden_activation,
            rms_norm_eps: config.rms_norm_eps,
            rope_theta: Some(config.rope_theta),
            rope_scaling,
            rope_parameters: None,
            rope_local_base_freq: gemma3.map(|g| g.local_rope_theta),
            query_pre_attn_scalar: gemma3.map(|g| g.query_pre_attn_scalar),
            sliding_window: gemma3.map(|g| g.sliding_window),
            sliding_window_pattern: None,
            layer_types: gemma3.map(Gemma3::layer_types),
            attn_logit_softcapping: None,
            final_logit_softcapping: None,
            use_bidirectional_attention: false,
            max_position_embeddings: config.max_position_embeddings,
            tie_word_embeddings: Some(config.tie_word_embeddings),
            attention_bias: false,
            mlp_bias: false,
            use_sliding_window: false,
            bos_token_id: config.bos_token_id,
            eos_token_id,
            torch_dtype: Some("float32".into()),
        }
    }
}
