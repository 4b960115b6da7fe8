//! Something that was chosen on users on whom nothing is reported.

use serde::{Deserialize, Serialize};

use crate::cut::Cut;

/// What the choice of weights is called in records.
pub const LAMBDA: &str = "λ";

/// Something that was chosen, and on which users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// What: `step`, `epoch`, `alpha`.
    pub what: String,
    /// Which one was taken.
    pub value: serde_json::Value,
    /// Whose users were asked.
    pub cut: Cut,
    /// How many; 0 where nobody was, as where weights are learnt on training prompts.
    pub users: usize,
}
