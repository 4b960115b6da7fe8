//! What a report is made from: plain values, free of any wish about how they will be shown.
//!
//! The runner fills these from its run records. Everything the report says can be computed from them, so a report
//! is a pure function of its input and can be made again at any time.

use serde::{Deserialize, Serialize};

/// Several scenarios that belong together: one profile, one backbone, one kind of data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// Short identifier, unique within a report.
    pub name: String,
    /// Heading for people.
    pub title: String,
    /// The profile (such as `quick`) that every number belongs to.
    pub profile: String,
    /// Sentences a reader must know before believing a number, such as "timestamps are synthetic".
    pub notes: Vec<String>,
    /// The comparisons, in the order they are shown.
    pub scenarios: Vec<Scenario>,
}

/// Where the knowledge that reaches the target comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScenarioKind {
    /// One source domain of the target's platform.
    SingleSource,
    /// Several source domains, of whatever platforms.
    MultiSource,
    /// One source domain, of another platform.
    CrossPlatform,
}

impl ScenarioKind {
    /// The kind in words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::SingleSource => "single-source",
            Self::MultiSource => "multi-source",
            Self::CrossPlatform => "cross-platform",
        }
    }
}

/// One comparison: every row ranks the same candidates for the same users of one target domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Identifier, unique within its study.
    pub name: String,
    /// Where the knowledge comes from.
    pub kind: ScenarioKind,
    /// The domain that is recommended in.
    pub target: String,
    /// The domains that knowledge is taken from.
    pub sources: Vec<String>,
    /// Fingerprint of the persisted candidate sets that every row must have ranked.
    pub candidate_hash: String,
    /// The split the test users come from, such as `leave-one-out, ties by hash (tie seed 0)`.
    pub split: String,
    /// How many candidates each user has, the target among them: it sets the chance level.
    pub candidates: usize,
    /// How many test users each run must have ranked.
    pub users: usize,
    /// The methods under comparison, in the order they are shown.
    pub rows: Vec<Row>,
}

/// What a method has been given; it decides how a row may be spoken about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Learns nothing from text: random order, popularity.
    Floor,
    /// The language model as it is, without training.
    Untuned,
    /// One adapter of one domain.
    Single,
    /// One adapter trained on the data of all domains.
    Joint,
    /// A merge of single-domain adapters.
    NaiveMerging,
    /// A merge of the target's adapter with hybrids, as in WeaveRec.
    Woven,
    /// A part of some merge, evaluated alone on the target; shown in the diagnosis and never as a competitor.
    Member,
    /// Reads an answer from what must not hold one, such as the order of ids; it measures a leak, and is no competitor.
    Probe,
}

impl Family {
    /// The family in words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Untuned => "untuned",
            Self::Single => "single",
            Self::Joint => "joint",
            Self::NaiveMerging => "naive merging",
            Self::Woven => "woven",
            Self::Member => "member",
            Self::Probe => "probe",
        }
    }

    /// Whether the row stands for a trained language model that competes in the table.
    #[must_use]
    pub fn is_tuned(self) -> bool {
        matches!(
            self,
            Self::Single | Self::Joint | Self::NaiveMerging | Self::Woven
        )
    }
}

/// One method, with a run for each seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Identifier: `random`, `popularity`, `zero-shot`, `source-only`, `target-only`, `joint`, `naive-merge`,
    /// `weaverec`, or the name of a member. [`Run::members`] refers to rows by it.
    pub method: String,
    /// The name people read.
    pub label: String,
    /// What the method has been given.
    pub family: Family,
    /// One run a seed; a method without randomness may have a single one.
    pub runs: Vec<Run>,
}

/// One seed of one method.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// Fingerprint of the candidate sets this run ranked; refused when it is not the scenario's.
    pub candidate_hash: String,
    /// Where each test user's target was ranked, in any order.
    pub users: Vec<UserScore>,
    /// Wall time of the training that this run needed.
    pub train_seconds: f64,
    /// Tokens that training went through.
    pub train_tokens: u64,
    /// Floating-point operations that training took, estimated.
    pub train_flops: f64,
    /// Wall time of the ranking.
    pub rank_seconds: f64,
    /// Highest resident memory of the process.
    pub peak_memory_bytes: u64,
    /// Share of free answers that named no candidate, where answers were free.
    pub invalid_output_rate: Option<f64>,
    /// Loss on held-out prompts of the target domain.
    pub validation_loss: Option<f64>,
    /// Training loss after so many optimiser steps.
    pub loss_curve: Vec<(u64, f64)>,
    /// Loss on held-out examples, likewise.
    #[serde(default)]
    pub held_out_curve: Vec<(u64, f64)>,
    /// The methods that were merged into this run, and their weights.
    pub members: Vec<(String, f64)>,
}

/// Where one test user's target stands among the candidates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserScore {
    /// The user.
    pub user_id: String,
    /// 1-based position of the target, the worst possible among ties; [`crate::metric::MISS`] where it was not ranked at all.
    pub rank: u32,
    /// How many other candidates had the very score of the target.
    pub tied: u32,
}
