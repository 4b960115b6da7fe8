//! Profiles: everything that decides an experiment, as TOML.

mod check;
mod codes;
mod data;
mod extend;
mod fitted;
mod load;
mod prepare;
mod rank;
mod stated;
mod study;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use weaverec_model::backbone::Precision;
use weaverec_model::backbone::nano::NanoConfig;
use weaverec_model::device::Compute;
use weaverec_model::train::{Keep, TrainConfig};

pub use codes::{CodeDecoder, CodeSizes, ItemText, Own};
pub use data::Data;
pub use fitted::FittedRows;
pub use prepare::{Order, Prepare, Split};
pub use rank::{Choosing, Rank};
pub use stated::{Length, Stated, StatedDomain};
pub use study::{Domain, Scenario, Source, Study, Training};

use super::item_vectors::ItemVectors;
use super::replicate::Replicate;
use crate::claim::Claims;
use crate::cut::Cut;

/// An experiment: what is compared, on what, at which budget.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Short name; names the folders of its records and reports.
    pub name: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// What its results are good for, where that needs saying: reports say it before anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// How many times everything that is drawn by chance is drawn: training subsets, initial values, orders, dropout, and a nano
    /// backbone.
    pub replicates: Replicate,
    /// The part of the test users that is ranked and reported.
    pub report_on: Cut,
    /// Key of the cut of users into those that choose and those that are reported.
    #[serde(default)]
    pub cut_seed: u64,
    /// The rows of every scenario; `weaverec methods` lists them.
    #[serde(default = "plain_rows")]
    pub methods: Vec<String>,
    /// What is to be shown.
    #[serde(default)]
    pub claims: Claims,
    /// The language model.
    pub backbone: Backbone,
    /// What it computes with.
    #[serde(default)]
    pub compute: Compute,
    /// How domains are prepared.
    pub prepare: Prepare,
    /// How adapters are trained.
    #[serde(default)]
    pub adapter: Adapter,
    /// How items become the vectors that fitted rows, and text-kNN, read.
    #[serde(default, skip_serializing_if = "ItemVectors::is_default")]
    pub vectors: ItemVectors,
    /// How fitted rows are fitted, where it is otherwise than by their own settings.
    #[serde(default, skip_serializing_if = "FittedRows::is_default")]
    pub fitted: FittedRows,
    /// How candidates are ranked.
    pub rank: Rank,
    /// What a dry run goes by where there are neither logs nor weights. It decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<Stated>,
    /// The comparisons.
    #[serde(rename = "study")]
    pub studies: Vec<Study>,
}

/// Where the language model comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Backbone {
    /// Pre-trained by the harness on each study's auxiliary text.
    Nano(NanoSizes),
    /// Pre-trained by the harness on the sequences of each study's auxiliary domains, of which it reads the items as codes.
    Codes(CodeSizes),
    /// A known model, fetched into the cache, or the path of a local folder or GGUF file.
    Pretrained {
        /// `smollm2-135m`, `gemma3-270m`, or a path.
        model: String,
        /// What its projections are kept in.
        #[serde(default, skip_serializing_if = "is_usual")]
        precision: Precision,
    },
    /// None: all rows count, or come from outside.
    None,
}

/// Left out of what identifies a run, so that records made before there was a choice stay valid.
fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Sizes of a nano backbone and how it is pre-trained.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NanoSizes {
    /// The decoder.
    pub decoder: NanoConfig,
    /// Its pre-training.
    pub pretrain: TrainConfig,
    /// Whether all replicates share the first one's, which is cheaper, and of which nothing may be concluded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_backbone: bool,
}

/// How adapters are trained.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// Rank of the factors.
    pub rank: usize,
    /// Scale times rank.
    pub alpha: f64,
    /// Dropout before A.
    pub dropout: f64,
    /// Most training prompts of a domain that an adapter sees.
    pub prompts_per_domain: usize,
    /// Validation prompts a domain that choose the best step, of users on whom nothing is reported; and as many of users that are reported,
    /// which choose nothing, for the loss that a diagnosis shows.
    pub held_out: usize,
    /// Length and speed.
    pub train: TrainConfig,
}

