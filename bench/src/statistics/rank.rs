//! Rank correlation: whether two things go up and down together, however they are measured.

use super::mean;

/// Spearman's ρ: the correlation of ranks, ties sharing their mean rank.
///
/// `None` where there are fewer than three pairs, or where either is the same everywhere. Both are taken to be equally long.
#[must_use]
pub fn rank_correlation(one: &[f64], other: &[f64]) -> Option<f64> {
    if one.len() < 3 || one.len() != other.len() {
        return None;
    }
    let (one, other) = (ranks(one), ranks(other));
    let (centre, beside) = (mean(&one), mean(&other));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        let pairs = one.iter().zip(&other);
        pairs.map(|(a, b)| of(a - centre, b - beside)).sum()
    };
    let (squares, others) = (sum(&|a, _| a * a), sum(&|_, b| b * b));
    (squares > 0.0 && others > 0.0).then(|| sum(&|a, b| a * b) / (squares * others).sqrt())
}

/// The rank of each value from 1, the mean rank where several are equal.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let shared = before as f64 + (group.len() + 1) as f64 / 2.0;
        group.iter().for_each(|place| ranks[*place] = shared);
        before += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_equals_are_shared() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn the_correlation_is_that_of_ranks_and_unknown_where_nothing_differs() {
        let near = |one: &[f64], other: &[f64], expected: f64| {
            let found = rank_correlation(one, other).unwrap();
            assert!((found - expected).abs() < 1e-12, "{found}");
        };
        near(&[0.1, 0.4, 0.2, 9.0], &[1.0, 5.0, 2.0, 6.0], 1.0);
        near(&[0.1, 0.4, 0.2, 9.0], &[6.0, 2.0, 5.0, 1.0], -1.0);
        // NumPy's corrcoef of the ranks 4, 1.5, 5, 1.5, 6, 7, 3 and 3.5, 5, 1.5, 6.5, 3.5, 6.5, 1.5.
        near(
            &[3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0],
            &[2.0, 7.0, 1.0, 8.0, 2.0, 8.0, 1.0],
            -0.083_347_625_989_871_57,
        );
        assert_eq!(rank_correlation(&[1.0, 2.0], &[1.0, 2.0]), None);
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0]), None);
    }
}
