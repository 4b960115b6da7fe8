//! Paired tests and intervals over users, with SciPy's conventions.
//!
//! The unit is the user: scores are averaged over seeds first, so ten seeds of 300 users are 300 observations and not
//! 3000. The numbers agree with `scipy.stats` (`ttest_rel`, `wilcoxon`, `bootstrap(method="percentile")`) on the
//! fixtures beside the tests.

use anyhow::{Result, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc;

/// How many times the users are resampled for an interval.
pub const RESAMPLES: usize = 10_000;

/// The two-sided level of the tests; intervals cover one minus this.
pub const ALPHA: f64 = 0.05;

/// The arithmetic mean; 0 for no values.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        0.0
    } else {
        values.iter().sum::<f64>() / values.len() as f64
    }
}

/// The sample standard deviation (n − 1); `None` below two values, where spread is unknown rather than 0.
#[must_use]
pub fn sd(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// A two-sided 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether the whole interval lies above `value`.
    #[must_use]
    pub fn above(self, value: f64) -> bool {
        self.low > value
    }

    /// Whether the whole interval lies below `value`.
    #[must_use]
    pub fn below(self, value: f64) -> bool {
        self.high < value
    }
}

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

/// What a test found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// The statistic: t, or the smaller of the two rank sums.
    pub statistic: f64,
    /// The two-sided p-value.
    pub p: f64,
}

/// The paired t test of a mean difference of zero. Without any spread it cannot be made: `None`.
#[must_use]
pub fn paired_t(differences: &[f64]) -> Option<Test> {
    let spread = sd(differences).filter(|spread| *spread > 0.0)?;
    let count = differences.len() as f64;
    let statistic = mean(differences) / (spread / count.sqrt());
    let freedom = count - 1.0;
    // Both tails at once through the incomplete beta function, which stays exact far out where 1 - CDF is 0.
    let p = beta_reg(freedom / 2.0, 0.5, freedom / (freedom + statistic * statistic));
    Some(Test { statistic, p })
}

/// Cohen's d for paired samples: the mean difference in units of its standard deviation over users.
#[must_use]
pub fn effect_size_dz(differences: &[f64]) -> Option<f64> {
    sd(differences)
        .filter(|spread| *spread > 0.0)
        .map(|spread| mean(differences) / spread)
}

/// The largest sample whose null distribution is enumerated when there are no zeros and no ties.
const EXACT_WITHOUT_TIES: usize = 50;
/// The same with zeros or ties.
const EXACT_WITH_TIES: usize = 13;

/// The Wilcoxon signed-rank test as `scipy.stats.wilcoxon` makes it without options.
///
/// Zeros are dropped, ties share their mean rank, no continuity correction. Small samples get the exact null
/// distribution (up to 50 differences, or 13 with zeros or ties), larger ones the normal approximation with its
/// variance corrected for ties. `None` where no difference is left.
#[must_use]
pub fn wilcoxon(differences: &[f64]) -> Option<Test> {
    let mut kept: Vec<f64> = differences
        .iter()
        .copied()
        .filter(|value| *value != 0.0)
        .collect();
    if kept.is_empty() {
        return None;
    }
    kept.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let count = kept.len() as f64;
    // Ranks are doubled, so that the mean rank of a tie is an integer.
    let mut doubled = Vec::with_capacity(kept.len());
    let mut tie_term = 0.0;
    for group in kept.chunk_by(|a, b| a.abs() == b.abs()) {
        let first = doubled.len() + 1;
        let rank = 2 * first + group.len() - 1;
        doubled.extend(std::iter::repeat_n(rank, group.len()));
        let size = group.len() as f64;
        tie_term += size.powi(3) - size;
    }
    let plus: usize = kept
        .iter()
        .zip(&doubled)
        .filter(|(value, _)| **value > 0.0)
        .map(|(_, rank)| rank)
        .sum();
    let total: usize = doubled.iter().sum();
    let statistic = plus.min(total - plus) as f64 / 2.0;
    let plain = tie_term == 0.0 && kept.len() == differences.len();
    let limit = if plain {
        EXACT_WITHOUT_TIES
    } else {
        EXACT_WITH_TIES
    };
    let p = if differences.len() <= limit {
        exact_signed_rank_p(&doubled, plus)
    } else {
        let expected = count * (count + 1.0) / 4.0;
        let variance = (count * (count + 1.0) * (2.0 * count + 1.0) - tie_term / 2.0) / 24.0;
        let z = (plus as f64 / 2.0 - expected) / variance.sqrt();
        erfc(z.abs() / std::f64::consts::SQRT_2)
    };
    Some(Test { statistic, p })
}

