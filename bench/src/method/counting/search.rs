//! The weights of the sum by a search over a grid, on users who are calibrated on and never reported.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Counting, Weights};
use crate::metric::{Metric, place};
use crate::statistics::{mean, sd};

/// Whoever is asked: whole history, target and candidates, the target among them (where it is not, it counts as missed).
pub type Asked<'a> = (&'a [u32], u32, &'a [u32]);

/// With fewer cases nothing is tuned: a search would find their noise.
pub const MIN_CASES: usize = crate::scoring::LEAST;

/// Weights of cosines and of shares. Only their ratio matters, and the ends are each of them alone.
const MIXES: [[f64; 2]; 7] = [
    [1.0, 0.0],
    [1.0, 0.25],
    [1.0, 0.5],
    [1.0, 1.0],
    [0.5, 1.0],
    [0.25, 1.0],
    [0.0, 1.0],
];

/// From nothing but a way to part ties to nearly nothing but popularity.
const POPULARITIES: [f64; 9] = [1e-9, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0];

/// From the last item alone to a history without an order.
const DECAYS: [f64; 6] = [0.0, 0.3, 0.5, 0.7, 0.85, 1.0];

/// Where the untuned weights stand in the three.
const UNTUNED: [usize; 3] = [3, 0, 3];

/// What is maximised.
const METRIC: Metric = Metric::Ndcg(5);

/// The weights that a search settled on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// What to score with.
    pub weights: Weights,
    /// The cases at hand.
    pub cases: usize,
    /// What was found on them; nothing where they were too few ([`MIN_CASES`]) and the weights are the untuned ones.
    pub found: Option<Found>,
}

/// NDCG@5 on the cases that were searched on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Of the untuned weights.
    pub untuned: f64,
    /// Of the chosen ones.
    pub chosen: f64,
    /// Of the best of all.
    pub best: f64,
}

/// A point of the grid.
struct Point {
    weights: Weights,
    /// Steps along the axes to the untuned weights.
    distance: usize,
}

fn points(decay: usize) -> Vec<Point> {
    let axes = (0..MIXES.len())
        .flat_map(|mix| (0..POPULARITIES.len()).map(move |popularity| [mix, popularity, decay]));
    let point = |at: [usize; 3]| Point {
        weights: Weights {
            knn: MIXES[at[0]][0],
            next: MIXES[at[0]][1],
            popularity: POPULARITIES[at[1]],
            decay: DECAYS[at[2]],
        },
        distance: at
            .iter()
            .zip(UNTUNED)
            .map(|(at, untuned)| at.abs_diff(untuned))
            .sum(),
    };
    axes.map(point).collect()
}

