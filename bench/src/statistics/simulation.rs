//! Differences under the model of [`super::contrast`], drawn whole or as the few numbers that the rule reads.
//!
//! In a balanced two-way layout of normal effects the mean and the three mean squares are independent, the mean normal and each mean square
//! a multiple of a chi-squared variable (H. Scheffé, The Analysis of Variance, 1959, chapter 7). A study of any size is thus four draws.

use super::contrast::{Components, TwoWay};
use super::draw::Draws;
use rayon::prelude::*;
use statrs::function::gamma::ln_gamma;

/// A study whose true values are known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model {
    /// The true standard deviations.
    pub components: Components,
    /// How many replicates, at least two.
    pub replicates: usize,
    /// How many users, at least two.
    pub users: usize,
    /// The true mean difference.
    pub effect: f64,
}

impl Model {
    /// The true standard error of the mean.
    #[must_use]
    pub fn standard_error(&self) -> f64 {
        let Components {
            replicate,
            user,
            residual,
        } = self.components;
        let (s, u) = (self.replicates as f64, self.users as f64);
        (replicate * replicate / s + user * user / u + residual * residual / (s * u)).sqrt()
    }

    /// The mean squares of one study; its mean is the true one.
    pub fn mean_squares(&self, draws: &mut Draws) -> TwoWay {
        let [replicate, user, rest] = [
            self.components.replicate,
            self.components.user,
            self.components.residual,
        ]
        .map(|sd| sd * sd);
        let (s, u) = (self.replicates as f64, self.users as f64);
        let mut scaled =
            |expected: f64, freedom: f64| expected * draws.chi_squared(freedom) / freedom / (s * u);
        TwoWay {
            mean: self.effect,
            replicates: self.replicates,
            users: self.users,
            replicate: scaled(rest + u * replicate, s - 1.0),
            user: scaled(rest + s * user, u - 1.0),
            residual: scaled(rest, (s - 1.0) * (u - 1.0)),
            user_freedom: u - 1.0,
        }
    }

    /// What the rule reads of one study.
    pub fn study(&self, draws: &mut Draws) -> TwoWay {
        let mut study = self.mean_squares(draws);
        study.mean += self.standard_error() * draws.normal();
        study
    }

    /// The differences `[replicate][user]` of one study.
    pub fn differences(&self, draws: &mut Draws) -> Vec<Vec<f64>> {
        let users: Vec<f64> = (0..self.users)
            .map(|_| self.effect + self.components.user * draws.normal())
            .collect();
        (0..self.replicates)
            .map(|_| {
                let replicate = self.components.replicate * draws.normal();
                let rest = |user: &f64| user + replicate + self.components.residual * draws.normal();
                users.iter().map(rest).collect()
            })
            .collect()
    }
}

/// The standard deviations between replicates that the rule is accepted at.
pub const GRID_SPREADS: [f64; 4] = [0.0, 0.005, 0.01, 0.02];
/// The numbers of replicates.
pub const GRID_REPLICATES: [usize; 2] = [3, 5];
/// The numbers of users.
pub const GRID_USERS: [usize; 2] = [300, 2_000];

/// The studies without any effect that the rule is accepted at.
#[must_use]
pub fn grid() -> Vec<Model> {
    let mut models = Vec::new();
    for replicate in GRID_SPREADS {
        for replicates in GRID_REPLICATES {
            for users in GRID_USERS {
                models.push(Model {
                    components: Components {
                        replicate,
                        user: 0.10,
                        residual: 0.14,
                    },
                    replicates,
                    users,
                    effect: 0.0,
                });
            }
        }
    }
    models
}

/// Studies that share a stream of draws: a stream costs as much to open as a study does.
const BLOCK: usize = 250;

/// Draws studies of a model, which the key names, and asks a rule for the p-value of each; 1 where it has none.
pub fn p_values(
    model: &Model,
    key: &str,
    studies: usize,
    rule: impl Fn(&TwoWay) -> Option<f64> + Sync,
) -> Vec<f64> {
    let mut found = vec![1.0; studies];
    found
        .par_chunks_mut(BLOCK)
        .enumerate()
        .for_each(|(stream, block)| {
            let mut draws = Draws::new(key, stream as u64);
            for p in block {
                *p = rule(&model.study(&mut draws)).unwrap_or(1.0);
            }
        });
    found
}

/// How many of the values lie below a level.
#[must_use]
pub fn count_below(values: &[f64], level: f64) -> u64 {
    values.iter().filter(|value| **value < level).count() as u64
}

/// The exact upper limit of a share of which `count` events in `total` were seen: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934), 404.
#[must_use]
pub fn upper_limit(count: u64, total: u64, confidence: f64) -> f64 {
    if count >= total {
        return 1.0;
    }
    let (seen, all) = (count as f64, total as f64);
    let ways = ln_gamma(all + 1.0) - ln_gamma(seen + 1.0) - ln_gamma(all - seen + 1.0);
    // So few events or fewer have this probability under a share: the binomial terms from the largest down, while they add anything.
    let tail = |share: f64| {
        let mut term = (ways + seen * share.ln() + (all - seen) * (-share).ln_1p()).exp();
        let mut sum = 0.0;
        let mut events = seen;
        while term > 1e-17 * sum && events >= 0.0 {
            sum += term;
            term *= events / (all - events + 1.0) * (1.0 - share) / share;
            events -= 1.0;
        }
        sum
    };
    let (mut low, mut high) = (count as f64 / total as f64, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if tail(middle) > 1.0 - confidence {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
