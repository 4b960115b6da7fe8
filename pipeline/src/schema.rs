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

/// What a prompt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Trained on. Leave-one-out: prefixes that end before a user's last two interactions.
    Train,
    /// Chooses between settings. Leave-one-out: a user's last but one interaction, given what came before it.
    Validation,
    /// Reported. Leave-one-out: a user's last interaction, given what came before it.
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

/// What a prompt asks for and how it is answered; the structure of `Top5` is the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptFormat {
    /// The paper's: history, a shuffled candidate list, and an answer of five titles joined by `||` (target first, then four negatives).
    #[serde(rename = "top-5", alias = "candidate-list")]
    Top5,
    /// The same question for one title; the answer is the target's.
    TargetOnly,
    /// The candidates are lettered and the answer is the target's letter ([`LETTERS`]): one token.
    Letter,
    /// No candidate list: the titles of a history one a line; the loss is on every title after the first.
    Sequence,
}

impl PromptFormat {
    /// All formats.
    pub const ALL: [PromptFormat; 4] = [
        PromptFormat::Top5,
        PromptFormat::TargetOnly,
        PromptFormat::Letter,
        PromptFormat::Sequence,
    ];

    /// The name used on the command line and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            PromptFormat::Top5 => "top-5",
            PromptFormat::TargetOnly => "target-only",
            PromptFormat::Letter => "letter",
            PromptFormat::Sequence => "sequence",
        }
    }

    /// Whether the question shows the candidates.
    pub fn lists_candidates(self) -> bool {
        self != PromptFormat::Sequence
    }
}

/// The names of candidates in `letter` prompts, in the order shown; each is one token of the usual vocabularies.
pub const LETTERS: [&str; 52] = [
    "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U",
    "V", "W", "X", "Y", "Z", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
    "q", "r", "s", "t", "u", "v", "w", "x", "y", "z",
];

/// The separator between titles in questions and in the answers of `top-5`.
pub const TITLE_SEPARATOR: &str = "||";

/// One prompt: text for the model, and the ids it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Stable key of the row: a hash of (domain, user, position, split).
    pub key: u64,
    /// The user as named in the raw log.
    pub user_id: String,
    /// 1-based position of the target in the user's sequence.
    pub position: u32,
    /// Dense item ids of the history shown, oldest first (0 is padding and never occurs).
    pub history: Vec<u32>,
    /// Dense id of the item to predict.
    pub target: u32,
    /// Whether the target is at the moment of the item before it, so that the order of the two is the tie key's.
    pub ties: bool,
    /// Dense ids of the candidates, target included, in the order shown.
    pub candidates: Vec<u32>,
    /// Dense ids of the binned candidates: the target, shuffled among as many items that are about as popular ([`crate::stage::Bins`]).
    /// Validation and test have them, training has none; the conversation does not show them.
    pub binned: Vec<u32>,
    /// The conversation; the last turn is the assistant's answer, on which alone there is loss.
    ///
    /// `Sequence`: user (training: the first title; otherwise the whole history,
    /// one title a line, each ended by `\n`) and assistant (training: the remaining titles, each ended by `\n`; otherwise the target's title and `\n`),
    /// so that user + assistant, joined without anything between, is the text of the sequence. The others: system (unless the
    /// wording has none), user, assistant.
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
