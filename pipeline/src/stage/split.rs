//! Leave-one-out: which prefixes of a sequence become training, validation and test instances.
//!
//! Of a user's sequence i₁ … iₙ, oldest first: test is iₙ given what came before, validation is iₙ₋₁ given what came before
//! that, and training uses i₁ … iₙ₋₂ only. A user needs three interactions for a test and a validation with a history; a
//! shorter one gives no instance, and its interactions count as training data for popularity alone.

use std::collections::BinaryHeap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::cast::{as_string_array, as_uint32_array};
use datafusion::prelude::DataFrame;
use serde::{Deserialize, Serialize};

use crate::engine::{BATCH_ROWS, Engine};
use crate::error::Result;
use crate::schema::{PromptFormat, Split};
use crate::seed;
use crate::stage::list::{IdRows, Lists, ids_type};

/// The shortest sequence that gives a validation and a test instance.
pub const MIN_LENGTH: usize = 3;

/// What the training file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// Training instances only; validation is never trained on.
    #[default]
    Clean,
    /// As in the paper's released pipeline: every validation prompt is trained on as well.
    Paper,
}

/// How instances are made and how many are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitConfig {
    /// The run's seed.
    pub seed: u64,
    /// The prepared domain's name: part of every key.
    pub domain: String,
    /// The newest items of a history that are shown.
    pub max_history: usize,
    /// Decides between prefixes (candidate list) and windows (sequence) in training.
    pub format: PromptFormat,
    /// Whether validation prompts are trained on.
    pub recipe: Recipe,
    /// Training instances kept, sampled by key.
    pub max_train: usize,
    /// Users with a validation and a test instance, sampled by key; none: all.
    pub max_eval: Option<usize>,
}

/// `key`, `split`, `user`, `user_id`, `position` (1-based, of the target), `history`, `target`, `touched` (the whole sequence).
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::UInt64, false),
        Field::new("split", DataType::Utf8, false),
        Field::new("user", DataType::UInt32, false),
        Field::new("user_id", DataType::Utf8, false),
        Field::new("position", DataType::UInt32, false),
        Field::new("history", ids_type(), false),
        Field::new("target", DataType::UInt32, false),
        Field::new("touched", ids_type(), false),
    ]))
}

/// Where an instance is cut from: batch and row of the sequence, and the half-open range of its history; the target follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    /// Sorts first: the sampling key, so that the greatest are dropped and the kept are in random order.
    rank: u64,
    batch: u32,
    row: u32,
    start: u32,
    target: u32,
}

impl SplitConfig {
    /// The instances of one split.
    ///
    /// Training instances come in the order of their sampling keys, so that the first k rows are themselves a uniform sample;
    /// the paper recipe's validation instances follow them. Validation and test come in the order of users.
    pub async fn instances(&self, engine: &Engine, sequences: &DataFrame, split: Split) -> Result<DataFrame> {
        let batches = sequences.clone().collect().await?;
        let mut cuts = self.cuts(&batches, split)?;
        if split == Split::Train && self.recipe == Recipe::Paper {
            cuts.extend(self.cuts(&batches, Split::Validation)?);
        }
        let rows = cuts
            .chunks(BATCH_ROWS)
            .map(|part| self.rows(&batches, part, split))
            .collect::<Result<_>>()?;
        engine.frame(schema(), rows)
    }

    fn cuts(&self, batches: &[RecordBatch], split: Split) -> Result<Vec<Cut>> {
        let limit = match split {
            Split::Train => self.max_train,
            Split::Validation | Split::Test => self.max_eval.unwrap_or(usize::MAX),
        };
        // The greatest rank is on top, so a full heap drops it: memory is bounded by what is kept.
        let mut kept = BinaryHeap::new();
        for (batch, columns) in batches.iter().enumerate() {
            let user_ids = as_string_array(columns.column(1))?;
            let sequences = IdRows::new(columns.column(2))?;
            for row in 0..columns.num_rows() {
                for (start, target) in self.ranges(sequences.row(row).len(), split) {
                    let rank = self.rank(split, user_ids.value(row), target);
                    let (start, target) = (start as u32, target as u32);
                    kept.push(Cut {
                        rank,
                        batch: batch as u32,
                        row: row as u32,
                        start,
                        target,
                    });
                    if kept.len() > limit {
                        kept.pop();
                    }
                }
            }
        }
        let mut cuts = kept.into_sorted_vec();
        if split != Split::Train {
            cuts.sort_unstable_by_key(|cut| (cut.batch, cut.row));
        }
        Ok(cuts)
    }

