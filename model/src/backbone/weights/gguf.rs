//! Models in GGUF files: configuration from the metadata, tensors dequantised and renamed.
//!
//! For Llama, llama.cpp's converter stores the rows of the query and key projections in the order of its own rotary layout
//! (pairs interleaved); here they get Hugging Face's order back (first halves, then second halves). Qwen's stay as they are.

mod format;
mod header;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};

use self::header::{Header, Place};
use crate::backbone::config::LARGEST_SIZE;
use crate::backbone::weights::precision::{Precision, is_projection};
use crate::backbone::{DecoderConfig, Family, Gemma3, RopeScaling};
use crate::op::Matrix;
use crate::{Error, Result, foreign};

/// An open GGUF file: metadata read, tensors still on disk.
pub(crate) struct Gguf {
    path: PathBuf,
    header: Header,
    reader: BufReader<File>,
}

impl Gguf {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let failed = |message: String| Error::Weights {
            path: path.to_path_buf(),
            message,
        };
        let start = reader.fill_buf().map_err(|e| Error::io(path, e))?;
        if let Some(kind) = foreign::kind(start).filter(|_| !start.starts_with(b"GGUF")) {
            return Err(failed(kind.into()));
        }
        let header = Header::read(&mut reader)
            .map_err(|e| failed(format!("not a whole GGUF file ({e}); fetch it again")))?;
        for (name, place) in &header.tensors {
            if let Some(refusal) = format::refusal(place.format) {
                return Err(failed(format!("tensor {name} is {refusal}")));
            }
        }
        let gguf = Gguf {
            path: path.to_path_buf(),
            header,
            reader,
        };
        match gguf.integer("split.count") {
            Some(parts) if parts > 1 => Err(failed(format!(
                "one of {parts} parts of a model; join them first (llama-gguf-split --merge)"
            ))),
            _ => Ok(gguf),
        }
    }

    /// A metadata value, if the file has the key.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.header.metadata.get(key)
    }

    /// A text, if the file has the key and it holds one.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.value(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// A non-negative whole number, if the file has the key and it holds one.
    pub(crate) fn integer(&self, key: &str) -> Option<u64> {
        self.value(key).and_then(whole)
    }

    /// Whether the file has the key and it says yes.
    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.value(key), Some(Value::Bool(true)))
    }

    /// An array of texts.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let Some(Value::Array(values)) = self.value(key) else {
            return Err(self.error(format!("no list {key} in the metadata")));
        };
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            let Value::String(text) = value else {
                return Err(self.error(format!("{key} is not a list of texts")));
            };
            texts.push(text.as_str());
        }
        Ok(texts)
    }

    /// An error about this file.
    pub(crate) fn error(&self, message: String) -> Error {
        Error::Weights {
            path: self.path.clone(),
            message,
        }
    }

    /// One of the model's sizes, if the file has the key.
    fn size(&self, key: &str) -> Result<Option<usize>> {
        match self.integer(key) {
            Some(size) if size > LARGEST_SIZE as u64 => Err(self.error(format!("{key} is {size}"))),
            size => Ok(size.map(|size| size as usize)),
        }
    }

    fn need(&self, key: &str) -> Result<usize> {
        self.size(key)?
            .ok_or_else(|| self.error(format!("no {key} in the metadata")))
    }

    /// The decoder's configuration.
    pub(crate) fn config(&mut self) -> Result<DecoderConfig> {
        let architecture = self.text("general.architecture").unwrap_or("unknown").to_owned();
        let family = Family::of_gguf(&architecture).map_err(|e| self.error(format!("architecture {e}")))?;
        let key = |name: &str| format!("{architecture}.{name}");
        let rope_scaling = match self.text(&key("rope.scaling.type")) {
            Some("linear") => self
                .real(&key("rope.scaling.factor"))
                .map(|factor| RopeScaling::Linear { factor }),
            _ => None,
        };
        let scaling = self
            .text(&key("rope.scaling.type"))
            .is_some_and(|kind| kind != "none");
        if scaling && rope_scaling.is_none() {
            return Err(self.unread_scaling());
        }
        let divisors = self.rope_divisors()?;
        let embedding = self
            .header
            .tensors
            .get("token_embd.weight")
            .ok_or_else(|| self.error("no token_embd.weight in the file".into()))?;
        let id = |name: &str| self.integer(name).map(|id| id as u32);
        let heads = self.need(&key("attention.head_count"))?;
        let hidden = self.need(&key("embedding_length"))?;
        let head_dim = match self.size(&key("attention.key_length"))? {
            None => self.size(&key("rope.dimension_count"))?,
            width => width,
        };
        let mut config = DecoderConfig {
            family,
            vocab_size: embedding.dims.first().copied().unwrap_or(0),
            hidden_size: hidden,
            intermediate_size: self.need(&key("feed_forward_length"))?,
            num_hidden_layers: self.need(&key("block_count"))?,
            num_attention_heads: heads,
            num_key_value_heads: self.size(&key("attention.head_count_kv"))?.unwrap_or(heads),
            head_dim: head_dim.filter(|width| width * heads != hidden),
            rms_norm_eps: self
                .real(&key("attention.layer_norm_rms_epsilon"))
                .unwrap_or(1e-5),
            rope_theta: self.real(&key("rope.freq_base")).unwrap_or(10_000.0),
            rope_scaling: None,
            max_position_embeddings: self.need(&key("context_length"))?,
            tie_word_embeddings: !self.header.tensors.contains_key("output.weight"),
            bos_token_id: id("tokenizer.ggml.bos_token_id"),
            eos_token_ids: id("tokenizer.ggml.eos_token_id").into_iter().collect(),
            gemma3: match family {
                Family::Gemma3 => Some(self.gemma3(heads, hidden)?),
                _ => None,
            },
        };
        config.rope_scaling = match divisors {
            None => rope_scaling,
            Some(divisors) => {
                let scaling = RopeScaling::llama3_of(&config.inverse_frequencies(), &divisors);
                Some(scaling.ok_or_else(|| self.unread_scaling())?)
            }
        };
        config.check().map_err(|message| self.error(message))?;
        Ok(config)
    }

    /// What the converter has made of Llama 3.1's scaling: what each frequency is divided by.
    fn rope_divisors(&mut self) -> Result<Option<Vec<f32>>> {
        let Some(place) = self.header.tensors.get(ROPE_DIVISORS) else {
            return Ok(None);
        };
        let values = format::read(place, self.header.data, &mut self.reader)
            .and_then(|stored| stored.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1());
        let values = values.map_err(|e| self.error(format!("tensor {ROPE_DIVISORS}: {e}")))?;
        Ok(Some(values))
    }

    fn unread_scaling(&self) -> Error {
        self.error(
            "rotary frequencies are scaled in a way that cannot be read from GGUF; take the model's Hugging Face folder".into(),
        )
    }

    /// What Gemma 3 has besides. The files do not say how queries are scaled, nor which layers see everything: as llama.cpp does,
    /// the largest model is told by its layers, and every sixth layer sees everything.
    fn gemma3(&self, heads: usize, hidden: usize) -> Result<Gemma3> {
        const LAYERS_OF_THE_LARGEST: usize = 62;
        let layers = self.need("gemma3.block_count")?;
        let scalar = match layers {
            LAYERS_OF_THE_LARGEST => hidden / heads.max(1),
            _ => self.need("gemma3.attention.key_length")?,
        };
        Ok(Gemma3 {
            query_pre_attn_scalar: scalar,
            sliding_window: self.need("gemma3.attention.sliding_window")?,
            full_attention: Gemma3::every(6, layers),
            local_rope_theta: self.real("gemma3.rope.freq_base_swa").unwrap_or(10_000.0),
        })
    }

    fn real(&self, key: &str) -> Option<f64> {
        match self.value(key)? {
            // Through the shortest decimal, so that 1e-5 stored in f32 is the 1e-5 of the original configuration.
            Value::F32(value) => value.to_string().parse().ok(),
            Value::F64(value) => Some(*value),
            _ => None,
        }
    }

    /// All tensors on the CPU, with Hugging Face's names and layout, the projections in `precision`.
    pub(crate) fn tensors(
        mut self,
        config: &DecoderConfig,
        precision: Precision,
    ) -> Result<BTreeMap<String, Matrix>> {
        let mut places: Vec<(String, Place)> = std::mem::take(&mut self.header.tensors).into_iter().collect();
        // It is in the configuration.
        places.retain(|(name, _)| name != ROPE_DIVISORS);
        // In the order of the file, so that a slow disk is read once from front to back.
        places.sort_by_key(|(_, place)| place.offset);
        let mut tensors = BTreeMap::new();
        for (name, place) in places {
            let target = hugging_face_name(&name, config.family).ok_or_else(|| {
                self.error(format!(
                    "tensor {name} is not part of a decoder that is read here"
                ))
            })?;
            let heads = match config.family {
                Family::Llama if target.ends_with("q_proj.weight") => Some(config.num_attention_heads),
                Family::Llama if target.ends_with("k_proj.weight") => Some(config.num_key_value_heads),
                _ => None,
            };
            let failed = |e: candle_core::Error| Error::Weights {
                path: self.path.clone(),
                message: format!("tensor {name}: {e}"),
            };
            let stored = format::read(&place, self.header.data, &mut self.reader).map_err(failed)?;
            let packed = stored.dtype() != GgmlDType::F32;
            if precision == Precision::AsStored && packed && is_projection(&target) {
                let stored = match heads {
                    Some(heads) => packed_rotary_rows(&stored, heads).map_err(failed)?,
                    None => stored,
                };
                tensors.insert(target, Matrix::Packed(Arc::new(stored)));
                continue;
            }
            let values = stored
                .dequantize(&Device::Cpu)
                .and_then(|t| t.to_dtype(DType::F32));
            let mut tensor = values.map_err(failed)?;
            if target.ends_with("norm.weight") && config.family.norm_offset() != 0.0 {
                // The converter has added what the norm adds.
                tensor = (tensor - config.family.norm_offset())?;
            }
            if let Some(heads) = heads {
                tensor = rotary_rows(&tensor, heads)?;
            }
            let kept = precision.keep(&target, tensor)?;
            tensors.insert(target, kept);
        }
        Ok(tensors)
    }
}

