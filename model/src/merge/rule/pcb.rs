//! `pcb`: of each entry a mean in which that update counts most that competes best there (PCB-Merging, Du et al., arXiv 2410.02396).
//!
//! An entry's score is `exp(n · m²) · tanh(τ_i · Σ_j τ_j)`, m its magnitude between the least and the largest of its update: it competes
//! with the others of its update and with those of the other updates in its place. Scores below the share that stays are put to the
//! least of these, all to 0 … 1, and the mean is weighed by them. As in the authors' code magnitudes are first held within their
//! 0.0001 and 0.9999 quantiles. Their code flattens a whole model (`over: model`), which takes many passes over all modules; else each
//! module is scored by itself.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use super::{Inputs, Matrices, Merging, Method, within};
use crate::merge::align::{Aligned, Site};
use crate::merge::matrix::Matrix;
use crate::merge::setting::Setting;
use crate::merge::space::{Space, dense};
use crate::merge::threshold::of_rank;
use crate::{Error, Result};

/// Share of the magnitudes at either end that are held within the rest.
const ENDS: f64 = 1e-4;

/// Among which entries of its update an entry competes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Those of its module.
    #[default]
    Module,
    /// Those of all modules, as in the authors' code.
    Model,
}

/// The settings of `pcb`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pcb {
    /// Among which entries of its update an entry competes.
    pub over: Over,
    /// Share of an update's entries that take part, those with the best scores.
    pub ratio: Setting,
    /// What the merged update is multiplied with.
    pub lambda: Setting,
}

