//! Student's t distribution, for any number of degrees of freedom from 1 on, whole or not.

use super::{Test, mean, sd};
use statrs::function::beta::beta_reg;
use statrs::function::erf::{erfc, erfc_inv};
use statrs::function::gamma::ln_gamma;
use std::f64::consts::{PI, SQRT_2};

/// From here on the tail is computed from the normal one. The continued fraction of the incomplete beta function takes ever more terms,
/// and its gamma functions cancel ever more digits, while the error of Hill's transformation falls with the fifth power.
const MANY: f64 = 1000.0;

/// Newton's steps at most; each doubles the digits once it is near, and there are less than a hundred doublings on the way.
const STEPS: usize = 200;

/// The two-sided p-value of a statistic t: the probability of one at least as far from 0.
#[must_use]
pub fn two_sided_p(t: f64, freedom: f64) -> f64 {
    let square = t * t;
    if freedom < MANY {
        // Both tails at once through the incomplete beta function, which stays exact far out where 1 − CDF is 0.
        beta_reg(freedom / 2.0, 0.5, freedom / (freedom + square))
    } else {
        erfc(normal_deviate(square, freedom) / SQRT_2)
    }
}

/// The normal deviate with the same tail as t: G. W. Hill, Algorithm 395, Communications of the ACM 13 (1970), 617.
fn normal_deviate(square: f64, freedom: f64) -> f64 {
    let a = freedom - 0.5;
    let b = 48.0 * a * a;
    let y = a * (square / freedom).ln_1p();
    let inner = (((-0.4 * y - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y * y + 100.0 + b);
    ((inner + y + 3.0) / b + 1.0) * y.sqrt()
}

/// The statistic t > 0 whose two-sided p-value is `alpha`, between 0 and 1: what half an interval of level 1 − alpha is in standard errors.
#[must_use]
pub fn critical(alpha: f64, freedom: f64) -> f64 {
    let log_scale =
        ln_gamma(f64::midpoint(freedom, 1.0)) - ln_gamma(freedom / 2.0) - 0.5 * (freedom * PI).ln();
    let density = |t: f64| (log_scale - f64::midpoint(freedom, 1.0) * (t * t / freedom).ln_1p()).exp();
    // The normal value lies below, since t has the heavier tails; and as the tail is convex there, Newton's steps rise to the root.
    let mut t = SQRT_2 * erfc_inv(alpha);
    for _ in 0..STEPS {
        let step = (two_sided_p(t, freedom) - alpha) / (2.0 * density(t));
        t += step;
        if step.abs() <= 1e-14 * t {
            break;
        }
    }
    t
}

/// The paired t test of a mean difference of zero. Without any spread it cannot be made: `None`.
#[must_use]
pub fn paired_t(differences: &[f64]) -> Option<Test> {
    let spread = sd(differences).filter(|spread| *spread > 0.0)?;
    let count = differences.len() as f64;
    let statistic = mean(differences) / (spread / count.sqrt());
    let p = two_sided_p(statistic, count - 1.0);
    Some(Test { statistic, p })
}

/// Cohen's d for paired samples: the mean difference in units of its standard deviation over users.
#[must_use]
pub fn effect_size_dz(differences: &[f64]) -> Option<f64> {
    sd(differences)
        .filter(|spread| *spread > 0.0)
        .map(|spread| mean(differences) / spread)
}
