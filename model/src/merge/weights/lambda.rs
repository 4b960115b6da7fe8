//! λ: what each member's update is multiplied with, a number a member, or one a member in every module.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::merge::setting::{Filtered, Setting};
use crate::{Error, Result};

/// How finely λ is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grain {
    /// A number a member.
    #[default]
    Adapter,
    /// A number a member in every module.
    Module,
}

/// What the updates are multiplied with, in the order of the members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Lambda {
    /// The same in every module.
    Adapter(Vec<f64>),
    /// By the path of the module.
    Module(BTreeMap<String, Vec<f64>>),
}

impl Lambda {
    /// One over their number for each.
    pub fn uniform(members: usize) -> Self {
        Lambda::Adapter(vec![1.0 / members.max(1) as f64; members])
    }

    /// The numbers in a module.
    ///
    /// # Errors
    /// A module that it does not have.
    pub fn at(&self, module: &str) -> Result<&[f64]> {
        match self {
            Lambda::Adapter(values) => Ok(values),
            Lambda::Module(modules) => modules.get(module).map(Vec::as_slice).ok_or_else(|| {
                Error::Merge(format!(
                    "no weights for {module}; they were chosen for other adapters"
                ))
            }),
        }
    }

    /// The weight of a member as a recipe has it: a number, or numbers by the paths of modules.
    pub fn setting(&self, member: usize) -> Setting {
        let of = |values: &Vec<f64>| values.get(member).copied().unwrap_or(0.0);
        match self {
            Lambda::Adapter(values) => of(values).into(),
            Lambda::Module(modules) => Setting::Filtered(
                modules
                    .iter()
                    .map(|(path, values)| Filtered {
                        filter: Some(path.clone()),
                        value: of(values).into(),
                    })
                    .collect(),
            ),
        }
    }

    /// The mean over modules, a number a member.
    pub fn mean(&self) -> Vec<f64> {
        match self {
            Lambda::Adapter(values) => values.clone(),
            Lambda::Module(modules) => {
                let members = modules.values().next().map_or(0, Vec::len);
                let sum = |member: usize| modules.values().map(|values| values[member]).sum::<f64>();
                (0..members)
                    .map(|member| sum(member) / modules.len() as f64)
                    .collect()
            }
        }
    }

    /// To six decimals, which text holds exactly: what is written down is what was tried.
    pub(super) fn rounded(self) -> Self {
        let round = |values: Vec<f64>| values.into_iter().map(rounded).collect();
        match self {
            Lambda::Adapter(values) => Lambda::Adapter(round(values)),
            Lambda::Module(modules) => Lambda::Module(
                modules
                    .into_iter()
                    .map(|(path, values)| (path, round(values)))
                    .collect(),
            ),
        }
    }
}

fn rounded(value: f64) -> f64 {
    // Zero has one sign.
    (value * 1e6).round() / 1e6 + 0.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::merge::setting::Place;

    #[test]
    fn by_module_a_recipe_finds_each_number_again_though_one_path_begins_like_another() {
        let path = |layer: usize| format!("model.layers.{layer}.mlp.up_proj");
        let modules = [(path(1), vec![0.25, 0.75]), (path(11), vec![0.5, 0.5])];
        let lambda = Lambda::Module(modules.into());
        for (layer, member, expected) in [(1, 0, 0.25), (1, 1, 0.75), (11, 0, 0.5)] {
            let module = path(layer);
            let place = Place {
                module: &module,
                depth: 0.0,
            };
            assert_eq!(lambda.setting(member).at(place).unwrap(), expected);
        }
        assert_eq!(lambda.mean(), [0.375, 0.625]);
        assert!(lambda.at("lm_head").unwrap_err().to_string().contains("lm_head"));
    }

    #[test]
    fn what_is_written_is_what_was_tried() {
        let lambda = Lambda::Adapter(vec![1.0 / 3.0, -0.1234567891, -1e-9]).rounded();
        assert_eq!(lambda, Lambda::Adapter(vec![0.333333, -0.123457, 0.0]));
        let text = serde_json::to_string(&lambda).unwrap();
        assert_eq!(text, "[0.333333,-0.123457,0.0]");
        assert_eq!(serde_json::from_str::<Lambda>(&text).unwrap(), lambda);
        let by_module = Lambda::Module([("a".to_string(), vec![0.5])].into());
        let text = serde_json::to_string(&by_module).unwrap();
        assert_eq!(serde_json::from_str::<Lambda>(&text).unwrap(), by_module);
    }
}
