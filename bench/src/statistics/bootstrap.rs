//! Percentile intervals over resampled users. They are too narrow, since they know nothing of replicates: nothing is decided by them.

use super::{ALPHA, Interval};
use anyhow::{Result, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// How many times the users are resampled for an interval.
pub const RESAMPLES: usize = 10_000;

/// Means of several columns under the same resamples of users.
///
/// All columns share each draw, so the difference of two of them is a paired bootstrap of their difference.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    columns: Vec<Vec<f64>>,
}

impl Bootstrap {
    /// Resamples the users of `columns` (`columns[c][u]` is the score of user `u`) [`RESAMPLES`] times.
    ///
    /// `key` names the draw: the same key and number of users give the same resamples, whatever the number of
    /// threads and whatever the other columns.
    ///
    /// # Errors
    /// Where there are no users or columns differ in length.
    pub fn new(key: &str, columns: &[Vec<f64>]) -> Result<Self> {
        let users = columns.first().map_or(0, Vec::len);
        ensure!(users > 0, "a bootstrap needs at least one user");
        ensure!(
            columns.iter().all(|column| column.len() == users),
            "bootstrap columns differ in length"
        );
        let width = columns.len();
        // User by user in memory, since a resample visits users at random and needs all columns of each.
        let by_user: Vec<f64> = (0..users)
            .flat_map(|user| columns.iter().map(move |column| column[user]))
            .collect();
        let seed = *blake3::hash(key.as_bytes()).as_bytes();
        let means: Vec<Vec<f64>> = (0..RESAMPLES)
            .into_par_iter()
            .map(|resample| {
                let mut draws = ChaCha8Rng::from_seed(seed);
                draws.set_stream(resample as u64);
                let mut times = vec![0u32; users];
                for _ in 0..users {
                    // Multiply-shift: its bias for some hundred users is below one in ten million.
                    times[((u64::from(draws.next_u32()) * users as u64) >> 32) as usize] += 1;
                }
                let mut sums = vec![0.0; width];
                for (scores, &count) in by_user.chunks_exact(width).zip(&times) {
                    if count > 0 {
                        let count = f64::from(count);
                        sums.iter_mut()
                            .zip(scores)
                            .for_each(|(sum, score)| *sum += count * score);
                    }
                }
                sums.iter_mut().for_each(|sum| *sum /= users as f64);
                sums
            })
            .collect();
        let columns = (0..width)
            .map(|column| means.iter().map(|row| row[column]).collect())
            .collect();
        Ok(Self { columns })
    }

    /// The interval of one column's mean.
    #[must_use]
    pub fn interval(&self, column: usize) -> Interval {
        percentile_interval(self.columns[column].clone())
    }

    /// The interval of the mean difference `column - baseline`, paired by user.
    #[must_use]
    pub fn difference(&self, column: usize, baseline: usize) -> Interval {
        let pairs = self.columns[column].iter().zip(&self.columns[baseline]);
        percentile_interval(pairs.map(|(a, b)| a - b).collect())
    }
}

fn percentile_interval(mut values: Vec<f64>) -> Interval {
    values.sort_unstable_by(f64::total_cmp);
    Interval {
        low: quantile(&values, ALPHA / 2.0),
        high: quantile(&values, 1.0 - ALPHA / 2.0),
    }
}

/// The quantile of sorted values with linear interpolation, as NumPy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}
