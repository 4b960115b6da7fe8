//! Recipes: what is merged, by which rule. The keys are mergekit's, as far as they mean something for adapters; an unknown one is an error.
//!
//! ```yaml
//! merge_method: ties
//! models:
//!   - model: adapters/shop
//!     parameters: {weight: 1.0, density: [0.3, 0.7]}   # a gradient over depth
//!   - model: adapters/films
//!     parameters:
//!       weight:
//!         - {filter: self_attn, value: 0.5}            # the first whose filter is part of the module's path
//!         - {value: 1.0}
//! parameters: {normalize: true}
//! rank: 16
//! ```
//!
//! Rules that go by what was measured of a member take `statistics: FILE` beside its `model`. `weights: {by: …, prompts: …}` has the weights
//! of a sum chosen ([`Choice`]).

mod choice;
mod flow;
mod keys;
mod node;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use self::keys::{Keys, number, setting, text};
use self::node::{at, nearest};
use super::align::{STATISTICS, WEIGHT};
use super::rule::{NAMES, Rule};
use super::setting::Setting;
use crate::{Error, Result};

pub use choice::{Choice, WAYS};
pub use node::{Content, Entry, Node};

/// The keys of a recipe.
const KEYS: [&str; 12] = [
    "merge_method",
    "rule",
    "models",
    "parameters",
    "weights",
    "base_model",
    "rank",
    "seed",
    "flavor",
    "space",
    "dtype",
    "out_dtype",
];

/// A merge, as it is written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The rule with its settings.
    pub rule: Rule,
    /// The adapters.
    pub members: Vec<Source>,
    /// How the members' weights are chosen; none: they are given, or as the rule has them.
    pub weights: Option<Choice>,
    /// The base that the recipe names.
    pub base: Option<PathBuf>,
    /// The rank of the result; none: as the rule has it.
    pub rank: Option<usize>,
    /// What random masks are drawn from.
    pub seed: u64,
    /// What the recipe asks for that has no effect here.
    pub notes: Vec<String>,
}

/// An adapter of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its folder.
    pub folder: PathBuf,
    /// Its own settings.
    pub settings: BTreeMap<String, Setting>,
}

impl Recipe {
    /// Reads a recipe in YAML.
    ///
    /// # Errors
    /// A file that cannot be read, or is no recipe; says the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        let failure = |message: String| Error::Config {
            path: path.to_path_buf(),
            message,
        };
        let node = yaml::parse(&text).map_err(failure)?;
        Recipe::parse(&node).map_err(failure)
    }

    /// A recipe of YAML.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn yaml(text: &str) -> Result<Self> {
        Recipe::of(&yaml::parse(text).map_err(Error::Usage)?)
    }

    /// A recipe of keys and values.
    ///
    /// # Errors
    /// Keys that there are not, with their line and the nearest that there is, and values that make no sense.
    pub fn of(node: &Node) -> Result<Self> {
        Recipe::parse(node).map_err(Error::Usage)
    }

    fn parse(node: &Node) -> std::result::Result<Self, String> {
        let top = Keys::of(node, "the recipe")?;
        top.check(&KEYS)?;
        let named = match (top.get("merge_method"), top.get("rule")) {
            (Some(_), Some(rule)) => {
                return Err(at(
                    rule.line,
                    "rule and merge_method are the same; give one of them",
                ));
            }
            (Some(name), None) | (None, Some(name)) => name,
            (None, None) => return Err(at(node.line, "no merge_method; it names the rule")),
        };
        let name = text(named, "merge_method")?;
        let (name, mut settings) = tool_name(name);
        let known = Rule::named(name).ok_or_else(|| {
            let meant = nearest(name, NAMES).unwrap_or_default();
            at(
                named.line,
                format!(
                    "{name} is no rule; the nearest is {meant}, and all are {}",
                    NAMES.join(", ")
                ),
            )
        })?;
        for key in ["flavor", "space"] {
            if let Some(value) = top.get(key) {
                if !known.settings().iter().any(|setting| setting == key) {
                    return Err(at(value.line, format!("{name} has no {key}")));
                }
                settings.insert(key.into(), (value.line, value.json()));
            }
        }
        let shared = shared(top.get("parameters"), &known, &mut settings)?;
        let rule = build(name, settings)?;
        let mut notes = Vec::new();
        for key in ["dtype", "out_dtype"] {
            if let Some(kind) = top.get(key) {
                let kind = text(kind, key)?;
                if kind != "float32" {
                    notes.push(format!(
                        "{key} {kind} has no effect: merged in f64, and written in f32"
                    ));
                }
            }
        }
        let base = top
            .get("base_model")
            .map(|base| text(base, "base_model"))
            .transpose()?;
        let (members, base) = members(&top, node, base, &rule, &shared)?;
        let weights = top.get("weights").map(Choice::of).transpose()?;
        if let Some(node) = top.get("weights") {
            chosen_alone(node, &rule, &members)?;
        }
        let whole = |key: &str| top.get(key).map(|value| number(value, key)).transpose();
        let rank = whole("rank")?.map(|rank| rank as usize);
        if rank == Some(0) {
            return Err(at(
                top.get("rank").map_or(0, |rank| rank.line),
                "a rank of 0; give at least 1",
            ));
        }
        Ok(Recipe {
            rule,
            members,
            weights,
            base,
            rank,
            seed: whole("seed")?.unwrap_or(0),
            notes,
        })
    }

    /// A rule by its name here or in its tool (`ties_svd`), with settings.
    ///
    /// # Errors
    /// A name that there is not, with the nearest that there is, and settings that make no sense.
    pub fn rule(name: &str, settings: Map<String, Value>) -> Result<Rule> {
        let (name, mut all) = tool_name(name);
        if Rule::named(name).is_none() {
            let meant = nearest(name, NAMES).unwrap_or_default();
            return Err(Error::Merge(format!(
                "{name} is no rule; the nearest is {meant}, and all are {}",
                NAMES.join(", ")
            )));
        }
        all.extend(settings.into_iter().map(|(key, value)| (key, (0, value))));
        build(name, all).map_err(Error::Merge)
    }

    /// The recipe with every setting written out; reads back as the same.
    ///
    /// # Errors
    /// Only if the settings cannot be written.
    pub fn json(&self) -> Result<Value> {
        let failure =
            |error: serde_json::Error| Error::Usage(format!("the recipe cannot be written: {error}"));
        let mut parameters = serde_json::to_value(&self.rule).map_err(failure)?;
        if let Some(keys) = parameters.as_object_mut() {
            keys.remove("merge_method");
            keys.retain(|_, value| !value.is_null());
        }
        let models = self.members.iter().map(|member| {
            let settings = member.settings.iter();
            let mut own: Map<String, Value> = settings
                .map(|(key, value)| (key.clone(), value.clone().into()))
                .collect();
            let statistics = own.remove(STATISTICS);
            let mut model = json!({"model": member.folder.to_string_lossy(), "parameters": own});
            if let Some(statistics) = statistics {
                model[STATISTICS] = statistics;
            }
            model
        });
        let mut recipe = json!({
            "merge_method": self.rule.name(),
            "models": models.collect::<Vec<_>>(),
            "parameters": parameters,
            "seed": self.seed,
        });
        if let Some(rank) = self.rank {
            recipe["rank"] = rank.into();
        }
        if let Some(choice) = &self.weights {
            recipe["weights"] = choice.json()?;
        }
        if let Some(base) = &self.base {
            recipe["base_model"] = base.to_string_lossy().into();
        }
        Ok(recipe)
    }
}

