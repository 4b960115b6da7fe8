//! What a report is made from: plain values, free of any wish about how they will be shown.
//!
//! They are filled from run records. Everything the report says can be computed from them, so a report is a pure function of its
//! input and can be made again at any time.

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::claim::Claims;
pub use crate::cut::Cut;
pub use crate::direction::{ScenarioKind, direction};
pub use crate::family::Family;
pub use crate::metric::Place;
pub use crate::scoring::Reading;
pub use crate::weight_curve::{WeightCurve, WeightPoint};

/// Several scenarios that belong together: one profile, one kind of data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// Short identifier, unique within a report.
    pub name: String,
    /// Heading for people.
    pub title: String,
    /// The profile (such as `quick`) that every number belongs to.
    pub profile: String,
    /// What the profile is for, such as "proves the machinery, claims nothing": what a reader hears first.
    pub purpose: Option<String>,
    /// The command that runs the profile, as `weaverec reproduce --profile quick`; none where the report was made otherwise.
    #[serde(default)]
    pub command: Option<String>,
    /// How many replicates were planned.
    pub replicates: usize,
    /// Where the language models come from.
    pub backbones: Backbones,
    /// What the study claims, and by which margin and level.
    pub claims: Claims,
    /// The test users that are reported on.
    pub report_on: Cut,
    /// Sentences a reader must know before believing a number, such as "timestamps are synthetic".
    pub notes: Vec<String>,
    /// The distinct environments of the records, each with how many records it made under `records`.
    pub environments: Vec<Value>,
    /// The distinct numerics versions of the records.
    pub numerics: Vec<u32>,
    /// What was chosen, and on which users.
    pub choices: Vec<Choice>,
    /// The comparisons, in the order they are shown.
    pub scenarios: Vec<Scenario>,
}

/// Where the language models of a study come from: what its claims are conditional on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backbones {
    /// One published model, the same for every replicate.
    Downloaded,
    /// Pre-trained by the harness: so many, one a replicate if they are as many as these.
    PreTrained(usize),
    /// No language model takes part.
    None,
}

impl Backbones {
    /// Whether all replicates stand on one model that the harness pre-trained: a draw that nothing averages over.
    #[must_use]
    pub fn is_single_draw(self) -> bool {
        matches!(self, Self::PreTrained(1))
    }
}

/// A setting that was chosen by looking at results of users that are not reported on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The scenario it was chosen in, in words; none where it holds for all of them.
    #[serde(default)]
    pub scenario: Option<String>,
    /// The row it was chosen for, by its method name.
    pub row: String,
    /// The replicate.
    pub replicate: u32,
    /// What was chosen, such as `steps` or `alpha`.
    pub what: String,
    /// What it was set to.
    pub value: String,
    /// The users it was chosen on, such as `C (312 users)`.
    pub users: String,
}

/// One comparison: every row ranks the same candidates for the same users of one target domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Identifier, unique within its study.
    pub name: String,
    /// Where the knowledge comes from.
    pub kind: ScenarioKind,
    /// Numbers of its units, as [`Study::command`] takes them after `--units`.
    #[serde(default)]
    pub units: Vec<usize>,
    /// The domain that is recommended in.
    pub target: String,
    /// The domains that knowledge is taken from.
    pub sources: Vec<String>,
    /// Fingerprint of the persisted candidate sets that every row must have ranked.
    pub candidate_hash: String,
    /// The split the test users come from, such as `leave-one-out`.
    pub split: String,
    /// How events of one time were ordered, such as `ties by hash (tie seed 0)`.
    pub order: String,
    /// How many candidates each user has, the target among them: it sets the chance level.
    pub candidates: usize,
    /// How [`Run::places`] were read from what was scored.
    pub reading: Reading,
    /// The other readings, in the order of [`Run::readings`].
    #[serde(default)]
    pub readings: Vec<Reading>,
    /// Items of the target domain, among which [`Run::catalogue`] ranks; none where nothing was ranked there.
    #[serde(default)]
    pub catalogue: Option<usize>,
    /// How much of its training sequences the untuned model knows by heart; none where it was not asked.
    #[serde(default)]
    pub contamination: Option<Contamination>,
    /// The floor that did best on validation, by its method name; none where none was chosen there.
    #[serde(default)]
    pub best_floor: Option<String>,
    /// The naive merge that did best on calibration users, by its method name. None where none was chosen: a single one needs no choice.
    #[serde(default)]
    pub best_naive_merge: Option<String>,
    /// Those of the study's notes that must be said wherever a table has the levels of its rows, such as that a row's budget ended its
    /// training.
    #[serde(default)]
    pub caveats: Vec<String>,
    /// The users that are reported on, each with the item to be found.
    pub cases: Vec<Case>,
    /// The methods under comparison, in the order they are shown.
    pub rows: Vec<Row>,
    /// Rows from outside that are lists of the catalogue's best items, of which nothing follows for candidates: [`Run::catalogue`] is all
    /// that they have, for metrics that look at the first few.
    #[serde(default)]
    pub lists: Vec<Row>,
}

