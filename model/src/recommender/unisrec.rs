//! UniSRec (Hou et al. 2022): one network over texts is learnt on several domains together, each of which has items of its own, and is then
//! fitted to the target, or asked about it as it is.

mod finished;
mod pretrain;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::pretrain::Pretraining;
use self::pretrain::Together;
use super::adapter::Adapter;
use super::next_item::{self, Fitted};
use super::sasrec_text::{Comparison, Form, Network, OverTexts, stored_vectors, texts};
use super::transformer::Flavour;
use super::{Course, Data, Loss, Outcome, Recommender, Schedule, System, Vectors};
use crate::train::{self, Progress};
use crate::{Error, Result};

/// Settings of UniSRec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unisrec {
    /// Whether it is learnt on the sources alone and never sees an interaction of the target.
    pub zero_shot: bool,
    /// From text vectors to the encoder's width.
    pub adapter: Adapter,
    /// Which form the encoder has.
    pub flavour: Flavour,
    /// Whether states and items are brought to length 1 before they are compared.
    pub normalise: bool,
    /// What cosines are divided by, where they are compared by these.
    pub temperature: f64,
    /// Width of the vectors in the encoder.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Attention heads; they share the width.
    pub heads: usize,
    /// Width within the feed-forward of the form of RecBole; the original has that of the vectors.
    pub inner: usize,
    /// Share of the encoder's values that is dropped in training.
    pub dropout: f64,
    /// Most items of a history that are read, the latest.
    pub length: usize,
    /// How the network is learnt on all domains together.
    pub pretraining: Pretraining,
    /// Whether blocks and positions stay as they were learnt on all domains while the rest is fitted to the target.
    pub freeze: bool,
    /// How long and how fast it is fitted to the target.
    pub schedule: Schedule,
}

impl Default for Unisrec {
    fn default() -> Self {
        Unisrec {
            zero_shot: false,
            adapter: Adapter::whitening(),
            flavour: Flavour::Recbole,
            normalise: true,
            temperature: 0.07,
            width: 64,
            blocks: 2,
            heads: 2,
            inner: 256,
            dropout: 0.2,
            length: 50,
            pretraining: Pretraining::default(),
            freeze: true,
            schedule: Schedule::default(),
        }
    }
}

impl Unisrec {
    fn form(&self) -> Form {
        Form {
            adapter: self.adapter,
            flavour: self.flavour,
            width: self.width,
            blocks: self.blocks,
            heads: self.heads,
            inner: self.inner,
            dropout: self.dropout,
            length: self.length,
        }
    }

    fn comparison(&self) -> Comparison {
        match self.normalise {
            true => Comparison::Cosine {
                temperature: self.temperature,
            },
            false => Comparison::Product,
        }
    }

