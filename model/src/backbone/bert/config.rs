//! Sizes of an encoder, as `config.json` has them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::op::Nonlinearity;
use crate::{Error, Result, foreign};

/// The `model_type` of what is read here.
const KIND: &str = "bert";

/// Sizes of a BERT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the feed-forward.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Most tokens of a text.
    pub max_position_embeddings: usize,
    /// Kinds of text that are told apart; texts that stand alone are of the first.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// What is added to the variance in norms.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
    /// What the values of the feed-forward go through.
    pub hidden_act: String,
    /// How a position is told; vectors that are added are "absolute".
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
}

fn two() -> usize {
    2
}

fn epsilon() -> f64 {
    1e-12
}

fn absolute() -> String {
    "absolute".into()
}

impl BertConfig {
    /// Whether the model in a folder is one, as far as its `config.json` says.
    pub fn is_of(folder: &Path) -> bool {
        let settings: Option<Value> = foreign::read(&folder.join("config.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        settings.is_some_and(|settings| settings["model_type"] == KIND)
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// A file that is missing or of another kind of model, sizes that make none, and settings that are not implemented here.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |message: String| Error::Config {
            path: path.to_path_buf(),
            message,
        };
        let settings: Value = foreign::json(&foreign::read(path)?).map_err(failed)?;
        if settings["model_type"] != KIND {
            return Err(failed(format!(
                "model_type is {}, and sentence encoders of the kind \"{KIND}\" alone are read here; all-MiniLM-L6-v2 is one",
                settings["model_type"]
            )));
        }
        let config: BertConfig = serde_json::from_value(settings).map_err(|e| failed(e.to_string()))?;
        config.check().map_err(failed)?;
        Ok(config)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", self.num_attention_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(format!("{name} is 0, which makes no model; fetch the file again"));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!(
                "hidden_size {} is no multiple of num_attention_heads {}; fetch the file again",
                self.hidden_size, self.num_attention_heads
            ));
        }
        if self.position_embedding_type != "absolute" {
            return Err(format!(
                "position_embedding_type is {:?}, and \"absolute\" alone is implemented here; take another model",
                self.position_embedding_type
            ));
        }
        self.nonlinearity().map(drop)
    }

    /// What the values of the feed-forward go through.
    pub(super) fn nonlinearity(&self) -> std::result::Result<Nonlinearity, String> {
        match self.hidden_act.as_str() {
            "gelu" => Ok(Nonlinearity::Gelu),
            "relu" => Ok(Nonlinearity::Relu),
            other => Err(format!(
                "hidden_act is {other:?}, and \"gelu\" and \"relu\" alone are implemented here; take another model"
            )),
        }
    }
}