type Settings = BTreeMap<String, (usize, Value)>;

/// PEFT's names of rules that work on the updates, which are cut afterwards.
fn tool_name(name: &str) -> (&str, Settings) {
    let mut settings = Settings::new();
    match name.strip_suffix("_svd") {
        Some(plain @ ("ties" | "dare_linear" | "dare_ties")) => {
            settings.insert("flavor".into(), (0, "peft".into()));
            settings.insert("space".into(), (0, "dense".into()));
            (plain, settings)
        }
        Some(plain @ "magnitude_prune") => {
            settings.insert("space".into(), (0, "dense".into()));
            (plain, settings)
        }
        _ => (name, settings),
    }
}

/// The parameters of the whole recipe: the rule's settings, and those of members that have none of their own, which are returned.
fn shared(
    parameters: Option<&Node>,
    rule: &Rule,
    settings: &mut Settings,
) -> std::result::Result<BTreeMap<String, Setting>, String> {
    let mut members = BTreeMap::new();
    let Some(node) = parameters.filter(|node| node.content != Content::Null) else {
        return Ok(members);
    };
    let keys = Keys::of(node, "parameters")?;
    let own = rule.settings();
    let takes = rule.merging().own_settings();
    let weight = takes.iter().copied().filter(|key| *key == WEIGHT);
    let all: Vec<&str> = own.iter().map(String::as_str).chain(weight).collect();
    keys.check_of(&all, &format!(" of {}", rule.name()))?;
    for entry in keys.entries {
        if own.contains(&entry.key) {
            settings.insert(entry.key.clone(), (entry.line, entry.value.json()));
        } else {
            members.insert(entry.key.clone(), setting(entry)?);
        }
    }
    Ok(members)
}

fn build(name: &str, settings: Settings) -> std::result::Result<Rule, String> {
    // One by one first, for the line of the one that is wrong.
    for (key, (line, value)) in &settings {
        let one = Map::from_iter([(key.clone(), value.clone())]);
        Rule::with(name, one).map_err(|error| at(*line, words(&error)))?;
    }
    let all = settings.into_iter().map(|(key, (_, value))| (key, value));
    Rule::with(name, all.collect()).map_err(|error| words(&error))
}

