//! Systems that recommend without a language model, fitted and asked in one way, so that a study can set them beside it.
//!
//! ```text
//! histories of items ──► system + schedule ──► fit: one loop, validation NDCG@10 chooses the epoch ──► recommender ──► scores of all items
//! ```
//!
//! * [`Data`]: what a system may learn from; held-out test items cannot be said in it; [`Source`]: another domain, for systems that learn from
//!   several; [`Needs`]: which of these a system reads;
//! * [`System`]: which one, with its settings: [`Sasrec`], [`Gru4rec`], [`Bert4rec`], and over items as tokens [`ItemDecoder`], [`Tiger`],
//!   [`Recbase`] and [`Gencdr`], and over their texts [`SasrecText`] and [`Unisrec`];
//! * [`Schedule`]: how long and how fast, the same for all unless it is said otherwise; [`Loss`]: what a position comes to;
//! * [`fit`](fit()) gives a [`Recommender`] and an [`Outcome`]; [`load`] reads one that was saved.
//!
//! * [`text`], [`vectors`], [`codes`]: items as weighted words, as vectors of their texts or one's own, and as four tokens each, so that
//!   whatever works on text works on items.
//!
//! Items are numbered from 1; inside, an item's number less one is its row in tables.

mod adapter;
mod bert4rec;
pub mod codes;
mod folder;
pub mod gencdr;
mod gru4rec;
pub mod item_decoder;
mod kmeans;
mod loss;
mod ndcg;
mod next_item;
mod outcome;
pub mod recbase;
mod rows;
mod sasrec;
mod sasrec_text;
mod schedule;
mod svd;
pub mod text;
pub mod tiger;
mod transformer;
mod unisrec;
pub mod vectors;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::adapter::Adapter;
pub use self::bert4rec::Bert4rec;
use self::codes::CodeReport;
pub use self::codes::ItemCodes;
pub use self::gencdr::Gencdr;
pub use self::gru4rec::Gru4rec;
pub use self::item_decoder::ItemDecoder;
pub use self::loss::Loss;
pub use self::ndcg::ndcg_at_10;
pub use self::outcome::Outcome;
pub use self::recbase::Recbase;
pub use self::sasrec::Sasrec;
pub use self::sasrec_text::SasrecText;
pub use self::schedule::{Rate, Schedule};
pub use self::tiger::Tiger;
pub use self::transformer::Flavour;
pub use self::unisrec::{Pretraining, Unisrec};
pub use self::vectors::Vectors;
use crate::train::{Checkpoint, Progress};
use crate::{Error, Result};

#[cfg(test)]
mod tests;

/// What a recommender is fitted to: plain values, in which held-out test items have no place.
#[derive(Clone, Copy)]
pub struct Data<'a> {
    /// Number of items; ids are `1..=items`.
    pub items: usize,
    /// The training part of each user, oldest first.
    pub train: &'a [Vec<u32>],
    /// Users who choose the epoch: history (oldest first) and the item that came next.
    pub validation: &'a [(Vec<u32>, u32)],
    /// One vector an item (row i − 1), where the system reads texts.
    pub vectors: Option<&'a Vectors>,
    /// Other domains that a system may learn from; empty for those that read the target alone.
    pub sources: &'a [Source<'a>],
}

/// Another domain: its training part, in items of its own. Item 7 of a source has nothing to do with item 7 of the target; what domains have
/// in common is the space of their vectors.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Number of items; ids are `1..=items`.
    pub items: usize,
    /// The training part of each user, oldest first.
    pub train: &'a [Vec<u32>],
    /// One vector an item (row i − 1), in the target's space, where the system reads texts.
    pub vectors: Option<&'a Vectors>,
}

/// What a system reads beside the target's sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Vectors of the items, of the target and of every source.
    pub vectors: bool,
    /// Other domains, at least one.
    pub sources: bool,
}

