//! Means of many metrics over many users, from how often each place occurs.

use super::{Metric, Place};

/// Places whose two numbers are both below this are counted, which with some tens of candidates are all of them; the others are kept.
const NEAR: u32 = 64;

/// How often each place occurs among the users of a run.
#[derive(Debug, Clone)]
pub struct Tally {
    near: Vec<u32>,
    far: Vec<Place>,
    users: usize,
    tied: usize,
}

impl Tally {
    /// Counts places; their order does not matter, not even to the last digit of a mean.
    #[must_use]
    pub fn of(places: &[Place]) -> Self {
        let mut near = vec![0; (NEAR * NEAR) as usize];
        let mut far = Vec::new();
        let mut tied = 0;
        for &place in places {
            tied += usize::from(place.tied > 0);
            if place.above < NEAR && place.tied < NEAR {
                near[(place.above * NEAR + place.tied) as usize] += 1;
            } else {
                far.push(place);
            }
        }
        far.sort_unstable_by_key(|place| (place.above, place.tied));
        Self {
            near,
            far,
            users: places.len(),
            tied,
        }
    }

    /// The mean of a metric over users, ties by their expectation; 0 without users.
    #[must_use]
    pub fn mean(&self, metric: Metric) -> f64 {
        self.mean_of(|place| metric.expected(place))
    }

    /// The mean of a metric over users with each target after all candidates of its score.
    #[must_use]
    pub fn pessimistic_mean(&self, metric: Metric) -> f64 {
        self.mean_of(|place| metric.pessimistic(place))
    }

    /// The share of users whose target shares its score with another candidate.
    #[must_use]
    pub fn tied_share(&self) -> f64 {
        self.tied as f64 / self.users.max(1) as f64
    }

    fn mean_of(&self, score: impl Fn(Place) -> f64) -> f64 {
        let counted = self.near.iter().zip(0..).filter(|(count, _)| **count > 0);
        let near: f64 = counted
            .map(|(count, cell)| {
                let place = Place {
                    above: cell / NEAR,
                    tied: cell % NEAR,
                };
                f64::from(*count) * score(place)
            })
            .sum();
        let far: f64 = self.far.iter().map(|place| score(*place)).sum();
        (near + far) / self.users.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_over_users_one_by_one() {
        let mut places: Vec<Place> = (0..3_000u32)
            .map(|user| Place {
                above: user * 7_919 % 97,
                tied: if user % 3 == 0 { user * 104_729 % 89 } else { 0 },
            })
            .collect();
        places.push(Place::MISS);
        let tally = Tally::of(&places);
        for metric in Metric::ALL {
            let mean = |score: &dyn Fn(Place) -> f64| {
                places.iter().map(|place| score(*place)).sum::<f64>() / places.len() as f64
            };
            assert!((tally.mean(metric) - mean(&|place| metric.expected(place))).abs() < 1e-12);
            assert!(
                (tally.pessimistic_mean(metric) - mean(&|place| metric.pessimistic(place))).abs() < 1e-12
            );
            assert!(tally.mean(metric) > tally.pessimistic_mean(metric));
        }
        let tied = places.iter().filter(|place| place.tied > 0).count();
        assert!((tally.tied_share() - tied as f64 / places.len() as f64).abs() < 1e-15);
    }

    #[test]
    fn the_order_of_users_reaches_no_digit_and_no_users_have_no_score() {
        let places: Vec<Place> = (0..500u32)
            .map(|user| Place {
                above: user * 31 % 150,
                tied: user % 2,
            })
            .collect();
        let reversed: Vec<Place> = places.iter().rev().copied().collect();
        for metric in Metric::ALL {
            assert_eq!(
                Tally::of(&places).mean(metric).to_bits(),
                Tally::of(&reversed).mean(metric).to_bits()
            );
            assert_eq!(Tally::of(&[]).mean(metric), 0.0);
        }
        assert_eq!(Tally::of(&[]).tied_share(), 0.0);
    }
}
