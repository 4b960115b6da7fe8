//! What domains teach a network together: sequences find their next items among those of a batch, and themselves among sequences that lack
//! some items.

use std::hash::Hasher;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::super::Vectors;
use super::super::loss::contrastive;
use super::super::next_item::{self, Lesson};
use super::super::rows::Rows;
use super::super::sasrec::{next_items, shifted};
use super::super::sasrec_text::{Comparison, Network, identity};
use super::super::transformer::check_sizes;
use crate::nn::Parameters;
use crate::op::mix;
use crate::train::task::{Mode, Part, Room};
use crate::train::{self, Checkpoint, Fit, Keep, Progress, Task, TrainConfig};
use crate::{Error, Result};

/// How a network is learnt on several domains together: for a fixed number of epochs, the last of which is kept, since no domain but the
/// target's has users who choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pretraining {
    /// Passes over the users of all domains; 0 leaves it out.
    pub epochs: usize,
    /// Learning rate, which stays as it is.
    pub learning_rate: f64,
    /// Users a step, of all domains as they come.
    pub batch_size: usize,
    /// Most positions that are compared with each other: those of a step that has more are cut into parts, each by itself.
    pub rows: usize,
    /// Largest norm of the gradient; larger ones are scaled down.
    pub clip: f64,
    /// Decoupled weight decay, of tables and maps; biases and norms have none.
    pub weight_decay: f64,
    /// Share of the items that a sequence's other self lacks.
    pub item_dropout: f64,
    /// Weight of telling sequences apart beside finding next items; 0 leaves it out.
    pub contrast: f64,
}

impl Default for Pretraining {
    fn default() -> Self {
        Pretraining {
            epochs: 10,
            learning_rate: 1e-3,
            batch_size: 256,
            rows: 2048,
            clip: 1.0,
            weight_decay: 0.0,
            item_dropout: 0.2,
            contrast: 1e-3,
        }
    }
}

impl Pretraining {
    pub(super) fn check(&self) -> Result<()> {
        check_sizes(&[
            ("pretraining.batch_size", self.batch_size),
            ("pretraining.rows", self.rows),
        ])?;
        if !(0.0..1.0).contains(&self.item_dropout) {
            return Err(Error::Usage(format!(
                "pretraining.item_dropout {}: give a share from 0 to below 1",
                self.item_dropout
            )));
        }
        if !(self.contrast.is_finite() && self.contrast >= 0.0) {
            return Err(Error::Usage(format!(
                "pretraining.contrast {}: give a weight of 0 or more",
                self.contrast
            )));
        }
        Ok(())
    }

    fn config(&self, lessons: usize) -> TrainConfig {
        TrainConfig {
            flat: None,
            learning_rate: self.learning_rate,
            epochs: self.epochs,
            batch_size: self.batch_size,
            micro_batch_tokens: self.rows,
            activation_memory: 0,
            warmup: 0.0,
            weight_decay: self.weight_decay,
            clip: self.clip,
            evaluate_every: 0,
            patience: 0,
            keep: Keep::Last,
            checkpoint_every: lessons.div_ceil(self.batch_size),
        }
    }
}

/// Tells dropped items apart from whatever else is drawn with a part's key.
const SITE: u64 = 0x6974_656D_7321;

/// Several domains, for the training loop: their items are numbered one domain after another, so that a batch can be of all of them.
pub(in super::super) struct Together<'n> {
    network: &'n Network,
    comparison: Comparison,
    settings: Pretraining,
    /// Of all domains, `(items, text)`.
    texts: Tensor,
    lessons: Vec<Lesson>,
    identity: String,
}

impl<'n> Together<'n> {
    /// Of domains as sequences and texts; `what` tells whatever else decides the outcome.
    pub fn new(
        network: &'n Network,
        comparison: Comparison,
        settings: &Pretraining,
        domains: &[(&[Vec<u32>], &Vectors)],
        what: &str,
    ) -> Result<Self> {
        let width = domains.first().map_or(0, |(_, vectors)| vectors.width);
        let (mut values, mut lessons, mut first) = (Vec::new(), Vec::new(), 0);
        let mut identity_of_all = format!("pre-training of {what}");
        for (sequences, vectors) in domains {
            if vectors.width != width {
                return Err(Error::Usage(format!(
                    "vectors of width {width} and of width {} are not of one space: make those of all domains together",
                    vectors.width
                )));
            }
            values.extend_from_slice(&vectors.values);
            for items in *sequences {
                let rows: Vec<u32> = items.iter().map(|item| first + item - 1).collect();
                lessons.extend(next_items(&rows, network.form.length));
            }
            first += vectors.items() as u32;
            identity_of_all = format!("{identity_of_all}, {}", identity(vectors));
        }
        if lessons.is_empty() {
            return Err(Error::Usage(format!(
                "{} domains, none of them with a user of two items in the training part: there is nothing to learn from",
                domains.len()
            )));
        }
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        lessons.iter().for_each(|lesson| lesson.write(&mut hash));
        Ok(Together {
            network,
            comparison,
            settings: settings.clone(),
            texts: Tensor::from_vec(values, (first as usize, width), &Device::Cpu)?,
            lessons,
            identity: format!("{identity_of_all}, sequences {:016x}", hash.digest()),
        })
    }

