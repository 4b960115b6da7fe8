//! `weights` of a recipe: how the members' weights are chosen on prompts, as the flags of `weaverec merge --weights-by` say it.
//!
//! ```yaml
//! weights: {by: grid, prompts: prepared/shop, divisions: 20}
//! ```

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::keys::{Keys, number, text};
use super::node::{Content, Node, at, nearest};
use crate::backbone::Precision;
use crate::device::Arithmetic;
use crate::merge::weights::{Descent, Goal, Likelihood, Start, Weights};
use crate::{Error, Result};

/// The ways to choose.
pub const WAYS: [&str; 6] = ["grid", "search", "entropy", "likelihood", "fedecider", "mergerec"];

/// Settings of a descent that are not written where they are what held before there was a choice.
const UNWRITTEN: [&str; 4] = ["start", "directions", "weight_decay", "steps"];

/// The keys beside the settings of the way.
const KEYS: [&str; 7] = [
    "by",
    "prompts",
    "users",
    "cut_seed",
    "model",
    "precision",
    "arithmetic",
];

/// How weights are chosen: what decides about them, and nothing of the machine on which it is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The way with its settings.
    pub weights: Weights,
    /// The prepared folder whose calibration users choose, or whose training prompts teach; by `mergerec` one for each member, in their order.
    pub prompts: Vec<PathBuf>,
    /// Most users that choose, or prompts that teach; none: as many as are usual for the way.
    pub users: Option<usize>,
    /// Key of the cut of users; none: 0.
    pub cut_seed: Option<u64>,
    /// The model that they are chosen on; none: the base of the adapters, where it is found.
    pub model: Option<String>,
    /// What the projections of that model are kept in; none: f32.
    pub precision: Option<Precision>,
    /// Type of activations and products; none: f32.
    pub arithmetic: Option<Arithmetic>,
}

impl Weights {
    /// A way to choose by its name, one of [`WAYS`], with settings; those that are not given are the way's own.
    ///
    /// # Errors
    /// A name or a setting that there is not, with the nearest that there is, or a value that makes no sense.
    pub fn by(way: &str, settings: Map<String, Value>) -> Result<Self> {
        let plain = plain(way).map_err(Error::Usage)?;
        let known = settings_of(&plain);
        let refused = |error: serde_json::Error| Error::Usage(format!("weights by {way}: {error}"));
        let mut json = serde_json::to_value(&plain).map_err(refused)?;
        for (key, value) in settings {
            if !known.contains(&key) {
                let words: Vec<&str> = known.iter().map(String::as_str).collect();
                return Err(Error::Usage(format!(
                    "weights by {way} have no setting {key}; the nearest is {}, and all are {}",
                    nearest(&key, &words).unwrap_or_default(),
                    words.join(", ")
                )));
            }
            json[key.as_str()] = value;
        }
        serde_json::from_value(json).map_err(refused)
    }

    /// The name of the way, as [`by`](Self::by) has it; none where nothing is chosen.
    pub fn way(&self) -> Option<&'static str> {
        match self {
            Weights::Uniform => None,
            Weights::Grid(_) => Some("grid"),
            Weights::Search(_) => Some("search"),
            Weights::Descent(descent) => Some(match &descent.objective {
                Goal::Answer(_) => "fedecider",
                Goal::Distillation(_) => "mergerec",
                other if other.is_supervised() => "likelihood",
                _ => "entropy",
            }),
        }
    }
}

/// A way without settings.
fn plain(way: &str) -> std::result::Result<Weights, String> {
    match way {
        "grid" => Ok(Weights::Grid(Default::default())),
        "search" => Ok(Weights::Search(Default::default())),
        "entropy" => Ok(Weights::Descent(Descent::default())),
        "likelihood" => Ok(Weights::Descent(Descent {
            objective: Goal::Likelihood(Likelihood::default()),
            ..Descent::default()
        })),
        "fedecider" => Ok(Weights::Descent(Descent::fedecider())),
        "mergerec" => Ok(Weights::Descent(Descent::mergerec())),
        other => Err(format!(
            "{other} is no way to choose weights; the nearest is {}, and all are {}",
            nearest(other, &WAYS).unwrap_or_default(),
            WAYS.join(", ")
        )),
    }
}

/// The names of a way's settings.
fn settings_of(weights: &Weights) -> Vec<String> {
    let mut names: Vec<String> = match serde_json::to_value(weights) {
        Ok(Value::Object(keys)) => keys
            .into_iter()
            .map(|(key, _)| key)
            .filter(|key| key != "by")
            .collect(),
        _ => Vec::new(),
    };
    if matches!(weights, Weights::Descent(_)) {
        let written = names.clone();
        let others = UNWRITTEN.iter().map(|key| (*key).to_owned());
        names.extend(others.filter(|key| !written.contains(key)));
    }
    names
}

