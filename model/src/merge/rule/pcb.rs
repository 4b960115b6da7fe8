//! `pcb`: of each entry a mean in which that update counts most that competes best there (PCB-Merging, Du et al., arXiv 2410.02396).
//!
//! An entry's score is `exp(n · m²) · tanh(τ_i · Σ_j τ_j)`, m its magnitude between the least and the largest of its update: it competes
//! with the others of its update and with those of the other updates in its place. Scores below the share that stays are put to the
//! least of these, all to 0 … 1, and the mean is weighed by them. As in the authors' code magnitudes are first held within their
//! 0.0001 and 0.9999 quantiles. Their code flattens a whole model, here each module is scored by itself.

use serde::{Deserialize, Serialize};

use super::{Inputs, Matrices, Merging, Method, within};
use crate::Result;
use crate::merge::matrix::Matrix;
use crate::merge::setting::Setting;
use crate::merge::space::Space;

/// Share of the magnitudes at either end that are held within the rest.
const ENDS: f64 = 1e-4;

/// The settings of `pcb`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pcb {
    /// Share of an update's entries that take part, those with the best scores.
    pub ratio: Setting,
    /// What the merged update is multiplied with.
    pub lambda: Setting,
}

impl Default for Pcb {
    fn default() -> Self {
        Pcb {
            ratio: 0.1.into(),
            lambda: 1.0.into(),
        }
    }
}

impl Merging for Pcb {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Dense, self)
    }

    fn averages(&self) -> bool {
        true
    }

    fn check(&self, _: usize) -> Result<()> {
        within("ratio", &self.ratio, 0.0..=1.0)
    }
}

impl Matrices for Pcb {
    fn merge(&self, mut inputs: Inputs) -> Result<Matrix> {
        let ratio = inputs.site.shared("ratio", &self.ratio)?;
        let lambda = inputs.site.shared("lambda", &self.lambda)?;
        let (out, input) = inputs.site.shape;
        let mut all = Matrix::zeros(out, input);
        inputs.matrices.iter().for_each(|matrix| all.add(matrix, 1.0));
        let (mut sum, mut divisor) = (Matrix::zeros(out, input), Matrix::zeros(out, input));
        let members = inputs.matrices.len() as f64;
        for (matrix, weight) in inputs.matrices.iter_mut().zip(&inputs.weights) {
            let scores = scores(&mut matrix.values, &all.values, members, ratio);
            for (place, score) in scores.into_iter().enumerate() {
                sum.values[place] += weight * score * matrix.values[place];
                divisor.values[place] += score;
            }
        }
        for (value, divisor) in sum.values.iter_mut().zip(&divisor.values) {
            *value *= lambda / divisor.max(1e-12);
        }
        Ok(sum)
    }
}

/// What each entry counts, from 0 to 1. The entries' magnitudes are held within their quantiles.
fn scores(values: &mut [f64], all: &[f64], members: f64, ratio: f64) -> Vec<f64> {
    let count = values.len() as f64;
    // The authors' code has the cross term of the entries as they were.
    let mut scores: Vec<f64> = values
        .iter()
        .zip(all)
        .map(|(value, all)| (value * all).tanh())
        .collect();
    let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    let least = at_rank(&mut sizes, (count * ENDS) as usize);
    let most = at_rank(&mut sizes, (count * (1.0 - ENDS) - 1.0) as usize);
    for (value, score) in values.iter_mut().zip(&mut scores) {
        let size = value.abs().max(least).min(most);
        if *value != 0.0 {
            *value = size.copysign(*value);
        }
        *score *= (members * share(size, least, most).powi(2)).exp();
    }
    sizes.copy_from_slice(&scores);
    let least = at_rank(&mut sizes, (count * (1.0 - ratio)) as usize);
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores
        .iter_mut()
        .for_each(|score| *score = share(score.max(least), least, most));
    scores
}

/// Where a number lies between two; 0 where these are one.
fn share(value: f64, least: f64, most: f64) -> f64 {
    match most - least {
        range if range > 0.0 => (value - least) / range,
        _ => 0.0,
    }
}

/// The number of this rank, the smallest first, or the largest where there are not so many.
fn at_rank(values: &mut [f64], rank: usize) -> f64 {
    match values.len() {
        0 => 0.0,
        count => {
            *values
                .select_nth_unstable_by(rank.min(count - 1), f64::total_cmp)
                .1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_scores_count_one_and_those_below_the_share_that_stays_nothing() {
        let mut values = vec![0.1, -0.2, 0.3, -0.4, 0.5, 0.6, -0.7, 0.8, 0.9, 1.0];
        // The last but one fights all others together, the last agrees with them.
        let all = vec![1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0];
        let scores = scores(&mut values, &all, 2.0, 0.3);
        assert_eq!(scores.iter().filter(|score| **score > 0.0).count(), 2);
        assert!((scores[9] - 1.0).abs() < 1e-12, "{scores:?}");
        assert!(scores[7] > 0.0 && scores[8] == 0.0, "{scores:?}");
        // Held within the quantiles: of ten entries the largest is put to the second.
        assert_eq!(values[9], 0.9);
        assert_eq!(values[1], -0.2);
    }
}
