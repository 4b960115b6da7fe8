//! Rows that are the better of several at the tuning that all rows get: the choice is made on selection users.

use super::{How, Method};
use crate::family::Family;

/// A row that is one of others.
pub struct Best {
    id: &'static str,
    label: &'static str,
    reference: &'static str,
    parts: &'static [&'static str],
}

impl Method for Best {
    fn id(&self) -> &'static str {
        self.id
    }

    fn label(&self) -> &'static str {
        self.label
    }

    fn family(&self) -> Family {
        Family::Control
    }

    fn reference(&self) -> &'static str {
        self.reference
    }

    fn how(&self) -> How {
        How::Best(self.parts)
    }
}

/// Whether more steps would have done as well.
pub const LONGER: Best = Best {
    id: "longer",
    label: "longer training",
    reference: "the best on S of target-only at 1, 2 and 1 + 2N times the steps",
    parts: &["target-only", "longer-2", "longer-most"],
};

/// Whether one adapter would have done as well.
pub const JOINT_MATCHED: Best = Best {
    id: "joint-matched",
    label: "joint, matched",
    reference: "the better on S of joint training at the weave's tokens and joint soup",
    parts: &["joint-longer", "joint-soup"],
};
