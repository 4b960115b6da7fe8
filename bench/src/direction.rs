//! Where knowledge comes from and where it goes.

use serde::{Deserialize, Serialize};

/// Where the knowledge that reaches the target comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScenarioKind {
    /// One source domain of the target's platform.
    SingleSource,
    /// Several source domains, of whatever platforms.
    MultiSource,
    /// One source domain, of another platform.
    CrossPlatform,
    /// No source: the rows are compared on the target alone.
    SingleDomain,
}

impl ScenarioKind {
    /// The kind in words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::SingleSource => "single-source",
            Self::MultiSource => "multi-source",
            Self::CrossPlatform => "cross-platform",
            Self::SingleDomain => "single-domain",
        }
    }
}

/// Where knowledge comes from and where it goes, in words: `comedy + drama → action`, or `action` where there are no sources.
#[must_use]
pub fn direction(sources: &[String], target: &str) -> String {
    match sources {
        [] => target.to_owned(),
        _ => format!("{} → {target}", sources.join(" + ")),
    }
}
