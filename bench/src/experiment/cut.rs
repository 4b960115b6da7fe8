//! Which users may choose, and on which results are reported.

use serde::{Deserialize, Serialize};

/// The part that a user plays. No user plays two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// Held out: chooses steps and learning rates.
    Selection,
    /// Held out: chooses everything after training, such as merging weights.
    Calibration,
    /// Tested, and seen while something is still being changed.
    Dev,
    /// Tested once a profile is frozen.
    Final,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Selection, Self::Calibration, Self::Dev, Self::Final];

    /// The name, as in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Selection => "selection",
            Self::Calibration => "calibration",
            Self::Dev => "dev",
            Self::Final => "final",
        }
    }
}
