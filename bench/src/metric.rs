//! Ranking metrics with one relevant item, computed for each user from where the target stands.
//!
//! Candidates that share the target's score stand in no order: a user scores the expectation over a random one, so that a method that scores
//! everything alike has exactly the value of chance. The pessimistic value, with the target after all that share its score, is there too.

mod tally;

use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

pub use tally::Tally;

/// The rank of a target that a method did not rank at all, such as an answer outside the list. It scores 0 everywhere.
pub const MISS: u32 = u32::MAX;

/// Where a target stands among the scored candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// How many candidates score strictly above it; [`MISS`] where it was not ranked at all.
    pub above: u32,
    /// How many others share its score.
    pub tied: u32,
}

impl Place {
    /// The place of a target that was not ranked at all: it scores 0 everywhere.
    pub const MISS: Self = Self { above: MISS, tied: 0 };

    /// The place that stands in older records as a rank after all ties and the number of others that tie.
    #[must_use]
    pub fn from_pessimistic(rank: u32, tied: u32) -> Self {
        match rank {
            0 | MISS => Self::MISS,
            _ => Self {
                above: (rank - 1).saturating_sub(tied),
                tied: tied.min(rank - 1),
            },
        }
    }

    /// Whether the target was not ranked at all.
    #[must_use]
    pub fn is_miss(self) -> bool {
        self.above == MISS
    }

    /// The 1-based rank after all candidates of the target's score; [`MISS`] for a miss.
    #[must_use]
    pub fn pessimistic_rank(self) -> u32 {
        self.above.saturating_add(self.tied).saturating_add(1)
    }
}

/// Where the target stands among scored candidates (higher is better).
///
/// A score that is not a number is no score: the candidate stands below all that have one, and a target without one below all others, so
/// that a method gains nothing by failing. A `target_index` outside `scores` is a [`Place::MISS`].
#[must_use]
pub fn place(scores: &[f32], target_index: usize) -> Place {
    let Some(&target) = scores.get(target_index) else {
        return Place::MISS;
    };
    let count = |found: usize| u32::try_from(found).unwrap_or(MISS - 1);
    if target.is_nan() {
        return Place {
            above: count(scores.len() - 1),
            tied: 0,
        };
    }
    let above = scores.iter().filter(|score| **score > target).count();
    let equal = scores.iter().filter(|score| **score == target).count();
    Place {
        above: count(above),
        tied: count(equal - 1),
    }
}

/// The gain `1 / log2(rank + 1)` of the first ranks, which are nearly all that are ever asked for; the first entry is rank 1.
static GAINS: LazyLock<[f64; 64]> = LazyLock::new(|| std::array::from_fn(|index| gain(index as u32 + 1)));

fn gain(rank: u32) -> f64 {
    1.0 / (f64::from(rank) + 1.0).log2()
}

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
            Self::Ndcg(_) => match GAINS.get(rank as usize - 1) {
                Some(gain) => *gain,
                None => gain(rank),
            },
            Self::Mrr | Self::MrrAt(_) => 1.0 / f64::from(rank),
        }
    }

    /// The score of one user whose target stands here: the mean over the ranks that those of its score share.
    #[must_use]
    pub fn expected(self, place: Place) -> f64 {
        let first = place.above.saturating_add(1);
        if place.tied == 0 {
            return self.score(first);
        }
        if place.is_miss() {
            return 0.0;
        }
        let last = place.pessimistic_rank();
        let reached = self.cut().map_or(last, |k| k.min(last));
        let total = match self {
            _ if reached < first => 0.0,
            Self::Hr(_) => f64::from(reached - first + 1),
            Self::Ndcg(_) => (first..=reached).map(|rank| self.score(rank)).sum(),
            Self::Mrr | Self::MrrAt(_) => reciprocals(first, reached),
        };
        total / (f64::from(place.tied) + 1.0)
    }

    /// The score of one user with the target after all candidates of its score: what ties could at worst have cost.
    #[must_use]
    pub fn pessimistic(self, place: Place) -> f64 {
        self.score(place.pessimistic_rank())
    }

    /// The exact expectation under a uniformly random order of `candidates` items: that of a method that scores all of them alike.
    #[must_use]
    pub fn chance(self, candidates: usize) -> f64 {
        let Some(others) = candidates.checked_sub(1) else {
            return 0.0;
        };
        let tied = u32::try_from(others).unwrap_or(MISS - 1);
        self.expected(Place { above: 0, tied })
    }
}

