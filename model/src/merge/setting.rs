//! A setting of a rule as mergekit writes it: a number, a gradient over depth, or numbers for modules by a part of their name.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result};

/// A number that may differ from module to module, or a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Setting {
    /// The same everywhere.
    Scalar(f64),
    /// From the first layer to the last, linear between the numbers.
    Gradient(Vec<f64>),
    /// The first whose filter is part of the module's path.
    Filtered(Vec<Filtered>),
    /// A file of what was measured of a member, and no number.
    File(PathBuf),
}

/// A setting for the modules that a filter lets through.
#[derive(Clone, Debug, PartialEq)]
pub struct Filtered {
    /// A part of the module's path; none, or `*`: every module.
    pub filter: Option<String>,
    /// The setting there.
    pub value: Setting,
}

/// Where in the model a setting is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place<'a> {
    /// Path of the module.
    pub module: &'a str,
    /// 0 in the first layer and the embedding, 1 in the last layer and the output head.
    pub depth: f64,
}

impl Setting {
    /// The number at a place.
    ///
    /// # Errors
    /// No filter lets the module through, or it is a file.
    pub fn at(&self, place: Place) -> Result<f64> {
        match self {
            Setting::Scalar(value) => Ok(*value),
            Setting::Gradient(values) => Ok(between(values, place.depth)),
            Setting::Filtered(choices) => {
                let here = |choice: &&Filtered| {
                    choice
                        .filter
                        .as_deref()
                        .is_none_or(|part| part == "*" || place.module.contains(part))
                };
                let found = choices.iter().find(here).ok_or_else(|| {
                    Error::Merge(format!(
                        "no filter is part of {}; end the list with a value that has no filter",
                        place.module
                    ))
                })?;
                found.value.at(place)
            }
            Setting::File(path) => Err(Error::Merge(format!(
                "{} is a file; give a number",
                path.display()
            ))),
        }
    }

    /// The number, where it is the same everywhere.
    pub fn constant(&self) -> Option<f64> {
        match self {
            Setting::Scalar(value) => Some(*value),
            _ => None,
        }
    }

    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Setting::File(path) => Some(path),
            _ => None,
        }
    }

    /// Every number that stands in it.
    pub fn numbers(&self) -> Vec<f64> {
        match self {
            Setting::Scalar(value) => vec![*value],
            Setting::Gradient(values) => values.clone(),
            Setting::Filtered(choices) => choices.iter().flat_map(|choice| choice.value.numbers()).collect(),
            Setting::File(_) => Vec::new(),
        }
    }
}

impl From<f64> for Setting {
    fn from(value: f64) -> Self {
        Setting::Scalar(value)
    }
}

fn between(values: &[f64], depth: f64) -> f64 {
    let last = values.len() - 1;
    let place = depth.clamp(0.0, 1.0) * last as f64;
    let first = (place as usize).min(last);
    let share = place - first as f64;
    (1.0 - share) * values[first] + share * values[(first + 1).min(last)]
}

impl TryFrom<Value> for Setting {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let number = |value: &Value| value.as_f64().filter(|number| number.is_finite());
        let wrong = |value: &Value| {
            format!("{value} is no setting; give a number, a list of numbers, or a list of {{filter, value}}")
        };
        if let Some(number) = number(&value) {
            return Ok(Setting::Scalar(number));
        }
        let Value::Array(items) = &value else {
            return match value {
                Value::Object(_) => Ok(Setting::Filtered(vec![filtered(value)?])),
                _ => Err(wrong(&value)),
            };
        };
        if items.is_empty() {
            return Err("an empty list is no setting; give a number".into());
        }
        if let Some(numbers) = items.iter().map(number).collect::<Option<Vec<f64>>>() {
            return Ok(Setting::Gradient(numbers));
        }
        if !items.iter().all(Value::is_object) {
            return Err(wrong(&value));
        }
        let choices = items.iter().cloned().map(filtered);
        Ok(Setting::Filtered(choices.collect::<std::result::Result<_, _>>()?))
    }
}

fn filtered(value: Value) -> std::result::Result<Filtered, String> {
    let Value::Object(mut keys) = value else {
        return Err(format!("{value} is no choice; give {{filter, value}}"));
    };
    let filter = match keys.remove("filter") {
        None | Some(Value::Null) => None,
        Some(Value::String(filter)) => Some(filter),
        Some(other) => return Err(format!("the filter {other} is no text")),
    };
    let value = keys.remove("value").ok_or("a filter without a value")?;
    match keys.keys().next() {
        Some(key) => Err(format!("a choice has filter and value, and no {key}")),
        None => Ok(Filtered {
            filter,
            value: Setting::try_from(value)?,
        }),
    }
}

impl From<Setting> for Value {
    fn from(setting: Setting) -> Self {
        match setting {
            Setting::Scalar(value) => value.into(),
            Setting::Gradient(values) => values.into(),
            Setting::File(path) => path.to_string_lossy().into(),
            Setting::Filtered(choices) => choices
                .into_iter()
                .map(|choice| match choice.filter {
                    Some(filter) => serde_json::json!({"filter": filter, "value": Value::from(choice.value)}),
                    None => serde_json::json!({"value": Value::from(choice.value)}),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn setting(json: &str) -> Setting {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn numbers_gradients_and_filters_are_read_as_mergekit_reads_them() {
        let place = |module, depth| Place { module, depth };
        assert_eq!(setting("0.5").at(place("x", 0.3)).unwrap(), 0.5);
        let gradient = setting("[0, 1, 0.5]");
        for (depth, value) in [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 0.75), (1.0, 0.5)] {
            assert_eq!(gradient.at(place("x", depth)).unwrap(), value);
        }
        let filters = setting(r#"[{"filter": "mlp", "value": [0, 1]}, {"value": 0.25}]"#);
        assert_eq!(filters.at(place("model.layers.0.mlp.up_proj", 0.5)).unwrap(), 0.5);
        assert_eq!(
            filters.at(place("model.layers.0.self_attn.q_proj", 0.5)).unwrap(),
            0.25
        );
        let partial = setting(r#"[{"filter": "mlp", "value": 1}]"#);
        assert!(
            partial
                .at(place("lm_head", 1.0))
                .unwrap_err()
                .to_string()
                .contains("lm_head")
        );
        for text in ["0.5", "[0.0,1.0]", r#"[{"filter":"mlp","value":[0.0,1.0]}]"#] {
            assert_eq!(serde_json::to_string(&setting(text)).unwrap(), text);
        }
    }

    #[test]
    fn a_file_is_no_number() {
        let file = Setting::File("a.safetensors".into());
        assert_eq!(file.file(), Some(Path::new("a.safetensors")));
        assert_eq!((file.constant(), file.numbers().len()), (None, 0));
        let place = Place {
            module: "x",
            depth: 0.0,
        };
        assert!(file.at(place).unwrap_err().to_string().contains("a.safetensors"));
        assert_eq!(serde_json::to_string(&file).unwrap(), "\"a.safetensors\"");
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for text in [
            "\"half\"",
            "[]",
            "[1, \"x\"]",
            r#"[{"filter": 1, "value": 2}]"#,
            r#"[{"filter": "a"}]"#,
        ] {
            assert!(serde_json::from_str::<Setting>(text).is_err(), "{text}");
        }
    }
}
