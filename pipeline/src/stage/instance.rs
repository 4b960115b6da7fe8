//! Sequences to instances: which histories and targets become prompts, and how many are kept.

mod rows;

use std::collections::BinaryHeap;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::cast::{as_list_array, as_string_array, as_uint32_array};
use datafusion::prelude::{DataFrame, col};
use futures::StreamExt;
use rayon::prelude::*;

use crate::engine::Engine;
use crate::error::Result;
use crate::parameters::Parameters;
use crate::prepared::Share;
use crate::schema::{PromptFormat, Split};
use crate::seed;
use crate::stage::Recipe;
use crate::stage::candidates::{Binned, Candidates};
use crate::stage::list::{IdRows, ids_type};
use crate::stage::target::{Parts, Targets};
use rows::Rows;

/// How instances are made and how many are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Instances {
    /// The run's seed.
    pub seed: u64,
    /// The prepared domain's name: part of every key.
    pub domain: String,
    /// What is held out.
    pub targets: Targets,
    /// The newest items of a history that are shown.
    pub max_history: usize,
    /// Decides between prefixes and windows (`sequence`) in training.
    pub format: PromptFormat,
    /// Whether validation prompts are trained on.
    pub recipe: Recipe,
    /// Training instances kept, sampled by key.
    pub max_train: usize,
    /// Users with an instance in validation, and in test, sampled by key; none: all.
    pub max_eval: Option<usize>,
}

/// `key`, `split`, `user`, `user_id`, `position` (1-based, of the target), `history`, `target`, `ties` (whether the target is at the
/// moment of the item before it), `candidates`, `binned` (none in training), and `rank`, by which training instances are sampled and ordered.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::UInt64, false),
        Field::new("split", DataType::Utf8, false),
        Field::new("user", DataType::UInt32, false),
        Field::new("user_id", DataType::Utf8, false),
        Field::new("position", DataType::UInt32, false),
        Field::new("history", ids_type(), false),
        Field::new("target", DataType::UInt32, false),
        Field::new("ties", DataType::Boolean, false),
        Field::new("candidates", ids_type(), false),
        Field::new("binned", ids_type(), false),
        Field::new("rank", DataType::UInt64, false),
    ]))
}

/// The instances of one file, to be read in this order by a serial engine.
#[derive(Debug)]
pub struct Chosen {
    /// How many there are.
    pub rows: usize,
    /// Of their binned candidate sets those that had to leave their bin.
    pub left: Share,
    /// One after another.
    pub frames: Vec<DataFrame>,
}

/// Instances that are made at a time.
const ROWS: usize = 16 * 1024;

/// What instances are sampled by, and the tie-breakers: rank, user, position.
type Place = (u64, u32, u32);

impl Instances {
    /// Under the parameters of a folder called `domain`.
    pub fn new(parameters: &Parameters, domain: &str, targets: Targets) -> Self {
        Self {
            seed: parameters.seed,
            domain: domain.to_owned(),
            targets,
            max_history: parameters.max_history,
            format: parameters.format,
            recipe: parameters.recipe,
            max_train: parameters.max_train,
            max_eval: parameters.max_eval,
        }
    }

    /// The instances of one split, with the candidates that `draws` gives them.
    ///
    /// Training instances come in the order of their sampling keys, so that the first k rows are themselves a uniform sample;
    /// the paper recipe's validation instances follow them. Validation and test come in the order of users. `sequences` are
    /// scanned twice where a sample is taken, and never held: memory is bounded by the size of the sample.
    pub async fn choose(
        &self,
        engine: &Engine,
        sequences: &DataFrame,
        split: Split,
        draws: &Candidates,
    ) -> Result<Chosen> {
        let from = Source {
            engine,
            sequences,
            draws,
        };
        let mut chosen = Chosen {
            rows: 0,
            left: Share::default(),
            frames: Vec::new(),
        };
        let mut add = |made: Made| {
            chosen.rows += made.rows;
            chosen.left.append(made.left);
            chosen.frames.push(made.frame);
        };
        match split {
            Split::Train => {
                let mut made = self.cut(&from, Split::Train, Split::Train).await?;
                let order = ["rank", "user", "position"].map(|name| col(name).sort(true, true));
                made.frame = made.frame.sort(order.to_vec())?;
                add(made);
                if self.recipe == Recipe::Paper {
                    add(self.cut(&from, Split::Validation, Split::Train).await?);
                }
            }
            held_out => add(self.cut(&from, held_out, held_out).await?),
        }
        Ok(chosen)
    }

