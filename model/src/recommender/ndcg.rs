//! The measure that chooses the epoch.

/// Expected NDCG@10 of one target, at `target`, among the scores of all items: items of the history (rows of the table) are no candidates,
/// and those with the target's own score stand before or after it with equal probability. Not finite where the target's score is not.
pub fn ndcg_at_10(scores: &[f32], target: usize, history: &[u32]) -> f64 {
    let own = scores[target];
    if !own.is_finite() {
        return f64::NAN;
    }
    let (mut above, mut equal) = (0usize, 0usize);
    for score in scores {
        above += usize::from(*score > own);
        equal += usize::from(*score == own);
    }
    let mut gone: Vec<u32> = history.to_vec();
    gone.sort_unstable();
    gone.dedup();
    for item in gone {
        let item = item as usize;
        if item != target {
            above -= usize::from(scores[item] > own);
            equal -= usize::from(scores[item] == own);
        }
    }
    // The target is one of those that are equal to it.
    let places = above..above + equal;
    let gain: f64 = places
        .clone()
        .take_while(|place| *place < 10)
        .map(|place| 1.0 / (place as f64 + 2.0).log2())
        .sum();
    gain / places.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_counts_and_the_history_does_not() {
        let scores = [0.5, 3.0, 2.0, 1.0, 4.0];
        assert_eq!(ndcg_at_10(&scores, 4, &[]), 1.0);
        // Places 1, 2 and 3 belong to items 4, 1 and 2.
        assert_eq!(ndcg_at_10(&scores, 3, &[]), 1.0 / 5f64.log2());
        assert_eq!(ndcg_at_10(&scores, 3, &[4, 1, 4]), 1.0 / 3f64.log2());
        // A target that was there before is a candidate all the same.
        assert_eq!(ndcg_at_10(&scores, 2, &[2, 4, 1]), 1.0);
        let many: Vec<f32> = (0..20).map(|i| i as f32).collect();
        assert_eq!(ndcg_at_10(&many, 9, &[]), 0.0);
    }

    #[test]
    fn ties_are_the_mean_over_all_orders() {
        // Second or third.
        let expected = (1.0 / 3f64.log2() + 1.0 / 4f64.log2()) / 2.0;
        let found = ndcg_at_10(&[1.0, 1.0, 2.0], 0, &[]);
        assert!((found - expected).abs() < 1e-12, "{found}");
        // All forty are equal: ten of forty places count.
        let all: f64 = (2..12).map(|place| 1.0 / f64::from(place).log2()).sum();
        assert!((ndcg_at_10(&[0.0; 40], 7, &[]) - all / 40.0).abs() < 1e-12);
        assert!(ndcg_at_10(&[f32::NAN, 1.0], 0, &[]).is_nan());
    }
}
