//! How the candidates of a case were drawn. A case is scored once for all protocols: what it is ranked among is decided afterwards.

use serde::{Deserialize, Serialize};

/// A way to draw the candidates other than the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Among all items alike, as the paper intends.
    Uniform,
    /// Among the items that are about as popular as the target.
    Binned,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 2] = [Protocol::Uniform, Protocol::Binned];

    /// The name in records, files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Uniform => "uniform",
            Protocol::Binned => "binned",
        }
    }

    /// Its bit in the set of protocols that a candidate belongs to.
    pub fn bit(self) -> u8 {
        match self {
            Protocol::Uniform => 1,
            Protocol::Binned => 2,
        }
    }

    /// Whether a candidate with these bits is drawn by it.
    pub fn has(self, bits: u8) -> bool {
        bits & self.bit() != 0
    }
}