impl Default for Adapter {
    /// What a small language model on two cores is trained by.
    fn default() -> Self {
        Adapter {
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            prompts_per_domain: 320,
            held_out: 24,
            train: TrainConfig {
                learning_rate: 1e-3,
                epochs: 1,
                batch_size: 8,
                micro_batch_tokens: 1024,
                activation_memory: 0,
                warmup: 0.05,
                weight_decay: 0.0,
                clip: 1.0,
                evaluate_every: 0,
                patience: 0,
                keep: Keep::Last,
                flat: None,
                checkpoint_every: 0,
            },
        }
    }
}

/// The floors, and what is made of the adapters that the method itself is about.
fn plain_rows() -> Vec<String> {
    [
        "random",
        "popularity",
        "next-id",
        "previous-id",
        "item-knn",
        "next-item",
        "counting",
        "text-knn",
        "zero-shot",
        "source-only",
        "target-only",
        "joint",
        "naive-merge",
        "weaverec",
    ]
    .map(str::to_owned)
    .to_vec()
}

impl Profile {
    /// All that decides a study of this profile, as the study's record is named after it: the profile with no other study, and without
    /// what changes nothing, such as the device.
    ///
    /// # Errors
    /// None that a profile which was read could cause.
    pub fn identity(&self, study: &Study) -> Result<serde_json::Value> {
        let alone = Profile {
            description: String::new(),
            compute: Compute {
                arithmetic: self.compute.arithmetic,
                ..Compute::default()
            },
            stated: None,
            adapter: self.adapter_of(study),
            fitted: self.fitted_of(study),
            rank: self.rank_of(study),
            studies: vec![study.clone()],
            ..self.clone()
        };
        Ok(serde_json::to_value(alone)?)
    }

    /// What is to be shown in a study.
    pub fn claims_of<'a>(&'a self, study: &'a Study) -> &'a Claims {
        study.claims.as_ref().unwrap_or(&self.claims)
    }

    /// How a study's domains are prepared.
    pub fn prepare_of(&self, study: &Study) -> Prepare {
        match &study.prepare {
            Some(order) => self.prepare.with(order),
            None => self.prepare.clone(),
        }
    }

    /// How a study's adapters are trained.
    pub fn adapter_of(&self, study: &Study) -> Adapter {
        let mut adapter = self.adapter.clone();
        if let Some(training) = study.adapter {
            adapter.train.epochs = training.epochs;
        }
        adapter
    }

    /// How a study's candidates are ranked.
    pub fn rank_of(&self, study: &Study) -> Rank {
        match study.rank {
            Some(Choosing { calibration }) => Rank {
                calibration,
                ..self.rank.clone()
            },
            None => self.rank.clone(),
        }
    }

    /// How a study's rows are fitted.
    pub fn fitted_of(&self, study: &Study) -> FittedRows {
        match &study.fitted {
            Some(own) => own.over(&self.fitted),
            None => self.fitted.clone(),
        }
    }

    /// The studies that a choice of data selects.
    ///
    /// Without a choice: fetched and generated logs. `synthetic`: generated logs alone. A folder: the local logs in it,
    /// and those that take part always.
    pub fn studies(&self, data: &Data) -> Result<Vec<&Study>> {
        let wanted = |study: &&Study| match data {
            Data::Default => study.source != Source::Local,
            Data::Synthetic => study.source == Source::Synthetic,
            Data::Folder(_) => study.source == Source::Local || study.always,
        };
        let studies: Vec<&Study> = self.studies.iter().filter(wanted).collect();
        if studies.is_empty() {
            bail!(
                "profile {} has no study for {data}; its studies are {}",
                self.name,
                self.describe_studies()
            );
        }
        Ok(studies)
    }

    fn describe_studies(&self) -> String {
        let one = |s: &Study| {
            let source = match s.source {
                Source::Package => "fetched",
                Source::Synthetic => "--data synthetic",
                Source::Local => "--data <folder>",
            };
            format!("{} ({source})", s.name)
        };
        self.studies.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests;
