//! What a study of so many replicates and users can find, from the spread that a pilot study saw.

use super::contrast::Components;
use super::draw::Draws;
use super::simulation::Model;
use super::student;
use rayon::prelude::*;
use statrs::function::erf::erfc;
use statrs::function::gamma::gamma_lr;
use std::f64::consts::SQRT_2;

/// Studies drawn for one power. A power of 0.8 is then known to 0.3 %, and the effect to a few per mille.
const STUDIES: u64 = 4_000;

/// The share of pilot studies whose replicates differ less than they say, where a limit of that spread is taken in place of the estimate:
/// with three replicates an estimate is as likely to be half the truth as not.
pub const CONFIDENCE: f64 = 0.8;

/// The smallest true difference that the rule finds at the two-sided level `alpha` with the probability `power`, between `alpha` and 1.
///
/// The rule's mean squares are drawn (keyed, so that every call gives the same number); given them the mean is normal, and the probability
/// that it lies beyond what they demand is exact.
#[must_use]
pub fn smallest_effect(
    components: Components,
    replicates: usize,
    users: usize,
    alpha: f64,
    power: f64,
) -> f64 {
    let model = Model {
        components,
        replicates,
        users,
        effect: 0.0,
    };
    let over_replicates = student::critical(alpha, (replicates - 1) as f64);
    let error = model.standard_error();
    if error == 0.0 {
        return 0.0;
    }
    // In standard errors of the mean.
    let demanded: Vec<f64> = (0..STUDIES)
        .into_par_iter()
        .map(|study| {
            let mut draws = Draws::new("power", study);
            model.mean_squares(&mut draws).half_width(alpha, over_replicates) / error
        })
        .collect();
    let beyond = |effect: f64| {
        let tails = demanded
            .iter()
            .map(|half| 0.5 * (erfc((half - effect) / SQRT_2) + erfc((half + effect) / SQRT_2)));
        tails.sum::<f64>() / demanded.len() as f64
    };
    let (mut low, mut high) = (0.0, 1.0);
    while beyond(high) < power {
        high *= 2.0;
    }
    // Fifty halvings are more than a double can tell apart here.
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if beyond(middle) < power {
            low = middle;
        } else {
            high = middle;
        }
    }
    high * error
}

/// What a pilot of so many replicates and users saw, with the upper `confidence` limit of its replicate spread in place of the estimate.
///
/// The mean square between replicates is a multiple of a chi-squared variable with one degree less than there are replicates. With a
/// single replicate it is not known at all: `None`.
#[must_use]
pub fn upper_limit(seen: Components, replicates: usize, users: usize, confidence: f64) -> Option<Components> {
    if replicates < 2 {
        return None;
    }
    let rest = seen.residual * seen.residual;
    let users = users as f64;
    let freedom = (replicates - 1) as f64;
    let between = rest + users * seen.replicate * seen.replicate;
    let limit = between * freedom / chi_squared_quantile(1.0 - confidence, freedom);
    Some(Components {
        replicate: ((limit - rest) / users).max(0.0).sqrt(),
        ..seen
    })
}

/// The value that a chi-squared variable stays below with this probability.
pub(super) fn chi_squared_quantile(probability: f64, freedom: f64) -> f64 {
    let below = |value: f64| gamma_lr(freedom / 2.0, value / 2.0);
    let (mut low, mut high) = (0.0, freedom);
    while below(high) < probability {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if below(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}
