//! The rules: one file each, and each its own settings in a recipe.
//!
//! A rule either gives coefficients, and the merge is `Σ c_i τ_i`, exact in the factors ([`Coefficients`]); or it makes one matrix of the
//! members' matrices in some space ([`Matrices`]). To add one: a file, and its line in [`rules!`].

mod breadcrumbs;
mod breadcrumbs_ties;
mod cat;
mod consensus;
mod dare_linear;
mod dare_ties;
mod della;
mod della_linear;
mod iso_c;
mod iso_cts;
mod linear;
mod magnitude_prune;
mod model_stock;
mod slerp;
pub(super) mod sparse;
mod svd;
mod task_arithmetic;
mod ties;
mod tsv_m;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::align::{Site, WEIGHT};
use super::draw::{Draws, Key};
use super::matrix::Matrix;
use super::setting::Setting;
use super::space::Space;
use crate::{Error, Result};

pub use breadcrumbs::Breadcrumbs;
pub use breadcrumbs_ties::BreadcrumbsTies;
pub use cat::Cat;
pub use consensus::Election;
pub use dare_linear::DareLinear;
pub use dare_ties::DareTies;
pub use della::Della;
pub use della_linear::DellaLinear;
pub use iso_c::IsoC;
pub use iso_cts::IsoCts;
pub use linear::Linear;
pub use magnitude_prune::MagnitudePrune;
pub use model_stock::ModelStock;
pub use slerp::Slerp;
pub use sparse::{Flavor, Sparse};
pub use svd::Svd;
pub use task_arithmetic::TaskArithmetic;
pub use ties::Ties;
pub use tsv_m::TsvM;

/// How a rule works.
#[derive(Clone, Copy)]
pub enum Method<'a> {
    /// As a sum of the updates times coefficients.
    Sum(&'a dyn Coefficients),
    /// As one matrix made of the members' matrices in a space.
    Matrices(Space, &'a dyn Matrices),
}

/// A rule that weighs the updates.
pub trait Coefficients {
    /// What each member's update is multiplied with in a module.
    ///
    /// # Errors
    /// Settings that make no sense there.
    fn coefficients(&self, site: &Site, weights: &[f64]) -> Result<Vec<f64>>;

    /// Whether they are the same whatever the updates are, so that they hold for modules stored whole as well.
    fn are_given(&self) -> bool {
        true
    }
}

/// A rule that makes one matrix of several.
pub trait Matrices {
    /// The merged matrix.
    ///
    /// # Errors
    /// Settings that make no sense there.
    fn merge(&self, inputs: Inputs) -> Result<Matrix>;
}

/// What every rule says of itself.
pub trait Merging {
    /// How it works.
    fn method(&self) -> Method<'_>;

    /// The settings that a member may have for itself.
    fn own_settings(&self) -> &'static [&'static str] {
        &[WEIGHT]
    }

    /// Whether it divides by the weights or the number of members itself. Members without a weight then weigh 1, else one over their
    /// number.
    fn averages(&self) -> bool {
        false
    }

    /// Whether the result, where the recipe names no rank, has the largest rank of a member; else the ranks' sum.
    fn keeps_largest_rank(&self) -> bool {
        false
    }

    /// The share of all entries of a member, over all modules, of which the least is a threshold.
    fn share_of_all(&self) -> Option<&Setting> {
        None
    }

    /// Refuses settings and numbers of members that make no sense.
    ///
    /// # Errors
    /// Says which.
    fn check(&self, _members: usize) -> Result<()> {
        Ok(())
    }
}

/// The members' matrices in a module, as a rule gets them.
pub struct Inputs<'a> {
    /// The module.
    pub site: &'a Site<'a>,
    /// Which matrix of it.
    pub part: &'static str,
    /// Where random masks come from.
    pub draws: &'a dyn Draws,
    /// The matrices, all of one shape.
    pub matrices: Vec<Matrix>,
    /// Whose they are.
    pub members: Vec<usize>,
    /// Their weights.
    pub weights: Vec<f64>,
    /// The least magnitude that each of all members keeps, where the rule asked for a share of all modules.
    pub thresholds: Option<&'a [f64]>,
}

impl Inputs<'_> {
    /// The own setting of the member that a matrix is of, else the rule's.
    ///
    /// # Errors
    /// No filter lets the module through.
    pub fn setting(&self, place: usize, key: &str, rule: &Setting) -> Result<f64> {
        self.site.setting(self.members[place], key, rule)
    }

    /// Random numbers for a matrix, one an entry.
    pub fn uniform(&self, place: usize, rule: &str) -> Vec<f64> {
        let key = Key {
            rule,
            member: self.site.id(self.members[place]),
            module: self.site.name(),
            part: self.part,
        };
        self.draws.uniform(key, self.matrices[place].values.len())
    }
}

