//! What a reader must know of how the rows of a scenario were read.

use crate::experiment::protocol::Protocol;
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
    /// Fitted rows of which a fit ended with the last epoch it was given.
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
        if !self.unstopped.is_empty() {
            notes.push(format!(
                "{} ended with the last epoch that was allowed, not because selection users found nothing better any more: longer fits might \
                 do better",
                self.unstopped.join(", ")
            ));
        }
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
}
