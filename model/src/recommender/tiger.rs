//! TIGER-like: a small decoder over the codes of items, which ranks the whole catalogue by likelihood.
//!
//! After Rajput et al. 2023 (arXiv 2305.05065), with these differences: a decoder alone in place of encoder and decoder, codes by k-means in
//! place of an RQ-VAE, no token for the user, every item of a sequence is learnt in one pass, and items are ranked exactly where TIGER keeps a
//! beam.

mod fitted;
pub(super) mod learn;
pub(super) mod task;
pub(super) mod tokens;

use serde::{Deserialize, Serialize};

pub use self::fitted::Fitted;
pub(super) use self::fitted::{Coded, MARKS, scores};
use self::learn::{Sizes, Study, learn};
use self::tokens::Tokens;
use super::codes::{self, CodeSettings, ItemCodes, Layout};
use super::{Course, Data, Outcome, System};
use crate::rank::Mass;
use crate::train::pretrain::Nascent;
use crate::train::{Keep, TrainConfig};
use crate::{Error, Result};

/// A decoder over items as tokens: its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tiger {
    /// How items become tokens.
    pub codes: CodeSettings,
    /// Width of the hidden states.
    pub width: usize,
    /// Width of the feed-forward.
    pub inner: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of heads.
    pub heads: usize,
    /// Most items of a history that are read, the newest.
    pub history: usize,
    /// Share of the items that are hidden in training, each time others: they are not learnt then, and what follows must do without them.
    pub item_dropout: f64,
    /// What the chance of a token is a share of when items are ranked.
    pub mass: Mass,
    /// Length and speed of training. With `evaluate_every = 0` validation users are looked at once an epoch, and with `checkpoint_every = 0`
    /// a checkpoint, where there is one, is written as often.
    pub train: TrainConfig,
}

impl Default for Tiger {
    fn default() -> Self {
        Tiger {
            codes: CodeSettings::default(),
            width: 128,
            inner: 256,
            layers: 4,
            heads: 4,
            history: 20,
            item_dropout: 0.1,
            mass: Mass::Catalogue,
            train: TrainConfig {
                flat: None,
                learning_rate: 1e-3,
                epochs: 20,
                batch_size: 64,
                micro_batch_tokens: 4096,
                activation_memory: 512,
                warmup: 0.05,
                weight_decay: 0.05,
                clip: 1.0,
                evaluate_every: 0,
                patience: 3,
                keep: Keep::Best,
                checkpoint_every: 0,
            },
        }
    }
}

impl Tiger {
    /// Makes codes of the items' vectors and fits a decoder to them.
    ///
    /// # Errors
    /// Data without vectors or with some that do not fit, settings that make no decoder, and those of [`fit`](crate::train::fit()).
    pub fn fit(&self, data: &Data, course: Course) -> Result<(Fitted, Outcome)> {
        let (mut domains, report) = codes::of_domains(&[(data.items, data.vectors)], &self.codes)?;
        let (mut fitted, outcome) = self.fit_codes(domains.pop().unwrap_or_default(), data, course)?;
        fitted.set_report(report);
        Ok((fitted, outcome))
    }

    /// Fits a decoder to given codes, whose sizes are those of the settings: of several domains together, or permuted ones.
    ///
    /// # Errors
    /// Codes that are not of these items, and the others of [`fit`](Self::fit).
    pub fn fit_codes(&self, codes: ItemCodes, data: &Data, course: Course) -> Result<(Fitted, Outcome)> {
        self.fit_domains(
            data.items,
            &codes,
            &[(&codes, data.train)],
            data.validation,
            course,
        )
    }

    /// Fits a decoder to sequences of several domains, each with the codes of its items, to rank the items of a target, which may be among
    /// the domains or not. Validation users are the target's; without any, all epochs are gone through and the last values kept.
    ///
    /// # Errors
    /// Codes of other than `items` items for the target, and the others of [`fit`](Self::fit).
    pub fn fit_domains(
        &self,
        items: usize,
        target: &ItemCodes,
        learnt: &[(&ItemCodes, &[Vec<u32>])],
        validation: &[(Vec<u32>, u32)],
        course: Course,
    ) -> Result<(Fitted, Outcome)> {
        let layout = self.layout();
        for codes in learnt.iter().map(|(codes, _)| *codes).chain([target]) {
            codes.check(layout)?;
        }
        if target.codes.len() != items {
            return Err(Error::Usage(format!(
                "codes of {} items for a catalogue of {items}",
                target.codes.len()
            )));
        }
        let ranked = Tokens::of_codes(layout, target);
        let domains: Vec<(Tokens, &[Vec<u32>])> = learnt
            .iter()
            .map(|(codes, sequences)| (Tokens::of_codes(layout, codes), *sequences))
            .collect();
        let study = Study {
            learnt: &domains,
            target: &ranked,
            validation,
        };
        let coded = Coded::of(target.clone());
        fit_whole(
            System::Tiger(self.clone()),
            ranked.clone(),
            Some(coded),
            &study,
            &self.train,
            course,
        )
    }

    pub(super) fn layout(&self) -> Layout {
        Layout {
            size: self.codes.size,
        }
    }

    pub(super) fn sizes(&self) -> Sizes {
        Sizes {
            vocabulary: self.layout().vocabulary(),
            width: self.width,
            inner: self.inner,
            layers: self.layers,
            heads: self.heads,
            history: self.history,
            item_dropout: self.item_dropout,
            mass: self.mass,
        }
    }
}

/// Trains a decoder of a system's sizes from scratch, all its weights.
pub(super) fn fit_whole(
    system: System,
    tokens: Tokens,
    coded: Option<Coded>,
    study: &Study,
    train: &TrainConfig,
    course: Course,
) -> Result<(Fitted, Outcome)> {
    let sizes = Sizes::of(&system, tokens.items())?;
    // Before a decoder is made of them.
    sizes.check()?;
    let config = sizes.decoder();
    let nascent = Nascent::new(&config, course.seed)?;
    // The mass too: validation users are ranked by it, and they choose the epoch.
    let fingerprint = format!("tiger {config:?} {} {:?}", sizes.item_dropout, sizes.mass);
    let (outcome, ndcg) = learn(&nascent, study, &sizes, train, fingerprint, course)?;
    let mut fitted = Fitted::new(system, tokens, coded, nascent.weights()?)?;
    fitted.set_validation_ndcg(ndcg);
    Ok((fitted, outcome))
}

#[cfg(test)]
pub(super) mod tests;
