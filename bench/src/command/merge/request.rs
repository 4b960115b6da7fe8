//! What is asked for, by a recipe or by flags.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use weaverec_model::merge::align::WEIGHT;
use weaverec_model::merge::recipe::{Content, Entry, Node, Recipe, Source};

/// The rule and its settings, where no recipe has them.
#[derive(Debug, Args)]
pub struct RuleArguments {
    /// The merge rule, by the name that PEFT or mergekit has for it [default: the weighted sum].
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Whose computation the rule's name means: peft, mergekit or paper.
    #[arg(long, value_name = "TOOL", requires = "rule")]
    flavor: Option<String>,
    /// Where the rule works: factors, core, knots or dense.
    #[arg(long, requires = "rule")]
    space: Option<String>,
    /// Share of the entries that a rule of entries keeps.
    #[arg(long, requires = "rule", value_parser = super::super::number::not_negative)]
    density: Option<f64>,
    /// Another setting of the rule, as lambda=0.3 or normalize=false.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "rule", value_parser = pair)]
    settings: Vec<(String, Value)>,
    /// What random masks are drawn from.
    #[arg(long)]
    seed: Option<u64>,
}

/// A key and a value of JSON; what is none is a text.
pub(super) fn pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("give KEY=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.trim().to_owned(), value))
}

/// The recipe's file, where one is named in place of adapters.
pub(super) fn file(arguments: &super::Arguments) -> Option<&Path> {
    match arguments.adapters.as_slice() {
        [path] if is_recipe(path) => Some(path),
        _ => None,
    }
}

fn is_recipe(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    ["yaml", "yml", "toml"].contains(&end.to_lowercase().as_str()) && !path.is_dir()
}

/// The recipe that a file holds or that flags come to.
pub(super) fn recipe(arguments: &super::Arguments) -> Result<Recipe> {
    if let Some(path) = file(arguments) {
        let rule = &arguments.rule;
        if rule.rule.is_some() || !arguments.weights.is_empty() {
            bail!(
                "{} names the rule and the weights; leave --rule and --weights out",
                path.display()
            );
        }
        let mut recipe = read(path)?;
        recipe.rank = arguments.rank.or(recipe.rank);
        recipe.seed = rule.seed.unwrap_or(recipe.seed);
        return Ok(recipe);
    }
    if let Some(path) = arguments.adapters.iter().find(|path| is_recipe(path)) {
        bail!(
            "{} is a recipe, which names the adapters; give it alone",
            path.display()
        );
    }
    let count = arguments.adapters.len();
    let mut weights = arguments.weights.clone();
    if weights.is_empty() && arguments.rule.rule.is_none() {
        weights = vec![1.0 / count as f64; count];
    }
    if !weights.is_empty() && weights.len() != count {
        bail!(
            "{} weights for {count} adapters: give one for each",
            weights.len()
        );
    }
    let members = arguments
        .adapters
        .iter()
        .enumerate()
        .map(|(place, folder)| Source {
            folder: folder.clone(),
            settings: weights
                .get(place)
                .map(|weight| (WEIGHT.to_string(), (*weight).into()))
                .into_iter()
                .collect(),
        });
    Ok(Recipe {
        rule: rule(&arguments.rule)?,
        members: members.collect(),
        weights: None,
        base: None,
        rank: arguments.rank,
        seed: arguments.rule.seed.unwrap_or(0),
        notes: Vec::new(),
    })
}

fn rule(arguments: &RuleArguments) -> Result<weaverec_model::merge::rule::Rule> {
    let texts = [("flavor", &arguments.flavor), ("space", &arguments.space)];
    let texts = texts
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_string(), Value::from(value.clone()?))));
    let mut settings: Map<String, Value> = texts.collect();
    if let Some(density) = arguments.density {
        settings.insert("density".into(), density.into());
    }
    for (key, value) in &arguments.settings {
        if settings.insert(key.clone(), value.clone()).is_some() {
            bail!("{key} is given twice");
        }
    }
    Ok(Recipe::rule(
        arguments.rule.as_deref().unwrap_or("cat"),
        settings,
    )?)
}

fn read(path: &Path) -> Result<Recipe> {
    let is_toml = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("toml"));
    if !is_toml {
        return Ok(Recipe::read(path)?);
    }
    let place = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(place)?;
    let node = tree(&text).with_context(place)?;
    Recipe::of(&node).with_context(place)
}

/// A document of TOML as a tree that knows its lines.
fn tree(text: &str) -> Result<Node> {
    let line = |start: usize| 1 + text[..start.min(text.len())].matches('\n').count();
    let table = DeTable::parse(text)?;
    Ok(Node {
        line: 1,
        content: table_of(table.get_ref(), &line)?,
    })
}

fn table_of(table: &DeTable, line: &dyn Fn(usize) -> usize) -> Result<Content> {
    let entries = table.iter().map(|(key, value)| {
        Ok(Entry {
            key: key.get_ref().to_string(),
            line: line(key.span().start),
            value: node_of(value, line)?,
        })
    });
    Ok(Content::Table(entries.collect::<Result<_>>()?))
}

fn node_of(value: &Spanned<DeValue>, line: &dyn Fn(usize) -> usize) -> Result<Node> {
    let here = line(value.span().start);
    let number = |text: &str, number: Option<Number>| {
        number
            .map(Content::Number)
            .with_context(|| format!("line {here}: {text} is no number that can be used here"))
    };
    let content = match value.get_ref() {
        DeValue::String(text) => Content::Text(text.to_string()),
        DeValue::Boolean(value) => Content::Bool(*value),
        DeValue::Integer(whole) => {
            let value = i64::from_str_radix(whole.as_str(), whole.radix()).ok();
            number(whole.as_str(), value.map(Number::from))?
        }
        DeValue::Float(real) => {
            let value = real.as_str().parse().ok();
            number(real.as_str(), value.and_then(Number::from_f64))?
        }
        DeValue::Datetime(_) => bail!("line {here}: a date, where a recipe has none"),
        DeValue::Array(values) => {
            let values = values.iter().map(|value| node_of(value, line));
            Content::List(values.collect::<Result<_>>()?)
        }
        DeValue::Table(table) => table_of(table, line)?,
    };
    Ok(Node { line: here, content })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_recipe_in_toml_is_that_in_yaml_and_its_errors_have_lines() {
        let toml = "\
rule = \"ties\"
rank = 8

[parameters]
density = [0.2, 0.8]

[[models]]
model = \"a\"
parameters = { weight = 1 }

[[models]]
model = \"b\"
";
        let yaml = "{rule: ties, rank: 8, parameters: {density: [0.2, 0.8]}, \
                    models: [{model: a, parameters: {weight: 1}}, {model: b}]}";
        let read = |text: &str| Recipe::of(&tree(text).unwrap());
        assert_eq!(read(toml).unwrap(), Recipe::yaml(yaml).unwrap());
        let error = read(&toml.replace("density", "densty")).unwrap_err().to_string();
        assert!(error.contains("line 5") && error.contains("density"), "{error}");
        assert!(
            tree("rank = 1979-05-27\n")
                .unwrap_err()
                .to_string()
                .contains("line 1")
        );
    }

    #[test]
    fn settings_are_numbers_truths_or_texts() {
        assert_eq!(pair("lambda=0.3").unwrap(), ("lambda".into(), 0.3.into()));
        assert_eq!(pair("normalize=false").unwrap().1, Value::Bool(false));
        assert_eq!(pair("majority_sign_method=total").unwrap().1, "total");
        assert!(pair("lambda").is_err());
    }
}
