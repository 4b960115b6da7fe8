//! What a case's candidates score under a reading, and where the target then stands.

use super::{Case, Scoring};
use crate::metric::{Metric, Place};
use crate::protocol::Protocol;
use crate::statistics::mean;

/// The score of every candidate. A row without neutral scores is read by its scores under both scorings; with α = 0 the content score is
/// the likelihood, to the last bit.
#[must_use]
pub fn scored(case: &Case, scoring: Scoring, alpha: f32) -> Vec<f32> {
    if scoring == Scoring::Likelihood || case.neutral.is_empty() || alpha == 0.0 {
        return case.scores.to_vec();
    }
    let without =
        |(score, neutral): (&f32, &f32)| (f64::from(*score) - f64::from(alpha) * f64::from(*neutral)) as f32;
    case.scores.iter().zip(case.neutral).map(without).collect()
}

/// Where the target stands among the candidates of a protocol, by these scores of all candidates.
#[must_use]
pub fn place(case: &Case, scores: &[f32], protocol: Protocol) -> Place {
    let (mut among, mut at) = (Vec::with_capacity(scores.len()), usize::MAX);
    for (number, (score, bits)) in scores.iter().zip(case.protocols).enumerate() {
        if number == case.target {
            at = among.len();
        } else if !protocol.has(*bits) {
            continue;
        }
        among.push(*score);
    }
    crate::metric::place(&among, at)
}

/// The primary metric of every user under some scores, and nothing else of them: what choices are made by.
pub(super) fn primary<'a>(
    cases: &[Case<'a>],
    protocol: Protocol,
    scores: impl Fn(usize, &Case<'a>) -> Vec<f32>,
) -> Vec<f64> {
    let of = |(number, case): (usize, &Case<'a>)| {
        Metric::PRIMARY.expected(place(case, &scores(number, case), protocol))
    };
    cases.iter().enumerate().map(of).collect()
}

/// The mean of the primary metric.
#[must_use]
pub fn level(cases: &[Case], scoring: Scoring, alpha: f32, protocol: Protocol) -> f64 {
    mean(&primary(cases, protocol, |_, case| scored(case, scoring, alpha)))
}
