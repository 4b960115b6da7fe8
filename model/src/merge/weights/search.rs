//! λ without gradients, as LoraHub learns its weights: a small evolution strategy on a few cases, with any sign and any sum.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::objective::{Case, Objective};
use super::{Goal, Lambda, Likelihood, Stacked};
use crate::merge::draw::keyed;
use crate::train::task::Room;
use crate::{Error, Result};

/// A (1+1) evolution strategy: the best λ so far is moved at random in all directions; a better one takes its place and the next move is
/// longer, else it is shorter, so that about one of five moves succeeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// How often the objective is computed.
    pub evaluations: usize,
    /// Standard deviation of the first move.
    pub sigma: f64,
    /// Largest magnitude of a weight.
    pub bound: f64,
    /// What the mean magnitude of the weights is multiplied with and added to the objective, against weights that grow for nothing.
    pub l1: f64,
    /// What the moves are drawn from.
    pub seed: u64,
    /// What the best λ is the best by.
    pub objective: Goal,
}

impl Default for Search {
    /// Bounds and penalty as LoraHub has them, and forty evaluations.
    fn default() -> Self {
        Search {
            evaluations: 40,
            sigma: 0.25,
            bound: 1.5,
            l1: 0.05,
            seed: 0,
            objective: Goal::Likelihood(Likelihood::default()),
        }
    }
}

/// What a choice of λ goes through.
pub(super) struct Course<'a> {
    pub stacked: &'a Stacked,
    pub objective: &'a dyn Objective,
    pub cases: &'a [Case],
    pub room: Room,
    pub progress: &'a mut dyn FnMut(usize, usize),
}

impl Course<'_> {
    pub fn members(&self) -> usize {
        self.stacked.members()
    }

    /// The objective at a λ.
    pub fn value(&self, lambda: &Lambda) -> Result<f64> {
        self.stacked.weigh(lambda)?;
        let value = self
            .objective
            .value(self.stacked.frozen(), self.cases, self.room)?;
        match value.is_finite() {
            true => Ok(value),
            false => Err(Error::Merge(format!(
                "{} is {value} with weights {:?}: bring them nearer to 0",
                self.objective.name(),
                lambda.mean()
            ))),
        }
    }

    /// Tries the uniform point, from which everything starts.
    pub fn start(&mut self, total: usize) -> Result<Tried> {
        let uniform = Lambda::uniform(self.members()).rounded();
        let value = self.value(&uniform)?;
        self.tell(1, total);
        Ok(Tried(vec![(uniform, value)]))
    }

    pub fn tell(&mut self, done: usize, total: usize) {
        (self.progress)(done, total);
    }
}

/// The λ that were tried, from the start on, and the objective at each.
pub(super) struct Tried(pub Vec<(Lambda, f64)>);

impl Tried {
    pub fn push(&mut self, lambda: Lambda, value: f64) {
        self.0.push((lambda, value));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The first of the best by the objective and an addition to it, so that what only equals the start does not take its place.
    pub fn best(&self, addition: impl Fn(&Lambda) -> f64) -> Option<&(Lambda, f64)> {
        let with = |(lambda, value): &(Lambda, f64)| value + addition(lambda);
        self.0.iter().min_by(|a, b| with(a).total_cmp(&with(b)))
    }
}

impl Search {
    /// What is added to the objective at a λ.
    pub(super) fn penalty(&self, lambda: &Lambda) -> f64 {
        let values = lambda.mean();
        self.l1 * values.iter().map(|value| value.abs()).sum::<f64>() / values.len().max(1) as f64
    }

    /// Searches from the uniform point.
    ///
    /// # Errors
    /// Settings that search nothing, or what the objective refuses.
    pub(super) fn run(&self, course: &mut Course) -> Result<Tried> {
        let positive = [("sigma", self.sigma), ("bound", self.bound)];
        if let Some((name, value)) = positive
            .iter()
            .find(|(_, value)| !(value.is_finite() && *value > 0.0))
        {
            return Err(Error::Merge(format!("{name} {value}: give a number above 0")));
        }
        if !(self.l1.is_finite() && self.l1 >= 0.0) {
            return Err(Error::Merge(format!("l1 {}: give 0 or more", self.l1)));
        }
        if self.evaluations < 2 {
            return Err(Error::Merge(format!(
                "{} evaluations: nothing would be searched; 40 are usual",
                self.evaluations
            )));
        }
        let mut tried = course.start(self.evaluations)?;
        let mut best = tried.0[0].0.mean();
        let mut least = tried.0[0].1 + self.penalty(&tried.0[0].0);
        let mut sigma = self.sigma;
        while tried.len() < self.evaluations {
            let moved = best.iter().zip(self.move_of(tried.len(), best.len()));
            let moved = moved.map(|(value, step)| (value + sigma * step).clamp(-self.bound, self.bound));
            let lambda = Lambda::Adapter(moved.collect()).rounded();
            let value = course.value(&lambda)?;
            let with = value + self.penalty(&lambda);
            if with < least {
                (best, least) = (lambda.mean(), with);
                sigma *= GROWTH;
            } else {
                // Four failures undo a success.
                sigma *= GROWTH.powf(-0.25);
            }
            tried.push(lambda, value);
            course.tell(tried.len(), self.evaluations);
        }
        Ok(tried)
    }

    /// Numbers of mean 0 and variance 1, nearly normal: a sum of twelve uniform ones, which is the same on every machine.
    fn move_of(&self, nth: usize, members: usize) -> Vec<f64> {
        let mut rng = keyed(self.seed, &["search of weights", &nth.to_string()]);
        let mut one = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        (0..members).map(|_| one()).collect()
    }
}

/// What a success lengthens the moves by.
const GROWTH: f64 = 1.5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_depend_on_the_seed_and_their_number_and_are_nearly_normal() {
        let search = Search::default();
        assert_eq!(search.move_of(3, 4), search.move_of(3, 4));
        assert_ne!(search.move_of(3, 4), search.move_of(4, 4));
        let other = Search {
            seed: 1,
            ..Search::default()
        };
        assert_ne!(search.move_of(3, 4), other.move_of(3, 4));
        let many = search.move_of(1, 4000);
        let mean = |of: &dyn Fn(f64) -> f64| many.iter().map(|x| of(*x)).sum::<f64>() / many.len() as f64;
        // Four standard errors.
        assert!(mean(&|x| x).abs() < 0.064);
        assert!((mean(&|x| x * x) - 1.0).abs() < 0.09);
    }

    #[test]
    fn the_first_of_equals_stays() {
        let point = |value: f64| Lambda::Adapter(vec![value]);
        let tried = Tried(vec![(point(1.0), 0.5), (point(2.0), 0.5), (point(3.0), 0.6)]);
        assert_eq!(tried.best(|_| 0.0), Some(&tried.0[0]));
        assert_eq!(tried.best(|lambda| -lambda.mean()[0]), Some(&tried.0[2]));
    }
}
