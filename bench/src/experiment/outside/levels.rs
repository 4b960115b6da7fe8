//! Where imported targets stand, and what that comes to.

use super::Extent;
use super::import::UNLISTED;
use crate::experiment::cell::ScoredCase;
use crate::metric::{Metric, Place, Tally};
use crate::protocol::Protocol;
use crate::scoring;

/// Where the target of an imported case stands among the candidates of a protocol; one that is not listed is missed.
pub fn place_listed(case: &ScoredCase, protocol: Protocol) -> Place {
    let listed = case.scores.get(case.target as usize);
    match listed.is_some_and(|score| *score != UNLISTED) {
        true => scoring::place(&scoring::Case::from(case), &case.scores, protocol),
        false => Place::MISS,
    }
}

/// What a record comes to, for people: the means of all metrics that its file tells, among the candidates of each protocol and in the
/// catalogue.
pub fn levels(cases: &[ScoredCase], extent: Extent) -> serde_json::Value {
    let means = |places: &[Place]| -> serde_json::Value {
        let tally = Tally::of(places);
        let told = Metric::ALL
            .into_iter()
            .filter(|metric| extent == Extent::Whole || metric.cut().is_some());
        told.map(|metric| (metric.key(), tally.mean(metric).into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let mut levels = serde_json::Map::new();
    for protocol in Protocol::ALL.into_iter().filter(|_| extent != Extent::Best) {
        if scoring::holds(cases.iter().map(scoring::Case::from), protocol) {
            let places: Vec<Place> = cases.iter().map(|case| place_listed(case, protocol)).collect();
            levels.insert(protocol.name().to_owned(), means(&places));
        }
    }
    let catalogue: Option<Vec<Place>> = cases.iter().map(|case| case.catalogue).collect();
    if let Some(places) = catalogue {
        levels.insert("catalogue".to_owned(), means(&places));
    }
    levels.into()
}
