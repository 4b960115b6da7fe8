//! What is held out: which of a user's interactions are the targets of validation and test, and which may be trained on.

use datafusion::common::cast::as_int64_array;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::{DataFrame, col, lit};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The shortest sequence that gives leave-one-out a validation and a test instance.
pub const MIN_LENGTH: usize = 3;

/// How a data set is split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitPolicy {
    /// Of a user's sequence i₁ … iₙ, oldest first: test is iₙ given what came before, validation is iₙ₋₁ given what came before
    /// that, and training uses i₁ … iₙ₋₂ only. A user needs three interactions for a test and a validation with a history; a
    /// shorter one gives no instance, and its interactions count as training data for popularity alone.
    ///
    /// Users' last interactions lie at different times, so training sees the future of other users' tests.
    #[default]
    LeaveOneOut,
    /// Two moments part everyone's interactions: training before the first, validation between the two, test after the second. A
    /// user's validation and test are their first interaction in the period, given what came before it.
    GlobalTime(Cut),
}

/// Where a global-time split cuts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// At stated moments.
    At(TimeCut),
    /// So that at least these shares of the interactions, the newest ones, fall into validation and test. Interactions of one
    /// moment are never parted.
    Shares {
        /// Share of validation.
        validation: f64,
        /// Share of test.
        test: f64,
    },
}

/// Two moments, in milliseconds UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeCut {
    /// The first moment that is not trained on.
    pub validation_from: i64,
    /// The first moment of the test.
    pub test_from: i64,
}