/// The tensor with what each rotary frequency is divided by.
const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// A non-negative whole number of whatever width.
pub(crate) fn whole(value: &Value) -> Option<u64> {
    match *value {
        Value::U8(v) => Some(v.into()),
        Value::U16(v) => Some(v.into()),
        Value::U32(v) => Some(v.into()),
        Value::U64(v) => Some(v),
        Value::I8(v) => v.try_into().ok(),
        Value::I16(v) => v.try_into().ok(),
        Value::I32(v) => v.try_into().ok(),
        Value::I64(v) => v.try_into().ok(),
        _ => None,
    }
}

/// From llama.cpp's row order of a rotated projection to Hugging Face's.
fn rotary_rows(weight: &Tensor, heads: usize) -> Result<Tensor> {
    let (rows, width) = weight.dims2()?;
    let split = weight.reshape((heads, rows / heads / 2, 2, width))?;
    Ok(split.transpose(1, 2)?.contiguous()?.reshape((rows, width))?)
}

/// The same for rows in a block format: no block reaches over the end of a row, so rows move as bytes.
fn packed_rotary_rows(weight: &QTensor, heads: usize) -> candle_core::Result<QTensor> {
    let (rows, _) = weight.shape().dims2()?;
    let data = weight.data()?;
    if rows == 0 || !rows.is_multiple_of(2 * heads) {
        candle_core::bail!("{rows} rows for {heads} heads");
    }
    let (width, half) = (data.len() / rows, rows / heads / 2);
    let from = |row: usize| {
        let (head, within) = (row / (2 * half), row % (2 * half));
        head * 2 * half + 2 * (within % half) + within / half
    };
    let moved: Vec<u8> = (0..rows)
        .flat_map(|row| &data[from(row) * width..(from(row) + 1) * width])
        .copied()
        .collect();
    let storage = QStorage::from_data(moved.into(), &Device::Cpu, weight.dtype())?;
    QTensor::new(storage, weight.shape().clone())
}

fn hugging_face_name(name: &str, family: Family) -> Option<String> {
    match name {
        "token_embd.weight" => return Some("model.embed_tokens.weight".into()),
        "output_norm.weight" => return Some("model.norm.weight".into()),
        "output.weight" => return Some("lm_head.weight".into()),
        _ => {}
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, kind) = part.rsplit_once('.')?;
    let (inner_norm, output_norms) = family.inner_norms();
    let module = match part {
        "attn_norm" => "input_layernorm",
        "ffn_norm" => inner_norm,
        "post_attention_norm" => output_norms?[0],
        "post_ffw_norm" => output_norms?[1],
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_q_norm" if family.has_head_norms() => "self_attn.q_norm",
        "attn_k_norm" if family.has_head_norms() => "self_attn.k_norm",
        "attn_output" => "self_attn.o_proj",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    let known = match kind {
        "weight" => true,
        "bias" => family.has_bias() && matches!(part, "attn_q" | "attn_k" | "attn_v"),
        _ => false,
    };
    known.then(|| format!("model.layers.{layer}.{module}.{kind}"))
}
