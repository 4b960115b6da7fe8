//! The rules: one file each, and each its own settings in a recipe.
//!
//! A rule either gives coefficients, and the merge is `Σ c_i τ_i`, exact in the factors ([`Coefficients`]); or it makes one matrix of the
//! members' matrices in some space ([`Matrices`]). To add one: a file, and its line in [`rules!`].

mod breadcrumbs;
mod cat;
mod consensus;
mod dare;
mod della;
mod emr;
mod fedecider;
mod fisher;
mod iso_c;
mod iso_cts;
mod kmeans;
mod linear;
mod localize_and_stitch;
mod lora_lego;
mod magnitude_prune;
mod model_stock;
mod pcb;
mod psa;
mod psa_scalar;
mod regmean;
mod slerp;
pub(super) mod sparse;
mod statistics;
mod svd;
mod tall_masks;
mod task_arithmetic;
mod ties;
mod tsv_m;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::align::{Aligned, STATISTICS, Site, WEIGHT};
use super::draw::{Draws, Key};
use super::long_side::{LongSide, Side};
use super::matrix::Matrix;
use super::setting::Setting;
use super::space::Space;
use crate::lora::LoraModule;
use crate::{Error, Result};

pub use breadcrumbs::{Breadcrumbs, BreadcrumbsTies};
pub use cat::Cat;
pub use consensus::Election;
pub use dare::{DareLinear, DareTies};
pub use della::{Della, DellaLinear};
pub use emr::Emr;
pub use fedecider::Fedecider;
pub use fisher::Fisher;
pub use iso_c::IsoC;
pub use iso_cts::IsoCts;
pub use linear::Linear;
pub use localize_and_stitch::LocalizeAndStitch;
pub use lora_lego::LoraLego;
pub use magnitude_prune::MagnitudePrune;
pub use model_stock::ModelStock;
pub use pcb::{Over as PcbOver, Pcb};
pub use psa::{Map as PsaMap, Psa};
pub use psa_scalar::PsaScalar;
pub use regmean::Regmean;
pub use slerp::Slerp;
pub use sparse::{Flavor, Sparse};
pub use svd::Svd;
pub use tall_masks::TallMasks;
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

    /// Whether a rule that members may have statistics for cannot do without.
    fn needs_statistics(&self) -> bool {
        true
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

    /// A number of each member, or as many of each, that takes all modules to find and that each module is merged with: the paper's
    /// thresholds of `ties`, or the scales of `emr`. Found in passes of their own, with one module in memory at a time; none: the rule needs
    /// no such number.
    ///
    /// # Errors
    /// Settings that make no sense there, or factors that cannot be read.
    fn over_all(&self, _members: &Aligned) -> Result<Option<Vec<f64>>> {
        Ok(None)
    }

    /// How often that takes all members' updates made dense.
    fn passes(&self, _members: usize) -> usize {
        0
    }

    /// Numbers in f64 that it holds in a module at most, beside the members' matrices of `entries` each; what a dry run says goes by it. One
    /// more matrix, as a rule: what is sorted or drawn. Rules that weigh have no matrices but those that they make.
    fn holds(&self, _site: &Site, entries: usize) -> usize {
        match self.method() {
            Method::Sum(_) => 0,
            Method::Matrices(..) => entries,
        }
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
    /// The weights of all members, also of such as do not adapt the module.
    pub all_weights: &'a [f64],
    /// The numbers of all members, where the rule asked for some ([`Merging::over_all`]).
    pub over_all: Option<&'a [f64]>,
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

    /// Random numbers for the module as a whole, of no member.
    pub fn uniform_of_all(&self, count: usize, rule: &str) -> Vec<f64> {
        let key = Key {
            rule,
            member: "",
            module: self.site.name(),
            part: self.part,
        };
        self.draws.uniform(key, count)
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
    /// The entries that win by their own size and by agreement with all (PCB-Merging).
    "pcb" => Pcb,
    /// The largest few entries of each, where they overlap their mean.
    "localize_and_stitch" => LocalizeAndStitch,
    /// The largest of the elected sign, masked and scaled for one member (EMR-Merging).
    "emr" => Emr,
    /// The entries of the sum that matter to several members, or to one (TALL masks, Consensus Merging).
    "tall_masks" => TallMasks,
    /// Rank-one units of all members, clustered (LoRA-LEGO).
    "lora_lego" => LoraLego,
    /// Directions without their lengths, as long as one member's update (FeDecider).
    "fedecider" => Fedecider,
    /// The sum through SharpRec's map of entries.
    "psa" => Psa,
    /// The sum times the number that comes nearest to SharpRec's map.
    "psa_scalar" => PsaScalar,
    /// The mean by the Fisher information of each entry.
    "fisher" => Fisher,
    /// What comes nearest to each member's outputs on its inputs (RegMean).
    "regmean" => Regmean,
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
    let count = site.factors.len();
    let present: Vec<usize> = (0..count)
        .filter(|member| site.factors[*member].is_some())
        .collect();
    let modules: Vec<&LoraModule> = site.factors.iter().copied().flatten().collect();
    let among = inner_products_of(&modules)?;
    let mut products = vec![vec![0.0; count]; count];
    for (one, row) in present.iter().zip(among) {
        for (other, product) in present.iter().zip(row) {
            products[*one][*other] = product;
        }
    }
    Ok(products)
}

/// The same of updates of one shape, each with its factors: ⟨s B A, t D C⟩ is s t times the sum of the entries of BᵀD ∘ A Cᵀ.
pub(super) fn inner_products_of(modules: &[&LoraModule]) -> Result<Vec<Vec<f64>>> {
    let (b, a) = (LongSide::of(Side::B, modules)?, LongSide::of(Side::A, modules)?);
    let (left, right) = (b.gram()?, a.gram()?);
    let product = |one: usize, other: usize| {
        let rows = b.columns_of(one);
        let places = rows.flat_map(|row| b.columns_of(other).map(move |column| (row, column)));
        let sum: f64 = places.map(|place| left[place] * right[place]).sum();
        modules[one].scale * modules[other].scale * sum
    };
    let count = modules.len();
    Ok((0..count)
        .map(|one| (0..count).map(|other| product(one, other)).collect())
        .collect())
}

/// The place of the member that a rule is for, given by its number from 1, as members of weight 0 are not counted.
///
/// # Errors
/// There is no such member.
fn place_of_target(target: usize, members: usize) -> Result<usize> {
    match target {
        0 => Err(Error::Merge(
            "target is 0; it is the number of a member, from 1".into(),
        )),
        target if target > members => Err(Error::Merge(format!(
            "target is {target}, and there are {members} adapters that have a weight"
        ))),
        target => Ok(target - 1),
    }
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
