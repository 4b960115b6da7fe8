//! What a reader must know of how the rows of a scenario were read.

use super::records::Records;
use crate::experiment::cell::Epochs;
use crate::experiment::coded::described;
use crate::method::{self, Method};
use crate::protocol::Protocol;
use crate::report::input::Reading;
use crate::scoring::{LEAST, Scoring};

/// What could not be chosen in a scenario.
#[derive(Clone, Debug, Default)]
pub struct Lacking {
    /// Fusions without a weight.
    pub fusions: Vec<&'static str>,
    /// Rows that would be the best of several, without a loss to tell.
    pub unmeasured: Vec<&'static str>,
    /// Rows whose weights would be chosen, and are equal.
    pub equal_weights: Vec<&'static str>,
    /// Fitted rows of which a fit ended with the last epoch it was given, though users looked for its end.
    pub unstopped: Vec<&'static str>,
    /// Rows that cannot be had in the scenario, each with what it lacks.
    pub inapplicable: Vec<(&'static str, &'static str)>,
    /// Whether the uniform mean is taken for the best naive merge, as nobody chose among several.
    pub merge_stands: bool,
    /// Whether a row's scores are likelihoods of titles.
    pub likelihoods: bool,
    /// How many calibration users there were where α stands without a choice.
    pub alpha_stands: Option<usize>,
}

impl Lacking {
    /// Notes a fitted row where its bound ended a fit that selection users could have ended. What nobody looks at while it is fitted goes
    /// through all its epochs, as was meant.
    pub fn fitted<'e>(&mut self, label: &'static str, mut fits: impl Iterator<Item = &'e Epochs>) {
        let bounded = fits.any(|fit| !fit.stopped_early && !fit.ndcg.is_empty());
        if bounded && !self.unstopped.contains(&label) {
            self.unstopped.push(label);
        }
    }

    /// The sentence on fits that ended with their last epoch.
    pub fn stopped(&self) -> Option<String> {
        (!self.unstopped.is_empty()).then(|| {
            format!(
                "{} ended with the last epoch that was allowed, not because selection users found nothing better any more: longer fits might \
                 do better",
                self.unstopped.join(", ")
            )
        })
    }

    /// The sentences.
    pub fn notes(&self, reading: Reading) -> Vec<String> {
        let mut notes = Vec::new();
        if self.likelihoods && reading.scoring == Scoring::Likelihood {
            notes.push(
                "titles are ranked by raw likelihood, which prefers common words: no scores after neutral histories are recorded, from which \
                 the content score is made"
                    .to_owned(),
            );
        }
        if reading.protocol == Protocol::Uniform {
            notes.push(
                "rows rank uniform candidates, among which popularity alone goes far: no candidates as popular as the target are recorded"
                    .to_owned(),
            );
        }
        if let Some(users) = self.alpha_stands {
            notes.push(format!(
                "α is 1 and was not chosen: rows of language models were scored on {users} calibration users, and {LEAST} choose"
            ));
        }
        if self.merge_stands {
            notes.push(format!(
                "the best naive merge is not known, which takes {LEAST} calibration users: claims are made against the uniform mean"
            ));
        }
        if !self.equal_weights.is_empty() {
            notes.push(format!(
                "the weights of {} are equal and were not chosen: at least {LEAST} calibration users on whom language models are scored choose",
                self.equal_weights.join(", ")
            ));
        }
        if !self.fusions.is_empty() {
            notes.push(format!(
                "no row {}: a weight is chosen by at least {LEAST} calibration users on whom both parts were scored",
                self.fusions.join(", ")
            ));
        }
        notes.extend(self.stopped());
        for (row, why) in &self.inapplicable {
            notes.push(format!("{row}: not applicable: {why}"));
        }
        if !self.unmeasured.is_empty() {
            notes.push(format!(
                "no row {}: which of several rows it is would be chosen by the loss on selection users, which is not recorded of all of them",
                self.unmeasured.join(", ")
            ));
        }
        notes
    }
}

/// What the codes of items came to that backbones and recommenders read, of those whose records have been read, each sentence once.
pub fn of_codes(records: &Records) -> Vec<String> {
    let plan = records.plan;
    let backbones = plan.backbones.values();
    let backbones = backbones.map(|backbone| (&backbone.cell, "the backbone".to_owned()));
    let recommenders = plan.recommenders.iter().map(|(key, recommender)| {
        let row = method::named(key.method).map_or(key.method, Method::label);
        let with = match key.sources.as_slice() {
            [] => String::new(),
            _ => format!(" with {}", key.sources.join(" + ")),
        };
        (&recommender.cell, format!("{row} on {}{with}", key.target))
    });
    let mut notes: Vec<String> = Vec::new();
    for (cell, whose) in backbones.chain(recommenders) {
        let known = records.trained_before(cell);
        let Some(codes) = known.as_ref().and_then(|record| record.codes.as_ref()) else {
            continue;
        };
        let note = format!("{whose}: {}", described(codes));
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_cannot_be_had_is_named_with_what_the_scenario_lacks() {
        let lacking = Lacking {
            inapplicable: vec![("UniSRec", "no sources")],
            ..Lacking::default()
        };
        let reading = Reading {
            scoring: Scoring::Likelihood,
            protocol: Protocol::Binned,
        };
        assert_eq!(lacking.notes(reading), ["UniSRec: not applicable: no sources"]);
    }

    #[test]
    fn a_fit_is_ended_by_its_bound_only_where_somebody_could_have_ended_it() {
        let fit = |ndcg: &[(usize, f64)], stopped_early| Epochs {
            ndcg: ndcg.to_vec(),
            best: 3,
            all: 3,
            stopped_early,
            parameters: 1,
            seconds: Vec::new(),
        };
        let looks = [(1, 0.1), (3, 0.2)];
        let mut lacking = Lacking::default();
        lacking.fitted("Stopped", [fit(&looks, true)].iter());
        lacking.fitted("Never looked at", [fit(&[], false)].iter());
        assert_eq!(lacking.stopped(), None);
        for _ in 0..2 {
            lacking.fitted("SASRec", [fit(&looks, true), fit(&looks, false)].iter());
        }
        let stopped = lacking.stopped().unwrap_or_default();
        assert!(
            stopped.starts_with("SASRec ended with the last epoch"),
            "{stopped}"
        );
    }
}