impl SplitPolicy {
    /// The name used on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            SplitPolicy::LeaveOneOut => "leave-one-out",
            SplitPolicy::GlobalTime(_) => "global-time",
        }
    }

    /// Fails for a split that leaves one of its parts empty whatever the data.
    pub fn check(&self) -> Result<()> {
        match self {
            SplitPolicy::GlobalTime(Cut::At(cut)) if cut.validation_from >= cut.test_from => {
                Err(Error::Usage(format!(
                    "validation from {} until the test from {} (ms UTC) is empty; the test must begin later",
                    cut.validation_from, cut.test_from
                )))
            }
            SplitPolicy::GlobalTime(Cut::Shares { validation, test })
                if !(*validation > 0.0 && *test > 0.0 && validation + test < 1.0) =>
            {
                Err(Error::Usage(format!(
                    "shares of {validation} for validation and {test} for test; both must be above 0, and together below 1"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Looks at the interactions where the policy asks for shares of them.
    pub async fn resolve(&self, interactions: DataFrame) -> Result<Holdout> {
        match *self {
            SplitPolicy::LeaveOneOut => Ok(Holdout::LastTwo),
            SplitPolicy::GlobalTime(Cut::At(cut)) => Ok(Holdout::From(cut)),
            SplitPolicy::GlobalTime(Cut::Shares { validation, test }) => {
                shares(interactions, validation, test).await.map(Holdout::From)
            }
        }
    }
}

/// The moments from which on at least `validation + test` and `test` of the interactions lie.
async fn shares(interactions: DataFrame, validation: f64, test: f64) -> Result<TimeCut> {
    let mut cut = Shares::new(interactions.clone().count().await?, validation, test);
    let moments = interactions
        .aggregate(vec![col("timestamp")], vec![count(lit(1)).alias("n")])?
        .sort(vec![col("timestamp").sort(false, false)])?;
    let mut batches = moments.execute_stream().await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let (times, counts) = (as_int64_array(batch.column(0))?, as_int64_array(batch.column(1))?);
        for row in 0..batch.num_rows() {
            if let Some(found) = cut.absorb(times.value(row), counts.value(row) as usize) {
                return Ok(found);
            }
        }
    }
    Err(too_few_moments())
}

/// Goes back in time until the newest interactions make up the shares asked for.
pub(crate) struct Shares {
    total: f64,
    validation: f64,
    test: f64,
    newer: f64,
    test_from: Option<i64>,
}

impl Shares {
    /// Of so many interactions.
    pub fn new(total: usize, validation: f64, test: f64) -> Self {
        Self {
            total: total as f64,
            validation,
            test,
            newer: 0.0,
            test_from: None,
        }
    }

    /// Takes the next moment back and how many interactions it has; gives the cut once it is known.
    pub fn absorb(&mut self, time: i64, count: usize) -> Option<TimeCut> {
        self.newer += count as f64;
        match self.test_from {
            None if self.newer >= self.total * self.test => self.test_from = Some(time),
            Some(test_from) if self.newer >= self.total * (self.validation + self.test) => {
                return Some(TimeCut {
                    validation_from: time,
                    test_from,
                });
            }
            _ => (),
        }
        None
    }
}

pub(crate) fn too_few_moments() -> Error {
    Error::Usage(
        "the interactions have too few distinct times for a global-time split; use leave-one-out or state the times".to_owned(),
    )
}

/// A split policy that knows its moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holdout {
    /// [`SplitPolicy::LeaveOneOut`].
    LastTwo,
    /// [`SplitPolicy::GlobalTime`].
    From(TimeCut),
}

/// The parts of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The leading interactions that are training data, for popularity say.
    pub known: usize,
    /// The leading interactions that training prompts are cut from.
    pub train: usize,
    /// Index of the validation target.
    pub validation: Option<usize>,
    /// Index of the test target.
    pub test: Option<usize>,
}

impl Holdout {
    /// The moments, where there are any.
    pub fn cut(&self) -> Option<TimeCut> {
        match self {
            Holdout::LastTwo => None,
            Holdout::From(cut) => Some(*cut),
        }
    }

    /// Parts a sequence by its times (ms UTC, oldest first).
    pub fn parts(&self, timestamps: &[i64]) -> Parts {
        let length = timestamps.len();
        match self {
            Holdout::LastTwo if length < MIN_LENGTH => Parts {
                known: length,
                train: 0,
                validation: None,
                test: None,
            },
            Holdout::LastTwo => Parts {
                known: length - 2,
                train: length - 2,
                validation: Some(length - 2),
                test: Some(length - 1),
            },
            Holdout::From(cut) => {
                let validation = timestamps.partition_point(|time| *time < cut.validation_from);
                let test = timestamps.partition_point(|time| *time < cut.test_from);
                // The first interaction of all has no history to go by.
                let target = |from: usize, until: usize| (from > 0 && from < until).then_some(from);
                Parts {
                    known: validation,
                    train: validation,
                    validation: target(validation, test),
                    test: target(test, length),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parts(holdout: Holdout, timestamps: &[i64]) -> (usize, Option<usize>, Option<usize>) {
        let parts = holdout.parts(timestamps);
        (parts.train, parts.validation, parts.test)
    }

    #[test]
    fn leave_one_out_holds_out_the_last_two() {
        let times = |length| vec![7; length];
        assert_eq!(parts(Holdout::LastTwo, &times(6)), (4, Some(4), Some(5)));
        assert_eq!(parts(Holdout::LastTwo, &times(3)), (1, Some(1), Some(2)));
        assert_eq!(parts(Holdout::LastTwo, &times(2)), (0, None, None));
        assert_eq!(Holdout::LastTwo.parts(&times(2)).known, 2);
    }

    #[test]
    fn global_time_takes_the_first_interaction_of_each_period() {
        let cut = Holdout::From(TimeCut {
            validation_from: 10,
            test_from: 20,
        });
        assert_eq!(parts(cut, &[1, 9, 10, 11, 20, 30]), (2, Some(2), Some(4)));
        assert_eq!(parts(cut, &[1, 9]), (2, None, None), "nothing held out");
        assert_eq!(parts(cut, &[1, 25]), (1, None, Some(1)), "no validation");
        assert_eq!(parts(cut, &[25, 30]), (0, None, None), "no history at the cut");
        assert_eq!(
            parts(cut, &[10, 25]),
            (0, None, Some(1)),
            "validation is history by then"
        );
    }

    #[test]
    fn shares_and_moments_that_part_nothing_are_refused() {
        let shares = |validation, test| SplitPolicy::GlobalTime(Cut::Shares { validation, test });
        assert!(shares(0.1, 0.1).check().is_ok());
        assert!(shares(0.5, 0.5).check().is_err());
        assert!(shares(f64::NAN, 0.1).check().is_err());
        let at = |validation_from, test_from| {
            SplitPolicy::GlobalTime(Cut::At(TimeCut {
                validation_from,
                test_from,
            }))
        };
        assert!(at(1, 2).check().is_ok());
        assert!(at(2, 2).check().is_err());
    }
}
