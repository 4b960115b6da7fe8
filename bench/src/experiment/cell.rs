//! Cells: the units of work that are done once. A cell's key is a hash of everything that decides its outcome.

use serde::{Deserialize, Serialize};
use weaverec_model::train::Outcome;

use crate::report::input::UserScore;

/// Changes when the meaning of a record changes, so that old records are not taken for new ones.
pub const SCHEMA: u32 = 1;

/// What kind of work a cell is; also the folder it is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A pre-trained nano decoder.
    Backbone,
    /// A trained adapter.
    Adapter,
    /// A ranking of a target's test users by one method and seed.
    Ranking,
}

impl Kind {
    /// The folder's name.
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Backbone => "backbones",
            Kind::Adapter => "adapters",
            Kind::Ranking => "rankings",
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
    /// Names a cell by what decides its outcome. `configuration` is serialised with sorted keys before it is hashed.
    pub fn new(kind: Kind, label: impl Into<String>, configuration: serde_json::Value) -> Self {
        let canonical =
            canonical(&serde_json::json!({ "kind": kind, "schema": SCHEMA, "of": configuration }));
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
    /// The cell's kind.
    pub kind: Kind,
    /// Its name for people.
    pub label: String,
    /// Its key.
    pub key: String,
    /// What the key is a hash of.
    pub configuration: serde_json::Value,
    /// Where and with what it was run.
    pub environment: serde_json::Value,
    /// Wall time, seconds.
    pub seconds: f64,
    /// Highest resident memory of the process until then, bytes.
    pub peak_memory_bytes: u64,
    /// What the training came to, for backbones and adapters.
    #[serde(default)]
    pub training: Option<Training>,
    /// What the ranking came to.
    #[serde(default)]
    pub ranking: Option<Ranking>,
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
}

/// A finished ranking.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ranking {
    /// Mean held-out loss of the target's validation prompts, nats a token, where a language model ranks.
    pub validation_loss: Option<f64>,
    /// Share of freely decoded answers that are no title.
    pub invalid_output_rate: Option<f64>,
    /// Rank of every user's target. Stored beside the record, in Parquet.
    #[serde(skip)]
    pub users: Vec<UserScore>,
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
