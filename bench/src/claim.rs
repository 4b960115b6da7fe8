//! What a study sets out to show, written down before it is run.
//!
//! A claim is a sentence about one scenario: **W**, weaving helps; **J**, more than joint training does; **M**, more than the best naive merge.
//! It holds where the woven row is better than each row it names, at the scale that calibration users chose and at scale 1. The
//! deployment claim **D** is about the woven row with counting added to it, and a family of its own. The profile lists the claims, and
//! they are hashed into the study's record.

pub mod decision;
mod evidence;
mod judge;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

pub use evidence::{Differences, Evidence};
pub use judge::{AT_ONE, AVERAGE, ClaimResult, Judgement, apart, judge};

/// A kind of claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ClaimKind {
    /// Weaving helps: better than the target's own adapter, than as many passes over the target's prompts averaged, and than longer training.
    W,
    /// Better than joint training of the same tokens.
    J,
    /// Better than the best merge of single-domain adapters.
    M,
    /// Deployment: the woven row and counting are better together than counting alone. A family of its own.
    D,
}

/// The rows that a claim's row must be better than, each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// These rows.
    Rows(&'static [&'static str]),
    /// The naive merge that calibration users (C) found best.
    BestNaiveMerge,
}

impl ClaimKind {
    /// Those that are made of weaving, in the order of their sentences.
    pub const OF_WEAVING: [Self; 3] = [Self::W, Self::J, Self::M];

    /// Whether it is about deployment, in a family of its own.
    #[must_use]
    pub fn is_deployment(self) -> bool {
        self == Self::D
    }

    /// The row that it is about, where claims are about this woven one.
    #[must_use]
    pub fn row(self, woven: &str) -> String {
        match self {
            Self::D => format!("{woven}+counting"),
            _ => woven.to_owned(),
        }
    }

    /// What its row must be better than.
    #[must_use]
    pub fn against(self) -> Against {
        match self {
            Self::W => Against::Rows(&["target-only", "soup", "longer"]),
            Self::J => Against::Rows(&["joint-matched"]),
            Self::M => Against::BestNaiveMerge,
            Self::D => Against::Rows(&["counting"]),
        }
    }

    /// The claim in a few words, after the name of its row.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::W => "is better than target-only, soup and longer training (weaving helps)",
            Self::J => "is better than joint training of the same tokens",
            Self::M => "is better than the best naive merge",
            Self::D => "is better than counting alone (deployment)",
        }
    }
}

/// The claims of a profile and the levels they are tested at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Claims {
    /// Differences of the primary metric below this are of no consequence.
    pub margin: f64,
    /// The two-sided level: of the primary claim alone, and of all others together.
    pub alpha: f64,
    /// The row that the claims are about.
    pub woven: String,
    /// The claim that is averaged over the scenarios and tested alone.
    pub primary: ClaimKind,
    /// The claims of each scenario.
    pub kinds: Vec<ClaimKind>,
    /// The names of the scenarios that claims are made of; none names all.
    pub scenarios: Vec<String>,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            margin: 0.02,
            alpha: crate::statistics::ALPHA,
            woven: "weaverec".to_owned(),
            primary: ClaimKind::W,
            kinds: ClaimKind::OF_WEAVING.to_vec(),
            scenarios: Vec::new(),
        }
    }
}

impl Claims {
    /// Checks that the claims say something.
    ///
    /// # Errors
    /// Where a level or margin is none, where something is named twice, or where a claim is about no row.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.margin > 0.0 && self.margin < 1.0,
            "[claims] margin = {}: name a difference of the primary metric between 0 and 1, such as 0.02",
            self.margin
        );
        ensure!(
            self.alpha > 0.0 && self.alpha < 0.5,
            "[claims] alpha = {}: name a level between 0 and 0.5, such as 0.05",
            self.alpha
        );
        ensure!(
            !self.woven.is_empty(),
            "[claims] woven is empty: name the row that the claims are about"
        );
        ensure!(
            !self.primary.is_deployment(),
            "[claims] primary = \"D\": the deployment claim is a family of its own; name W, J or M, and D in `kinds`"
        );
        for (index, kind) in self.kinds.iter().enumerate() {
            ensure!(
                !self.kinds[..index].contains(kind),
                "[claims] kinds names {kind:?} twice: leave one of them out"
            );
        }
        for (index, name) in self.scenarios.iter().enumerate() {
            ensure!(
                !self.scenarios[..index].contains(name),
                "[claims] scenarios names {name} twice: leave one of them out"
            );
        }
        Ok(())
    }

    /// Whether claims are made of this scenario.
    #[must_use]
    pub fn concerns(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|name| name == scenario)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_profile_says_what_it_claims_and_else_it_is_everything() {
        let read = |text: &str| toml::from_str::<Claims>(text);
        assert_eq!(read("").unwrap(), Claims::default());
        let some = read("kinds = [\"J\"]\nprimary = \"J\"\nmargin = 0.01\nscenarios = [\"a → b\"]").unwrap();
        assert_eq!(
            (some.primary, some.kinds.as_slice()),
            (ClaimKind::J, [ClaimKind::J].as_slice())
        );
        assert!(some.concerns("a → b") && !some.concerns("b → a"));
        assert!(Claims::default().concerns("anything"));
        assert!(read("kind = [\"J\"]").unwrap_err().to_string().contains("kind"));
        let text = toml::to_string(&Claims::default()).unwrap();
        assert_eq!(read(&text).unwrap(), Claims::default());
    }

    #[test]
    fn claims_that_say_nothing_are_refused_with_their_key() {
        let of = |change: &dyn Fn(&mut Claims)| {
            let mut claims = Claims::default();
            change(&mut claims);
            claims.check().unwrap_err().to_string()
        };
        assert!(Claims::default().check().is_ok());
        assert!(of(&|claims| claims.margin = 0.0).contains("margin"));
        assert!(of(&|claims| claims.alpha = 1.0).contains("alpha"));
        assert!(of(&|claims| claims.woven.clear()).contains("woven"));
        assert!(of(&|claims| claims.primary = ClaimKind::D).contains("primary"));
        assert!(of(&|claims| claims.kinds.push(ClaimKind::W)).contains("kinds"));
        assert!(of(&|claims| claims.scenarios = vec!["a".into(), "a".into()]).contains("scenarios"));
    }
}
