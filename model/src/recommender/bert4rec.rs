//! BERT4Rec (Sun et al. 2019): attention to both sides, trained to fill in masked items; to recommend, a mask stands after the history.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::next_item::{Lesson, Model};
use super::rows::{Align, Rows, tail};
use super::transformer::{Drops, Encoder, Flavour, Maps, Sizes, check_dropout, epsilon};
use super::{Loss, Schedule};
use crate::nn::{Decay, Embedding, Initial, LayerNorm, Linear, Parameters};
use crate::op::{Nonlinearity, Sight, mix};
use crate::train::task::Mode;
use crate::{Error, Result};

/// Settings of BERT4Rec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bert4rec {
    /// What a masked item comes to.
    pub loss: Loss,
    /// Width of the vectors.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Attention heads; they share the width.
    pub heads: usize,
    /// Width within the feed-forward.
    pub inner: usize,
    /// Share of values that is dropped in training.
    pub dropout: f64,
    /// Most positions that are read, the mask among them.
    pub length: usize,
    /// Share of a sequence's items that are masked, one at least; every sequence is seen a second time an epoch with its last item
    /// masked.
    pub mask: f64,
    /// How long and how fast it is fitted. It learns from fewer positions a pass than the others and needs many more passes.
    pub schedule: Schedule,
}

impl Default for Bert4rec {
    fn default() -> Self {
        Bert4rec {
            loss: Loss::Ce,
            width: 64,
            blocks: 2,
            heads: 2,
            inner: 256,
            dropout: 0.2,
            length: 50,
            mask: 0.2,
            schedule: Schedule {
                epochs: 200,
                patience: 20,
                ..Schedule::default()
            },
        }
    }
}

impl Bert4rec {
    /// A model with first values, for so many items.
    pub(super) fn model(&self, items: usize, seed: u64) -> Result<Masked> {
        let sizes = Sizes {
            width: self.width,
            blocks: self.blocks,
            heads: self.heads,
            inner: self.inner,
        };
        sizes.check()?;
        check_dropout(self.dropout)?;
        if self.length < 2 {
            return Err(Error::Usage(format!(
                "length {}: an item and the mask after it need 2 positions",
                self.length
            )));
        }
        if !(self.mask > 0.0 && self.mask <= 1.0) {
            return Err(Error::Usage(format!(
                "mask {}: give a share above 0, up to 1",
                self.mask
            )));
        }
        self.loss.check(items)?;
        let (flavour, maps) = (Flavour::Recbole, Maps::Normal(0.02));
        let epsilon = epsilon(flavour);
        let mut parameters = Parameters::new(seed, &Device::Cpu);
        let mut table = |name: &str, rows: usize| {
            let shape = (rows, self.width);
            Embedding::new(&mut parameters, name, shape, maps.initial(shape))
        };
        // The mask's vector comes after those of the items.
        let (table, positions) = (table("items", items + 1)?, table("positions", self.length)?);
        let square = (self.width, self.width);
        Ok(Masked {
            table,
            positions,
            norm: LayerNorm::new(&mut parameters, "norm", self.width, epsilon)?,
            encoder: Encoder::new(&mut parameters, flavour, sizes, maps)?,
            output: Linear::new(&mut parameters, "output", square, maps.initial(square))?,
            output_norm: LayerNorm::new(&mut parameters, "output.norm", self.width, epsilon)?,
            bias: parameters.create("head.bias", items, Initial::Zeros, Decay::Exempt)?,
            items,
            parameters,
            settings: self.clone(),
        })
    }
}

/// BERT4Rec's parameters.
#[derive(Debug)]
pub(super) struct Masked {
    settings: Bert4rec,
    items: usize,
    parameters: Parameters,
    table: Embedding,
    positions: Embedding,
    norm: LayerNorm,
    encoder: Encoder,
    output: Linear,
    output_norm: LayerNorm,
    bias: Tensor,
}

/// Tells masked places apart from whatever else is drawn with a part's key.
const SITE: u64 = 0x6D61_736B;

impl Masked {
    /// The vectors of some rows, from which their items are told; a one stands after each, for the items' biases: `(asked, width + 1)`.
    fn hidden(&self, rows: &Rows, asked: &[u32], mode: Mode) -> Result<Tensor> {
        let drops = Drops::new(self.settings.dropout, mode);
        let sum = (self.table.forward(&rows.items)? + self.positions.forward(&rows.positions)?)?;
        let x = drops.apply(&self.norm.forward(&sum)?, 0)?;
        let x = self.encoder.forward(&x, &rows.pairs(), Sight::Full, drops)?;
        let x = x.index_select(&Tensor::new(asked, &Device::Cpu)?, 0)?;
        let x = self.output.forward_then(&x, Nonlinearity::Gelu)?;
        let x = self.output_norm.forward(&x)?;
        let ones = Tensor::ones((asked.len(), 1), DType::F32, &Device::Cpu)?;
        Ok(Tensor::cat(&[&x, &ones], 1)?.contiguous()?)
    }

    /// The places of a lesson that are masked, in order: another draw for every key.
    fn masked(&self, lesson: &Lesson, key: u64) -> Vec<usize> {
        let count = lesson.items.len();
        if lesson.last_only {
            return vec![count - 1];
        }
        let mut places: Vec<usize> = (0..count).collect();
        places.sort_by_key(|place| mix(key ^ mix(*place as u64)));
        places.truncate(self.targets(lesson));
        places.sort_unstable();
        places
    }
}

impl Model for Masked {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn lessons(&self, items: &[u32]) -> Vec<Lesson> {
        match items.len() {
            0 | 1 => Vec::new(),
            _ => [false, true]
                .map(|last_only| Lesson {
                    items: tail(items, self.settings.length).to_vec(),
                    last_only,
                })
                .into(),
        }
    }

    fn rows(&self, lesson: &Lesson) -> usize {
        lesson.items.len()
    }

    fn targets(&self, lesson: &Lesson) -> usize {
        match lesson.last_only {
            true => 1,
            // Half is rounded up.
            false => ((lesson.items.len() as f64 * self.settings.mask + 0.5) as usize).max(1),
        }
    }

    fn summed_loss(&self, lessons: &[Lesson], mode: Mode) -> Result<Tensor> {
        let key = mode.key().unwrap_or(0);
        let (mut rows, mut asked, mut targets) = (Rows::default(), Vec::new(), Vec::new());
        for (nth, lesson) in lessons.iter().enumerate() {
            let mut items = lesson.items.clone();
            for place in self.masked(lesson, mix(key ^ SITE ^ mix(nth as u64))) {
                asked.push((rows.items.len() + place) as u32);
                targets.push(items[place]);
                items[place] = self.items as u32;
            }
            rows.push(&items, Align::Start, self.settings.length);
        }
        let hidden = self.hidden(&rows, &asked, mode)?;
        self.settings.loss.summed(&hidden, &self.head()?, &targets, key)
    }

    fn states(&self, histories: &[&[u32]]) -> Result<Tensor> {
        let length = self.settings.length;
        let mut rows = Rows::default();
        for history in histories {
            let items = [tail(history, length - 1), &[self.items as u32]].concat();
            rows.push(&items, Align::Start, length);
        }
        self.hidden(&rows, &rows.last(), Mode::Evaluation)
    }

    /// The items' vectors, and after each its bias.
    fn head(&self) -> Result<Tensor> {
        let vectors = self.table.table().narrow(0, 0, self.items)?;
        let biases = self.bias.reshape((self.items, 1))?;
        Ok(Tensor::cat(&[&vectors, &biases], 1)?.contiguous()?)
    }
}