fn words(error: &Error) -> String {
    match error {
        Error::Merge(message) => message.clone(),
        other => other.to_string(),
    }
}

/// The adapters of a recipe, and its base. Where mergekit's recipes name the base among the models, it is no member.
fn members(
    top: &Keys,
    node: &Node,
    base: Option<&str>,
    rule: &Rule,
    shared: &BTreeMap<String, Setting>,
) -> std::result::Result<(Vec<Source>, Option<PathBuf>), String> {
    let models = top
        .get("models")
        .ok_or_else(|| at(node.line, "no models; they name the adapters"))?;
    let Content::List(items) = &models.content else {
        return Err(at(
            models.line,
            format!("models is {}; give a list of adapters", models.kind()),
        ));
    };
    let all = rule.merging().own_settings();
    // A file is no parameter: it has a key of its own.
    let takes: Vec<&str> = all.iter().copied().filter(|key| *key != STATISTICS).collect();
    let measured = all.contains(&STATISTICS);
    let must = measured && rule.merging().needs_statistics();
    let slerp = matches!(rule, Rule::Slerp(_));
    let mut members = Vec::new();
    let mut base_is_member = false;
    for item in items {
        let keys = match &item.content {
            Content::Text(folder) => {
                if must {
                    return Err(no_statistics(item, rule, folder));
                }
                members.push(source(folder, BTreeMap::new(), shared, &takes));
                continue;
            }
            _ => Keys::of(item, "a model")?,
        };
        match measured {
            true => keys.check(&["model", "parameters", STATISTICS])?,
            false => keys.check(&["model", "parameters"])?,
        }
        let model = keys
            .get("model")
            .ok_or_else(|| at(item.line, "a model without model, its folder"))?;
        let folder = text(model, "model")?;
        let mut own = BTreeMap::new();
        if let Some(node) = keys
            .get("parameters")
            .filter(|node| node.content != Content::Null)
        {
            let parameters = Keys::of(node, "parameters")?;
            parameters.check_of(&takes, &format!(" of a model in {}", rule.name()))?;
            for entry in parameters.entries {
                own.insert(entry.key.clone(), setting(entry)?);
            }
        }
        let is_base = base == Some(folder);
        match keys.get(STATISTICS) {
            Some(file) => {
                let path = PathBuf::from(text(file, STATISTICS)?);
                own.insert(STATISTICS.into(), Setting::File(path));
            }
            None if must && !is_base => return Err(no_statistics(item, rule, folder)),
            None => {}
        }
        if is_base {
            if !slerp {
                continue;
            }
            // Between two, mergekit's base is the one at t = 0.
            base_is_member = true;
            members.insert(0, source(folder, own, shared, &takes));
            continue;
        }
        // mergekit's name of an adapter on its base; a recipe without lines was not written by hand.
        let adapter = folder.split_once('+').map_or(folder, |(_, adapter)| adapter);
        let is_path = item.line == 0 || Path::new(folder).exists();
        let folder = if is_path { folder } else { adapter };
        members.push(source(folder, own, shared, &takes));
    }
    if members.is_empty() {
        return Err(at(models.line, "no adapter among the models"));
    }
    Ok((members, base.filter(|_| !base_is_member).map(PathBuf::from)))
}

/// Weights are chosen for a sum of the updates, and where none are given.
fn chosen_alone(node: &Node, rule: &Rule, members: &[Source]) -> std::result::Result<(), String> {
    if !matches!(rule, Rule::Cat(_) | Rule::Svd(_)) {
        return Err(at(
            node.line,
            format!(
                "weights are chosen for a sum of updates, and {} makes something else of them: take cat or svd, or give the weights",
                rule.name()
            ),
        ));
    }
    match members.iter().find(|source| source.settings.contains_key(WEIGHT)) {
        None => Ok(()),
        Some(source) => Err(at(
            node.line,
            format!(
                "weights are to be chosen, and {} has one already: leave that out, or these",
                source.folder.display()
            ),
        )),
    }
}

/// A rule that goes by what was measured of each member cannot do without it.
fn no_statistics(item: &Node, rule: &Rule, folder: &str) -> String {
    let name = rule.name();
    at(
        item.line,
        format!(
            "{name} goes by what was measured of each adapter, and {folder} has no statistics; measure them, and name the file beside the \
             model ({{model: {folder}, statistics: FILE}}; docs/merging.md says what it holds), or take a rule that needs none"
        ),
    )
}

fn source(
    folder: &str,
    mut own: BTreeMap<String, Setting>,
    shared: &BTreeMap<String, Setting>,
    takes: &[&str],
) -> Source {
    for (key, value) in shared {
        if takes.contains(&key.as_str()) && !own.contains_key(key) {
            own.insert(key.clone(), value.clone());
        }
    }
    Source {
        folder: PathBuf::from(folder),
        settings: own,
    }
}

#[cfg(test)]
mod tests;
