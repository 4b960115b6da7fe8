//! What rows without a language model are fit on and asked with: the training part of a domain, and whole histories.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Prompt, Split};

/// Scores every item of a domain for whoever has this history.
pub trait ItemScores: Send + Sync {
    /// Writes a score for every item, by dense id and item 1 first; the higher, the better. `history` is whole, oldest first and
    /// without what follows. Items of the history are scored like all others: whether they are candidates is the caller's to say.
    ///
    /// # Panics
    /// Where `out` has not as many places as there are items.
    fn scores(&self, history: &[u32], out: &mut [f32]);
}

/// The training part of a domain, as rows that count read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    sequences: Vec<Vec<u32>>,
    popularity: Vec<u32>,
}

impl Log {
    /// Of users' training items, oldest first, in dense ids from 1 to `items`.
    ///
    /// # Errors
    /// An id beyond those.
    pub fn new(sequences: Vec<Vec<u32>>, items: usize) -> Result<Self> {
        let mut popularity = vec![0; items];
        for item in sequences.iter().flatten() {
            let place = (*item as usize).checked_sub(1);
            let count = place.and_then(|place| popularity.get_mut(place));
            *count.with_context(|| format!("a sequence holds item {item}, but items are 1 to {items}"))? += 1;
        }
        Ok(Self {
            sequences,
            popularity,
        })
    }

    /// The interactions of a prepared folder that are training data; neither validation nor test targets, nor what follows them.
    ///
    /// # Errors
    /// A folder that cannot be read, or whose files do not belong together.
    pub fn read(folder: &Prepared) -> Result<Self> {
        let (targets, items) = (folder.targets()?, folder.items()?);
        let mut sequences = Vec::new();
        folder.each_sequence(|mut sequence| {
            let known = targets.parts(&sequence.items, &sequence.timestamps).known;
            sequence.items.truncate(known);
            sequences.push(sequence.items);
        })?;
        let log = Self::new(sequences, items.len()).with_context(|| damaged(folder))?;
        let same = log.popularity.iter().zip(&items);
        let counted = same.into_iter().all(|(count, item)| *count == item.train_count);
        ensure!(
            counted,
            "the training counts in items.parquet are not those of sequences.parquet: {}",
            damaged(folder)
        );
        Ok(log)
    }

    /// The training items of every user, oldest first.
    pub fn sequences(&self) -> &[Vec<u32>] {
        &self.sequences
    }

    /// How many items the domain has, those without a training interaction included.
    pub fn items(&self) -> usize {
        self.popularity.len()
    }

    /// Training interactions of every item, item 1 first.
    pub fn popularity(&self) -> &[u32] {
        &self.popularity
    }
}

/// Everybody's whole history before the target of validation and test; a prompt shows no more than its last items.
#[derive(Clone, Debug)]
pub struct Histories {
    users: Vec<Known>,
    by_name: HashMap<String, usize>,
}

#[derive(Clone, Debug)]
struct Known {
    items: Vec<u32>,
    validation: Option<usize>,
    test: Option<usize>,
}

impl Known {
    /// History and target.
    fn asked(&self, split: Split) -> Option<(&[u32], u32)> {
        let at = match split {
            Split::Train => None,
            Split::Validation => self.validation,
            Split::Test => self.test,
        }?;
        Some((self.items.get(..at)?, *self.items.get(at)?))
    }
}

impl Histories {
    /// Those of a prepared folder.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn read(folder: &Prepared) -> Result<Self> {
        let targets = folder.targets()?;
        let (mut users, mut by_name) = (Vec::new(), HashMap::new());
        folder.each_sequence(|sequence| {
            let parts = targets.parts(&sequence.items, &sequence.timestamps);
            by_name.insert(sequence.user_id, users.len());
            users.push(Known {
                items: sequence.items,
                validation: parts.validation,
                test: parts.test,
            });
        })?;
        Ok(Self { users, by_name })
    }

    /// What came before the target of a validation or test prompt, oldest first.
    ///
    /// # Errors
    /// A training prompt, or one of another folder.
    pub fn before(&self, split: Split, prompt: &Prompt) -> Result<&[u32]> {
        self.of_user(split, &prompt.user_id, prompt.target)
    }

    fn of_user(&self, split: Split, user: &str, target: u32) -> Result<&[u32]> {
        let known = self.by_name.get(user).and_then(|user| self.users.get(*user));
        match known.and_then(|known| known.asked(split)) {
            Some((history, found)) if found == target => Ok(history),
            _ => bail!(
                "user {user:?} has no {} target {target} in the folder whose histories these are; read both from one folder",
                split.name()
            ),
        }
    }

    /// History and target of all who have a target in that split, in the order of the users' dense ids; none for training.
    pub fn all(&self, split: Split) -> impl Iterator<Item = (&[u32], u32)> {
        self.users.iter().filter_map(move |user| user.asked(split))
    }
}

