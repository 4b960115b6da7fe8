//! What a ranking's scores come to: places under every reading, with what calibration users chose. Pure functions of recorded cases.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use crate::cut::Cut;
use crate::experiment::cell::ScoredCase;
use crate::experiment::outside::levels::place_listed;
use crate::metric::{Metric, Place};
use crate::protocol::Protocol;
use crate::report::input::Top;
use crate::scoring::{
    Added, Case, Chosen, LEAST, Reading, Scoring, Weighing, alpha, holds, place, scale, scored, users,
};
use crate::statistics::mean;

/// The places of the top that is described.
const TOP: usize = 5;

/// How a row's scores are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// What the merged update is multiplied by.
    pub scale: Chosen,
    /// α at that scale.
    pub alpha: Chosen,
    /// α at scale 1.
    pub alpha_at_one: Chosen,
    /// Whether there are scores after neutral histories, so that α is of any consequence.
    pub content: bool,
    /// The candidates that choices were made among, and that the primary reading ranks.
    pub protocol: Protocol,
}

impl Setting {
    /// The choices of calibration users. `on` are the users that are reported.
    ///
    /// # Errors
    /// Records whose reported users were not scored at the scale that was chosen.
    pub fn of(cases: &[ScoredCase], on: Cut) -> Result<Self> {
        let reported = users(cases, on, 1.0);
        ensure!(
            !reported.is_empty(),
            "no {} user was scored at scale 1: delete its folder to run the cell again",
            on.name()
        );
        let borrowed = || reported.iter().map(|case| Case::from(*case));
        let protocol = match holds(borrowed(), Protocol::Binned) {
            true => Protocol::Binned,
            false => Protocol::Uniform,
        };
        let scale = scale(cases);
        let choosing = |scale| -> Vec<Case> {
            users(cases, Cut::Calibration, scale)
                .into_iter()
                .map(Case::from)
                .collect()
        };
        let setting = Setting {
            scale,
            alpha: alpha(&choosing(scale.value), protocol),
            alpha_at_one: alpha(&choosing(1.0), protocol),
            content: borrowed().all(|case| !case.neutral.is_empty()),
            protocol,
        };
        let there = users(cases, on, scale.value);
        let same = there.len() == reported.len()
            && there
                .iter()
                .zip(&reported)
                .all(|(a, b)| a.user_id == b.user_id && a.candidates == b.candidates);
        if !same {
            bail!(
                "calibration users choose the scale {}, at which not every {} user was scored: delete its folder to run the cell again",
                scale.value,
                on.name()
            );
        }
        Ok(setting)
    }

    /// The reading that the run's places are of. Without neutral scores it is that of the likelihood, by whatever name.
    pub fn primary(&self) -> Reading {
        Reading {
            scoring: Scoring::Content,
            protocol: self.protocol,
        }
    }
}

/// Readings of the protocols that a record holds.
pub fn readings(protocol: Protocol) -> impl Iterator<Item = Reading> {
    let held = move |reading: &Reading| protocol == Protocol::Binned || reading.protocol == Protocol::Uniform;
    Reading::ALL.into_iter().filter(held)
}

/// What a run's scores come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    /// Under each of [`readings`], in their order, the primary one first.
    pub by_reading: Vec<Vec<Place>>,
    /// Under the primary one at scale 1, where another scale was chosen.
    pub at_one: Option<Vec<Place>>,
    /// The primary metric of calibration users under the primary reading; none where they are too few to choose anything.
    pub calibration: Option<f64>,
    /// What stands first under the primary reading.
    pub top: Option<Top>,
}