    /// Validation and test share a rank, so that a cap keeps the same users in both.
    fn rank(&self, split: Split, user: &str, target: usize) -> u64 {
        let position = if split == Split::Train { target as u64 } else { 0 };
        let seed = self.seed.to_le_bytes();
        seed::key(&[
            &seed,
            b"sample",
            self.domain.as_bytes(),
            user.as_bytes(),
            &position.to_le_bytes(),
        ])
    }

    /// (start of the history, index of the target) of every instance of a sequence of `length`.
    fn ranges(&self, length: usize, split: Split) -> Vec<(usize, usize)> {
        if length < MIN_LENGTH {
            return Vec::new();
        }
        let clip = |target: usize| (target.saturating_sub(self.max_history), target);
        match (split, self.format) {
            (Split::Test, _) => vec![clip(length - 1)],
            (Split::Validation, _) => vec![clip(length - 2)],
            (Split::Train, PromptFormat::CandidateList) => (1..length - 2).map(clip).collect(),
            (Split::Train, PromptFormat::Sequence) => windows(length - 2, self.max_history + 1),
        }
    }

    fn rows(&self, batches: &[RecordBatch], cuts: &[Cut], split: Split) -> Result<RecordBatch> {
        let (mut keys, mut users, mut user_ids) = (Vec::new(), Vec::new(), Vec::new());
        let (mut positions, mut targets) = (Vec::new(), Vec::new());
        let (mut histories, mut touched) = (Lists::default(), Lists::default());
        for cut in cuts {
            let columns = &batches[cut.batch as usize];
            let row = cut.row as usize;
            let user_id = as_string_array(columns.column(1))?.value(row);
            let sequence = IdRows::new(columns.column(2))?.row(row);
            let position = u64::from(cut.target) + 1;
            let name = split.name().as_bytes();
            keys.push(seed::key(&[
                self.domain.as_bytes(),
                user_id.as_bytes(),
                &position.to_le_bytes(),
                name,
            ]));
            users.push(as_uint32_array(columns.column(0))?.value(row));
            user_ids.push(user_id);
            positions.push(position as u32);
            histories.push(&sequence[cut.start as usize..cut.target as usize]);
            targets.push(sequence[cut.target as usize]);
            touched.push(sequence);
        }
        let splits = StringArray::from(vec![split.name(); cuts.len()]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(keys)),
            Arc::new(splits),
            Arc::new(UInt32Array::from(users)),
            Arc::new(StringArray::from(user_ids)),
            Arc::new(UInt32Array::from(positions)),
            Arc::new(histories.finish()),
            Arc::new(UInt32Array::from(targets)),
            Arc::new(touched.finish()),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}

/// Windows of up to `size` items over the first `length` of a sequence, from the newest back, without overlap; at least two
/// items each. Given as (start, index of the last item).
fn windows(length: usize, size: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut end = length;
    while end >= 2 {
        let start = end.saturating_sub(size.max(2));
        found.push((start, end - 1));
        end = start;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(format: PromptFormat) -> SplitConfig {
        let (domain, recipe) = ("d".to_owned(), Recipe::Clean);
        SplitConfig {
            seed: 1,
            domain,
            max_history: 3,
            format,
            recipe,
            max_train: 100,
            max_eval: None,
        }
    }

    #[test]
    fn leave_one_out_holds_out_the_last_two() {
        let list = config(PromptFormat::CandidateList);
        assert_eq!(list.ranges(6, Split::Test), [(2, 5)]);
        assert_eq!(list.ranges(6, Split::Validation), [(1, 4)]);
        assert_eq!(list.ranges(6, Split::Train), [(0, 1), (0, 2), (0, 3)]);
        assert_eq!(list.ranges(3, Split::Train), []);
        assert_eq!(list.ranges(3, Split::Validation), [(0, 1)]);
        assert_eq!(list.ranges(2, Split::Test), []);
    }

    #[test]
    fn windows_run_back_from_the_newest_without_overlap() {
        assert_eq!(windows(8, 3), [(5, 7), (2, 4), (0, 1)]);
        assert_eq!(
            windows(7, 3),
            [(4, 6), (1, 3)],
            "a single oldest item makes no window"
        );
        assert_eq!(windows(1, 3), []);
        assert_eq!(
            config(PromptFormat::Sequence).ranges(8, Split::Train),
            [(2, 5), (0, 1)]
        );
    }
}
