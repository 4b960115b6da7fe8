//! What is held out: how a data set is split, and where a global-time split cuts. [`target`](crate::stage::target) says which
//! interactions of a user are then asked for.

use std::str::FromStr;

use datafusion::common::cast::as_int64_array;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::{DataFrame, col, lit};
use futures::StreamExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::stage::window::parse_time;

/// The shortest sequence that gives leave-one-out a validation and a test instance.
pub const MIN_LENGTH: usize = 3;

/// How a data set is split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitPolicy {
    /// Of a user's sequence i₁ … iₙ, oldest first: test is iₙ given what came before, validation is iₙ₋₁ given what came before
    /// that, and training uses i₁ … iₙ₋₂ only. A user needs three interactions for a test and a validation with a history; a
    /// shorter one gives no instance, and its interactions count as training data for popularity alone. Unless
    /// [repeats](crate::stage::Repeats) are kept, the test is the last interaction that is new to the user, the validation the last one
    /// before it, and training uses what comes before that.
    ///
    /// Users' last interactions lie at different times, so training sees the future of other users' tests.
    #[default]
    LeaveOneOut,
    /// Two moments part everyone's interactions: training before the first, validation between the two, test after the second. A
    /// user's validation and test are their first interaction in the period, given what came before it; the first new one, unless
    /// [repeats](crate::stage::Repeats) are kept.
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
    /// The test begins at a stated moment, and at least this share of the interactions before it, the newest ones, falls into
    /// validation.
    TestFrom {
        /// The first moment of the test, in milliseconds UTC.
        test_from: i64,
        /// Share of validation.
        validation: f64,
    },
}

impl Cut {
    /// The moments that it means for interactions at these times (ms UTC).
    ///
    /// ```
    /// use weaverec_pipeline::stage::{Cut, TimeCut};
    /// let cut = Cut::Shares { validation: 0.25, test: 0.5 };
    /// let found = cut.among(vec![10, 30, 20, 40])?;
    /// assert_eq!(found, TimeCut { validation_from: 20, test_from: 30 });
    /// # Ok::<(), weaverec_pipeline::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shares or moments that leave a part empty whatever the data; too few distinct times for the shares.
    pub fn among(&self, mut times: Vec<i64>) -> Result<TimeCut> {
        SplitPolicy::GlobalTime(*self).check()?;
        let mut cut = match *self {
            Cut::At(cut) => return Ok(cut),
            Cut::Shares { validation, test } => Shares::new(times.len(), validation, test),
            Cut::TestFrom {
                test_from,
                validation,
            } => {
                times.retain(|time| *time < test_from);
                Shares::before(test_from, times.len(), validation)
            }
        };
        times.par_sort_unstable_by_key(|time| std::cmp::Reverse(*time));
        let moments = times.chunk_by(|left, right| left == right);
        let mut found = moments.filter_map(|same| cut.absorb(same[0], same.len()));
        found.next().ok_or_else(too_few_moments)
    }
}

impl FromStr for Cut {
    type Err = Error;

    /// One cut as people write it: a moment at which the test begins (`2014-03-01`), or the share of the interactions that lie before
    /// it (`0.9`). A tenth of the interactions, the newest before it, is validation.
    fn from_str(text: &str) -> Result<Self> {
        match text.parse::<f64>() {
            Ok(before) if before > 0.0 && before < 1.0 => Ok(Cut::Shares {
                validation: PART,
                // Without the noise of 1 − 0.9.
                test: ((1.0 - before) * 1e12).round() / 1e12,
            }),
            Ok(_) => Err(Error::Usage(format!(
                "a cut at `{text}` is neither a moment nor a share between 0 and 1; write 2014-03-01, or 0.9"
            ))),
            Err(_) => parse_time(text).map(|test_from| Cut::TestFrom {
                test_from,
                validation: PART,
            }),
        }
    }
}

/// The share of validation, and of the test, where none is given.
pub const PART: f64 = 0.1;

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
            SplitPolicy::GlobalTime(Cut::TestFrom { validation, .. })
                if !(*validation > 0.0 && *validation < 1.0) =>
            {
                Err(Error::Usage(format!(
                    "a share of {validation} for validation; it must be above 0 and below 1"
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
                let cut = Shares::new(interactions.clone().count().await?, validation, test);
                shares(interactions, cut).await.map(Holdout::From)
            }
            SplitPolicy::GlobalTime(Cut::TestFrom {
                test_from,
                validation,
            }) => {
                let before = interactions.filter(col("timestamp").lt(lit(test_from)))?;
                let cut = Shares::before(test_from, before.clone().count().await?, validation);
                shares(before, cut).await.map(Holdout::From)
            }
        }
    }
}

async fn shares(interactions: DataFrame, mut cut: Shares) -> Result<TimeCut> {
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

    /// For a test from a moment, of so many interactions before it.
    pub fn before(test_from: i64, total: usize, validation: f64) -> Self {
        Self {
            test_from: Some(test_from),
            ..Self::new(total, validation, 0.0)
        }
    }

    /// Takes the next moment back, before the test where that is known, and how many interactions it has; gives the cut once it is known.
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

impl Holdout {
    /// The moments, where there are any.
    pub fn cut(&self) -> Option<TimeCut> {
        match self {
            Holdout::LastTwo => None,
            Holdout::From(cut) => Some(*cut),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_cut_is_a_moment_or_the_share_before_it() {
        let cut = |text: &str| text.parse::<Cut>();
        assert_eq!(
            cut("0.9").unwrap(),
            Cut::Shares {
                validation: 0.1,
                test: 0.1
            }
        );
        assert_eq!(
            cut("1970-01-02").unwrap(),
            Cut::TestFrom {
                test_from: 86_400_000,
                validation: 0.1
            }
        );
        for text in ["1", "0", "-0.5", "2014", "NaN"] {
            assert!(cut(text).unwrap_err().to_string().contains("neither"), "{text}");
        }
        assert!(cut("soon").unwrap_err().to_string().contains("soon"));
    }

    #[test]
    fn the_share_of_validation_is_of_what_comes_before_the_test() {
        let times: Vec<i64> = (0..100).collect();
        let cut = |test_from, validation| {
            let cut = Cut::TestFrom {
                test_from,
                validation,
            };
            cut.among(times.clone())
                .map(|cut| (cut.validation_from, cut.test_from))
        };
        assert_eq!(cut(50, 0.1).unwrap(), (45, 50));
        assert_eq!(cut(500, 0.25).unwrap(), (75, 500));
        assert!(cut(0, 0.1).unwrap_err().to_string().contains("too few"));
        assert!(cut(50, 1.0).is_err());
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
