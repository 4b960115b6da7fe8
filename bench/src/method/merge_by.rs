//! What makes one update of the adapters of a row: a rule with its settings, or weights that are chosen.

use anyhow::{Context, Result};
use weaverec_model::merge;
use weaverec_model::merge::rule::Rule;
use weaverec_model::merge::weights::{Goal, Weights};

use crate::scoring::LEAST;

/// The setting of a rule that names the member which it merges for.
pub const TARGET: &str = "target";

/// Training prompts of each member that the rules which go by measurements are measured on; of a member of several domains as many of each.
pub const MEASURED_PROMPTS: usize = 200;

/// What makes one update of a recipe's adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MergeBy {
    /// A rule.
    Rule(MergeRule),
    /// The sum by weights that calibration users choose: settings of [`Weights`], as a JSON object.
    Weights(&'static str),
}

impl MergeBy {
    /// What decides the merge besides its members, for the key of a cell.
    ///
    /// # Errors
    /// Settings that are none.
    pub fn identity(self) -> Result<serde_json::Value> {
        Ok(match self {
            MergeBy::Rule(rule) => {
                let mut json =
                    serde_json::json!({ "rule": rule.name, "settings": rule.settings()?, "adds": rule.adds });
                if rule.measured {
                    json["measured"] = MEASURED_PROMPTS.into();
                }
                json
            }
            MergeBy::Weights(settings) => {
                let mut json = serde_json::json!({ "weights": weights(settings)? });
                if self.is_by_entropy() {
                    // By whom; before it was asked for, fewer had chosen.
                    json["users"] = LEAST.into();
                }
                json
            }
        })
    }

    /// Whether its weights are chosen by prompts of calibration users without their answers.
    pub fn is_by_entropy(self) -> bool {
        let MergeBy::Weights(settings) = self else {
            return false;
        };
        let weights = weights(settings);
        let goal = weights.as_ref().ok().and_then(Weights::goal);
        matches!(goal, Some(Goal::CandidateEntropy(_) | Goal::VocabularyEntropy(_)))
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            MergeBy::Rule(rule) => rule.name,
            MergeBy::Weights(_) => "chosen weights",
        }
    }

    /// Fails where it cannot merge so many members.
    ///
    /// # Errors
    /// Why.
    pub fn check(self, members: usize) -> Result<()> {
        match self {
            MergeBy::Rule(rule) => rule.read(members, 0).map(|_| ()),
            MergeBy::Weights(settings) => weights(settings).map(|_| ()),
        }
    }
}

/// How weights are chosen, of its settings.
///
/// # Errors
/// Settings that are none.
pub fn weights(settings: &str) -> Result<Weights> {
    serde_json::from_str(settings).with_context(|| format!("the settings of weights {settings}"))
}

/// A merge rule with its settings, as a recipe has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MergeRule {
    /// Its name.
    pub name: &'static str,
    /// Its settings, as a JSON object.
    pub settings: &'static str,
    /// Whether every member weighs 1, so that the result is a sum; else as the rule has it where no weight is given.
    pub adds: bool,
    /// Whether it goes by what is measured of every member, or learnt, on prompts.
    pub measured: bool,
}

impl MergeRule {
    /// The settings that are not the rule's own.
    ///
    /// # Errors
    /// Settings that are no JSON object.
    pub fn settings(self) -> Result<serde_json::Map<String, serde_json::Value>> {
        serde_json::from_str(self.settings).with_context(|| format!("the settings of {}", self.name))
    }

    /// The rule, for so many members, that of `target` being the target's own, by its place. A row that merges for one member calls it the
    /// first; members have no order of their own.
    ///
    /// # Errors
    /// A rule or setting that there is not, or that takes another number of members.
    pub fn read(self, members: usize, target: usize) -> Result<Rule> {
        let mut settings = self.settings()?;
        if let Some(number) = settings.get_mut(TARGET) {
            *number = (target + 1).into();
        }
        let rule = merge::recipe::Recipe::rule(self.name, settings)?;
        rule.merging().check(members)?;
        Ok(rule)
    }
}
