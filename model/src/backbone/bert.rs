//! The encoder of BERT: embeddings of tokens and positions, and blocks of attention to both sides and feed-forward, after each of which
//! rows are normalised. It works on packed rows, as the decoder does, in f32 in main memory.
//!
//! Reference: Devlin et al. 2019; module paths are those of Hugging Face checkpoints.

mod config;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

pub use self::config::BertConfig;
use super::weights::files;
use crate::io::safetensors;
use crate::op::{Nonlinearity, Pair, Sight, attend, biased, layer_norm, linear, on_pool};
use crate::{Error, Result};

/// A frozen encoder. Clones share its tensors.
#[derive(Clone, Debug)]
pub struct Bert {
    config: BertConfig,
    /// `(vocabulary, width)`.
    tokens: Tensor,
    /// `(positions, width)`.
    positions: Tensor,
    /// What is added to every row of a text that stands alone, `(1, width)`.
    kind: Tensor,
    norm: Norm,
    blocks: Vec<Block>,
    nonlinearity: Nonlinearity,
}

#[derive(Clone, Debug)]
struct Block {
    query: Map,
    key: Map,
    value: Map,
    output: Map,
    attention_norm: Norm,
    inner: Map,
    outer: Map,
    norm: Norm,
}

/// `x Wᵀ + b`.
#[derive(Clone, Debug)]
struct Map {
    weight: Tensor,
    bias: Tensor,
}

#[derive(Clone, Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl Map {
    fn forward(&self, x: &Tensor, nonlinearity: Nonlinearity) -> Result<Tensor> {
        Ok(biased(&linear(x, &self.weight, None)?, &self.bias, nonlinearity)?)
    }
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(layer_norm(x, &self.weight, &self.bias, self.epsilon)?)
    }
}

impl Bert {
    /// Opens a Hugging Face folder: `config.json` with `model.safetensors` or its shards.
    ///
    /// # Errors
    /// Files that are missing or damaged, another kind of model, and settings that are not implemented here.
    pub fn open(folder: &Path) -> Result<Self> {
        let config = BertConfig::read(&folder.join("config.json"))?;
        let mut tensors = BTreeMap::new();
        for file in files(folder)?.0 {
            // Older files hold the numbers of the positions too.
            let wanted = |name: &str| !name.ends_with("position_ids");
            tensors.extend(safetensors::read_some(&file, wanted, |_, tensor| {
                Ok(tensor.to_dtype(DType::F32)?)
            })?);
        }
        Self::build(config, &Named::new(tensors, folder))
    }

    fn build(config: BertConfig, named: &Named) -> Result<Self> {
        let (width, inner, epsilon) = (
            config.hidden_size,
            config.intermediate_size,
            config.layer_norm_eps,
        );
        let map = |name: &str, (out, input): (usize, usize)| -> Result<Map> {
            Ok(Map {
                weight: named.get(&format!("{name}.weight"), &[out, input])?,
                bias: named.get(&format!("{name}.bias"), &[out])?,
            })
        };
        let norm = |name: &str| -> Result<Norm> {
            Ok(Norm {
                weight: named.get(&format!("{name}.weight"), &[width])?,
                bias: named.get(&format!("{name}.bias"), &[width])?,
                epsilon,
            })
        };
        let block = |layer: usize| -> Result<Block> {
            let at = |part: &str| format!("encoder.layer.{layer}.{part}");
            Ok(Block {
                query: map(&at("attention.self.query"), (width, width))?,
                key: map(&at("attention.self.key"), (width, width))?,
                value: map(&at("attention.self.value"), (width, width))?,
                output: map(&at("attention.output.dense"), (width, width))?,
                attention_norm: norm(&at("attention.output.LayerNorm"))?,
                inner: map(&at("intermediate.dense"), (inner, width))?,
                outer: map(&at("output.dense"), (width, inner))?,
                norm: norm(&at("output.LayerNorm"))?,
            })
        };
        let table = |name: &str, rows: usize| named.get(&format!("embeddings.{name}.weight"), &[rows, width]);
        let kinds = table("token_type_embeddings", config.type_vocab_size)?;
        Ok(Bert {
            tokens: table("word_embeddings", config.vocab_size)?,
            positions: table("position_embeddings", config.max_position_embeddings)?,
            kind: kinds.narrow(0, 0, 1)?,
            norm: norm("embeddings.LayerNorm")?,
            blocks: (0..config.num_hidden_layers).map(block).collect::<Result<_>>()?,
            nonlinearity: config.nonlinearity().map_err(Error::Usage)?,
            config,
        })
    }