    fn check(&self) -> Result<()> {
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::Usage(format!(
                "temperature {}: give a number above 0",
                self.temperature
            )));
        }
        if self.pretraining.epochs == 0 && self.zero_shot {
            return Err(Error::Usage(
                "pretraining.epochs 0 with zero_shot: nothing would be learnt at all; give 1 or more".into(),
            ));
        }
        if self.pretraining.epochs == 0 && self.freeze {
            return Err(Error::Usage(
                "pretraining.epochs 0 with freeze: an encoder that learnt nothing would stay as it is; write freeze = false".into(),
            ));
        }
        self.pretraining.check()
    }

    /// The network over the target's items.
    pub(super) fn over(&self, network: Network, vectors: &Vectors) -> Result<OverTexts> {
        let frozen = self.freeze;
        let is_frozen = |name: &str| name.starts_with("blocks.") || name.starts_with("positions.");
        OverTexts::new(network, vectors, self.comparison(), Loss::Ce, |name| {
            !(frozen && is_frozen(name))
        })
    }

    /// A network with first values, for text vectors of `text` numbers.
    pub(super) fn network(&self, text: usize, seed: u64) -> Result<Network> {
        Network::new(self.form(), text, seed)
    }

    /// One to be filled from a folder's tensors.
    pub(super) fn stored(&self, items: usize, tensors: &Path) -> Result<OverTexts> {
        let vectors = stored_vectors(items, tensors)?;
        self.over(self.network(vectors.width, 0)?, &vectors)
    }

    pub(super) fn fit(
        &self,
        system: &System,
        data: &Data,
        course: Course,
    ) -> Result<(Box<dyn Recommender>, Outcome)> {
        self.check()?;
        let target = texts(data.vectors, data.items, "the target")?;
        let network = self.network(target.width, course.seed)?;
        let parameters = network.parameters().count();
        let Course {
            seed,
            checkpoint,
            progress,
        } = course;
        if self.zero_shot {
            let together = self.together(&network, system, data, seed)?;
            let trained = together.fit(seed, checkpoint, progress)?;
            let steps = together.steps_an_epoch();
            let outcome = Outcome::new(trained, steps, self.pretraining.epochs, parameters);
            let fitted = Fitted {
                system: system.clone(),
                items: data.items,
                model: self.over(network, target)?,
            };
            return Ok((Box::new(fitted), outcome));
        }
        let learnt = data.train.iter().filter(|items| items.len() > 1).count();
        // Before all domains are gone through.
        if learnt == 0 {
            return Err(next_item::nothing_to_learn_from(data.train.len()));
        }
        let mut before = Outcome::default();
        let mut what = "nothing".to_owned();
        if self.pretraining.epochs > 0 {
            let together = self.together(&network, system, data, seed)?;
            let later = self.schedule.steps_an_epoch(learnt) * self.schedule.epochs;
            let earlier = checkpoint.map(|checkpoint| checkpoint.part("together"));
            let finished = finished::or_else(
                earlier.as_ref(),
                together.identity(),
                network.parameters(),
                || {
                    together.fit(seed, earlier.as_ref(), &mut |p| {
                        progress(Progress {
                            total: p.total + later,
                            ..p
                        });
                    })
                },
            )?;
            what = together.identity().to_owned();
            let trained = train::Outcome {
                steps: finished.steps,
                best_step: finished.steps,
                tokens: finished.tokens,
                seconds: finished.seconds,
                curve: finished.curve,
                ..train::Outcome::default()
            };
            before = Outcome::new(trained, together.steps_an_epoch(), self.pretraining.epochs, 0);
        }
        let model = self.over(network, target)?.after(&what);
        let mut told = |p: Progress| {
            progress(Progress {
                step: p.step + before.steps,
                total: p.total + before.steps,
                tokens: p.tokens + before.tokens,
                seconds: p.seconds + before.seconds,
                ..p
            });
        };
        let course = Course {
            seed,
            checkpoint,
            progress: &mut told,
        };
        let (fitted, outcome) = next_item::fit(model, system, &self.schedule, data, course)?;
        // Nobody can stop the first training, which is as long as it is said to be: the second one tells whether it was cut short.
        let stopped_early = outcome.stopped_early;
        let outcome = Outcome {
            parameters,
            stopped_early,
            ..before.then(outcome)
        };
        Ok((fitted, outcome))
    }

    /// The domains that are learnt together: the sources, and the target unless it is not to be seen.
    pub(super) fn together<'n>(
        &self,
        network: &'n Network,
        system: &System,
        data: &Data,
        seed: u64,
    ) -> Result<Together<'n>> {
        if data.sources.is_empty() {
            return Err(Error::Usage(
                "UniSRec learns from other domains, and there is none: give at least one source".into(),
            ));
        }
        let mut domains: Vec<(&[Vec<u32>], &Vectors)> = Vec::new();
        for (number, source) in data.sources.iter().enumerate() {
            let name = format!("source {number} (counted from 0)");
            domains.push((source.train, texts(source.vectors, source.items, &name)?));
        }
        if !self.zero_shot {
            domains.push((data.train, texts(data.vectors, data.items, "the target")?));
        }
        let what = format!("{system:?}, seed {seed}");
        Together::new(network, self.comparison(), &self.pretraining, &domains, &what)
    }
}