impl Default for Pcb {
    fn default() -> Self {
        Pcb {
            over: Over::Module,
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

    fn over_all(&self, members: &Aligned) -> Result<Option<Vec<f64>>> {
        if self.over == Over::Module {
            return Ok(None);
        }
        let ratio = self
            .ratio
            .constant()
            .ok_or_else(|| Error::Merge("a ratio over all modules is one number, not one for each".into()))?;
        let mut found = Vec::with_capacity(4 * members.members().len());
        for member in 0..members.members().len() {
            found.extend(of_model(members, member, ratio)?);
        }
        Ok(Some(found))
    }

    /// Magnitudes and scores are found by rank, in three passes each: the magnitudes of one member, the scores of all.
    fn passes(&self, members: usize) -> usize {
        match self.over {
            Over::Module => 0,
            Over::Model => 2 * 3 + 3 * members,
        }
    }

    /// The sum of all, the merged one, what that is divided by, the scores, and these put in order.
    fn holds(&self, _: &Site, entries: usize) -> usize {
        5 * entries
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
        let all = total(&inputs.matrices, inputs.site.shape);
        let (mut sum, mut divisor) = (Matrix::zeros(out, input), Matrix::zeros(out, input));
        let count = inputs.matrices.len();
        for place in 0..count {
            let values = &mut inputs.matrices[place].values;
            let known = inputs
                .over_all
                .and_then(|all| all.get(4 * inputs.members[place]..));
            let (sizes, best) = match known {
                Some(&[least, most, worst, best, ..]) => ([least, most], Some([worst, best])),
                _ => (sizes_of(values), None),
            };
            let mut scores = scores(values, &all.values, count, sizes);
            let best = best.unwrap_or_else(|| best_of(&scores, ratio));
            hold(values, sizes);
            for (entry, score) in scores.drain(..).enumerate() {
                let counts = share(score.max(best[0]), best[0], best[1]);
                sum.values[entry] += inputs.weights[place] * counts * values[entry];
                divisor.values[entry] += counts;
            }
        }
        for (value, divisor) in sum.values.iter_mut().zip(&divisor.values) {
            *value *= lambda / divisor.max(1e-12);
        }
        Ok(sum)
    }
}

fn total(matrices: &[Matrix], (out, input): (usize, usize)) -> Matrix {
    let mut all = Matrix::zeros(out, input);
    matrices.iter().for_each(|matrix| all.add(matrix, 1.0));
    all
}

/// Ranks, the smallest first, of the least and the largest magnitude that stand as they are.
fn ranks_of_sizes(entries: usize) -> [usize; 2] {
    let count = entries as f64;
    [(count * ENDS) as usize, (count * (1.0 - ENDS) - 1.0) as usize]
}

/// Rank, the smallest first, of the worst score that counts more than nothing, or the best where there are not so many.
fn rank_of_worst(entries: usize, ratio: f64) -> usize {
    ((entries as f64 * (1.0 - ratio)) as usize).min(entries.saturating_sub(1))
}

/// The least and the largest magnitude that stand as they are.
fn sizes_of(values: &[f64]) -> [f64; 2] {
    let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    ranks_of_sizes(values.len()).map(|rank| at_rank(&mut sizes, rank))
}

/// The worst score that counts, and the best.
fn best_of(scores: &[f64], ratio: f64) -> [f64; 2] {
    let mut ordered = scores.to_vec();
    let worst = at_rank(&mut ordered, rank_of_worst(scores.len(), ratio));
    [worst, scores.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
}

/// The score of each entry; the authors' code has the cross term of the entries as they were, and the other of what they are held to.
fn scores(values: &[f64], all: &[f64], members: usize, [least, most]: [f64; 2]) -> Vec<f64> {
    let score = |(value, all): (&f64, &f64)| {
        let size = value.abs().max(least).min(most);
        (value * all).tanh() * (members as f64 * share(size, least, most).powi(2)).exp()
    };
    values.iter().zip(all).map(score).collect()
}

/// Magnitudes within the least and the largest; zeros stay.
fn hold(values: &mut [f64], [least, most]: [f64; 2]) {
    for value in values.iter_mut().filter(|value| **value != 0.0) {
        *value = value.abs().max(least).min(most).copysign(*value);
    }
}

/// A member's two magnitudes and two scores over all modules, with the updates of one module in memory at a time.
fn of_model(members: &Aligned, member: usize, ratio: f64) -> Result<[f64; 4]> {
    let entries: usize = members.sites().map(|site| site.shape.0 * site.shape.1).sum();
    let each_size = |visit: &mut dyn FnMut(f64)| -> Result<()> {
        for site in members.sites() {
            let update = dense::update(&site, site.factors[member])?;
            update.values.iter().for_each(|value| visit(value.abs()));
        }
        Ok(())
    };
    let [low, high] = ranks_of_sizes(entries);
    let sizes = [of_rank(low, &each_size)?, of_rank(high, &each_size)?];
    let best = Cell::new(f64::NEG_INFINITY);
    let each_score = |visit: &mut dyn FnMut(f64)| -> Result<()> {
        for site in members.sites() {
            let updates = site.factors.iter().map(|factors| dense::update(&site, *factors));
            let updates = updates.collect::<Result<Vec<Matrix>>>()?;
            let all = total(&updates, site.shape);
            for score in scores(&updates[member].values, &all.values, updates.len(), sizes) {
                best.set(best.get().max(score));
                visit(score);
            }
        }
        Ok(())
    };
    let worst = of_rank(rank_of_worst(entries, ratio), &each_score)?;
    Ok([sizes[0], sizes[1], worst, best.get()])
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
        let sizes = sizes_of(&values);
        // Of ten entries the largest is held to the second.
        assert_eq!(sizes, [0.1, 0.9]);
        let scores = scores(&values, &all, 2, sizes);
        let [worst, best] = best_of(&scores, 0.3);
        let counts: Vec<f64> = scores
            .iter()
            .map(|score| share(score.max(worst), worst, best))
            .collect();
        assert_eq!(counts.iter().filter(|count| **count > 0.0).count(), 2);
        assert!((counts[9] - 1.0).abs() < 1e-12, "{counts:?}");
        assert!((counts[7] - 0.321).abs() < 1e-3 && counts[8] == 0.0, "{counts:?}");
        hold(&mut values, sizes);
        assert_eq!((values[9], values[1]), (0.9, -0.2));
    }
}
