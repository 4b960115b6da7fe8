//! From recorded scores to places: what a row is read by, and what calibration users (C) choose before it is.
//!
//! A record holds log p(title | history) and log p(title | neutral history) of the candidates of every protocol. A [`Reading`] is a
//! [`Scoring`] of them among the candidates of one [`Protocol`]. Raw likelihood ranks titles by how common their words are; the *content
//! score* takes α times what the title would have had without the history away from it.
//!
//! | chosen | on | among | rule |
//! |---|---|---|---|
//! | scale c of the merged update | C, at α = 1 | those recorded | nearest to 1 within one standard error of the best |
//! | α | C, at that c | 0 … 1.5 in quarters | smallest within one standard error of the best |
//! | weight w of a fusion | C, at that c and α | 0 … 16 | smallest within one standard error of the best |
//!
//! With fewer than [`LEAST`] users on C nothing is chosen: α and c are 1, and there is no fusion. Everything here is a pure function of
//! scores.

mod choice;
mod fusion;
mod pick;
mod score;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::cut::Cut;
use crate::protocol::Protocol;
use crate::scored_case::ScoredCase;

pub use choice::{ALPHAS, Chosen, LEAST, alpha, choose_scale, chosen_scale, scale};
pub use fusion::{Added, WEIGHTS, Weighing, standardised};
pub use pick::lowest;
pub use score::{level, place, scored};

/// What a candidate is ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scoring {
    /// log p(title | history) − α log p(title | neutral history).
    Content,
    /// log p(title | history) as it is.
    Likelihood,
}

impl Scoring {
    /// All of them, the primary one first.
    pub const ALL: [Scoring; 2] = [Scoring::Content, Scoring::Likelihood];

    /// The name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scoring::Content => "content",
            Scoring::Likelihood => "likelihood",
        }
    }

    /// The name that people read.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Scoring::Content => "content score",
            Scoring::Likelihood => "raw likelihood",
        }
    }
}

/// A way to read recorded scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reading {
    /// What candidates are ranked by.
    pub scoring: Scoring,
    /// Which candidates are ranked.
    pub protocol: Protocol,
}

impl Reading {
    /// The one that planned contrasts are made under, wherever records allow it.
    pub const PRIMARY: Reading = Reading {
        scoring: Scoring::Content,
        protocol: Protocol::Binned,
    };

    /// All of them: the primary one, then those that change one thing, then the one that changes both.
    pub const ALL: [Reading; 4] = [
        Reading::PRIMARY,
        Reading {
            scoring: Scoring::Likelihood,
            protocol: Protocol::Binned,
        },
        Reading {
            scoring: Scoring::Content,
            protocol: Protocol::Uniform,
        },
        Reading {
            scoring: Scoring::Likelihood,
            protocol: Protocol::Uniform,
        },
    ];

    /// The name in files: `content/binned`.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}/{}", self.scoring.name(), self.protocol.name())
    }

    /// The name that people read: `content score, binned candidates`.
    #[must_use]
    pub fn label(self) -> String {
        format!("{}, {} candidates", self.scoring.label(), self.protocol.name())
    }
}

/// One user's scores, whoever holds them.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Where among the candidates the item stands that came next.
    pub target: usize,
    /// Which protocols drew each candidate.
    pub protocols: &'a [u8],
    /// log p(title | history) of each, or what a row scores by that has no likelihood.
    pub scores: &'a [f32],
    /// log p(title | neutral history) of each, or nothing.
    pub neutral: &'a [f32],
}

impl<'a> From<&'a ScoredCase> for Case<'a> {
    fn from(case: &'a ScoredCase) -> Self {
        Case {
            target: case.target as usize,
            protocols: &case.protocols,
            scores: &case.scores,
            neutral: &case.neutral,
        }
    }
}

/// The users of a part at a scale, in their order.
#[must_use]
pub fn users(cases: &[ScoredCase], cut: Cut, scale: f32) -> Vec<&ScoredCase> {
    let wanted = |case: &&ScoredCase| case.cut == cut && case.scale == scale;
    cases.iter().filter(wanted).collect()
}

/// Whether every user has candidates of a protocol besides the target.
pub fn holds<'a>(cases: impl IntoIterator<Item = Case<'a>>, protocol: Protocol) -> bool {
    let several = |case: Case| case.protocols.iter().filter(|bits| protocol.has(**bits)).count() > 1;
    cases.into_iter().all(several)
}
