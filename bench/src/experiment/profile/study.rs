//! The studies of a profile: domains, and the scenarios that are made of them.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use weaverec_model::recommender::Needs;

use super::prepare::Order;
use super::rank::Choosing;
use super::{FittedRows, Profile};
use crate::claim::Claims;
use crate::direction::{ScenarioKind, direction};
use crate::method::{self, How, Method};

/// Which runs a study belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Real logs that are fetched from a package.
    Package,
    /// Logs that the program generates.
    Synthetic,
    /// Real logs in a folder that the user names (`DATA=…`).
    Local,
}

/// Scenarios that share a backbone and a set of domains.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Short name.
    pub name: String,
    /// Heading of its part of the report.
    pub title: String,
    /// Where its logs come from.
    pub source: Source,
    /// Whether fetched or generated logs take part also where the folder of local ones is named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
    /// Things a reader must know about its data.
    #[serde(default)]
    pub notes: Vec<String>,
    /// How the order of events is seen here, where it is otherwise than in the profile's other studies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<Order>,
    /// How long adapters are trained here, where it is otherwise than in the profile's other studies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<Training>,
    /// How rows are fitted here, where it is otherwise than in the profile's other studies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted: Option<FittedRows>,
    /// How many choose here, where it is otherwise than in the profile's other studies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<Choosing>,
    /// What is to be shown here, where it is something else than in the profile's other studies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
    /// The logs to generate, where `source` is `synthetic`.
    #[serde(default)]
    pub synthetic: Option<toml::Table>,
    /// Its domains.
    #[serde(rename = "domain")]
    pub domains: Vec<Domain>,
    /// Its comparisons.
    #[serde(rename = "scenario")]
    pub scenarios: Vec<Scenario>,
}

/// What of the training of adapters a study has otherwise than its profile: domains of fewer prompts take more passes over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes over the training prompts.
    pub epochs: usize,
}

/// A domain: a data set, or a part of one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// Name in the study.
    pub name: String,
    /// Name of a data-set description, or the path of one.
    pub dataset: String,
    /// Value of the description's domain column that selects the part; `other` is what `exclude` leaves.
    #[serde(default)]
    pub select: Option<String>,
    /// Values that `other` leaves out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Folder of the raw files below the folder of local data.
    #[serde(default)]
    pub raw: Option<PathBuf>,
    /// Whether this domain is only text for pre-training, in no scenario.
    #[serde(default)]
    pub auxiliary: bool,
}

/// One comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What kind of transfer it is.
    pub kind: ScenarioKind,
    /// Domain recommended in.
    pub target: String,
    /// The other domains; none of them in a single-domain scenario.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Rows of this scenario besides those of the profile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

impl Scenario {
    /// `sources → target`, as the reports show it.
    pub fn name(&self) -> String {
        direction(&self.sources, &self.target)
    }

    /// The rows of its table, in order.
    ///
    /// # Errors
    /// A name that is no row's, or that the profile has already.
    pub fn rows(&self, profile: &Profile) -> Result<Vec<&'static dyn Method>> {
        let names = profile.methods.iter().chain(&self.also);
        method::chosen(names.map(String::as_str)).context("`methods` and `also`")
    }

    /// What it lacks of what a fitted row reads, in a few words; nothing where the row can be had. Rows of a language model are refused
    /// where they lack something; fitted ones are left out of such a scenario, and its other rows stand.
    pub fn lacks(&self, row: &dyn Method) -> Option<&'static str> {
        match row.how() {
            How::Fitted { system } => self.lacks_of(system().needs()),
            _ => None,
        }
    }

    fn lacks_of(&self, needs: Needs) -> Option<&'static str> {
        (needs.sources && self.sources.is_empty()).then_some("no sources")
    }

    /// The scenario as the method sees it.
    pub fn weave(&self) -> weaverec_model::weave::Scenario {
        weaverec_model::weave::Scenario {
            target: self.target.clone(),
            sources: self.sources.clone(),
        }
    }
}

impl Study {
    /// The rows of all its scenarios, each once.
    ///
    /// # Errors
    /// Those of [`Scenario::rows`].
    pub fn rows(&self, profile: &Profile) -> Result<Vec<&'static dyn Method>> {
        let mut all: Vec<&'static dyn Method> = Vec::new();
        for scenario in &self.scenarios {
            for row in scenario.rows(profile)? {
                if all.iter().all(|known| known.id() != row.id()) {
                    all.push(row);
                }
            }
        }
        Ok(all)
    }

    /// An error for a key that would have no effect: whoever wrote it meant something by it.
    pub(super) fn check_keys(&self) -> Result<()> {
        if self.synthetic.is_some() && self.source != Source::Synthetic {
            bail!(
                "study {}: [study.synthetic] has no effect, since `source` is not \"synthetic\"; leave one of them out",
                self.name
            );
        }
        for domain in &self.domains {
            if domain.raw.is_some() && self.source != Source::Local {
                bail!(
                    "study {}, domain {}: key `raw` has no effect, since `source` is not \"local\"; leave one of them out",
                    self.name,
                    domain.name
                );
            }
            if !domain.exclude.is_empty() && domain.select.as_deref() != Some("other") {
                bail!(
                    "study {}, domain {}: key `exclude` has no effect without select = \"other\"; add that, or leave it out",
                    self.name,
                    domain.name
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_without_sources_lacks_them_for_systems_that_learn_from_them() {
        let of = |sources: &[&str]| Scenario {
            kind: ScenarioKind::SingleDomain,
            target: "films".into(),
            sources: sources.iter().map(|name| (*name).to_owned()).collect(),
            also: Vec::new(),
        };
        let needs = |sources| Needs {
            vectors: true,
            sources,
        };
        assert_eq!(of(&[]).lacks_of(needs(true)), Some("no sources"));
        assert_eq!(of(&[]).lacks_of(needs(false)), None);
        assert_eq!(of(&["books"]).lacks_of(needs(true)), None);
        // As every row of the registry says of itself.
        for row in method::METHODS {
            let learns = match row.how() {
                How::Fitted { system } => system().needs().sources,
                _ => false,
            };
            assert_eq!(of(&[]).lacks(*row).is_some(), learns, "{}", row.id());
            assert_eq!(of(&["books"]).lacks(*row), None, "{}", row.id());
        }
    }
}
