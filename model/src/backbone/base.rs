//! What tells a base from others, for what is trained on it.

use serde::{Deserialize, Serialize};

use super::Precision;

/// A base, told by its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// A name that is known here, or the absolute path of the model.
    pub name: String,
    /// Number of its blocks.
    pub layers: usize,
    /// What its projections were kept in.
    pub precision: Precision,
    /// Identity of all its weights in that precision.
    pub weights: String,
    /// Identity of those that are the same in every precision: all but the projections.
    pub unpacked: String,
}

impl Base {
    /// Whether two are the same model. In another precision its projections are other numbers, so the rest decides there.
    pub fn is(&self, other: &Base) -> bool {
        self.weights == other.weights
            || (self.precision != other.precision && self.unpacked == other.unpacked)
    }
}
