//! The decoder of the Llama, Qwen and Gemma families: embedding, blocks of grouped-query attention and gated feed-forward, final norm,
//! output head.
//!
//! Llama, SmolLM2, Qwen2, Qwen3, Gemma 3 and the `nano` decoder are this one implementation with other sizes and switches. It works on
//! packed rows (see
//! [`crate::op`]), in training and in ranking alike, and its projections carry an adapter where one is given.
//!
//! Reference: Touvron et al. 2023; module paths are those of Hugging Face checkpoints.

use std::collections::HashMap;
use std::sync::{Arc, Once};

use candle_core::{DType, Device, Tensor};

use super::{DecoderConfig, KvCache, Pass, Weights};
use crate::device::Arithmetic;
use crate::lora::Adapter;
use crate::lora::config::{EMBEDDING, HEAD};
use crate::lora::copy::check_copy;
use crate::op::composed::{self, composed_on};
use crate::op::{
    BlockWeights, Heads, Kept, KeptBytes, LoraFactors, Matrix, Projection, RopeTable, Segment, Surroundings,
    block, linear, on_pool, rms_norm,
};
use crate::{Error, Result};

/// The projections of a block that adapters attach to, as paths below `model.layers.N.`.
pub const PROJECTIONS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// A decoder over frozen weights, with or without an adapter. Clones share their tensors.
#[derive(Clone, Debug)]
pub struct Decoder {
    config: DecoderConfig,
    embedding: Tensor,
    blocks: Vec<BlockWeights>,
    norm: Tensor,
    head: Tensor,
    inverse_frequencies: Arc<[f32]>,
    inverse_frequencies_in_a_window: Option<Arc<[f32]>>,
}

impl Decoder {
    /// Builds the decoder from weights in memory, for arithmetic in f32.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape than the configuration says.
    pub fn new(weights: &Weights, config: &DecoderConfig, device: &Device) -> Result<Self> {
        Self::placed(weights, config, device, Arithmetic::F32)
    }

    /// As [`new`](Self::new), for arithmetic in another type. Vectors (the norms' weights) are f32 always.
    ///
    /// # Errors
    /// The same, a device that has no room for the weights, and another type than f32 on the CPU.
    pub fn placed(
        weights: &Weights,
        config: &DecoderConfig,
        device: &Device,
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        let dtype = arithmetic.dtype();
        if dtype != DType::F32 && !composed_on(device) {
            return Err(Error::Usage(format!(
                "arithmetic in {arithmetic} needs a GPU: on the CPU it is in f32, over a base that may be packed (precision)"
            )));
        }
        let parameter = |name: &str, shape: &[usize]| {
            let values = weights.get(name, shape)?.to_device(device)?;
            Ok(match shape.len() {
                1 => values,
                _ => values.to_dtype(dtype)?,
            })
        };
        let decoder = Self::build(config, parameter, |name, shape| {
            Ok(weights.matrix(name, shape)?.placed(device, dtype)?)
        })?;
        // What is timed after this does not pay for it.
        device.synchronize()?;
        Ok(decoder)
    }

    /// Builds the decoder from whatever `parameter` returns for a name and its shape; pre-training passes variables.
    pub fn from_parameters(
        config: &DecoderConfig,
        parameter: impl Fn(&str, &[usize]) -> Result<Tensor>,
    ) -> Result<Self> {
        Self::build(config, &parameter, |name, shape| {
            parameter(name, shape).map(Matrix::from)
        })
    }