impl Scenario {
    /// The direction in words: `comedy + drama → action`.
    #[must_use]
    pub fn title(&self) -> String {
        direction(&self.sources, &self.target)
    }

    /// How its rows were read, in words: `content score, binned candidates`.
    #[must_use]
    pub fn read_by(&self) -> String {
        self.in_words(self.reading)
    }

    /// A reading in words. Where no row has likelihoods, there is nothing to choose but the candidates.
    #[must_use]
    pub fn in_words(&self, reading: Reading) -> String {
        match self.rows.iter().any(|row| row.family.has_likelihoods()) {
            true => reading.label(),
            false => format!("{} candidates", reading.protocol.name()),
        }
    }
}

/// What the untuned model recalls to the letter of sequences that it was not trained on here: a published model may have seen them before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contamination {
    /// Training sequences of the target whose next title was asked for.
    pub asked: usize,
    /// Titles that were recalled.
    pub recalled: usize,
}

/// One user that is reported on, and what the data says of the item to be found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The user.
    pub user_id: String,
    /// The target's id lies below that of the last item of the history: whatever ids give away is turned round here.
    pub descends: bool,
    /// The target shares its time with the item before it, so that the order of the two is made up.
    pub ties: bool,
    /// How often the target's item occurs in the training part.
    #[serde(default)]
    pub popularity: Option<u32>,
    /// How many items of the history are shown.
    #[serde(default)]
    pub history: Option<u32>,
}

/// One method, with a run for each replicate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Identifier: `random`, `popularity`, `zero-shot`, `source-only`, `target-only`, `joint`, `naive-merge`,
    /// `weaverec`, or the name of a member. [`Run::members`] refers to rows by it.
    pub method: String,
    /// The name people read.
    pub label: String,
    /// What the method has been given.
    pub family: Family,
    /// Nothing in the row is drawn, so that its one run counts for every replicate.
    pub deterministic: bool,
    /// One run a replicate; one in all where the row is deterministic.
    pub runs: Vec<Run>,
}

/// The items that a run puts into the first five places.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Top {
    /// Share of all items that are anybody's candidates which are in anybody's first five.
    pub coverage: f64,
    /// Mean training interactions of the first five, over users.
    pub popularity: f64,
}

/// How a ranking of another program came to be a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// What `weaverec score import` was given behind the file, the profile and its logs: `--target drama --row other --replicate 0`.
    pub options: String,
    /// Hash of the file (BLAKE3).
    pub file: String,
    /// What made the file, as whoever imported it says; none where nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
}

/// One replicate of one method.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Run {
    /// The replicate, from 0.
    pub replicate: u32,
    /// Fingerprint of the candidate sets this run ranked, from its own record; refused when it is not the scenario's.
    pub candidate_hash: String,
    /// The cells that it was read from, by their folders among the records: `rankings/` and a key, then one `adapters/` and a key for each
    /// adapter that was merged, or `recommenders/` and the key of the one that was fitted. None where nothing is known of them.
    #[serde(default)]
    pub cells: Vec<String>,
    /// How it came here, where another program ranked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Import>,
    /// Where each case's target stands under [`Scenario::reading`], parallel to [`Scenario::cases`].
    pub places: Vec<Place>,
    /// The same under each of [`Scenario::readings`].
    #[serde(default)]
    pub readings: Vec<Vec<Place>>,
    /// The same as `places` with the merged update at scale 1; none where that is the scale of `places`.
    #[serde(default)]
    pub at_one: Option<Vec<Place>>,
    /// Where each target stands among all items that are not in the history, by likelihood at scale 1 where the row has one.
    #[serde(default)]
    pub catalogue: Option<Vec<Place>>,
    /// What stands in the first five places under [`Scenario::reading`].
    #[serde(default)]
    pub top: Option<Top>,
    /// What the merged update was multiplied by; none where there is none.
    #[serde(default)]
    pub scale: Option<f32>,
    /// Wall time of the training that this run needed, of its own cells.
    pub train_seconds: f64,
    /// Tokens that training went through.
    pub train_tokens: u64,
    /// Optimiser steps that training took.
    pub train_steps: u64,
    /// Floating-point operations that training took, estimated.
    pub train_flops: f64,
    /// Wall time of the scoring alone: without loading, merging and decoding. None where it was not measured.
    pub rank_seconds: Option<f64>,
    /// Highest resident memory of the ranking, or of its tensors on a GPU, where it was measured alone.
    pub peak_memory_bytes: Option<u64>,
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
    /// What calibration users and entropy find along the weights that the merge was tried with, where these are known.
    #[serde(default)]
    pub weights: Option<WeightCurve>,
    /// Whether the places are those on lists that end somewhere, so that only metrics that look at the first few can be told.
    #[serde(default)]
    pub listed: bool,
}
