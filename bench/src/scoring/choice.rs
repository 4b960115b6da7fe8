//! What calibration users choose, always by one rule: of all values within one standard error of the best, the plainest.

use serde::{Deserialize, Serialize};

use super::score::primary;
use super::{Case, Scoring, holds, scored, users};
use crate::cut::Cut;
use crate::protocol::Protocol;
use crate::scored_case::ScoredCase;
use crate::statistics::{mean, sd};

/// Fewer calibration users choose nothing: with 24 of them the choice of α alone moves NDCG@5 by .03.
pub const LEAST: usize = 300;

/// The values of α, the plainest first.
pub const ALPHAS: [f32; 7] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5];

/// A value that was chosen, or that stands because nobody could choose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// The value.
    pub value: f32,
    /// The users that were asked, or that there were: too few of them choose nothing.
    pub users: usize,
    /// Whether they chose.
    pub chosen: bool,
    /// Whether the value, or the best before the rule, is the first or the last of those there were: a wider grid might hold a better one.
    pub edge: bool,
}

impl Chosen {
    /// A value that nobody chose.
    #[must_use]
    pub fn standing(value: f32, users: usize) -> Self {
        Chosen {
            value,
            users,
            chosen: false,
            edge: false,
        }
    }
}

/// The place of the value to take, and of the best, among options that stand in the order of how plain they are. Each option is the
/// metric of every user under it.
pub(super) fn plainest(options: &[Vec<f64>]) -> (usize, usize) {
    let means: Vec<f64> = options.iter().map(|users| mean(users)).collect();
    let best = (0..means.len()).fold(0, |best, one| if means[one] > means[best] { one } else { best });
    let users = options.get(best).map_or(&[][..], Vec::as_slice);
    let error = sd(users).map_or(0.0, |sd| sd / (users.len() as f64).sqrt());
    let near = |one: &usize| means[*one] >= means[best] - error;
    ((0..means.len()).find(near).unwrap_or(best), best)
}

/// α of a row: the smallest within one standard error of the best. 1 where fewer than [`LEAST`] users could choose, or where there is
/// nothing to choose about.
#[must_use]
pub fn alpha(cases: &[Case], protocol: Protocol) -> Chosen {
    if cases.len() < LEAST || cases.iter().any(|case| case.neutral.is_empty()) {
        return Chosen::standing(1.0, cases.len());
    }
    let options =
        ALPHAS.map(|alpha| primary(cases, protocol, |_, case| scored(case, Scoring::Content, alpha)));
    let (place, best) = plainest(&options);
    let end = |place| place == 0 || place + 1 == ALPHAS.len();
    Chosen {
        value: ALPHAS[place],
        users: cases.len(),
        chosen: true,
        edge: end(place) || end(best),
    }
}

/// The scale of a merged update: of those within one standard error of the best the nearest to 1, by ratio, the smaller of two. The
/// users are ranked by the content score at α = 1 where they have one, among their binned candidates where they have them. 1 where fewer
/// than [`LEAST`] users could choose.
#[must_use]
pub fn choose_scale(by_scale: &[(f64, Vec<Case>)]) -> f64 {
    chosen_scale(by_scale).0
}

/// The scale of a row, from what is recorded of it: of the scales at which all calibration users were scored.
#[must_use]
pub fn scale(cases: &[ScoredCase]) -> Chosen {
    let at_one = users(cases, Cut::Calibration, 1.0).len();
    let mut scales: Vec<f32> = Vec::new();
    for case in cases.iter().filter(|case| case.cut == Cut::Calibration) {
        if !scales.contains(&case.scale) {
            scales.push(case.scale);
        }
    }
    let mut by_scale: Vec<(f64, Vec<Case>)> = Vec::new();
    for scale in scales {
        let of = users(cases, Cut::Calibration, scale);
        if of.len() == at_one {
            by_scale.push((f64::from(scale), of.into_iter().map(Case::from).collect()));
        }
    }
    if by_scale.len() < 2 || at_one < LEAST {
        return Chosen::standing(1.0, at_one);
    }
    let (value, edge) = chosen_scale(&by_scale);
    Chosen {
        value: value as f32,
        users: at_one,
        chosen: true,
        edge,
    }
}

/// As of [`choose_scale`], and whether it, or the best before the rule, is the lowest or the highest of several.
#[must_use]
pub fn chosen_scale(by_scale: &[(f64, Vec<Case>)]) -> (f64, bool) {
    let mut options: Vec<&(f64, Vec<Case>)> = by_scale.iter().collect();
    // Ratios that are equal but for rounding are equal: .5 is as far from 1 as 2.
    let far = |scale: f64| (scale.ln().abs() * 1e6).round();
    options.sort_by(|a, b| far(a.0).total_cmp(&far(b.0)).then(a.0.total_cmp(&b.0)));
    if options.iter().any(|(_, cases)| cases.len() < LEAST) {
        return (1.0, false);
    }
    let metrics: Vec<Vec<f64>> = options
        .iter()
        .map(|(_, cases)| {
            let protocol = match holds(cases.iter().copied(), Protocol::Binned) {
                true => Protocol::Binned,
                false => Protocol::Uniform,
            };
            primary(cases, protocol, |_, case| scored(case, Scoring::Content, 1.0))
        })
        .collect();
    if metrics.is_empty() {
        return (1.0, false);
    }
    let (place, best) = plainest(&metrics);
    let end = |place: usize| {
        let scale = options[place].0;
        !options.iter().any(|one| one.0 < scale) || !options.iter().any(|one| one.0 > scale)
    };
    (options[place].0, options.len() > 1 && (end(place) || end(best)))
}
