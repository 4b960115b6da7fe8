//! The encoder over packed rows: blocks of self-attention and feed-forward, before which or after which rows are normalised.

use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::nn::{Initial, LayerNorm, Linear, Parameters};
use crate::op::{Nonlinearity, Pair, Sight, attend, dropout, mix};
use crate::train::task::Mode;
use crate::{Error, Result};

/// Which of the two forms that SASRec is known in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// As published: rows are normalised before attention and feed-forward, and queries alone are; embeddings are scaled by the root of
    /// their width; ReLU between maps of one width; positions counted from the end.
    #[default]
    Original,
    /// As in RecBole: BERT's blocks, normalised afterwards, with GELU and a wider map in between; positions counted from the start.
    Recbole,
}

/// Dropout in a pass: with the same key the same masks, at each site other ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drops {
    p: f32,
    key: Option<u64>,
}

impl Drops {
    /// None outside training.
    pub fn new(p: f64, mode: Mode) -> Self {
        Drops {
            p: p as f32,
            key: mode.key(),
        }
    }

    /// Probability and key of a site.
    pub fn at(self, site: u64) -> Option<(f32, u64)> {
        let key = self.key.filter(|_| self.p > 0.0)?;
        Some((self.p, mix(key ^ mix(site))))
    }

    /// The values after dropout at a site.
    pub fn apply(self, x: &Tensor, site: u64) -> Result<Tensor> {
        match self.at(site) {
            None => Ok(x.clone()),
            Some((p, key)) => Ok(dropout(x, p, key)?),
        }
    }
}

/// Refuses a dropout that leaves nothing.
pub(super) fn check_dropout(p: f64) -> Result<()> {
    match (0.0..1.0).contains(&p) {
        true => Ok(()),
        false => Err(Error::Usage(format!(
            "dropout {p}: give a share from 0 to below 1"
        ))),
    }
}

/// Refuses sizes that make no model, by their names.
pub(super) fn check_sizes(sizes: &[(&str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        None => Ok(()),
        Some((name, _)) => Err(Error::Usage(format!("{name} 0: give 1 or more"))),
    }
}

/// Sizes of an encoder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub width: usize,
    pub blocks: usize,
    pub heads: usize,
    pub inner: usize,
}

impl Sizes {
    pub fn check(self) -> Result<()> {
        check_sizes(&[
            ("width", self.width),
            ("blocks", self.blocks),
            ("heads", self.heads),
            ("inner", self.inner),
        ])?;
        match self.width % self.heads {
            0 => Ok(()),
            _ => Err(Error::Usage(format!(
                "width {} is no multiple of heads {}: change one of them",
                self.width, self.heads
            ))),
        }
    }
}

/// How maps begin: by their shape, `(out, input)`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Maps {
    /// Normal with a deviation of √(2 / (out + input)) (Glorot and Bengio 2010).
    Xavier,
    /// Normal with this deviation.
    Normal(f32),
}

impl Maps {
    pub fn initial(self, (out, input): (usize, usize)) -> Initial {
        match self {
            Maps::Xavier => Initial::Normal((2.0 / (out + input) as f32).sqrt()),
            Maps::Normal(deviation) => Initial::Normal(deviation),
        }
    }
}

/// Dropout sites of a block; site 0 is that of the embeddings.
fn site(block: usize, which: u64) -> u64 {
    1 + 4 * block as u64 + which
}

/// Blocks, one after another.
#[derive(Debug)]
pub(super) struct Encoder {
    flavour: Flavour,
    heads: usize,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    query: Linear,
    /// Without a bias, which adds the same to all scores of a row and so changes nothing.
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    norm: LayerNorm,
}

impl Encoder {
    /// Blocks with parameters `blocks.{n}.…`.
    pub fn new(parameters: &mut Parameters, flavour: Flavour, sizes: Sizes, maps: Maps) -> Result<Self> {
        let epsilon = epsilon(flavour);
        let (width, inner) = (sizes.width, sizes.inner);
        let block = |nth: usize| -> Result<Block> {
            let name = |part: &str| format!("blocks.{nth}.{part}");
            let square = (width, width);
            let initial = maps.initial(square);
            Ok(Block {
                query: Linear::new(parameters, &name("attention.query"), square, initial)?,
                key: Linear::without_bias(parameters, &name("attention.key"), square, initial)?,
                value: Linear::new(parameters, &name("attention.value"), square, initial)?,
                output: Linear::new(parameters, &name("attention.output"), square, initial)?,
                attention_norm: LayerNorm::new(parameters, &name("attention.norm"), width, epsilon)?,
                inner: Linear::new(
                    parameters,
                    &name("feed_forward.inner"),
                    (inner, width),
                    maps.initial((inner, width)),
                )?,
                outer: Linear::new(
                    parameters,
                    &name("feed_forward.outer"),
                    (width, inner),
                    maps.initial((width, inner)),
                )?,
                norm: LayerNorm::new(parameters, &name("feed_forward.norm"), width, epsilon)?,
            })
        };
        Ok(Encoder {
            flavour,
            heads: sizes.heads,
            blocks: (0..sizes.blocks).map(block).collect::<Result<_>>()?,
        })
    }

    /// The rows after all blocks, `(rows, width)`.
    pub fn forward(&self, x: &Tensor, pairs: &Arc<[Pair]>, sight: Sight, drops: Drops) -> Result<Tensor> {
        let mut x = x.clone();
        for (nth, block) in self.blocks.iter().enumerate() {
            let attended = |queries: &Tensor, x: &Tensor| -> Result<Tensor> {
                let (q, k, v) = (
                    block.query.forward(queries)?,
                    block.key.forward(x)?,
                    block.value.forward(x)?,
                );
                let weights = drops.at(site(nth, 0));
                block
                    .output
                    .forward(&attend(&q, &k, &v, self.heads, pairs, sight, weights)?)
            };
            x = match self.flavour {
                Flavour::Original => {
                    let queries = block.attention_norm.forward(&x)?;
                    let y = (&queries + attended(&queries, &x)?)?;
                    let z = block.norm.forward(&y)?;
                    let inner = block.inner.forward_then(&z, Nonlinearity::Relu)?;
                    let inner = drops.apply(&inner, site(nth, 2))?;
                    let outer = drops.apply(&block.outer.forward(&inner)?, site(nth, 3))?;
                    (z + outer)?
                }
                Flavour::Recbole => {
                    let attended = drops.apply(&attended(&x, &x)?, site(nth, 1))?;
                    let y = block.attention_norm.forward(&(x + attended)?)?;
                    let inner = block.inner.forward_then(&y, Nonlinearity::Gelu)?;
                    let outer = drops.apply(&block.outer.forward(&inner)?, site(nth, 3))?;
                    block.norm.forward(&(y + outer)?)?
                }
            };
        }
        Ok(x)
    }
}

/// What is added to the variance in norms.
pub(super) fn epsilon(flavour: Flavour) -> f64 {
    match flavour {
        Flavour::Original => 1e-8,
        Flavour::Recbole => 1e-12,
    }
}