    fn build(
        config: &DecoderConfig,
        parameter: impl Fn(&str, &[usize]) -> Result<Tensor>,
        projection: impl Fn(&str, &[usize]) -> Result<Matrix>,
    ) -> Result<Self> {
        let width = config.hidden_size;
        let embedding = parameter("model.embed_tokens.weight", &[config.vocab_size, width])?;
        let head = match config.tie_word_embeddings {
            true => embedding.clone(),
            false => parameter("lm_head.weight", &[config.vocab_size, width])?,
        };
        let shapes = projection_shapes(config);
        // A variable stays one where nothing is added.
        let norm = |name: &str, width: usize| -> Result<Tensor> {
            let weight = parameter(name, &[width])?;
            match config.family.norm_offset() {
                0.0 => Ok(weight),
                offset => Ok((weight + offset)?),
            }
        };
        let blocks = (0..config.num_hidden_layers)
            .map(|layer| {
                let at = |name: &str| format!("model.layers.{layer}.{name}.weight");
                let mut projections = Vec::with_capacity(PROJECTIONS.len());
                for (name, (out, input)) in PROJECTIONS.iter().zip(shapes) {
                    let biased = config.family.has_bias()
                        && ["q_proj", "k_proj", "v_proj"].iter().any(|p| name.ends_with(p));
                    let bias = format!("model.layers.{layer}.{name}.bias");
                    projections.push(Projection {
                        weight: projection(&at(name), &[out, input])?,
                        bias: biased.then(|| parameter(&bias, &[out])).transpose()?,
                        lora: None,
                    });
                }
                let head_norm = |name: &str| norm(&at(name), config.head_dim());
                let head_norms = match config.family.has_head_norms() {
                    true => Some([head_norm("self_attn.q_norm")?, head_norm("self_attn.k_norm")?]),
                    false => None,
                };
                let (inner_norm, output_norms) = config.family.inner_norms();
                let output_norms = match output_norms {
                    Some(names) => Some([norm(&at(names[0]), width)?, norm(&at(names[1]), width)?]),
                    None => None,
                };
                Ok(BlockWeights {
                    input_norm: norm(&at("input_layernorm"), width)?,
                    post_attention_norm: norm(&at(inner_norm), width)?,
                    output_norms,
                    activation: config.family.activation(),
                    head_norms,
                    projections: projections
                        .try_into()
                        .map_err(|_| Error::Usage("a block has seven projections".into()))?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let final_norm = norm("model.norm.weight", width)?;
        Ok(Decoder {
            config: config.clone(),
            embedding,
            blocks,
            norm: final_norm,
            head,
            inverse_frequencies: config.inverse_frequencies().into(),
            inverse_frequencies_in_a_window: config.inverse_frequencies_in_a_window().map(Arc::from),
        })
    }

    /// Where it is.
    pub fn device(&self) -> &Device {
        self.embedding.device()
    }

    /// The decoder's sizes.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The output head, `(vocabulary, width)`; the embedding itself where they are tied.
    pub fn head(&self) -> &Tensor {
        &self.head
    }

    /// The modules that adapters attach to, with their `(out, in)` shapes, from the first layer to the last.
    pub fn modules(&self) -> Vec<(String, (usize, usize))> {
        modules_of(&self.config)
    }

    /// This decoder with low-rank updates in the modules named; modules not named have none.
    ///
    /// # Errors
    /// A name that is no module of this decoder, or factors that do not fit it.
    pub fn with_lora(&self, mut factors: HashMap<String, LoraFactors>) -> Result<Self> {
        let mut decoder = self.clone();
        for ((name, (out, input)), projection) in self.modules().into_iter().zip(decoder.projections_mut()) {
            projection.lora = factors.remove(&name);
            if let Some(lora) = &projection.lora {
                let fits =
                    lora.a.dim(1)? == input && lora.b.dim(0)? == out && lora.a.dim(0)? == lora.b.dim(1)?;
                if !fits {
                    return Err(Error::Usage(format!(
                        "the adapter's {name} has A {:?} and B {:?} where the base needs (r, {input}) and ({out}, r): \
                         it was trained on another base",
                        lora.a.dims(),
                        lora.b.dims()
                    )));
                }
            }
        }
        match factors.into_keys().min() {
            None => Ok(decoder),
            Some(name) => Err(Error::Usage(format!(
                "the adapter has factors for {name}, which is no projection of this base of {} layers: it was trained on another \
                 base, or adapts more than the projections of the blocks, which cannot be used here",
                self.blocks.len()
            ))),
        }
    }

    /// This decoder with an adapter beside its weights, as in training. Factors of the output head are added to it, in its own type: it
    /// is multiplied with once for each token wanted, and nothing is trained here.
    ///
    /// # Errors
    /// Factors that are missing where the settings want some, or that do not fit this decoder, and copies of the base's weights that are
    /// not this base's.
    pub fn with_adapter(&self, adapter: &Adapter) -> Result<Self> {
        for (name, copy) in &adapter.copies {
            let ours = if name == EMBEDDING {
                &self.embedding
            } else {
                &self.head
            };
            check_copy(name, copy, ours)?;
        }
        let of_blocks = adapter.modules.iter().filter(|(name, _)| *name != HEAD);
        let factors = of_blocks.map(|(name, module)| {
            let lora = LoraFactors {
                a: module.a.to_device(self.device())?,
                b: module.b.to_device(self.device())?,
                scale: module.scale,
                dropout: None,
            };
            Ok((name.clone(), lora))
        });
        let mut decoder = self.with_lora(factors.collect::<Result<_>>()?)?;
        adapter
            .check_coverage(self.config.num_hidden_layers)
            .map_err(Error::Usage)?;
        for (name, weight) in &adapter.saved {
            // Where the two are tied, one stored whole takes its own place alone, as with PEFT.
            let place = match name.as_str() {
                EMBEDDING => &mut decoder.embedding,
                _ => &mut decoder.head,
            };
            if weight.dims() != place.dims() {
                return Err(Error::Usage(format!(
                    "the adapter stores {name} whole with shape {:?} where the base has {:?}: it was trained on another base, or \
                     with another vocabulary",
                    weight.dims(),
                    place.dims()
                )));
            }
            *place = weight.to_device(place.device())?.to_dtype(place.dtype())?;
        }
        if let Some(module) = adapter.modules.get(HEAD) {
            let (shape, dims) = (module.shape()?, decoder.head.dims2()?);
            if shape != dims {
                return Err(Error::Usage(format!(
                    "the adapter's factors of {HEAD} make a matrix of shape {shape:?} where the base has {dims:?}: it was trained on \
                     another base, or with another vocabulary"
                )));
            }
            let head = decoder.head.to_dtype(DType::F32)?;
            let sum = (&head + module.delta()?.to_device(head.device())?)?;
            decoder.head = sum.to_dtype(decoder.head.dtype())?;
        }
        Ok(decoder)
    }

    /// This decoder with an adapter folded into its weights: costs exactly what the plain decoder costs.
    ///
    /// Projections that are packed or in 16 bits cannot take a small update up without losing much of it; they carry theirs beside them.
    pub fn folded(&self, adapter: &Adapter) -> Result<Self> {
        let mut decoder = self.with_adapter(adapter)?;
        for projection in decoder.projections_mut() {
            if let (Matrix::Values(weight), Some(lora)) = (&projection.weight, &projection.lora)
                && weight.dtype() == DType::F32
            {
                let delta = (lora.b.matmul(&lora.a)? * lora.scale)?;
                projection.weight = (weight + delta)?.into();
                projection.lora = None;
            }
        }
        Ok(decoder)
    }

    /// Hidden states after the final norm, `(rows, width)`.
    pub fn hidden(&self, pass: &Pass) -> Result<Tensor> {
        Ok(self.forward(pass, None, None, false)?.0)
    }

    /// Hidden states of some rows alone, which must ascend, `(rows asked for, width)`: the last block computes no others.
    pub fn hidden_of(&self, pass: &Pass, rows: &[u32], cache: Option<&KvCache>) -> Result<Tensor> {
        let wanted = (rows.len() < pass.rows()).then_some(rows);
        Ok(self.forward(pass, cache, wanted, false)?.0)
    }

    /// Hidden states, and the keys and values of this pass' rows.
    pub fn hidden_and_cache(&self, pass: &Pass, cache: Option<&KvCache>) -> Result<(Tensor, KvCache)> {
        self.forward(pass, cache, None, true)
    }

    /// Next-token logits at every position of one sequence, `(tokens, vocabulary)`.
    pub fn logits(&self, tokens: &[u32]) -> Result<Tensor> {
        Ok(linear(
            &self.hidden(&Pass::sequences([tokens]))?,
            &self.head,
            None,
        )?)
    }

    fn forward(
        &self,
        pass: &Pass,
        cache: Option<&KvCache>,
        wanted: Option<&[u32]>,
        keep: bool,
    ) -> Result<(Tensor, KvCache)> {
        if let Some(bad) = pass
            .tokens
            .iter()
            .find(|t| **t as usize >= self.config.vocab_size)
        {
            return Err(Error::Usage(format!(
                "token {bad} is outside the vocabulary of {}: the tokenizer belongs to another model",
                self.config.vocab_size
            )));
        }
        if pass.tokens.is_empty() {
            return Err(Error::Usage("no tokens to read".into()));
        }
        self.warn_beyond_context(pass);
        on_pool(self.device(), || self.through_blocks(pass, cache, wanted, keep))
    }

    /// Says once that a text is longer than those that the model was trained on.
    fn warn_beyond_context(&self, pass: &Pass) {
        static SAID: Once = Once::new();
        let context = self.config.max_position_embeddings;
        if let Some(last) = pass.positions.iter().max()
            && *last as usize >= context
        {
            SAID.call_once(|| {
                tracing::warn!(
                    "a text of {} tokens or more, of which the model was made for {context}: what it says beyond these is little worth",
                    last + 1
                );
            });
        }
    }

    fn through_blocks(
        &self,
        pass: &Pass,
        cache: Option<&KvCache>,
        wanted: Option<&[u32]>,
        keep: bool,
    ) -> Result<(Tensor, KvCache)> {
        let segments: Arc<[Segment]> = pass.segments.as_slice().into();
        let around = |frequencies: &[f32]| Surroundings {
            heads: self.heads(),
            scale: self.config.attention_scale() as f32,
            window: None,
            segments: segments.clone(),
            table: RopeTable::new(&pass.positions, frequencies),
            eps: self.config.rms_norm_eps,
        };
        let ids = Tensor::new(pass.tokens.as_slice(), self.device())?;
        let mut x = self.embedding.index_select(&ids, 0)?;
        if self.config.embedding_scale() != 1.0 {
            x = (x * self.config.embedding_scale())?;
        }
        // For operations that are composed, also as tensors: laid out once for all blocks.
        let laid_out = |around: Surroundings| -> Result<_> {
            let cached = cache.map_or(0, KvCache::rows);
            let on_device = composed_on(x.device())
                .then(|| composed::Surroundings::new(&around, cached, x.device(), x.dtype()));
            Ok((around, on_device.transpose()?))
        };
        let everywhere = laid_out(around(&self.inverse_frequencies))?;
        let in_a_window = self
            .inverse_frequencies_in_a_window
            .as_deref()
            .map(|frequencies| {
                laid_out(Surroundings {
                    window: (0..self.blocks.len()).find_map(|layer| self.config.window(layer)),
                    ..around(frequencies)
                })
            });
        let in_a_window = in_a_window.transpose()?;
        let wanted_on_device = wanted
            .filter(|_| composed_on(x.device()))
            .map(|rows| composed::Wanted::new(rows, pass.rows(), x.device()))
            .transpose()?;
        let plan = Kept::within(pass.activation_memory, &self.keepable(pass, wanted));
        let mut kept = KvCache::default();
        for (layer, (weights, backward_finds)) in self.blocks.iter().zip(plan).enumerate() {
            let cached = cache.and_then(|c| c.layers.get(layer)).map(|(k, v)| (k, v));
            let (around, on_device) = match &in_a_window {
                Some(in_a_window) if self.config.window(layer).is_some() => in_a_window,
                _ => &everywhere,
            };
            let last = layer + 1 == self.blocks.len();
            let keys_and_values;
            (x, keys_and_values) = match on_device {
                None => block(
                    &x,
                    weights,
                    around,
                    cached,
                    wanted.filter(|_| last),
                    backward_finds,
                )?,
                Some(around) => {
                    let wanted = wanted_on_device.as_ref().filter(|_| last);
                    composed::block(&x, weights, around, cached, wanted)?
                }
            };
            if keep {
                kept.layers.extend(keys_and_values);
            }
        }
        Ok((rms_norm(&x, &self.norm, self.config.rms_norm_eps)?, kept))
    }

    /// What each block could keep for a backward over a pass; the last one's rows go on as far as they are wanted.
    fn keepable(&self, pass: &Pass, wanted: Option<&[u32]>) -> Vec<KeptBytes> {
        let (heads, rows) = (self.heads(), pass.rows());
        let of = |(layer, weights): (usize, &BlockWeights)| {
            let going_on = match wanted {
                Some(wanted) if layer + 1 == self.blocks.len() => wanted.len(),
                _ => rows,
            };
            KeptBytes::of(weights, heads, &pass.segments, rows, going_on)
        };
        self.blocks.iter().enumerate().map(of).collect()
    }

    fn heads(&self) -> Heads {
        Heads {
            query: self.config.num_attention_heads,
            key_value: self.config.num_key_value_heads,
            width: self.config.head_dim(),
        }
    }

    fn projections_mut(&mut self) -> impl Iterator<Item = &mut Projection> {
        self.blocks
            .iter_mut()
            .flat_map(|block| block.projections.iter_mut())
    }
}

/// The projections of a decoder, with their `(out, in)` shapes, from the first layer to the last.
pub(crate) fn modules_of(config: &DecoderConfig) -> Vec<(String, (usize, usize))> {
    let shapes = projection_shapes(config);
    (0..config.num_hidden_layers)
        .flat_map(|layer| {
            PROJECTIONS
                .iter()
                .zip(shapes)
                .map(move |(name, shape)| (format!("model.layers.{layer}.{name}"), shape))
        })
        .collect()
}

/// `(out, in)` of each projection, in the order of [`PROJECTIONS`].
fn projection_shapes(config: &DecoderConfig) -> [(usize, usize); 7] {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let query = config.num_attention_heads * config.head_dim();
    let key_value = config.num_key_value_heads * config.head_dim();
    [
        (query, hidden),
        (key_value, hidden),
        (key_value, hidden),
        (hidden, query),
        (inner, hidden),
        (inner, hidden),
        (hidden, inner),
    ]
}

#[cfg(test)]
pub(crate) mod tests;