/// One enum of all rules, whose tag is `merge_method`: a recipe's settings are the rule.
macro_rules! rules {
    ($($(#[$doc:meta])* $name:literal => $rule:ident,)*) => {
        /// A merge rule with its settings.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "merge_method")]
        pub enum Rule {
            $($(#[$doc])* #[serde(rename = $name)] $rule($rule),)*
        }

        /// The names of all rules, in the order of the documentation.
        pub const NAMES: &[&str] = &[$($name),*];

        impl Rule {
            /// Its name in recipes.
            pub fn name(&self) -> &'static str {
                match self { $(Rule::$rule(_) => $name,)* }
            }

            /// A rule of this name as its tool has it where nothing is set.
            pub fn named(name: &str) -> Option<Rule> {
                match name { $($name => Some(Rule::$rule($rule::default())),)* _ => None }
            }

            /// What it does.
            pub fn merging(&self) -> &dyn Merging {
                match self { $(Rule::$rule(rule) => rule,)* }
            }
        }
    };
}

rules! {
    /// The mean by weights.
    "linear" => Linear,
    /// The sum by weights.
    "task_arithmetic" => TaskArithmetic,
    /// The sum by weights, as PEFT calls it.
    "cat" => Cat,
    /// The sum by weights, cut to a rank.
    "svd" => Svd,
    /// The largest entries, of the elected sign.
    "ties" => Ties,
    /// Random entries, added up.
    "dare_linear" => DareLinear,
    /// Random entries, of the elected sign.
    "dare_ties" => DareTies,
    /// The largest entries, added up.
    "magnitude_prune" => MagnitudePrune,
    /// Entries of middling size, added up.
    "breadcrumbs" => Breadcrumbs,
    /// Entries of middling size, of the elected sign.
    "breadcrumbs_ties" => BreadcrumbsTies,
    /// Random entries, likelier the larger, of the elected sign.
    "della" => Della,
    /// Random entries, likelier the larger, added up.
    "della_linear" => DellaLinear,
    /// Along the arc between two updates.
    "slerp" => Slerp,
    /// The mean, shorter the less the updates agree.
    "model_stock" => ModelStock,
    /// The leading singular directions of each, made orthogonal to the others'.
    "tsv_m" => TsvM,
    /// The sum with all singular values equal.
    "iso_c" => IsoC,
    /// The same with directions of each member beside those that they share.
    "iso_cts" => IsoCts,
}

impl Rule {
    /// The names of its settings.
    pub fn settings(&self) -> Vec<String> {
        let Ok(Value::Object(keys)) = serde_json::to_value(self) else {
            return Vec::new();
        };
        keys.into_iter()
            .map(|(key, _)| key)
            .filter(|key| key != "merge_method")
            .collect()
    }

    /// A rule of this name with settings; those that are not given are the rule's own.
    ///
    /// # Errors
    /// A name or a setting that there is not, or a value that makes no sense.
    pub fn with(name: &str, settings: Map<String, Value>) -> Result<Rule> {
        let rule = Rule::named(name)
            .ok_or_else(|| Error::Merge(format!("{name} is no rule; there are {}", NAMES.join(", "))))?;
        let known = rule.settings();
        if let Some(key) = settings.keys().find(|key| !known.contains(key)) {
            return Err(Error::Merge(format!(
                "{name} has no setting {key}; it has {}",
                known.join(", ")
            )));
        }
        let refused = |error: serde_json::Error| Error::Merge(format!("{name}: {error}"));
        let mut values = serde_json::to_value(&rule).map_err(refused)?;
        for (key, value) in settings {
            // Each by itself, so that what is wrong is said of the setting that is.
            let mut one = serde_json::to_value(&rule).map_err(refused)?;
            one[&key] = value.clone();
            serde_json::from_value::<Rule>(one)
                .map_err(|error| Error::Merge(format!("{key} of {name}: {error}")))?;
            values[&key] = value;
        }
        serde_json::from_value(values).map_err(refused)
    }
}

/// The inner products of the updates in a module, `⟨τ_i, τ_j⟩`, from the factors: `s_i s_j tr((B_iᵀ B_j)(A_j A_iᵀ))`.
///
/// # Errors
/// Factors that cannot be read.
pub fn inner_products(site: &Site) -> Result<Vec<Vec<f64>>> {
    let factors = site
        .factors
        .iter()
        .map(|factors| match factors {
            Some(module) => Ok(Some((
                Matrix::of(&module.b)?,
                Matrix::of(&module.a)?,
                module.scale,
            ))),
            None => Ok(None),
        })
        .collect::<Result<Vec<_>>>()?;
    let product = |i: usize, j: usize| match (&factors[i], &factors[j]) {
        (Some((b_i, a_i, s_i)), Some((b_j, a_j, s_j))) => {
            let left = b_i.view().transpose() * b_j.view();
            let right = a_i.view() * a_j.view().transpose();
            let pairs = (0..left.nrows()).flat_map(|row| (0..left.ncols()).map(move |column| (row, column)));
            let sum: f64 = pairs.map(|place| left[place] * right[place]).sum();
            s_i * s_j * sum
        }
        _ => 0.0,
    };
    let count = factors.len();
    Ok((0..count)
        .map(|i| (0..count).map(|j| product(i, j)).collect())
        .collect())
}

/// Refuses a setting with a number that is out of range.
fn within(key: &str, setting: &Setting, range: std::ops::RangeInclusive<f64>) -> Result<()> {
    match setting.numbers().iter().find(|number| !range.contains(number)) {
        None => Ok(()),
        Some(number) => Err(Error::Merge(format!(
            "{key} is {number}; give one from {} to {}",
            range.start(),
            range.end()
        ))),
    }
}
