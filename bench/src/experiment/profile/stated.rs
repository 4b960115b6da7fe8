//! Sizes that a profile states, for a dry run on a machine that has neither its logs nor its model.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use weaverec_model::backbone::DecoderConfig;

use super::Study;

/// What a dry run goes by before a study's domains are prepared and its model is loaded.
///
/// Nothing else reads it: whoever runs the profile finds the sizes in the data, and they stand in the study's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// Where the sizes are from, in words for people.
    pub source: String,
    /// Floating-point operations a second of the device that the profile is meant for.
    pub flops_per_second: f64,
    /// The model, as its `config.json` has it.
    pub model: DecoderConfig,
    /// A title after another one.
    pub title: Length,
    /// A training prompt.
    pub training: Length,
    /// A test prompt with all of its candidates.
    pub query: Length,
    /// The domains, by their names in the studies.
    #[serde(rename = "domain")]
    pub domains: BTreeMap<String, StatedDomain>,
}

/// Mean length of a text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Length {
    /// Tokens that go through the model.
    pub tokens: f64,
    /// Those of them that are predicted.
    pub targets: f64,
}

/// How large a domain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedDomain {
    /// Users.
    pub users: usize,
    /// Items.
    pub items: usize,
    /// Interactions.
    pub interactions: usize,
}

impl Stated {
    /// Fails where a domain of the study is not stated, or a number is none.
    ///
    /// # Errors
    /// The key that is missing or wrong.
    pub(super) fn check(&self, study: &Study) -> Result<()> {
        let missing = study
            .domains
            .iter()
            .find(|domain| !self.domains.contains_key(&domain.name));
        if let Some(domain) = missing {
            bail!(
                "study {}: [stated] has no sizes of the domain {}: add [stated.domain.{}] with users, items and interactions",
                study.name,
                domain.name,
                domain.name
            );
        }
        let numbers = [
            ("flops_per_second", self.flops_per_second),
            ("title.tokens", self.title.tokens),
            ("training.tokens", self.training.tokens),
            ("query.tokens", self.query.tokens),
        ];
        if let Some((key, value)) = numbers
            .iter()
            .find(|(_, value)| !(value.is_finite() && *value > 0.0))
        {
            bail!("[stated] {key} = {value}: give a number above 0");
        }
        Ok(())
    }
}
