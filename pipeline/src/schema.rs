//! The prompt schema, defined once: what a prepared row holds and how its splits and formats are named.
//!
//! The Parquet layout in [`crate::prepared`] stores exactly these types, and the benchmark reads them back as plain values.

use serde::{Deserialize, Serialize};

/// One turn of a conversation, in the OpenAI `messages` convention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text of the turn.
    pub content: String,
}

/// Which part of the leave-one-out protocol a prompt belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Prefixes that end before the last two interactions.
    Train,
    /// The last but one interaction, given what came before it.
    Validation,
    /// The last interaction, given what came before it.
    Test,
}

impl Split {
    /// All splits, in the order of time.
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    /// The name used in file names and columns.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

/// How a prompt is worded; the structure of `CandidateList` is the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptFormat {
    /// The paper's: history, a shuffled candidate list, and an answer of five titles joined by `||` (target first, then four negatives).
    CandidateList,
    /// No candidate list: the titles of a history one a line; the loss is on every title after the first.
    Sequence,
}

/// The separator between titles in candidate-list prompts and answers.
pub const TITLE_SEPARATOR: &str = "||";

/// One prompt: text for the model, and the ids it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Stable key of the row: a hash of (domain, user, position, split).
    pub key: u64,
    /// The user as named in the raw log.
    pub user_id: String,
    /// Dense item ids of the history shown, oldest first (0 is padding and never occurs).
    pub history: Vec<u32>,
    /// Dense id of the item to predict.
    pub target: u32,
    /// Dense ids of the candidates, target included, in the order shown.
    pub candidates: Vec<u32>,
    /// The conversation; the last turn is the assistant's answer, on which alone there is loss.
    ///
    /// `CandidateList`: system, user, assistant. `Sequence`: user (training: the first title; otherwise the whole history,
    /// one title a line, each ended by `\n`) and assistant (training: the remaining titles, each ended by `\n`; otherwise the target's title and `\n`),
    /// so that user + assistant, joined without anything between, is the text of the sequence.
    pub messages: Vec<Message>,
}

/// One item of a prepared domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Dense id, from 1.
    pub item: u32,
    /// The item as named in the raw log.
    pub item_id: String,
    /// Cleaned title; never empty (an item without a usable title gets a stated stand-in).
    pub title: String,
    /// Category, genre or brand words where the raw data has them, joined by `, `; may be empty.
    pub categories: String,
    /// Interactions of this item that fall in the training part of its users' sequences.
    pub train_count: u32,
}
