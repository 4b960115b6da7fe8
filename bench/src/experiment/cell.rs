//! Cells: the units of work that are done once. A cell's key is a hash of everything that decides its outcome.

use serde::{Deserialize, Serialize};
use weaverec_model::recommender::codes::CodeReport;
use weaverec_model::train::Outcome;

use super::cost::Cost;
use super::environment::Environment;
use super::numerics::NUMERICS;
use super::outside::Told;
pub use crate::choice::Choice;
pub use crate::scored_case::ScoredCase;
use crate::weight_curve::WeightCurve;

/// Changes when the meaning of a record changes, so that old records are not taken for new ones.
pub const SCHEMA: u32 = 3;

/// What kind of work a cell is; also the folder it is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What a study asks and claims, and where its cells lie.
    Study,
    /// A pre-trained nano decoder.
    Backbone,
    /// A trained adapter.
    Adapter,
    /// A recommender that was fitted to a domain.
    Recommender,
    /// A ranking of a target's users by one method and replicate.
    Ranking,
    /// A ranking that another program made, imported.
    Outside,
}

impl Kind {
    /// All of them, those first that others need.
    pub const ALL: [Self; 6] = [
        Self::Study,
        Self::Backbone,
        Self::Adapter,
        Self::Recommender,
        Self::Ranking,
        Self::Outside,
    ];

    /// The folder's name.
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Study => "studies",
            Kind::Backbone => "backbones",
            Kind::Adapter => "adapters",
            Kind::Recommender => "recommenders",
            Kind::Ranking => "rankings",
            Kind::Outside => "outside",
        }
    }
}

/// The identity of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What kind of work.
    pub kind: Kind,
    /// A name for people, as `drama+action, seed 2`.
    pub label: String,
    /// Hash of the configuration, 16 hexadecimal digits.
    pub key: String,
    /// What the hash is of.
    pub configuration: serde_json::Value,
}

impl Cell {
    /// Names a cell by what decides its outcome, the [version of the numbers](NUMERICS) included. `configuration` is serialised with sorted keys before it is hashed.
    pub fn new(kind: Kind, label: impl Into<String>, configuration: serde_json::Value) -> Self {
        let canonical = canonical(
            &serde_json::json!({ "kind": kind, "schema": SCHEMA, "numerics": NUMERICS, "of": configuration }),
        );
        let key = blake3::hash(canonical.as_bytes()).to_hex()[..16].to_string();
        Cell {
            kind,
            label: label.into(),
            key,
            configuration,
        }
    }
}

/// JSON with the keys of every object in alphabetical order.
fn canonical(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            let inner: Vec<String> = entries
                .into_iter()
                .map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), canonical(v)))
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// What is kept of a finished cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The layout of this record.
    pub schema: u32,
    /// The version of the numbers in it.
    pub numerics: u32,
    /// The cell's kind.
    pub kind: Kind,
    /// Its name for people.
    pub label: String,
    /// Its key.
    pub key: String,
    /// What the key is a hash of.
    pub configuration: serde_json::Value,
    /// Where and with what it was run.
    pub environment: Environment,
    /// What it took.
    pub cost: Cost,
    /// What the training came to, for backbones, adapters and recommenders.
    #[serde(default)]
    pub training: Option<Training>,
    /// What the ranking came to.
    #[serde(default)]
    pub ranking: Option<Ranking>,
    /// What was chosen on held-out users.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// What a study asks and claims.
    #[serde(default)]
    pub study: Option<serde_json::Value>,
    /// How much of a ranking an imported file told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Told>,
    /// What was found along the weights of a merge, where they were tried on a grid. Records of before it was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightCurve>,
    /// What the codes of items came to, of a backbone or a recommender that reads some. Records of before it was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<CodeReport>,
}

impl Record {
    /// A record of a cell that says nothing yet of what came of it.
    pub fn new(cell: &Cell, environment: Environment, cost: Cost) -> Self {
        Self {
            schema: SCHEMA,
            numerics: NUMERICS,
            kind: cell.kind,
            label: cell.label.clone(),
            key: cell.key.clone(),
            configuration: cell.configuration.clone(),
            environment,
            cost,
            training: None,
            ranking: None,
            choices: Vec::new(),
            study: None,
            outside: None,
            weights: None,
            codes: None,
        }
    }
}

/// A finished training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Training {
    /// Steps, losses, tokens, time.
    pub outcome: Outcome,
    /// Examples trained on.
    pub examples: usize,
    /// Floating-point operations, estimated.
    pub flops: f64,
    /// How the epochs went, of a recommender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<Epochs>,
}

/// How the epochs of a recommender went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epochs {
    /// (epoch, mean NDCG@10 of the users who choose); none where nobody does.
    pub ndcg: Vec<(usize, f64)>,
    /// The one whose values were kept, the first being 1.
    pub best: usize,
    /// Those that were gone through.
    pub all: usize,
    /// Whether it ended because nothing got better; one that ended with its last epoch might have gone on.
    pub stopped_early: bool,
    /// Number of trained values.
    pub parameters: usize,
    /// (epoch, seconds of the fit when its last step was taken, the looks before it among them); none of epochs before an interruption. For
    /// the course of a fit alone: what two fits of one seed write of their epochs is the same.
    #[serde(skip)]
    pub seconds: Vec<(usize, f64)>,
}

impl Epochs {
    /// What the users who chose it find of the epoch that was kept; none where nobody chose.
    pub fn chosen(&self) -> Option<f64> {
        let best = self.ndcg.iter().find(|(epoch, _)| *epoch == self.best);
        best.map(|(_, ndcg)| *ndcg)
    }
}

/// A finished ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Hash of the users and candidates that were scored.
    pub candidate_hash: String,
    /// The split that the users come from, as the prepared folder's manifest says it.
    pub split: String,
    /// What that manifest says of events that share their time.
    pub order: String,
    /// Seconds of scoring alone: nothing loaded, merged or decoded.
    pub rank_seconds: f64,
    /// Mean held-out loss of the target's validation prompts, nats a token, where a language model ranks.
    #[serde(default)]
    pub validation_loss: Option<f64>,
    /// The same of the prompts of users that choose, for choices between rows.
    #[serde(default)]
    pub selection_loss: Option<f64>,
    /// Share of freely decoded answers that are no title.
    #[serde(default)]
    pub invalid_output_rate: Option<f64>,
    /// Of the untuned model, where it was asked: how many next titles of training sequences it recalls.
    #[serde(default)]
    pub recall: Option<Recall>,
    /// The scores of every user. Stored beside the record, in Parquet.
    #[serde(skip)]
    pub cases: Vec<ScoredCase>,
}

/// How many of the titles that come next in training sequences a model that was never trained on them writes to the letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// Sequences that were asked.
    pub asked: usize,
    /// Titles that were recalled.
    pub recalled: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_key_depends_on_what_is_configured_and_not_on_the_order_of_keys() {
        let a = Cell::new(Kind::Adapter, "x", json!({"a": 1, "b": {"c": 2, "d": 3}}));
        let b = Cell::new(Kind::Adapter, "y", json!({"b": {"d": 3, "c": 2}, "a": 1}));
        assert_eq!(a.key, b.key);
        assert_ne!(
            a.key,
            Cell::new(Kind::Adapter, "x", json!({"a": 2, "b": {"c": 2, "d": 3}})).key
        );
        assert_ne!(
            a.key,
            Cell::new(Kind::Ranking, "x", json!({"a": 1, "b": {"c": 2, "d": 3}})).key
        );
    }
}
