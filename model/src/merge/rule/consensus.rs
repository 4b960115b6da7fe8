//! Entries of several matrices made one: added up, or those of the sign that is elected.

use serde::{Deserialize, Serialize};

use crate::merge::matrix::Matrix;

/// How the sign of an entry is elected. Where the vote is even, the positive one wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Election {
    /// By the sum of the values.
    #[default]
    Total,
    /// By the number of values.
    Frequency,
}

impl Election {
    fn sign(self, values: impl Iterator<Item = f64>) -> f64 {
        let vote: f64 = match self {
            Election::Total => values.sum(),
            Election::Frequency => values.map(sign).sum(),
        };
        if vote >= 0.0 { 1.0 } else { -1.0 }
    }
}

/// Unlike that of the standard library, 0 for zeros.
fn sign(value: f64) -> f64 {
    match value {
        value if value > 0.0 => 1.0,
        value if value < 0.0 => -1.0,
        _ => 0.0,
    }
}

/// mergekit's sum: of all, or of those that agree with the sign of the weighted sum; divided by the weights that took part or not.
pub(super) fn mergekit(mut parts: Vec<Matrix>, weights: &[f64], consensus: bool, normalize: bool) -> Matrix {
    for (part, weight) in parts.iter_mut().zip(weights) {
        part.scale(*weight);
    }
    let all: f64 = match weights.iter().sum::<f64>() {
        sum if sum.abs() < 1e-8 => 1.0,
        sum => sum,
    };
    each_entry(parts, |values| {
        let elected = Election::Total.sign(values.iter().copied());
        let agrees = |value: &f64| !consensus || sign(*value) == elected;
        let sum: f64 = values.iter().filter(|value| agrees(value)).sum();
        let weight = match consensus {
            false => all,
            true => {
                let part = values.iter().zip(weights).filter(|(value, _)| agrees(value));
                match part.map(|(_, weight)| weight).sum() {
                    0.0 => 1.0,
                    weight => weight,
                }
            }
        };
        if normalize { sum / weight } else { sum }
    })
}

/// PEFT's sum by weights.
pub(super) fn sum(parts: Vec<Matrix>, weights: &[f64]) -> Matrix {
    each_entry(parts, |values| {
        values
            .iter()
            .zip(weights)
            .map(|(value, weight)| value * weight)
            .sum()
    })
}

/// PEFT's mean, by weights, of those entries that have the sign that all elect without their weights.
pub(super) fn disjoint(parts: Vec<Matrix>, weights: &[f64], election: Election) -> Matrix {
    each_entry(parts, |values| {
        let elected = election.sign(values.iter().copied());
        let mut count = 0;
        let mut sum = 0.0;
        for (value, weight) in values.iter().zip(weights) {
            if sign(*value) == elected {
                sum += value * weight;
                count += 1;
            }
        }
        sum / f64::from(count.max(1))
    })
}

/// One matrix of what is made of the entries at each place.
pub(super) fn each_entry(mut parts: Vec<Matrix>, make: impl Fn(&[f64]) -> f64) -> Matrix {
    let Some((mut result, others)) = (!parts.is_empty()).then(|| (parts.remove(0), parts)) else {
        return Matrix::zeros(0, 0);
    };
    let mut values = vec![0.0; 1 + others.len()];
    for place in 0..result.values.len() {
        values[0] = result.values[place];
        for (value, other) in values[1..].iter_mut().zip(&others) {
            *value = other.values[place];
        }
        result.values[place] = make(&values);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: [&[f64]; 3]) -> Vec<Matrix> {
        let matrix = |values: &[f64]| Matrix {
            rows: 1,
            columns: values.len(),
            values: values.to_vec(),
        };
        values.map(matrix).to_vec()
    }

    #[test]
    fn the_elected_sign_is_that_of_the_sum_or_of_the_many() {
        let parts = rows([&[5.0, 0.0, 1.0], &[-1.0, 0.0, -1.0], &[-1.0, -2.0, 0.0]]);
        let ones = [1.0; 3];
        let total = disjoint(parts.clone(), &ones, Election::Total);
        assert_eq!(total.values, [5.0, -2.0, 1.0]);
        let many = disjoint(parts.clone(), &ones, Election::Frequency);
        assert_eq!(many.values, [-1.0, -2.0, 1.0]);
        assert_eq!(sum(parts, &[1.0, 2.0, 0.0]).values, [3.0, 0.0, -1.0]);
    }

    #[test]
    fn mergekits_vote_is_weighted_and_its_mean_is_of_those_that_took_part() {
        let parts = rows([&[5.0, 0.0, 1.0], &[-1.0, 0.0, -1.0], &[-1.0, -2.0, 0.0]]);
        let weights = [0.1, 2.0, 2.0];
        let mean = mergekit(parts.clone(), &weights, true, true);
        assert_eq!(mean.values, [-1.0, -2.0, -1.0]);
        let whole = mergekit(parts, &weights, false, false);
        assert_eq!(whole.values, [-3.5, -4.0, -1.9]);
    }
}
