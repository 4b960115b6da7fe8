//! How long the sequences of a folder are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Lengths of users' sequences, in interactions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lengths {
    /// Mean.
    pub mean: f64,
    /// The shortest.
    pub min: u64,
    /// A quarter of the users have at most so many.
    pub quartile: u64,
    /// Half of them.
    pub median: u64,
    /// Three quarters.
    pub upper_quartile: u64,
    /// The longest.
    pub max: u64,
    /// Users by length, in powers of two: upper bound (inclusive) to users.
    pub histogram: BTreeMap<u64, u64>,
}

impl Lengths {
    /// Of so many users with each length, from 0 on.
    pub fn of(users: &[u64]) -> Self {
        let count: u64 = users.iter().sum();
        let by_length = || (0..).zip(users.iter().copied()).filter(|(_, users)| *users > 0);
        let at = |share: f64| {
            let place = (count.saturating_sub(1) as f64 * share).round() as u64;
            let mut before = 0;
            let found = by_length().find(|(_, users)| {
                before += users;
                before > place
            });
            found.map_or(0, |(length, _)| length)
        };
        let mut histogram = BTreeMap::new();
        for (length, users) in by_length() {
            *histogram.entry(u64::next_power_of_two(length)).or_insert(0) += users;
        }
        let interactions: u64 = by_length().map(|(length, users)| length * users).sum();
        Self {
            mean: interactions as f64 / count.max(1) as f64,
            min: at(0.0),
            quartile: at(0.25),
            median: at(0.5),
            upper_quartile: at(0.75),
            max: at(1.0),
            histogram,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_sorted_list() {
        // 3, 3, 4, 9, 9, 9, 17
        let mut users = vec![0; 20];
        (users[3], users[4], users[9], users[17]) = (2, 1, 3, 1);
        let lengths = Lengths::of(&users);
        assert!((lengths.mean - 54.0 / 7.0).abs() < 1e-12);
        let quantiles = [
            lengths.min,
            lengths.quartile,
            lengths.median,
            lengths.upper_quartile,
            lengths.max,
        ];
        assert_eq!(quantiles, [3, 4, 9, 9, 17]);
        assert_eq!(lengths.histogram, BTreeMap::from([(4, 3), (16, 3), (32, 1)]));
        assert_eq!(Lengths::of(&[]), Lengths::default());
    }
}
