//! SASRec: self-attentive sequential recommendation (Kang and McAuley 2018), in its two known forms and with the losses that were tried
//! on it. Tables of inputs and outputs are one.

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::next_item::{Lesson, Model};
use super::rows::{Align, Rows, tail};
use super::transformer::{Drops, Encoder, Flavour, Maps, Sizes, check_dropout, check_sizes, epsilon};
use super::{Loss, Schedule};
use crate::Result;
use crate::nn::{Embedding, LayerNorm, Parameters};
use crate::op::Sight;
use crate::train::task::Mode;

/// Settings of SASRec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sasrec {
    /// Which form.
    pub flavour: Flavour,
    /// What a position comes to.
    pub loss: Loss,
    /// Width of the vectors.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Attention heads; they share the width.
    pub heads: usize,
    /// Width within the feed-forward of the form of RecBole; the original has that of the vectors.
    pub inner: usize,
    /// Share of values that is dropped in training.
    pub dropout: f64,
    /// Most items of a history that are read, the latest.
    pub length: usize,
    /// How long and how fast it is fitted.
    pub schedule: Schedule,
}

impl Default for Sasrec {
    fn default() -> Self {
        Sasrec {
            flavour: Flavour::Original,
            loss: Loss::Ce,
            width: 64,
            blocks: 2,
            heads: 1,
            inner: 256,
            dropout: 0.2,
            length: 50,
            schedule: Schedule::default(),
        }
    }
}

impl Sasrec {
    /// A model with first values, for so many items.
    pub(super) fn model(&self, items: usize, seed: u64) -> Result<SelfAttention> {
        let sizes = Sizes {
            width: self.width,
            blocks: self.blocks,
            heads: self.heads,
            inner: match self.flavour {
                Flavour::Original => self.width,
                Flavour::Recbole => self.inner,
            },
        };
        sizes.check()?;
        check_sizes(&[("length", self.length)])?;
        check_dropout(self.dropout)?;
        self.loss.check(items)?;
        let maps = match self.flavour {
            Flavour::Original => Maps::Xavier,
            Flavour::Recbole => Maps::Normal(0.02),
        };
        let mut parameters = Parameters::new(seed, &Device::Cpu);
        let mut table = |name: &str, rows: usize| {
            let shape = (rows, self.width);
            Embedding::new(&mut parameters, name, shape, maps.initial(shape))
        };
        let (items, positions) = (table("items", items)?, table("positions", self.length)?);
        Ok(SelfAttention {
            items,
            positions,
            encoder: Encoder::new(&mut parameters, self.flavour, sizes, maps)?,
            norm: LayerNorm::new(&mut parameters, "norm", self.width, epsilon(self.flavour))?,
            parameters,
            settings: self.clone(),
        })
    }
}

/// SASRec's parameters.
#[derive(Debug)]
pub(super) struct SelfAttention {
    settings: Sasrec,
    parameters: Parameters,
    items: Embedding,
    positions: Embedding,
    encoder: Encoder,
    /// Of the last rows in the original form, and of the embeddings in RecBole's.
    norm: LayerNorm,
}

impl SelfAttention {
    fn align(&self) -> Align {
        match self.settings.flavour {
            Flavour::Original => Align::End,
            Flavour::Recbole => Align::Start,
        }
    }

    /// The vector of every row after the rows before it, `(rows, width)`.
    pub fn hidden(&self, rows: &Rows, mode: Mode) -> Result<Tensor> {
        let drops = Drops::new(self.settings.dropout, mode);
        let items = self.items.forward(&rows.items)?;
        let positions = self.positions.forward(&rows.positions)?;
        let encode = |x: &Tensor| {
            let x = drops.apply(x, 0)?;
            self.encoder.forward(&x, &rows.pairs(), Sight::Causal, drops)
        };
        match self.settings.flavour {
            Flavour::Original => {
                let scale = (self.settings.width as f64).sqrt();
                self.norm.forward(&encode(&((items * scale)? + positions)?)?)
            }
            Flavour::Recbole => encode(&self.norm.forward(&(items + positions)?)?),
        }
    }
}

impl Model for SelfAttention {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn lessons(&self, items: &[u32]) -> Vec<Lesson> {
        next_items(items, self.settings.length)
    }

    fn rows(&self, lesson: &Lesson) -> usize {
        lesson.items.len() - 1
    }

    fn targets(&self, lesson: &Lesson) -> usize {
        lesson.items.len() - 1
    }

    fn summed_loss(&self, lessons: &[Lesson], mode: Mode) -> Result<Tensor> {
        let (rows, targets) = shifted(lessons, self.align(), self.settings.length);
        let hidden = self.hidden(&rows, mode)?;
        let key = mode.key().unwrap_or(0);
        self.settings
            .loss
            .summed(&hidden, self.items.table(), &targets, key)
    }

    fn states(&self, histories: &[&[u32]]) -> Result<Tensor> {
        let length = self.settings.length;
        let mut rows = Rows::default();
        for history in histories {
            rows.push(tail(history, length), self.align(), length);
        }
        let hidden = self.hidden(&rows, Mode::Evaluation)?.detach();
        let last = Tensor::new(rows.last(), &Device::Cpu)?;
        Ok(hidden.index_select(&last, 0)?)
    }

    fn head(&self) -> Result<Tensor> {
        Ok(self.items.table().clone())
    }
}

/// A sequence's last items, each but the first asked for after those before it; nothing where there is no second.
pub(super) fn next_items(items: &[u32], length: usize) -> Vec<Lesson> {
    match items.len() {
        0 | 1 => Vec::new(),
        _ => vec![Lesson {
            items: tail(items, length + 1).to_vec(),
            last_only: false,
        }],
    }
}

/// The items that such lessons read, and for each row the one that comes next.
pub(super) fn shifted(lessons: &[Lesson], align: Align, length: usize) -> (Rows, Vec<u32>) {
    let (mut rows, mut targets) = (Rows::default(), Vec::new());
    for lesson in lessons {
        rows.push(&lesson.items[..lesson.items.len() - 1], align, length);
        targets.extend_from_slice(&lesson.items[1..]);
    }
    (rows, targets)
}