/// The places of a row that is its own.
pub fn own(cases: &[ScoredCase], on: Cut, setting: &Setting) -> Places {
    let at = |scale: f32, alpha: f32, reading: Reading, cut: Cut| -> Placed {
        let of = |case: &ScoredCase| {
            let case = Case::from(case);
            let scores = scored(&case, reading.scoring, alpha);
            let place = place(&case, &scores, reading.protocol);
            (scores, place)
        };
        users(cases, cut, scale).into_iter().map(of).unzip()
    };
    let (scale, alpha, primary) = (setting.scale.value, setting.alpha.value, setting.primary());
    let (scores, _) = at(scale, alpha, primary, on);
    let (_, choosing) = at(scale, alpha, primary, Cut::Calibration);
    Places {
        by_reading: readings(setting.protocol)
            .map(|reading| at(scale, alpha, reading, on).1)
            .collect(),
        at_one: (scale != 1.0).then(|| at(1.0, setting.alpha_at_one.value, primary, on).1),
        calibration: enough(&choosing),
        top: top(&users(cases, on, scale), &scores, setting.protocol),
    }
}

/// The mean of the primary metric where there are enough calibration users.
fn enough(places: &[Place]) -> Option<f64> {
    let values = || places.iter().map(|place| Metric::PRIMARY.expected(*place));
    (places.len() >= LEAST).then(|| mean(&values().collect::<Vec<_>>()))
}

/// The scores of each user's candidates, and where the target then stands.
type Placed = (Vec<Vec<f32>>, Vec<Place>);

/// A fusion: its places, and its weight under the primary reading.
pub struct Fused {
    /// Its places.
    pub places: Places,
    /// The weight under each of [`readings`].
    pub weights: Vec<Chosen>,
}

/// The places of the sum of a row and what another knows; none where calibration users are too few to choose a weight. The weight is
/// chosen for each reading, under that reading: binned candidates leave popularity nothing to say, and uniform ones much.
///
/// # Errors
/// Records of different users or candidates.
pub fn fused(
    cases: &[ScoredCase],
    other: Option<&[ScoredCase]>,
    on: Cut,
    setting: &Setting,
) -> Result<Option<Fused>> {
    let weigh = |scale: f32, alpha: f32, reading: Reading, cut: Cut| {
        weighing(cases, other, cut, (scale, alpha), reading)
    };
    let at = |scale: f32, alpha: f32, reading: Reading| -> Result<Option<(Chosen, Placed)>> {
        let Some(weight) = weigh(scale, alpha, reading, Cut::Calibration)?.choose(reading) else {
            return Ok(None);
        };
        let placed = placed(&weigh(scale, alpha, reading, on)?, weight.value, reading);
        Ok(Some((weight, placed)))
    };
    let (scale, alpha, primary) = (setting.scale.value, setting.alpha.value, setting.primary());
    let (mut weights, mut places) = (Vec::new(), Places::default());
    for reading in readings(setting.protocol) {
        let Some((weight, (scores, found))) = at(scale, alpha, reading)? else {
            return Ok(None);
        };
        if reading == primary {
            places.top = top(&users(cases, on, scale), &scores, setting.protocol);
            let choosing = weigh(scale, alpha, reading, Cut::Calibration)?;
            places.calibration = enough(&placed(&choosing, weight.value, reading).1);
        }
        weights.push(weight);
        places.by_reading.push(found);
    }
    if scale != 1.0 {
        places.at_one = at(1.0, setting.alpha_at_one.value, primary)?.map(|(_, (_, places))| places);
    }
    Ok(Some(Fused { places, weights }))
}

/// The users of a part under a reading at a scale and α, with what is added to their scores: another row's, or popularity.
fn weighing<'a>(
    cases: &'a [ScoredCase],
    other: Option<&'a [ScoredCase]>,
    cut: Cut,
    (scale, alpha): (f32, f32),
    reading: Reading,
) -> Result<Weighing<'a>> {
    let likelihood = cases.iter().all(|case| !case.tokens.is_empty());
    let ours = users(cases, cut, scale);
    let paired: Vec<(Case, Added)> = match other {
        None => ours
            .iter()
            .map(|case| (Case::from(*case), Added::Popularity(&case.popularity)))
            .collect(),
        Some(other) => {
            let theirs = users(other, cut, 1.0);
            let same = ours.len() <= theirs.len()
                && ours
                    .iter()
                    .zip(&theirs)
                    .all(|(a, b)| a.user_id == b.user_id && a.candidates == b.candidates);
            ensure!(
                same,
                "the two rows of a fusion were scored on other {} users or candidates",
                cut.name()
            );
            let both = ours.iter().zip(&theirs);
            both.map(|(case, other)| (Case::from(*case), Added::Row(&other.scores)))
                .collect()
        }
    };
    Ok(Weighing::new(&paired, reading, alpha, likelihood))
}