/// The point nearest to the untuned one of those whose difference from the best, user by user, is within a standard error of it; of
/// equally near ones the better.
pub(super) fn search(counting: &Counting, cases: &[Asked<'_>]) -> Choice {
    if cases.len() < MIN_CASES {
        return Choice {
            weights: Weights::UNTUNED,
            cases: cases.len(),
            found: None,
        };
    }
    let seen: Vec<Seen> = (0..DECAYS.len())
        .flat_map(|decay| seen(counting, cases, points(decay)))
        .collect();
    let best = seen.iter().fold(
        &seen[0],
        |best, one| if one.mean > best.mean { one } else { best },
    );
    let nearest = seen
        .iter()
        .filter(|one| one.not_shown_worse(best))
        .fold(best, |nearest, one| {
            let nearer = one.point.distance.cmp(&nearest.point.distance);
            let better = nearer.then(nearest.mean.total_cmp(&one.mean));
            if better.is_lt() { one } else { nearest }
        });
    let untuned = seen.iter().find(|one| one.point.distance == 0);
    Choice {
        weights: nearest.point.weights,
        cases: cases.len(),
        found: untuned.map(|untuned| Found {
            untuned: untuned.mean,
            chosen: nearest.mean,
            best: best.mean,
        }),
    }
}

/// A point and what it is worth.
struct Seen {
    point: Point,
    by_case: Vec<f64>,
    mean: f64,
}

impl Seen {
    fn not_shown_worse(&self, best: &Seen) -> bool {
        let lost: Vec<f64> = best
            .by_case
            .iter()
            .zip(&self.by_case)
            .map(|(best, own)| best - own)
            .collect();
        let error = sd(&lost).unwrap_or(0.0) / (lost.len() as f64).sqrt();
        mean(&lost) <= error
    }
}

/// What points of one decay are worth.
fn seen(counting: &Counting, cases: &[Asked<'_>], points: Vec<Point>) -> Vec<Seen> {
    let values: Vec<Vec<f64>> = cases
        .par_iter()
        .map(|case| values(counting, *case, &points))
        .collect();
    let of_point = |(at, point)| {
        let by_case: Vec<f64> = values.iter().map(|values| values[at]).collect();
        let mean = mean(&by_case);
        Seen { point, by_case, mean }
    };
    points.into_iter().enumerate().map(of_point).collect()
}

/// What points of one decay are worth on one case.
fn values(counting: &Counting, (history, target, candidates): Asked<'_>, points: &[Point]) -> Vec<f64> {
    let Some(decay) = points.first().map(|point| point.weights.decay) else {
        return Vec::new();
    };
    let [knn, next] = counting.means(history, decay);
    // A target that is no candidate stands at a place beyond them all.
    let at = candidates
        .iter()
        .position(|item| *item == target)
        .unwrap_or(candidates.len());
    let value = |point: &Point| {
        let score = |item: &u32| {
            let item = *item as usize - 1;
            point
                .weights
                .score(knn[item], next[item], counting.popularity[item])
        };
        let scores: Vec<f32> = candidates.iter().map(score).collect();
        METRIC.expected(place(&scores, at))
    };
    points.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fit;
    use super::*;
    use crate::method::log::tests::{log, scores};

    /// Cases over the small log: every pair of items for a history, `target` of the other six, which are the candidates.
    fn tuned(target: impl Fn(&[u32], &[u32]) -> u32) -> (Choice, f64) {
        let counting = fit(&log(), &[]);
        let mut cases: Vec<(Vec<u32>, u32, Vec<u32>)> = Vec::new();
        for pass in 0..8 {
            for pair in 0..64 {
                let history = vec![pair / 8 + 1, pair % 8 + 1];
                let mut candidates: Vec<u32> = (1..=8).filter(|item| !history.contains(item)).collect();
                candidates.rotate_left(pass % 6);
                cases.push((history.clone(), target(&history, &candidates), candidates));
            }
        }
        let asked: Vec<Asked<'_>> = cases
            .iter()
            .map(|(history, target, candidates)| (&history[..], *target, &candidates[..]))
            .collect();
        let choice = counting.tune(&asked);
        let row = counting.clone().with_weights(choice.weights);
        let value = |(history, target, candidates): &Asked<'_>| {
            let all = scores(&row, 8, history);
            let scores: Vec<f32> = candidates.iter().map(|item| all[*item as usize - 1]).collect();
            let at = candidates.iter().position(|item| item == target);
            METRIC.expected(place(&scores, at.unwrap_or(usize::MAX)))
        };
        let values: Vec<f64> = asked.iter().map(value).collect();
        let few = counting.tune(&asked[..MIN_CASES - 1]);
        assert_eq!(
            (few.weights, few.cases, few.found),
            (Weights::UNTUNED, MIN_CASES - 1, None)
        );
        (choice, mean(&values))
    }

    /// The first of the candidates with the highest score under these weights.
    fn best_under(weights: Weights, history: &[u32], candidates: &[u32]) -> u32 {
        let scores = scores(&fit(&log(), &[]).with_weights(weights), 8, history);
        let better = |best: u32, item: u32| {
            if scores[item as usize - 1] > scores[best as usize - 1] {
                item
            } else {
                best
            }
        };
        candidates.iter().copied().fold(candidates[0], better)
    }

    #[test]
    fn whoever_takes_what_the_untuned_sum_says_leaves_it_untuned() {
        let (choice, value) = tuned(|history, candidates| best_under(Weights::UNTUNED, history, candidates));
        let found = choice.found.unwrap_or(Found {
            untuned: 0.0,
            chosen: 0.0,
            best: 0.0,
        });
        assert_eq!(choice.weights, Weights::UNTUNED);
        assert_eq!((found.chosen, found.untuned), (value, value));
    }

    #[test]
    fn whoever_takes_what_is_popular_makes_popularity_weigh() {
        let popular = Weights {
            knn: 0.0,
            next: 0.0,
            popularity: 1.0,
            decay: 0.0,
        };
        let (choice, value) = tuned(|history, candidates| best_under(popular, history, candidates));
        let found = choice.found.unwrap_or(Found {
            untuned: 0.0,
            chosen: 0.0,
            best: 0.0,
        });
        assert!(choice.weights.popularity >= 1.0, "{choice:?}");
        assert!(
            found.chosen > found.untuned + 0.1 && found.best >= found.chosen,
            "{found:?}"
        );
        assert_eq!(found.chosen, value, "as it scores");
    }

    #[test]
    fn whoever_follows_the_last_item_shortens_the_memory() {
        let markov = Weights {
            knn: 0.0,
            next: 1.0,
            popularity: 1e-9,
            decay: 0.0,
        };
        let (choice, value) = tuned(|history, candidates| best_under(markov, history, candidates));
        let found = choice.found.unwrap_or(Found {
            untuned: 0.0,
            chosen: 0.0,
            best: 0.0,
        });
        assert!(
            choice.weights.decay < 0.7 && choice.weights.next >= choice.weights.knn,
            "{choice:?}"
        );
        assert!(found.chosen > found.untuned, "{found:?}");
        assert_eq!(found.chosen, value);
    }

    #[test]
    fn a_target_that_is_no_candidate_is_missed() {
        let (choice, value) = tuned(|history, _| history[0]);
        assert_eq!((choice.weights, value), (Weights::UNTUNED, 0.0));
    }
}