/// A fitted recommender.
pub trait Recommender: Send + Sync {
    /// Scores of all items (item 1 first) for each history (oldest first, whole); `out` is histories × items. An empty history says
    /// nothing of what comes next: all items get the score zero.
    ///
    /// # Errors
    /// An item that is not in the catalogue, and an `out` of another length.
    fn scores(&self, histories: &[&[u32]], out: &mut [f32]) -> Result<()>;

    /// What the codes of its items came to, where it made some in its fit.
    fn code_report(&self) -> Option<&CodeReport> {
        None
    }

    /// Writes it into a folder: safetensors and JSON. One that a recommender was written to before is replaced.
    ///
    /// # Errors
    /// A folder of something else, or one that cannot be written.
    fn save(&self, folder: &Path) -> Result<()>;
}

/// A system with its settings, as configuration has it: `{"kind": "sasrec", "loss": "ce", …}`. What is left out has its default; unknown
/// keys are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum System {
    /// Self-attention over the history (Kang and McAuley 2018).
    Sasrec(Sasrec),
    /// A gated recurrent unit over the history (Hidasi et al. 2016).
    Gru4rec(Gru4rec),
    /// Self-attention to both sides, trained on masked items (Sun et al. 2019).
    Bert4rec(Bert4rec),
    /// A decoder over items as tokens (Rajput et al. 2023).
    Tiger(Tiger),
    /// The same decoder with one token an item.
    ItemDecoder(ItemDecoder),
    /// The same decoder, fitted to other domains alone.
    Recbase(Recbase),
    /// The same decoder of all domains, and an adapter of the target beside it.
    Gencdr(Gencdr),
    /// Self-attention over the texts of the history's items (Hou et al. 2024).
    SasrecText(SasrecText),
    /// The same, learnt on several domains together (Hou et al. 2022).
    Unisrec(Unisrec),
}

impl System {
    /// What it reads beside the target's sequences.
    pub fn needs(&self) -> Needs {
        let vectors = true;
        match self {
            System::Sasrec(_) | System::Gru4rec(_) | System::Bert4rec(_) | System::ItemDecoder(_) => {
                Needs::default()
            }
            System::Tiger(_) | System::SasrecText(_) => Needs {
                vectors,
                sources: false,
            },
            System::Recbase(_) | System::Gencdr(_) | System::Unisrec(_) => Needs {
                vectors,
                sources: true,
            },
        }
    }

    /// Whether nothing of the target is learnt, so that nobody of it chooses an epoch either.
    pub fn is_zero_shot(&self) -> bool {
        match self {
            System::Recbase(_) => true,
            System::Unisrec(settings) => settings.zero_shot,
            _ => false,
        }
    }
}

/// How a fit goes.
pub struct Course<'a> {
    /// Seed of first values, order, dropout and whatever else is drawn.
    pub seed: u64,
    /// Where an interrupted fit goes on from; written after every epoch.
    pub checkpoint: Option<&'a Checkpoint>,
    /// Told of every step.
    pub progress: &'a mut dyn FnMut(Progress),
}

/// Fits a system to data, on the CPU. The same data, settings and seed give the same recommender, whatever the number of threads and
/// however often the fit was interrupted.
///
/// # Errors
/// Data with nothing to learn from, with items outside the catalogue or without what the system [needs](System::needs), settings that make no
/// model, a loss that is not finite or rises, and a checkpoint that cannot be read or written.
pub fn fit(system: &System, data: &Data, course: Course) -> Result<(Box<dyn Recommender>, Outcome)> {
    data.check()?;
    system.needs().check(data)?;
    match system {
        System::Sasrec(settings) => {
            let model = settings.model(data.items, course.seed)?;
            next_item::fit(model, system, &settings.schedule, data, course)
        }
        System::Gru4rec(settings) => {
            let model = settings.model(data.items, course.seed)?;
            next_item::fit(model, system, &settings.schedule, data, course)
        }
        System::Bert4rec(settings) => {
            let model = settings.model(data.items, course.seed)?;
            next_item::fit(model, system, &settings.schedule, data, course)
        }
        System::Tiger(settings) => {
            let (fitted, outcome) = settings.fit(data, course)?;
            Ok((Box::new(fitted), outcome))
        }
        System::ItemDecoder(settings) => {
            let (fitted, outcome) = settings.fit(data, course)?;
            Ok((Box::new(fitted), outcome))
        }
        System::Recbase(settings) => {
            let (fitted, outcome) = settings.fit(data, course)?;
            Ok((Box::new(fitted), outcome))
        }
        System::Gencdr(settings) => {
            let (fitted, outcome) = settings.fit(data, course)?;
            Ok((Box::new(fitted), outcome))
        }
        System::SasrecText(settings) => settings.fit(system, data, course),
        System::Unisrec(settings) => settings.fit(system, data, course),
    }
}

