//! What paired differences allow to be concluded, in closed form.
//!
//! * [`contrast`]: the rule that decides, for differences by replicate and user;
//! * [`average`]: the same rule for a difference averaged over scenarios;
//! * [`student`]: the t distribution and the one-sample t test;
//! * [`wilcoxon`]: the signed-rank test, shown beside it;
//! * [`family`]: many tests at a time;
//! * [`rank`]: whether two things move together;
//! * [`power`]: what a study of so many replicates and users can find;
//! * [`simulation`], [`draw`]: data under the model, for the power and for checking the rule itself.
//!
//! The numbers agree with SciPy and statsmodels on the fixtures beside the tests.

pub mod average;
pub mod contrast;
pub mod draw;
pub mod family;
pub mod power;
pub mod rank;
pub mod simulation;
pub mod student;
pub mod wilcoxon;

use serde::{Deserialize, Serialize};

pub use contrast::{Components, Contrast, contrast};
pub use family::{hochberg, holm};
pub use rank::rank_correlation;
pub use student::{effect_size_dz, paired_t};
pub use wilcoxon::wilcoxon;

/// The two-sided level of tests where a profile names no other; intervals cover one minus this.
pub const ALPHA: f64 = 0.05;

/// The arithmetic mean; 0 for no values.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        0.0
    } else {
        values.iter().sum::<f64>() / values.len() as f64
    }
}

/// The sample standard deviation (n − 1); `None` below two values, where spread is unknown rather than 0.
#[must_use]
pub fn sd(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// An interval; who computes it says of what level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// The interval of this half-width around a value.
    #[must_use]
    pub fn around(centre: f64, half: f64) -> Self {
        Self {
            low: centre - half,
            high: centre + half,
        }
    }

    /// Whether the whole interval lies above `value`.
    #[must_use]
    pub fn above(self, value: f64) -> bool {
        self.low > value
    }

    /// Whether the whole interval lies below `value`.
    #[must_use]
    pub fn below(self, value: f64) -> bool {
        self.high < value
    }

    /// Whether the whole interval lies strictly within `margin` of 0.
    #[must_use]
    pub fn within(self, margin: f64) -> bool {
        self.above(-margin) && self.below(margin)
    }
}

/// What a test found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// The statistic: t, or the smaller of the two rank sums.
    pub statistic: f64,
    /// The two-sided p-value.
    pub p: f64,
}

#[cfg(test)]
mod tests;