impl Choice {
    pub(super) fn of(node: &Node) -> std::result::Result<Self, String> {
        let keys = Keys::of(node, "weights")?;
        let by = keys.get("by").ok_or_else(|| {
            at(
                node.line,
                format!(
                    "weights without by, which says how they are chosen: {}",
                    WAYS.join(", ")
                ),
            )
        })?;
        let way = text(by, "by")?;
        let known = settings_of(&plain(way).map_err(|message| at(by.line, message))?);
        let all: Vec<&str> = KEYS.into_iter().chain(known.iter().map(String::as_str)).collect();
        keys.check_of(&all, &format!(" of weights by {way}"))?;
        let mut settings = Map::new();
        for entry in keys.entries.iter().filter(|entry| known.contains(&entry.key)) {
            // One by one first, for the line of the one that is wrong.
            let one = Map::from_iter([(entry.key.clone(), entry.value.json())]);
            Weights::by(way, one)
                .map_err(|error| at(entry.line, format!("{}: {}", entry.key, words(&error))))?;
            settings.insert(entry.key.clone(), entry.value.json());
        }
        let weights = Weights::by(way, settings).map_err(|error| at(node.line, words(&error)))?;
        let prompts = keys.get("prompts").ok_or_else(|| {
            at(
                node.line,
                "weights without prompts, the prepared folder whose calibration users choose",
            )
        })?;
        let whole = |key: &str| keys.get(key).map(|value| number(value, key)).transpose();
        let users = whole("users")?.map(|users| users as usize);
        if let Some(node) = keys.get("users").filter(|_| users == Some(0)) {
            return Err(at(node.line, "0 users: nobody would choose; give at least 1"));
        }
        Ok(Choice {
            weights,
            prompts: folders(prompts)?,
            users,
            cut_seed: whole("cut_seed")?,
            model: keys
                .get("model")
                .map(|model| text(model, "model").map(str::to_owned))
                .transpose()?,
            precision: word(&keys, "precision", &Precision::NAMES)?,
            arithmetic: word(&keys, "arithmetic", &Arithmetic::NAMES)?,
        })
    }

    /// As a recipe has it, with every setting; reads back as the same.
    ///
    /// # Errors
    /// Only if the settings cannot be written.
    pub(super) fn json(&self) -> Result<Value> {
        let failure = |error| Error::Usage(format!("the recipe cannot be written: {error}"));
        let mut table = serde_json::to_value(&self.weights).map_err(failure)?;
        table["by"] = self.weights.way().unwrap_or_default().into();
        if let (Some(way), Weights::Descent(_)) = (self.weights.way(), &self.weights) {
            // What the way has of its own and this choice has not.
            let own = serde_json::to_value(plain(way).map_err(Error::Usage)?).map_err(failure)?;
            for key in UNWRITTEN {
                if table.get(key).is_none() && own.get(key).is_some() {
                    table[key] = match key {
                        "start" => json!(Start::Equal),
                        "directions" => json!(false),
                        "weight_decay" => json!(0.0),
                        _ => Value::Null,
                    };
                }
            }
        }
        let folders: Vec<String> = self
            .prompts
            .iter()
            .map(|folder| folder.to_string_lossy().into_owned())
            .collect();
        table["prompts"] = match &folders[..] {
            [one] => json!(one),
            all => json!(all),
        };
        let optional = [
            ("users", json!(self.users)),
            ("cut_seed", json!(self.cut_seed)),
            ("model", json!(self.model)),
            ("precision", json!(self.precision)),
            ("arithmetic", json!(self.arithmetic)),
        ];
        for (key, value) in optional.into_iter().filter(|(_, value)| !value.is_null()) {
            table[key] = value;
        }
        Ok(table)
    }
}

/// One folder, or a list of them.
fn folders(node: &Node) -> std::result::Result<Vec<PathBuf>, String> {
    let folder = |node: &Node| text(node, "prompts").map(PathBuf::from);
    match &node.content {
        Content::List(nodes) if nodes.is_empty() => Err(at(
            node.line,
            "prompts is an empty list; name the prepared folder whose calibration users choose",
        )),
        Content::List(nodes) => nodes.iter().map(folder).collect(),
        _ => folder(node).map(|one| vec![one]),
    }
}

/// A value that is one of several words.
fn word<T: DeserializeOwned>(
    keys: &Keys,
    key: &str,
    names: &[&str],
) -> std::result::Result<Option<T>, String> {
    let Some(node) = keys.get(key) else {
        return Ok(None);
    };
    let name = text(node, key)?;
    serde_json::from_value(name.into()).map(Some).map_err(|_| {
        let all = names.join(", ");
        at(node.line, format!("{key} is {name}; give one of {all}"))
    })
}

fn words(error: &Error) -> String {
    match error {
        Error::Usage(message) => message.clone(),
        other => other.to_string(),
    }
}
