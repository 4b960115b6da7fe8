//! GRU4Rec (Hidasi et al. 2016) in the form of RecBole: a gated recurrent unit without biases over item vectors, a linear map back to
//! their width, and the item table as the head.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::next_item::{Lesson, Model};
use super::rows::{Align, Rows, tail};
use super::sasrec::{next_items, shifted};
use super::transformer::{Drops, Maps, check_dropout, check_sizes};
use super::{Loss, Schedule};
use crate::Result;
use crate::nn::{Decay, Embedding, Initial, Linear, Parameters};
use crate::op::gru;
use crate::train::task::Mode;

/// Settings of GRU4Rec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gru4rec {
    /// What a position comes to.
    pub loss: Loss,
    /// Width of the item vectors.
    pub width: usize,
    /// Width of the state.
    pub hidden: usize,
    /// Recurrent layers, one over another.
    pub layers: usize,
    /// Share of the embeddings' values that is dropped in training.
    pub dropout: f64,
    /// Most items of a history that are read, the latest.
    pub length: usize,
    /// How long and how fast it is fitted.
    pub schedule: Schedule,
}

impl Default for Gru4rec {
    fn default() -> Self {
        Gru4rec {
            loss: Loss::Ce,
            width: 64,
            hidden: 128,
            layers: 1,
            dropout: 0.3,
            length: 50,
            schedule: Schedule::default(),
        }
    }
}

impl Gru4rec {
    /// A model with first values, for so many items.
    pub(super) fn model(&self, items: usize, seed: u64) -> Result<Recurrent> {
        check_sizes(&[
            ("width", self.width),
            ("hidden", self.hidden),
            ("layers", self.layers),
            ("length", self.length),
        ])?;
        check_dropout(self.dropout)?;
        self.loss.check(items)?;
        let mut parameters = Parameters::new(seed, &Device::Cpu);
        let uniform = |out: usize, input: usize| Initial::Uniform((6.0 / (out + input) as f32).sqrt());
        let gates = 3 * self.hidden;
        let mut layers = Vec::new();
        for nth in 0..self.layers {
            let input = if nth == 0 { self.width } else { self.hidden };
            let name = format!("layers.{nth}.input");
            layers.push(Layer {
                input: Linear::without_bias(&mut parameters, &name, (gates, input), uniform(gates, input))?,
                recurrent: parameters.create(
                    &format!("layers.{nth}.recurrent.weight"),
                    (gates, self.hidden),
                    uniform(gates, self.hidden),
                    Decay::Decayed,
                )?,
            });
        }
        let (table, map) = ((items, self.width), (self.width, self.hidden));
        Ok(Recurrent {
            items: Embedding::new(&mut parameters, "items", table, Maps::Xavier.initial(table))?,
            output: Linear::new(&mut parameters, "output", map, Maps::Xavier.initial(map))?,
            layers,
            parameters,
            settings: self.clone(),
        })
    }
}

#[derive(Debug)]
struct Layer {
    input: Linear,
    recurrent: Tensor,
}

/// GRU4Rec's parameters.
#[derive(Debug)]
pub(super) struct Recurrent {
    settings: Gru4rec,
    parameters: Parameters,
    items: Embedding,
    layers: Vec<Layer>,
    output: Linear,
}

impl Recurrent {
    /// The vector of every row after the rows before it, `(rows, width)`.
    pub fn hidden(&self, rows: &Rows, mode: Mode) -> Result<Tensor> {
        let drops = Drops::new(self.settings.dropout, mode);
        let spans: Arc<[Range<usize>]> = rows.spans.clone().into();
        let mut x = drops.apply(&self.items.forward(&rows.items)?, 0)?;
        for layer in &self.layers {
            x = gru(&layer.input.forward(&x)?, &layer.recurrent, &spans)?;
        }
        self.output.forward(&x)
    }
}

impl Model for Recurrent {
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
        let (rows, targets) = shifted(lessons, Align::Start, self.settings.length);
        let hidden = self.hidden(&rows, mode)?;
        let key = mode.key().unwrap_or(0);
        self.settings
            .loss
            .summed(&hidden, self.items.table(), &targets, key)
    }

    fn states(&self, histories: &[&[u32]]) -> Result<Tensor> {
        let mut rows = Rows::default();
        for history in histories {
            rows.push(
                tail(history, self.settings.length),
                Align::Start,
                self.settings.length,
            );
        }
        let hidden = self.hidden(&rows, Mode::Evaluation)?.detach();
        let last = Tensor::new(rows.last(), &Device::Cpu)?;
        Ok(hidden.index_select(&last, 0)?)
    }

    fn head(&self) -> Result<Tensor> {
        Ok(self.items.table().clone())
    }
}
