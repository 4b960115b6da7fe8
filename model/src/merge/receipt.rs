//! The receipt of a merge: what was merged, how, and what came of it, module by module, so that it can be recomputed and compared.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cat::stack;
use super::made::{ModuleReport, norm_of};
use super::weights::Chosen;
use crate::lora::{Adapter, Base, LoraModule};
use crate::{Error, Result};

/// Up to this share of its norm an update may differ when it is computed again: rounding to f32, in another order of sums.
pub const TOLERANCE: f64 = 1e-5;

/// What stands in `merge.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The version of this program.
    pub version: String,
    /// The recipe, with every setting.
    pub recipe: Value,
    /// The adapters, in the recipe's order.
    pub adapters: Vec<MemberRecord>,
    /// How the weights were chosen, where they were: they stand in the recipe, so that merging again needs no prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Chosen>,
    /// By whom they were chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<ChoiceRecord>,
    /// The rank that the result was cut to, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// The base that the result was folded into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseRecord>,
    /// Identity of the result: of the adapter's factors and whole modules, or of the model's weights.
    #[serde(default)]
    pub result: String,
    /// Frobenius norm of the update, over all modules.
    #[serde(default)]
    pub norm: f64,
    /// Frobenius norm of what was cut off, over all modules.
    #[serde(default)]
    pub lost: f64,
    /// Frobenius norm of what rounding to the base's 16 bits changed, where it was folded into one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounded: Option<f64>,
    /// The largest gap of a module; see [`ModuleReport::gap`].
    #[serde(default)]
    pub gap: f64,
    /// Module by module. Adapters of weight 0 are left out.
    #[serde(default)]
    pub modules: Vec<ModuleReport>,
}

/// An adapter that was merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its folder, as it was given.
    pub folder: String,
    /// Identity of its factors and whole modules.
    pub fingerprint: String,
    /// Its weight, where it has one of its own.
    pub weight: Value,
    /// The base that it was trained on, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// What was measured of it, where the rule went by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<FileRecord>,
}

/// A file that a merge went by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its path, as it was given.
    pub file: String,
    /// Identity of its bytes.
    pub fingerprint: String,
}

impl FileRecord {
    /// The record of a file as it is now. It is read through, a piece at a time.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let failed = |error| Error::io(path, error);
        let mut file = File::open(path).map_err(failed)?;
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece).map_err(failed)? {
                0 => break,
                count => hasher.update(&piece[..count]),
            }
        }
        Ok(FileRecord {
            file: path.to_string_lossy().into_owned(),
            fingerprint: format!("{:032x}", hasher.digest128()),
        })
    }
}

/// On whose prompts weights were chosen, and on which model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceRecord {
    /// The prepared folders, one but for ways that read the prompts of every member's domain.
    pub prompts: Vec<PromptsRecord>,
    /// Key of the cut of users.
    pub cut_seed: u64,
    /// The model, as it was given or found.
    pub model: String,
}

/// A prepared folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptsRecord {
    /// Where it is, as it was given.
    pub folder: String,
    /// Identity of what was prepared.
    pub fingerprint: String,
}

/// The base that a merge was folded into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaseRecord {
    /// Its folder or file, as it was given.
    pub folder: String,
    /// Identity of its weights.
    pub fingerprint: String,
}

impl Receipt {
    /// Puts the modules' reports in their place, and what they come to.
    pub fn with(mut self, modules: Vec<ModuleReport>, result: String) -> Self {
        let root =
            |of: &dyn Fn(&ModuleReport) -> f64| modules.iter().map(|m| of(m).powi(2)).sum::<f64>().sqrt();
        self.norm = root(&|module| module.norm);
        self.lost = root(&|module| module.lost);
        self.gap = modules.iter().map(|module| module.gap).fold(0.0, f64::max);
        self.modules = modules;
        self.result = result;
        self
    }
}

/// The largest difference of two adapters' updates in a module, as a share of the larger update, and in which module that is; a module
/// that one of them lacks is zero there.
///
/// # Errors
/// Factors of different shapes.
pub fn difference(one: &Adapter, other: &Adapter) -> Result<(f64, String)> {
    let names: BTreeSet<&String> = one.modules.keys().chain(other.modules.keys()).collect();
    let mut largest = (0.0, String::new());
    for name in names {
        let (ours, theirs) = (one.modules.get(name), other.modules.get(name));
        let norm = |module: Option<&LoraModule>| module.map_or(Ok(0.0), norm_of);
        let size = norm(ours)?.max(norm(theirs)?);
        let parts: Vec<(&LoraModule, f64)> = ours
            .into_iter()
            .map(|module| (module, 1.0))
            .chain(theirs.into_iter().map(|module| (module, -1.0)))
            .collect();
        let apart = norm_of(&stack(name, &parts)?)?;
        let share = if size > 0.0 { apart / size } else { 0.0 };
        if share > largest.0 {
            largest = (share, name.clone());
        }
    }
    Ok(largest)
}
