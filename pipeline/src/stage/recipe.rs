//! What the training file holds.

use serde::{Deserialize, Serialize};

/// Which prompts are trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// Training instances only; validation is never trained on, and chooses the best step.
    #[default]
    Clean,
    /// As in the paper's released pipeline: every validation prompt is trained on as well, and a random 2 % of the training file
    /// is held out to choose the best step.
    Paper,
}

/// The paper holds out one training prompt in this many.
const ONE_IN: u64 = 50;

impl Recipe {
    /// Whether a prompt of the training file, told by its row key, is held out to choose the best step instead of trained on.
    ///
    /// Keys are hashes, so that this is a random choice which every run and every adapter makes alike.
    pub fn holds_out(self, key: u64) -> bool {
        self == Recipe::Paper && key.is_multiple_of(ONE_IN)
    }
}
