//! "SASRec as a decoder": the decoder and the task of [`Tiger`](super::Tiger) with one token an item.
//!
//! No text takes part, and a catalogue is ranked by what the decoder says of the next token alone. Beside [`Sasrec`](super::Sasrec), which is
//! attention over items too (Kang and McAuley 2018), it tells what the decoder's blocks and its training come to; beside `tiger`, what codes do.

use serde::{Deserialize, Serialize};

use super::codes::SPECIAL;
use super::tiger::learn::{Sizes, Study};
use super::tiger::tokens::Tokens;
use super::tiger::{Fitted, fit_whole};
use super::{Course, Data, Outcome, System, Tiger};
use crate::Result;
use crate::rank::Mass;
use crate::train::TrainConfig;

/// A decoder over items, a token each: its settings, which mean what they do in [`Tiger`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemDecoder {
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
    /// Share of the items that are hidden in training, each time others. They are learnt all the same: an item is told by what precedes it.
    pub item_dropout: f64,
    /// Length and speed of training.
    pub train: TrainConfig,
}

impl Default for ItemDecoder {
    /// As `tiger` has it.
    fn default() -> Self {
        let tiger = Tiger::default();
        ItemDecoder {
            width: tiger.width,
            inner: tiger.inner,
            layers: tiger.layers,
            heads: tiger.heads,
            history: tiger.history,
            item_dropout: tiger.item_dropout,
            train: tiger.train,
        }
    }
}

impl ItemDecoder {
    /// Fits a decoder to sequences of items.
    ///
    /// # Errors
    /// Settings that make no decoder, and those of [`fit`](crate::train::fit()).
    pub fn fit(&self, data: &Data, course: Course) -> Result<(Fitted, Outcome)> {
        let tokens = Tokens::one_each(data.items);
        let study = Study {
            learnt: &[(tokens.clone(), data.train)],
            target: &tokens,
            validation: data.validation,
        };
        let system = System::ItemDecoder(self.clone());
        fit_whole(system, tokens.clone(), None, &study, &self.train, course)
    }

    /// The settings of [`Tiger`] that mean the same; its codes mean nothing here.
    pub fn tiger(&self) -> Tiger {
        Tiger {
            width: self.width,
            inner: self.inner,
            layers: self.layers,
            heads: self.heads,
            history: self.history,
            item_dropout: self.item_dropout,
            train: self.train.clone(),
            ..Tiger::default()
        }
    }

    pub(super) fn sizes(&self, items: usize) -> Sizes {
        Sizes {
            vocabulary: SPECIAL + items,
            width: self.width,
            inner: self.inner,
            layers: self.layers,
            heads: self.heads,
            history: self.history,
            item_dropout: self.item_dropout,
            // Of all tokens but the two that are no items: scores are log-probabilities of items.
            mass: Mass::Catalogue,
        }
    }
}

#[cfg(test)]
mod tests;
