//! Ranking metrics with one relevant item, computed for each user from the rank of the target.

use serde::{Deserialize, Serialize};

/// The rank of a target that a method did not rank at all, such as an answer outside the list. It scores 0 everywhere.
pub const MISS: u32 = u32::MAX;

/// A ranking metric. With a single relevant item each of them is a function of its rank alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Metric {
    /// Hit rate: 1 where the target is among the first k.
    Hr(u32),
    /// Normalised discounted cumulative gain: `1 / log2(rank + 1)` among the first k. At k = 1 it equals the hit rate.
    Ndcg(u32),
    /// Mean reciprocal rank over the whole list.
    Mrr,
    /// Mean reciprocal rank, 0 beyond the first k.
    MrrAt(u32),
}

impl Metric {
    /// Every metric the harness knows, in the order of its tables.
    pub const ALL: [Self; 9] = [
        Self::Hr(1),
        Self::Hr(5),
        Self::Hr(10),
        Self::Ndcg(1),
        Self::Ndcg(3),
        Self::Ndcg(5),
        Self::Ndcg(10),
        Self::Mrr,
        Self::MrrAt(5),
    ];

    /// The metric that verdicts rest on, chosen before any run: conclusions from whichever of nine metrics
    /// happens to look best would be worth little.
    pub const PRIMARY: Self = Self::Ndcg(5);

    /// The name people read, such as `NDCG@5`.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Hr(k) => format!("HR@{k}"),
            Self::Ndcg(k) => format!("NDCG@{k}"),
            Self::Mrr => "MRR".to_owned(),
            Self::MrrAt(k) => format!("MRR@{k}"),
        }
    }

    /// The name in files, such as `ndcg@5`.
    #[must_use]
    pub fn key(self) -> String {
        self.label().to_lowercase()
    }

    /// The cut, for the metrics that have one.
    #[must_use]
    pub fn cut(self) -> Option<u32> {
        match self {
            Self::Hr(k) | Self::Ndcg(k) | Self::MrrAt(k) => Some(k),
            Self::Mrr => None,
        }
    }

    /// Whether the metric can tell methods apart among so many candidates: a hit rate whose cut reaches the end of
    /// the list is 1 for everyone.
    #[must_use]
    pub fn discriminates(self, candidates: usize) -> bool {
        !matches!(self, Self::Hr(k) if k as usize >= candidates)
    }

    /// The score of one user whose target stands at `rank` (1-based), between 0 and 1.
    #[must_use]
    pub fn score(self, rank: u32) -> f64 {
        if rank == MISS || rank == 0 || self.cut().is_some_and(|k| rank > k) {
            return 0.0;
        }
        match self {
            Self::Hr(_) => 1.0,
            Self::Ndcg(_) => 1.0 / (f64::from(rank) + 1.0).log2(),
            Self::Mrr | Self::MrrAt(_) => 1.0 / f64::from(rank),
        }
    }

    /// The exact expectation under a uniformly random order of `candidates` items.
    #[must_use]
    pub fn chance(self, candidates: usize) -> f64 {
        let last = u32::try_from(candidates).unwrap_or(MISS - 1);
        let reached = self.cut().map_or(last, |k| k.min(last));
        (1..=reached).map(|rank| self.score(rank)).sum::<f64>() / f64::from(last.max(1))
    }
}

/// The rank of a target among scored candidates (higher is better), and how many others tie with it.
///
/// Ties are broken against the method: the target comes after every candidate with its score. A score that is not
/// a number counts as the worst there is, for the target as for the others, so a method gains nothing by failing.
/// A `target_index` outside `scores` is a [`MISS`].
#[must_use]
pub fn pessimistic_rank(scores: &[f32], target_index: usize) -> (u32, u32) {
    let worst_if_nan = |score: f32| if score.is_nan() { f32::NEG_INFINITY } else { score };
    let Some(&target) = scores.get(target_index) else {
        return (MISS, 0);
    };
    let target = worst_if_nan(target);
    let (mut above, mut tied) = (0, 0);
    for (index, &score) in scores.iter().enumerate() {
        let score = worst_if_nan(score);
        if index == target_index {
            continue;
        }
        if score > target {
            above += 1;
        } else if score == target {
            tied += 1;
        }
    }
    (1 + above + tied, tied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn scores_follow_the_rank() {
        close(Metric::Hr(5).score(5), 1.0);
        close(Metric::Hr(5).score(6), 0.0);
        close(Metric::Ndcg(5).score(1), 1.0);
        close(Metric::Ndcg(5).score(3), 0.5);
        close(Metric::Mrr.score(8), 0.125);
        close(Metric::MrrAt(5).score(8), 0.0);
        for rank in 1..30 {
            close(Metric::Ndcg(1).score(rank), Metric::Hr(1).score(rank));
        }
    }

    #[test]
    fn a_miss_scores_nothing_anywhere() {
        for metric in Metric::ALL {
            close(metric.score(MISS), 0.0);
        }
    }

    #[test]
    fn chance_is_the_mean_over_all_ranks() {
        for metric in Metric::ALL {
            for candidates in [2, 5, 10, 30, 1000] {
                let mean = (1..=candidates as u32)
                    .map(|rank| metric.score(rank))
                    .sum::<f64>()
                    / candidates as f64;
                close(metric.chance(candidates), mean);
            }
        }
        // Known by hand: a third of (1 + 1/log2(3) + 1/2), and the tenth harmonic number over ten.
        close(Metric::Ndcg(3).chance(3), (1.0 + 1.0 / 3f64.log2() + 0.5) / 3.0);
        close(Metric::Mrr.chance(10), 7381.0 / 2520.0 / 10.0);
        close(Metric::Hr(10).chance(30), 1.0 / 3.0);
    }

    #[test]
    fn a_hit_rate_over_the_whole_list_discriminates_nothing() {
        assert!(!Metric::Hr(10).discriminates(10));
        assert!(Metric::Hr(5).discriminates(10));
        assert!(Metric::Ndcg(10).discriminates(10));
    }

    #[test]
    fn ties_are_broken_against_the_method_and_counted() {
        assert_eq!(pessimistic_rank(&[0.1, 0.9, 0.5], 1), (1, 0));
        assert_eq!(pessimistic_rank(&[0.9, 0.5, 0.5, 0.1], 1), (3, 1));
        assert_eq!(pessimistic_rank(&[1.0; 30], 0), (30, 29));
        assert_eq!(pessimistic_rank(&[0.0, -0.0], 0), (2, 1));
    }

    #[test]
    fn not_a_number_is_the_worst_score() {
        assert_eq!(pessimistic_rank(&[f32::NAN, 0.5, -3.0], 0), (3, 0));
        assert_eq!(pessimistic_rank(&[f32::NAN, 0.5, -3.0], 2), (2, 0));
        assert_eq!(pessimistic_rank(&[f32::NAN; 4], 2), (4, 3));
        assert_eq!(pessimistic_rank(&[f32::NEG_INFINITY, f32::NAN], 0), (2, 1));
        assert_eq!(pessimistic_rank(&[0.5], 7), (MISS, 0));
    }
}