/// The sum of `1 / rank` over these ranks, the last at least the first.
fn reciprocals(first: u32, last: u32) -> f64 {
    /// From here on the terms of the series below are under the last digit.
    const FAR: u32 = 64;
    let near = last.min(first.max(FAR) - 1);
    let by_hand: f64 = (first..=near).map(|rank| 1.0 / f64::from(rank)).sum();
    if near == last {
        return by_hand;
    }
    // A whole catalogue may share one score: the rest is a difference of harmonic numbers by Euler's and Maclaurin's series.
    let (from, to) = (f64::from(near.max(first - 1)), f64::from(last));
    let correction = |n: f64| {
        let square = 1.0 / (n * n);
        0.5 / n - square * (1.0 / 12.0 - square * (1.0 / 120.0 - square / 252.0))
    };
    by_hand + ((to - from) / from).ln_1p() + correction(to) - correction(from)
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
    fn places_count_those_above_and_those_alike() {
        let at = |scores: &[f32], target| {
            let place = place(scores, target);
            (place.above, place.tied)
        };
        assert_eq!(at(&[0.1, 0.9, 0.5], 1), (0, 0));
        assert_eq!(at(&[0.9, 0.5, 0.5, 0.1], 1), (1, 1));
        assert_eq!(at(&[1.0; 30], 0), (0, 29));
        assert_eq!(at(&[0.0, -0.0], 0), (0, 1));
        assert_eq!(place(&[0.5], 7), Place::MISS);
    }

    #[test]
    fn a_method_that_fails_gains_nothing_by_it() {
        // Without a score the target is last, be the others scored or not; and others without one are below it.
        for scores in [[f32::NAN, 0.5, -3.0], [f32::NAN; 3]] {
            assert_eq!(place(&scores, 0), Place { above: 2, tied: 0 });
        }
        assert_eq!(place(&[f32::NAN, 0.5, -3.0], 2), Place { above: 1, tied: 0 });
        assert_eq!(
            place(&[f32::NEG_INFINITY, f32::NAN], 0),
            Place { above: 0, tied: 0 }
        );
    }

    #[test]
    fn a_constant_scorer_has_exactly_the_value_of_chance() {
        for metric in Metric::ALL {
            for candidates in [1, 2, 5, 10, 30, 999, 100_000] {
                let place = place(&vec![0.25; candidates], candidates / 2);
                assert_eq!(metric.expected(place), metric.chance(candidates), "{metric:?}");
            }
            close(metric.chance(0), 0.0);
        }
    }

    #[test]
    fn ties_count_by_their_expectation() {
        for metric in Metric::ALL {
            for (above, tied) in [
                (0, 0),
                (0, 3),
                (2, 5),
                (4, 0),
                (4, 1),
                (9, 9),
                (10, 3),
                (50, 400),
                (63, 2),
                (70, 90),
            ] {
                let mean = (above + 1..=above + tied + 1)
                    .map(|rank| metric.score(rank))
                    .sum::<f64>()
                    / f64::from(tied + 1);
                let place = Place { above, tied };
                close(metric.expected(place), mean);
                close(metric.pessimistic(place), metric.score(above + tied + 1));
                assert!(metric.expected(place) >= metric.pessimistic(place));
            }
            close(metric.expected(Place::MISS), 0.0);
            close(metric.pessimistic(Place::MISS), 0.0);
        }
        // Of a million, by the harmonic number.
        let million = Metric::Mrr.chance(1_000_000);
        assert!(
            (million * 1e6 - 14.392_726_722_865_724).abs() < 1e-12,
            "{million}"
        );
    }

    #[test]
    fn older_records_are_read() {
        assert_eq!(Place::from_pessimistic(3, 1), Place { above: 1, tied: 1 });
        assert_eq!(Place::from_pessimistic(30, 29), Place { above: 0, tied: 29 });
        assert_eq!(Place::from_pessimistic(1, 0), Place { above: 0, tied: 0 });
        assert_eq!(Place::from_pessimistic(MISS, 0), Place::MISS);
        assert_eq!(Place::from_pessimistic(3, 1).pessimistic_rank(), 3);
        assert_eq!(Place::MISS.pessimistic_rank(), MISS);
    }
}