    /// Everything that decides the outcome.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Steps of a pass over the users.
    pub fn steps_an_epoch(&self) -> usize {
        self.lessons.len().div_ceil(self.settings.batch_size)
    }

    /// The lessons of all domains.
    #[cfg(test)]
    pub fn lessons(&self) -> &[Lesson] {
        &self.lessons
    }

    /// Fits the network's parameters.
    pub fn fit(
        &self,
        seed: u64,
        checkpoint: Option<&Checkpoint>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<train::Outcome> {
        let config = self.settings.config(self.lessons.len());
        let request = Fit {
            task: self,
            examples: &self.lessons,
            held_out: &[],
            config: &config,
            seed,
            checkpoint,
        };
        train::fit(request, progress)
    }
}

impl Task for Together<'_> {
    type Example = Lesson;
    type Batch = Vec<Lesson>;

    fn parameters(&self) -> &Parameters {
        self.network.parameters()
    }

    fn fingerprint(&self) -> String {
        self.identity.clone()
    }

    fn hash(&self, lesson: &Lesson, hasher: &mut dyn Hasher) {
        lesson.write(hasher);
    }

    fn targets(&self, lesson: &Lesson) -> usize {
        lesson.items.len() - 1
    }

    fn parts(&self, lessons: &[&Lesson], room: Room) -> Result<Vec<Part<Vec<Lesson>>>> {
        let sizes = |lesson: &Lesson| (lesson.items.len() - 1, lesson.items.len() - 1);
        Ok(next_item::parts(lessons, room, sizes))
    }

    fn summed_loss(&self, lessons: &Vec<Lesson>, mode: Mode) -> Result<Tensor> {
        let (form, compared) = (self.network.form, self.comparison);
        let (rows, targets) = shifted(lessons, form.align(), form.length);
        let states = compared.states(self.network.hidden(&rows, &self.texts, mode, 0)?)?;
        let next = self
            .texts
            .index_select(&Tensor::new(targets.as_slice(), &Device::Cpu)?, 0)?;
        let next = compared.items(self.network.predicted(&next, mode)?)?;
        let loss = contrastive(&states, &next, &targets)?;
        if self.settings.contrast == 0.0 {
            return Ok(loss);
        }
        // Each sequence among all, by its last state and by that after fewer items.
        let key = mode.key().unwrap_or(0);
        let (mut fewer, mut wanted) = (Rows::default(), Vec::new());
        for (nth, lesson) in lessons.iter().enumerate() {
            let (read, last) = lesson.items.split_at(lesson.items.len() - 1);
            let own = mix(key ^ SITE ^ mix(nth as u64));
            fewer.push(
                &without_some(read, self.settings.item_dropout, own),
                form.align(),
                form.length,
            );
            wanted.extend_from_slice(last);
        }
        let whole = states.index_select(&Tensor::new(rows.last(), &Device::Cpu)?, 0)?;
        let other = compared.items(self.network.hidden(&fewer, &self.texts, mode, 1)?)?;
        let other = other.index_select(&Tensor::new(fewer.last(), &Device::Cpu)?, 0)?;
        let apart = contrastive(&whole, &other, &wanted)?;
        // The loop divides by positions; this is a mean over sequences.
        let weight = self.settings.contrast * targets.len() as f64 / lessons.len() as f64;
        Ok((loss + (apart * weight)?)?)
    }

    fn rate(&self, _: usize, _: usize, _: f64) -> f64 {
        1.0
    }
}

/// A sequence without a share of its items, of which one at least stays.
fn without_some(items: &[u32], share: f64, key: u64) -> Vec<u32> {
    let stays = |place: usize| (mix(key ^ mix(place as u64)) >> 11) as f64 / (1u64 << 53) as f64 >= share;
    let kept = items.iter().enumerate().filter(|(place, _)| stays(*place));
    let kept: Vec<u32> = kept.map(|(_, item)| *item).collect();
    match kept.is_empty() {
        true => items[items.len() - 1..].to_vec(),
        false => kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_items_is_missing_in_order_and_never_all() {
        let items: Vec<u32> = (0..50).collect();
        let mut kept = 0;
        for key in 0..400 {
            let some = without_some(&items, 0.2, mix(key));
            assert!(some.windows(2).all(|pair| pair[0] < pair[1]));
            kept += some.len();
            assert!(!without_some(&items[..2], 0.9, mix(key)).is_empty());
        }
        // Four fifths of 20,000, with a deviation of 57.
        assert!((15_700..16_300).contains(&kept), "{kept}");
        assert_eq!(without_some(&items, 0.0, 3), items);
        assert_eq!(without_some(&[7], 0.999_999, 1), [7]);
    }
}
