//! The Wilcoxon signed-rank test.

use super::Test;
use statrs::function::erf::erfc;

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