/// The two-sided p-value over all sign assignments of the ranks.
fn exact_signed_rank_p(ranks: &[usize], observed: usize) -> f64 {
    let total: usize = ranks.iter().sum();
    let mut ways = vec![0.0f64; total + 1];
    ways[0] = 1.0;
    for &rank in ranks {
        for sum in (rank..=total).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    let all = 2f64.powi(ranks.len() as i32);
    let at_most: f64 = ways[..=observed].iter().sum();
    let at_least: f64 = ways[observed..].iter().sum();
    (2.0 * at_most.min(at_least) / all).min(1.0)
}

/// p-values adjusted by Holm's step-down procedure, in the order given.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut so_far: f64 = 0.0;
    for (position, &index) in order.iter().enumerate() {
        so_far = so_far
            .max(p_values[index] * (p_values.len() - position) as f64)
            .min(1.0);
        adjusted[index] = so_far;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[derive(Deserialize)]
    struct Fixture {
        cases: Vec<Case>,
        intervals: Vec<Sampled>,
        holm: Adjusted,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        differences: Vec<f64>,
        mean: f64,
        sd: f64,
        t: Option<(f64, f64)>,
        wilcoxon: Option<(f64, f64)>,
        dz: Option<f64>,
    }

    #[derive(Deserialize)]
    struct Sampled {
        name: String,
        differences: Vec<f64>,
        low: f64,
        high: f64,
    }

    #[derive(Deserialize)]
    struct Adjusted {
        p: Vec<f64>,
        adjusted: Vec<f64>,
    }

    fn fixture() -> Fixture {
        serde_json::from_str(include_str!("../tests/fixtures/statistics.json")).unwrap()
    }

    #[track_caller]
    fn close(what: &str, ours: f64, theirs: f64) {
        let tolerance = 1e-9 * theirs.abs().max(1e-30);
        assert!(
            (ours - theirs).abs() <= tolerance.max(1e-300),
            "{what}: {ours} is not {theirs}"
        );
    }

    #[track_caller]
    fn same_test(what: &str, ours: Option<Test>, theirs: Option<(f64, f64)>) {
        match (ours, theirs) {
            (Some(ours), Some((statistic, p))) => {
                close(&format!("{what} statistic"), ours.statistic, statistic);
                close(&format!("{what} p"), ours.p, p);
            }
            (None, None) => {}
            other => panic!("{what}: {other:?}"),
        }
    }

    #[test]
    fn tests_agree_with_scipy() {
        let cases = fixture().cases;
        assert!(cases.len() >= 10);
        for case in cases {
            let d = &case.differences;
            assert!((mean(d) - case.mean).abs() < 1e-12, "{}", case.name);
            assert!((sd(d).unwrap() - case.sd).abs() < 1e-12, "{}", case.name);
            same_test(&format!("{}: t", case.name), paired_t(d), case.t);
            same_test(&format!("{}: wilcoxon", case.name), wilcoxon(d), case.wilcoxon);
            assert_eq!(effect_size_dz(d).is_some(), case.dz.is_some(), "{}", case.name);
            if let (Some(ours), Some(theirs)) = (effect_size_dz(d), case.dz) {
                close(&format!("{}: dz", case.name), ours, theirs);
            }
        }
    }

    /// The interval of the mean of paired differences, over resampled users.
    fn paired_bootstrap(key: &str, differences: &[f64]) -> Result<Interval> {
        Ok(Bootstrap::new(key, &[differences.to_vec()])?.interval(0))
    }

    #[test]
    fn intervals_agree_with_scipy_up_to_sampling_noise() {
        for case in fixture().intervals {
            let ours = paired_bootstrap(&case.name, &case.differences).unwrap();
            let standard_error = sd(&case.differences).unwrap() / (case.differences.len() as f64).sqrt();
            // Ten thousand resamples place a 2.5 % quantile to about 0.03 standard errors.
            assert!(
                (ours.low - case.low).abs() < 0.12 * standard_error,
                "{}: {ours:?}",
                case.name
            );
            assert!(
                (ours.high - case.high).abs() < 0.12 * standard_error,
                "{}: {ours:?}",
                case.name
            );
        }
    }

    #[test]
    fn holm_agrees_with_the_step_down_by_hand() {
        let Adjusted { p, adjusted } = fixture().holm;
        for (ours, theirs) in holm(&p).iter().zip(&adjusted) {
            close("holm", *ours, *theirs);
        }
        assert_eq!(holm(&[0.01, 0.02]), vec![0.02, 0.02]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn the_same_key_gives_the_same_interval_on_any_number_of_threads() {
        let d: Vec<f64> = (0..300).map(|i| f64::from(i % 7) - 2.9).collect();
        let wide = paired_bootstrap("key", &d).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(pool.install(|| paired_bootstrap("key", &d).unwrap()), wide);
        assert_ne!(paired_bootstrap("another key", &d).unwrap(), wide);
    }

    #[test]
    fn a_difference_of_columns_is_the_paired_difference() {
        let a: Vec<f64> = (0..100).map(|i| f64::from(i * 37 % 11)).collect();
        let b: Vec<f64> = (0..100).map(|i| f64::from(i * 53 % 7)).collect();
        let d: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
        let both = Bootstrap::new("k", &[a, b]).unwrap().difference(0, 1);
        let alone = paired_bootstrap("k", &d).unwrap();
        assert!((both.low - alone.low).abs() < 1e-12 && (both.high - alone.high).abs() < 1e-12);
    }

    #[test]
    fn a_constant_difference_has_an_interval_without_width() {
        let interval = paired_bootstrap("k", &[0.25; 40]).unwrap();
        assert!((interval.low - 0.25).abs() < 1e-12 && (interval.high - 0.25).abs() < 1e-12);
    }

    #[test]
    fn columns_of_different_users_are_refused() {
        assert!(Bootstrap::new("k", &[vec![1.0; 3], vec![1.0; 4]]).is_err());
        assert!(paired_bootstrap("k", &[]).is_err());
    }
}