/// The scores of every reported user's candidates under a reading, by a row that is its own.
pub fn own_scores(cases: &[ScoredCase], on: Cut, setting: &Setting, reading: Reading) -> Vec<Vec<f32>> {
    let of = |case: &ScoredCase| scored(&Case::from(case), reading.scoring, setting.alpha.value);
    users(cases, on, setting.scale.value)
        .into_iter()
        .map(of)
        .collect()
}

/// The same of a [fusion](fused); none where no weight could be chosen.
///
/// # Errors
/// Records of different users or candidates.
pub fn fused_scores(
    cases: &[ScoredCase],
    other: Option<&[ScoredCase]>,
    on: Cut,
    setting: &Setting,
    reading: Reading,
) -> Result<Option<Vec<Vec<f32>>>> {
    let read = (setting.scale.value, setting.alpha.value);
    let Some(weight) = weighing(cases, other, Cut::Calibration, read, reading)?.choose(reading) else {
        return Ok(None);
    };
    let weighing = weighing(cases, other, on, read, reading)?;
    let count = weighing.cases().len();
    Ok(Some(
        (0..count)
            .map(|case| weighing.scores(case, weight.value))
            .collect(),
    ))
}

/// The places of an imported row under each of [`readings`], and what stands first. A target that is not listed is missed.
pub fn imported(cases: &[ScoredCase], on: Cut, protocol: Protocol) -> (Vec<Vec<Place>>, Option<Top>) {
    let reported = users(cases, on, 1.0);
    let by_reading = readings(protocol)
        .map(|reading| {
            reported
                .iter()
                .map(|case| place_listed(case, reading.protocol))
                .collect()
        })
        .collect();
    let scores: Vec<Vec<f32>> = reported.iter().map(|case| case.scores.clone()).collect();
    (by_reading, top(&reported, &scores, protocol))
}

fn placed(weighing: &Weighing, weight: f32, reading: Reading) -> Placed {
    let of = |(number, case): (usize, &Case)| {
        let scores = weighing.scores(number, weight);
        let place = place(case, &scores, reading.protocol);
        (scores, place)
    };
    weighing.cases().iter().enumerate().map(of).unzip()
}

/// What the first places hold. Candidates of one score come in an order of their own, the same for every row, that knows no target.
fn top(cases: &[&ScoredCase], scores: &[Vec<f32>], protocol: Protocol) -> Option<Top> {
    let (mut shown, mut first, mut popularity) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (user, (case, scores)) in cases.iter().zip(scores).enumerate() {
        if case.popularity.is_empty() {
            return None;
        }
        let among = |number: &usize| protocol.has(case.protocols[*number]);
        let mut order: Vec<usize> = (0..scores.len()).filter(among).collect();
        shown.extend(order.iter().map(|number| case.candidates[*number]));
        let lot = |number: usize| {
            let mixed =
                case.candidates[number].wrapping_mul(0x9e37_79b1) ^ (user as u32).wrapping_mul(0x85eb_ca6b);
            (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d)
        };
        let value = |number: usize| match scores[number] {
            score if score.is_nan() => f32::NEG_INFINITY,
            score => score,
        };
        order.sort_by(|a, b| value(*b).total_cmp(&value(*a)).then(lot(*a).cmp(&lot(*b))));
        order.truncate(TOP);
        first.extend(order.iter().map(|number| case.candidates[*number]));
        let counts: Vec<f64> = order
            .iter()
            .map(|number| f64::from(case.popularity[*number]))
            .collect();
        popularity.push(mean(&counts));
    }
    (!shown.is_empty()).then(|| Top {
        coverage: first.len() as f64 / shown.len() as f64,
        popularity: mean(&popularity),
    })
}

#[cfg(test)]
mod tests;
