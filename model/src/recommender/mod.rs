//! Recommenders over item ids, fitted to what users did: items as vectors of their texts, or as a few tokens each.
//!
//! ```text
//! titles ──► text ──► svd ──► vectors ──► codes ──► sequences of tokens ──► tiger
//! ```
//!
//! * [`text`]: titles as weighted words; [`vectors`]: items as vectors, of their texts or one's own;
//! * [`codes`]: items as four tokens each, from their vectors, so that whatever works on text works on items;
//! * [`tiger`]: a small decoder over such tokens.

pub mod codes;
mod kmeans;
mod svd;
pub mod text;
pub mod tiger;
pub mod vectors;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::codes::ItemCodes;
pub use self::tiger::Tiger;
pub use self::vectors::Vectors;
use crate::Result;
use crate::train::{Checkpoint, Outcome, Progress};

/// What a recommender is fitted to: plain values, in which held-out test items have no place.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// Number of items; ids are 1..=items.
    pub items: usize,
    /// The training part of each user, oldest first.
    pub train: &'a [Vec<u32>],
    /// Users who choose the epoch: history (oldest first) and the item that came next.
    pub validation: &'a [(Vec<u32>, u32)],
    /// One vector an item (row i-1), where the row reads texts.
    pub vectors: Option<&'a Vectors>,
}

/// A fitted recommender.
pub trait Recommender: Send + Sync {
    /// Scores of all items (item 1 first) for each history (oldest first, whole); `out` is histories × items.
    ///
    /// # Errors
    /// Items that it does not know, or an `out` of another size.
    fn scores(&self, histories: &[&[u32]], out: &mut [f32]) -> Result<()>;

    /// Writes it into a folder: safetensors and JSON.
    ///
    /// # Errors
    /// A folder that cannot be written.
    fn save(&self, folder: &Path) -> Result<()>;
}

/// A system with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum System {
    /// A decoder over items as tokens.
    Tiger(Tiger),
}

/// How a fit goes.
pub struct Course<'a> {
    /// Decides first values and order.
    pub seed: u64,
    /// Where an interrupted fit goes on from.
    pub checkpoint: Option<&'a Checkpoint>,
    /// Is told of every step.
    pub progress: &'a mut dyn FnMut(Progress),
}

/// Fits a system.
///
/// # Errors
/// Data that the system cannot be fitted to, and those of [`fit`](crate::train::fit()).
pub fn fit(system: &System, data: &Data, course: Course) -> Result<(Box<dyn Recommender>, Outcome)> {
    match system {
        System::Tiger(tiger) => {
            let (fitted, outcome) = tiger.fit(data, course)?;
            Ok((Box::new(fitted), outcome))
        }
    }
}

/// Reads a recommender that was [saved](Recommender::save).
///
/// # Errors
/// A folder that holds none.
pub fn load(folder: &Path) -> Result<Box<dyn Recommender>> {
    Ok(Box::new(tiger::Fitted::load(folder)?))
}