    /// The instances that `place` gives, for a file of `file`, in the order of users.
    async fn cut(&self, from: &Source<'_>, place: Split, file: Split) -> Result<Made> {
        let last = self.last_kept(from.sequences, place).await?;
        let mut left = Share::default();
        let mut settling = from.engine.settling(schema())?;
        let mut batches = from.sequences.clone().execute_stream().await?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let mut kept = Vec::with_capacity(ROWS);
            self.each(&batch, place, |found| {
                if last.is_some_and(|last| found.place <= last) {
                    kept.push(found);
                }
                if kept.len() < ROWS {
                    return Ok(());
                }
                settling.push(
                    from.engine
                        .install(|| self.rows(file, &kept, from.draws, &mut left))?,
                )?;
                kept.clear();
                Ok(())
            })?;
            settling.push(
                from.engine
                    .install(|| self.rows(file, &kept, from.draws, &mut left))?,
            )?;
        }
        let rows = settling.rows();
        let frame = settling.finish(from.engine).await?;
        Ok(Made { frame, rows, left })
    }

    /// Instances as a batch. All threads draw candidates, each for whole users: a set of what a user touched serves every instance
    /// of that user, or one who touched 100,000 items would cost as much again for each of as many prompts.
    fn rows(
        &self,
        file: Split,
        kept: &[Found<'_>],
        draws: &Candidates,
        left: &mut Share,
    ) -> Result<RecordBatch> {
        let sets: Vec<(Vec<u32>, Binned)> = kept
            .par_chunk_by(|one, next| one.place.1 == next.place.1)
            .flat_map_iter(|of_user| {
                let touched = draws.touched(of_user[0].sequence);
                of_user.iter().map(move |found| {
                    let (user, position) = (found.user_id, found.place.2);
                    let target = found.sequence[found.target];
                    let candidates = draws.draw_beside(user, position, target, &touched);
                    // Nothing is measured on training prompts, of which there are many.
                    let binned = match file {
                        Split::Train => Binned::default(),
                        _ => draws.draw_binned(user, position, target, &touched),
                    };
                    (candidates, binned)
                })
            })
            .collect();
        let mut rows = Rows::default();
        for (found, (candidates, binned)) in kept.iter().zip(&sets) {
            if !binned.items.is_empty() {
                left.add(binned.left);
            }
            rows.push(&self.domain, file, found, candidates, &binned.items);
        }
        rows.finish()
    }

    /// The greatest place that is kept; none where nothing is.
    async fn last_kept(&self, sequences: &DataFrame, split: Split) -> Result<Option<Place>> {
        let limit = match split {
            Split::Train => self.max_train,
            Split::Validation | Split::Test => self.max_eval.unwrap_or(usize::MAX),
        };
        if limit == usize::MAX {
            return Ok(Some((u64::MAX, u32::MAX, u32::MAX)));
        }
        // The greatest is on top, so a full heap drops it.
        let mut kept = BinaryHeap::new();
        let mut batches = sequences.clone().execute_stream().await?;
        while let Some(batch) = batches.next().await {
            self.each(&batch?, split, |found| {
                kept.push(found.place);
                if kept.len() > limit {
                    kept.pop();
                }
                Ok(())
            })?;
        }
        Ok(kept.peek().copied())
    }

    fn each<'b>(
        &self,
        batch: &'b RecordBatch,
        split: Split,
        mut visit: impl FnMut(Found<'b>) -> Result<()>,
    ) -> Result<()> {
        let users = as_uint32_array(batch.column(0))?;
        let user_ids = as_string_array(batch.column(1))?;
        let sequences = IdRows::new(batch.column(2))?;
        let times = as_list_array(batch.column(3))?;
        for row in 0..batch.num_rows() {
            let timestamps = times.value(row);
            let timestamps = timestamps.as_primitive::<Int64Type>().values();
            let parts = self.targets.parts(sequences.row(row), timestamps);
            let ranges = self.ranges(parts, split);
            if ranges.is_empty() {
                continue;
            }
            let moments = self.targets.moments(timestamps);
            let (user, user_id) = (users.value(row), user_ids.value(row));
            for (start, target) in ranges {
                let position = target as u32 + 1;
                visit(Found {
                    place: (self.rank(split, user_id, target), user, position),
                    user_id,
                    sequence: sequences.row(row),
                    start,
                    target,
                    ties: moments.goes_on(target),
                })?;
            }
        }
        Ok(())
    }

    /// Validation and test share a rank, so that under leave-one-out a cap keeps the same users in both.
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

    /// (start of the history, index of the target) of every instance.
    fn ranges(&self, parts: Parts, split: Split) -> Vec<(usize, usize)> {
        let clip = |target: usize| (target.saturating_sub(self.max_history), target);
        match (split, self.format) {
            (Split::Test, _) => parts.test.map(clip).into_iter().collect(),
            (Split::Validation, _) => parts.validation.map(clip).into_iter().collect(),
            (Split::Train, PromptFormat::Sequence) => windows(parts.train, self.max_history + 1),
            (Split::Train, _) => (1..parts.train).map(clip).collect(),
        }
    }
}

