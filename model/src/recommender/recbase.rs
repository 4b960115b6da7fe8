//! RecBase, its core (Zhou et al. 2025, arXiv 2509.03131): a decoder over codes that is trained on other domains alone and ranks a target of
//! which it has never seen a user.
//!
//! Codes are made of the texts of all domains together, so that a code means the same in the target as where it was learnt. What differs from
//! the published system: residual k-means in place of its curriculum-trained quantiser, a decoder of a million parameters and a few source
//! domains in place of 1.5 billion and fifteen. Nothing of the target's users is read in fitting; nobody chooses an epoch.

use serde::{Deserialize, Serialize};

use super::codes::{self, CodeSettings, ItemCodes};
use super::tiger::Fitted;
use super::{Course, Data, Outcome, System, Tiger};
use crate::rank::Mass;
use crate::train::TrainConfig;
use crate::{Error, Result};

/// A decoder over codes of other domains: its settings, which mean what they do in [`Tiger`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recbase {
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
    /// Share of the items that are hidden in training.
    pub item_dropout: f64,
    /// What the chance of a token is a share of when items are ranked.
    pub mass: Mass,
    /// Length and speed of training, which goes through all its epochs.
    pub train: TrainConfig,
}

impl Default for Recbase {
    /// As `tiger` has it, for half as many epochs: sources are more than a target, and nobody stops it early.
    fn default() -> Self {
        let tiger = Tiger::default();
        Recbase {
            codes: tiger.codes,
            width: tiger.width,
            inner: tiger.inner,
            layers: tiger.layers,
            heads: tiger.heads,
            history: tiger.history,
            item_dropout: tiger.item_dropout,
            mass: tiger.mass,
            train: TrainConfig {
                epochs: 10,
                patience: 0,
                ..tiger.train
            },
        }
    }
}

impl Recbase {
    /// Makes codes of the vectors of the target's items and the sources', and fits a decoder to the sources' sequences.
    ///
    /// # Errors
    /// Data without sources, a domain without vectors or with some that do not fit, settings that make no decoder, and those of
    /// [`fit`](crate::train::fit()).
    pub fn fit(&self, data: &Data, course: Course) -> Result<(Fitted, Outcome)> {
        let (target, sources, report) = codes::of_target_and_sources(data, &self.codes)?;
        let domains: Vec<(&ItemCodes, &[Vec<u32>])> = sources
            .iter()
            .zip(data.sources)
            .map(|(codes, source)| (codes, source.train))
            .collect();
        let (mut fitted, outcome) = self.fit_codes(&target, &domains, course)?;
        fitted.set_report(report);
        Ok((fitted, outcome))
    }

    /// Fits a decoder to sequences of the sources, each with the codes of its items, to rank the items of the target's codes.
    ///
    /// # Errors
    /// No sources, and the others of [`fit`](Self::fit).
    pub fn fit_codes(
        &self,
        target: &ItemCodes,
        sources: &[(&ItemCodes, &[Vec<u32>])],
        course: Course,
    ) -> Result<(Fitted, Outcome)> {
        if sources.is_empty() {
            return Err(Error::Usage(
                "other domains are what this system learns from, and there are none: give sources".into(),
            ));
        }
        let tiger = self.tiger();
        let items = target.codes.len();
        let (mut fitted, outcome) = tiger.fit_domains(items, target, sources, &[], course)?;
        fitted.set_system(System::Recbase(self.clone()));
        Ok((fitted, outcome))
    }

    /// The same decoder over codes.
    pub fn tiger(&self) -> Tiger {
        Tiger {
            codes: self.codes.clone(),
            width: self.width,
            inner: self.inner,
            layers: self.layers,
            heads: self.heads,
            history: self.history,
            item_dropout: self.item_dropout,
            mass: self.mass,
            train: self.train.clone(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
