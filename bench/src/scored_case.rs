//! What a row said of one user's candidates.

use serde::{Deserialize, Serialize};

use crate::cut::Cut;
use crate::metric::Place;

/// One user's candidates under one scale of the merged update, and all that is needed to rank them in whatever way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoredCase {
    /// The user.
    pub user_id: String,
    /// The part that the user plays.
    pub cut: Cut,
    /// What the merged update was multiplied by; 1 for rows that have none.
    pub scale: f32,
    /// Where among the candidates the item stands that came next.
    pub target: u32,
    /// Dense item ids: those of every protocol, each once.
    pub candidates: Vec<u32>,
    /// Which [protocols](crate::protocol::Protocol) each candidate belongs to, a bit for each; the target belongs to all.
    pub protocols: Vec<u8>,
    /// log p(title | history) of each, or the row's score where it has no likelihood.
    pub scores: Vec<f32>,
    /// log p(title | neutral history) of each; empty where it was not asked for.
    pub neutral: Vec<f32>,
    /// Tokens of each title; empty where the row has no likelihood.
    pub tokens: Vec<u32>,
    /// How often each occurs in the target's training part.
    pub popularity: Vec<u32>,
    /// Where the target stands among all items that are not in the history, by `scores`; none where the catalogue was not scored.
    pub catalogue: Option<Place>,
    /// Items that the user had before; in records of earlier versions those that the prompt shows.
    pub history: u32,
    /// Whether the target's id is below that of the last item in the history.
    pub descends: bool,
    /// Whether the target shares its time with the item before.
    pub ties: bool,
}
