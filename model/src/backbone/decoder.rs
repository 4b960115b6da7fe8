//! The decoder of the Llama, Qwen and Gemma families: embedding, blocks of grouped-query attention and gated feed-forward, final norm,
//! output head.
//!
//! Llama, SmolLM2, Qwen2, Qwen3, Gemma 3 and the `nano` decoder are this one implementation with other sizes and switches. It works on
//! packed rows (see
//! [`crate::op`]), in training and in ranking alike, and its projections carry low-rank updates where
//! they are given some ([`crate::lora`]).
//!
//! Reference: Touvron et al. 2023; module paths are those of Hugging Face checkpoints.

mod names;

use std::sync::{Arc, Once};

use candle_core::{DType, Device, Tensor};

pub use self::names::PROJECTIONS;
use self::names::projection_shapes;
pub(crate) use self::names::{layer_of, layers_among, modules_of};
use super::{DecoderConfig, KvCache, Pass, Weights};
use crate::device::Arithmetic;
use crate::op::composed::{self, composed_on};
use crate::op::{
    BlockWeights, Heads, Kept, KeptBytes, Matrix, Projection, RopeTable, Segment, Surroundings, block,
    linear, on_pool, rms_norm,
};
use crate::{Error, Result};

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

/// Somebody who looks at what projections read, and how many blocks it takes.
struct Looking<'a> {
    layers: usize,
    show: &'a mut dyn FnMut(usize, usize, &Tensor) -> candle_core::Result<()>,
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

    /// The embedding, `(vocabulary, width)`.
    pub fn embedding(&self) -> &Tensor {
        &self.embedding
    }

    /// Puts another embedding in the place of its own; a head that was tied to it stays what it was.
    pub(crate) fn set_embedding(&mut self, embedding: Tensor) {
        self.embedding = embedding;
    }

    /// Puts another output head in the place of its own; an embedding that it was tied to stays what it was.
    pub(crate) fn set_head(&mut self, head: Tensor) {
        self.head = head;
    }

    /// The modules that adapters attach to, with their `(out, in)` shapes, from the first layer to the last.
    pub fn modules(&self) -> Vec<(String, (usize, usize))> {
        modules_of(&self.config)
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
        self.check_tokens(pass)?;
        self.warn_beyond_context(pass);
        on_pool(self.device(), || {
            self.through_blocks(pass, cache, wanted, keep, None)
        })
    }

    /// Shows what the projections read: the layer, the projection's place in its block and its input `(rows, in)`, for all rows of a pass.
    /// Goes through the first `layers` blocks alone; what comes of them is returned, after the final norm where these are all.
    pub(crate) fn inputs_of(
        &self,
        pass: &Pass,
        layers: usize,
        show: &mut dyn FnMut(usize, usize, &Tensor) -> candle_core::Result<()>,
    ) -> Result<Tensor> {
        self.check_tokens(pass)?;
        self.warn_beyond_context(pass);
        let looking = Looking { layers, show };
        Ok(self.through_blocks(pass, None, None, false, Some(looking))?.0)
    }

    fn check_tokens(&self, pass: &Pass) -> Result<()> {
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
        match pass.tokens.is_empty() {
            true => Err(Error::Usage("no tokens to read".into())),
            false => Ok(()),
        }
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
        mut looking: Option<Looking>,
    ) -> Result<(Tensor, KvCache)> {
        // The fused block keeps the inputs of its projections to itself: where they are looked at, blocks are composed.
        let composed = composed_on(self.device()) || looking.is_some();
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
            let on_device =
                composed.then(|| composed::Surroundings::new(&around, cached, x.device(), x.dtype()));
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
            .filter(|_| composed)
            .map(|rows| composed::Wanted::new(rows, pass.rows(), x.device()))
            .transpose()?;
        let plan = Kept::within(pass.activation_memory, &self.keepable(pass, wanted));
        let mut kept = KvCache::default();
        let layers = looking
            .as_ref()
            .map_or(self.blocks.len(), |looking| looking.layers);
        for (layer, (weights, backward_finds)) in self.blocks.iter().zip(plan).enumerate().take(layers) {
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
                    match &mut looking {
                        None => composed::block(&x, weights, around, cached, wanted, None)?,
                        Some(looking) => {
                            let mut look = |place: usize, x: &Tensor| (looking.show)(layer, place, x);
                            composed::block(&x, weights, around, cached, wanted, Some(&mut look))?
                        }
                    }
                }
            };
            if keep {
                kept.layers.extend(keys_and_values);
            }
        }
        if layers < self.blocks.len() {
            return Ok((x, kept));
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

    /// Its projections in the order of [`modules`](Self::modules).
    pub(crate) fn projections_mut(&mut self) -> impl Iterator<Item = &mut Projection> {
        self.blocks
            .iter_mut()
            .flat_map(|block| block.projections.iter_mut())
    }
}

#[cfg(test)]
pub(crate) mod tests;