fn damaged(folder: &Prepared) -> String {
    format!("{}: prepare the data set again", folder.folder().display())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use std::path::{Path, PathBuf};

    use weaverec_pipeline::dataset::DatasetDescription;
    use weaverec_pipeline::prepare::{PrepareConfig, prepare};
    use weaverec_pipeline::raw::NoProgress;

    use super::*;

    /// Scores of all items for a history.
    pub fn scores(row: &dyn ItemScores, items: usize, history: &[u32]) -> Vec<f32> {
        let mut out = vec![f32::NAN; items];
        row.scores(history, &mut out);
        out
    }

    /// A log in which everything occurs: repeats, items nobody had, users of one item and of none.
    pub fn log() -> Log {
        let sequences = [
            &[1, 2, 3][..],
            &[2, 3, 4],
            &[1, 2, 5, 2],
            &[6],
            &[],
            &[3, 2, 6, 7],
            &[7, 1],
        ];
        Log::new(sequences.map(<[u32]>::to_vec).to_vec(), 8).unwrap()
    }

    /// The same with its users in another order.
    pub fn shuffled(log: &Log) -> Log {
        let mut sequences = log.sequences().to_vec();
        sequences.reverse();
        sequences.swap(0, 3);
        Log::new(sequences, log.items()).unwrap()
    }

    /// A data set as it lies beside the project, prepared with what these rows need; `None`, and said so, where it does not.
    pub fn real(dataset: &str, folder: &str) -> Option<(tempfile::TempDir, Prepared)> {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        let root = std::env::var_os("WEAVEREC_SHARED").map_or_else(beside, PathBuf::from);
        let raw = root.join(folder);
        if !raw.is_dir() {
            eprintln!("skipped: no {} (set WEAVEREC_SHARED)", raw.display());
            return None;
        }
        let out = tempfile::tempdir().unwrap();
        let mut config = PrepareConfig::new(DatasetDescription::load(dataset).unwrap(), raw, out.path());
        config.threads = 2;
        config.parameters.max_train = 0;
        (config.parameters.max_history, config.parameters.candidates) = (3, 2);
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        runtime.block_on(prepare(&config, &NoProgress)).unwrap();
        let folder = Prepared::open(config.folder()).unwrap();
        Some((out, folder))
    }

    #[test]
    fn items_are_counted_and_strange_ones_refused() {
        assert_eq!(log().popularity(), [3, 5, 3, 1, 1, 2, 2, 0]);
        for strange in [0, 4] {
            let error = Log::new(vec![vec![1, strange]], 3).unwrap_err();
            assert!(error.to_string().contains(&format!("item {strange}")), "{error}");
        }
    }

    #[test]
    fn a_history_ends_before_the_target_that_is_asked_for() {
        let known = |items: &[u32], validation, test| Known {
            items: items.to_vec(),
            validation,
            test,
        };
        let histories = Histories {
            users: vec![
                known(&[3, 1, 2, 5, 1], Some(2), Some(3)),
                known(&[4, 4], None, None),
            ],
            by_name: [("ann".to_owned(), 0), ("bob".to_owned(), 1)].into(),
        };
        let of = |split, user, target| histories.of_user(split, user, target).map(<[u32]>::to_vec);
        assert_eq!(of(Split::Validation, "ann", 2).unwrap(), [3, 1]);
        assert_eq!(of(Split::Test, "ann", 5).unwrap(), [3, 1, 2]);
        let all: Vec<_> = histories.all(Split::Test).collect();
        assert_eq!(all, [(&[3, 1, 2][..], 5)], "bob has none");
        for (split, user, target) in [
            (Split::Test, "ann", 2),
            (Split::Train, "ann", 1),
            (Split::Test, "bob", 4),
            (Split::Test, "eve", 5),
        ] {
            let error = of(split, user, target).unwrap_err().to_string();
            assert!(error.contains(user) && error.contains(split.name()), "{error}");
        }
    }
}