    /// Its sizes.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Hidden states of texts after the last block, `(tokens of all, width)`, those of the first text first.
    ///
    /// # Errors
    /// A token outside the vocabulary, a text longer than there are positions, and nothing to read.
    pub fn hidden(&self, texts: &[&[u32]]) -> Result<Tensor> {
        let tokens = texts.concat();
        if tokens.is_empty() {
            return Err(Error::Usage("no tokens to read".into()));
        }
        if let Some(bad) = tokens.iter().find(|t| **t as usize >= self.config.vocab_size) {
            return Err(Error::Usage(format!(
                "token {bad} is outside the vocabulary of {}: the tokenizer belongs to another model",
                self.config.vocab_size
            )));
        }
        let most = self.config.max_position_embeddings;
        if let Some(long) = texts.iter().find(|text| text.len() > most) {
            return Err(Error::Usage(format!(
                "a text of {} tokens, and the model reads {most} at most: cut it",
                long.len()
            )));
        }
        let (mut pairs, mut start) = (Vec::with_capacity(texts.len()), 0);
        for text in texts {
            pairs.push(Pair::own(start..start + text.len()));
            start += text.len();
        }
        let positions: Vec<u32> = texts.iter().flat_map(|text| 0..text.len() as u32).collect();
        on_pool(&Device::Cpu, || {
            self.through_blocks(&tokens, &positions, &pairs.into())
        })
    }

    fn through_blocks(&self, tokens: &[u32], positions: &[u32], pairs: &Arc<[Pair]>) -> Result<Tensor> {
        let rows = |table: &Tensor, ids: &[u32]| table.index_select(&Tensor::new(ids, &Device::Cpu)?, 0);
        let x = (rows(&self.tokens, tokens)? + rows(&self.positions, positions)?)?;
        let mut x = self.norm.forward(&x.broadcast_add(&self.kind)?)?;
        for block in &self.blocks {
            let plain = Nonlinearity::Identity;
            let (q, k, v) = (
                block.query.forward(&x, plain)?,
                block.key.forward(&x, plain)?,
                block.value.forward(&x, plain)?,
            );
            let heads = self.config.num_attention_heads;
            let attended = attend(&q, &k, &v, heads, pairs, Sight::Full, None)?;
            let attended = block.output.forward(&attended, plain)?;
            let y = block.attention_norm.forward(&(x + attended)?)?;
            let inner = block.inner.forward(&y, self.nonlinearity)?;
            let outer = block.outer.forward(&inner, plain)?;
            x = block.norm.forward(&(y + outer)?)?;
        }
        Ok(x)
    }
}

/// Tensors by the names that they have in an encoder by itself.
struct Named {
    tensors: BTreeMap<String, Tensor>,
    /// What stands before the names in the checkpoint of a model around the encoder.
    prefix: &'static str,
    folder: PathBuf,
}

impl Named {
    fn new(tensors: BTreeMap<String, Tensor>, folder: &Path) -> Self {
        let is_around = tensors.keys().any(|name| name.starts_with("bert."));
        Named {
            tensors,
            prefix: if is_around { "bert." } else { "" },
            folder: folder.to_path_buf(),
        }
    }

    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let failed = |message: String| Error::Weights {
            path: self.folder.clone(),
            message,
        };
        let name = format!("{}{name}", self.prefix);
        let tensor = self.tensors.get(&name).ok_or_else(|| {
            failed(format!(
                "no tensor {name} of shape {shape:?}; the configuration belongs to another model"
            ))
        })?;
        match tensor.dims() == shape {
            true => Ok(tensor.clone()),
            false => Err(failed(format!(
                "tensor {name} has shape {:?} where the configuration says {shape:?}",
                tensor.dims()
            ))),
        }
    }
}