/// Reads a recommender that was [saved](Recommender::save).
///
/// # Errors
/// A folder that holds none, or one whose tensors are not those of its settings.
pub fn load(folder: &Path) -> Result<Box<dyn Recommender>> {
    folder::load(folder)
}

impl Needs {
    /// Refuses data that lacks something of it.
    fn check(self, data: &Data) -> Result<()> {
        if self.sources && data.sources.is_empty() {
            return Err(Error::Usage(
                "this system learns from other domains, and there is none: give at least one source".into(),
            ));
        }
        if !self.vectors {
            return Ok(());
        }
        let bare = match data.vectors {
            None => Some("this system reads vectors of the items, and there are none".to_owned()),
            Some(_) => {
                let source = data.sources.iter().position(|source| source.vectors.is_none());
                source.map(|number| {
                    format!("this system reads vectors of the items, and source {number} (counted from 0) has none")
                })
            }
        };
        match bare {
            None => Ok(()),
            Some(what) => Err(Error::Usage(format!(
                "{what}: make text vectors of the titles of all domains together, or give your own"
            ))),
        }
    }
}

impl Data<'_> {
    /// Refuses catalogues without items, items outside them, and vectors that are not one an item or not of one width.
    pub(crate) fn check(&self) -> Result<()> {
        if self.items == 0 {
            return Err(Error::Usage(
                "a catalogue without items: there is nothing to recommend".into(),
            ));
        }
        for (user, items) in self.train.iter().enumerate() {
            within(self.items, items, || format!("the training part of user {user}"))?;
        }
        for (user, (history, next)) in self.validation.iter().enumerate() {
            let whose = || format!("the validation part of user {user}");
            within(self.items, history, whose)?;
            within(self.items, &[*next], whose)?;
        }
        if let Some(vectors) = self.vectors {
            vectors.check(self.items)?;
        }
        for (number, source) in self.sources.iter().enumerate() {
            source.check(number, self.vectors)?;
        }
        Ok(())
    }
}

impl Source<'_> {
    fn check(&self, number: usize, target: Option<&Vectors>) -> Result<()> {
        let wrong = |what: String| Error::Usage(format!("source {number} (counted from 0): {what}"));
        if self.items == 0 {
            return Err(wrong(
                "a catalogue without items, of which nothing can be learnt: leave it out".into(),
            ));
        }
        for (user, items) in self.train.iter().enumerate() {
            within(self.items, items, || {
                format!("the training part of source {number}, user {user}")
            })?;
        }
        let Some(vectors) = self.vectors else {
            return Ok(());
        };
        vectors
            .check(self.items)
            .map_err(|error| wrong(error.to_string()))?;
        match target {
            Some(target) if target.width != vectors.width => Err(wrong(format!(
                "vectors of width {} where the target's have {}: make those of all domains together, so that they lie in one space",
                vectors.width, target.width
            ))),
            _ => Ok(()),
        }
    }
}

/// Fails with the first item that a catalogue of so many does not have.
fn within(catalogue: usize, items: &[u32], whose: impl Fn() -> String) -> Result<()> {
    let stranger = |item: &&u32| **item == 0 || **item as usize > catalogue;
    match items.iter().find(stranger) {
        None => Ok(()),
        Some(item) => Err(Error::Usage(format!(
            "item {item} in {} (counted from 0) is outside the catalogue of {catalogue}; items are numbered from 1",
            whose()
        ))),
    }
}