/// The instances of one place, in the order of users.
struct Made {
    frame: DataFrame,
    rows: usize,
    left: Share,
}

/// What instances are made of.
struct Source<'a> {
    engine: &'a Engine,
    sequences: &'a DataFrame,
    draws: &'a Candidates,
}

/// One instance where it was found.
struct Found<'a> {
    place: Place,
    user_id: &'a str,
    sequence: &'a [u32],
    start: usize,
    /// Never a user's first interaction.
    target: usize,
    /// Whether the target is at the moment of the interaction before it.
    ties: bool,
}

/// The stable key of a prompt: a hash of its domain, user, position (1-based, of the target) and split.
pub fn row_key(domain: &str, user: &str, position: u64, split: &str) -> u64 {
    seed::key(&[
        domain.as_bytes(),
        user.as_bytes(),
        &position.to_le_bytes(),
        split.as_bytes(),
    ])
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
    use crate::stage::split::Holdout;
    use crate::stage::target::{Repeats, Titles};

    fn ranges(format: PromptFormat, length: usize, split: Split) -> Vec<(usize, usize)> {
        let parameters = Parameters {
            max_history: 3,
            format,
            repeats: Repeats::Keep,
            ..Parameters::default()
        };
        let targets = Targets::new(&parameters, Holdout::LastTwo, Titles::of(&[]));
        let parts = targets.parts_with_repeats(&vec![0; length]);
        Instances::new(&parameters, "d", targets).ranges(parts, split)
    }

    #[test]
    fn histories_end_right_before_their_targets() {
        let list = |length, split| ranges(PromptFormat::Top5, length, split);
        assert_eq!(list(6, Split::Test), [(2, 5)]);
        assert_eq!(list(6, Split::Validation), [(1, 4)]);
        assert_eq!(list(6, Split::Train), [(0, 1), (0, 2), (0, 3)]);
        assert_eq!(list(3, Split::Train), []);
        assert_eq!(list(3, Split::Validation), [(0, 1)]);
        assert_eq!(list(2, Split::Test), []);
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
        assert_eq!(ranges(PromptFormat::Sequence, 8, Split::Train), [(2, 5), (0, 1)]);
        assert_eq!(ranges(PromptFormat::Sequence, 2, Split::Train), []);
    }
}
