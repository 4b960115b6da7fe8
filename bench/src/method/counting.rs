//! Counting: the weighted sum of ItemKNN, next-item counts and popularity, tuned on calibration users. No row of a table has shown
//! anything that this one reaches without a model.

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use weaverec_pipeline::schema::Item;

use super::item_knn::neighbours;
use super::links::{Links, round};
use super::log::{ItemScores, Log};
use super::{Counted, Everything, Fitted, Fitting, How, Method};
use crate::report::input::Family;
use super::next_item::transitions;
use crate::experiment::cell;
use crate::experiment::cut::Cut;
use crate::statistics::{mean, sd};

/// Whoever is asked for the choice of weights: whole history, target and candidates (the target among them).
pub type Asked<'a> = (&'a [u32], u32, &'a [u32]);

/// With fewer cases nothing is tuned: a search would find their noise.
pub const MIN_CASES: usize = 300;

/// What the parts of the sum weigh.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// Of the mean cosine to the items of the history.
    pub knn: f64,
    /// Of the mean share of next items.
    pub next: f64,
    /// Of a standard deviation of log popularity.
    pub popularity: f64,
    /// What an item of the history counts against the one after it.
    pub decay: f64,
}

impl Weights {
    /// Cosines and shares alike; popularity only parts what they leave equal.
    pub const UNTUNED: Self = Self {
        knn: 1.0,
        next: 1.0,
        popularity: 1e-9,
        decay: 0.7,
    };
}

impl Default for Weights {
    fn default() -> Self {
        Self::UNTUNED
    }
}

/// The weights that a search settled on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// What to score with.
    pub weights: Weights,
    /// The cases at hand.
    pub cases: usize,
    /// Whether there were enough of them; where not, the weights are the untuned ones.
    pub tuned: bool,
    /// NDCG@5 of the untuned sum on the cases.
    pub untuned_ndcg: f64,
    /// The best NDCG@5 of any point of the grid, which the chosen one is within a standard error of.
    pub best_ndcg: f64,
    /// NDCG@5 of the chosen point.
    pub chosen_ndcg: f64,
    /// Whether the chosen point is at an end of the grid that is no natural one: further ones might be better.
    pub edge: bool,
}

/// The tuned sum. Its parts mean the same in every domain: the first two are means over the history, weighted by decay, of numbers
/// between 0 and 1 (cosine; share of what followed), and `ln(popularity + ½)` is given in standard deviations from its mean over the
/// domain's items.
#[derive(Clone, Debug)]
pub struct Counting {
    knn: Links,
    next: Links,
    popularity: Vec<f64>,
    weights: Weights,
}

/// Counts a log; titles are nothing to it. The weights are the untuned ones.
pub fn fit(log: &Log, _: &[Item]) -> Counting {
    Counting {
        knn: neighbours(log),
        next: transitions(log),
        popularity: standardised_popularity(log),
        weights: Weights::UNTUNED,
    }
}

impl Counting {
    /// The same with other weights.
    #[must_use]
    pub fn with_weights(self, weights: Weights) -> Self {
        Self { weights, ..self }
    }

    /// The weights it scores with.
    pub fn weights(&self) -> Weights {
        self.weights
    }
}

impl ItemScores for Counting {
    fn scores(&self, history: &[u32], out: &mut [f32]) {
        let Weights { knn, next, popularity, decay } = self.weights;
        let mut sums: Vec<f64> = self.popularity.iter().map(|own| popularity * own).collect();
        self.knn.add_mean(history, decay, knn, &mut sums);
        self.next.add_mean(history, decay, next, &mut sums);
        round(&sums, out);
    }
}

fn standardised_popularity(log: &Log) -> Vec<f64> {
    let logs: Vec<f64> = log.popularity().iter().map(|count| (f64::from(*count) + 0.5).ln()).collect();
    let (centre, spread) = (mean(&logs), sd(&logs).filter(|sd| *sd > 0.0).unwrap_or(1.0));
    logs.iter().map(|log| (log - centre) / spread).collect()
}

/// The row.
pub struct CountingRow;

impl Method for CountingRow {
    fn id(&self) -> &'static str {
        "counting"
    }

    fn label(&self) -> &'static str {
        "counting"
    }

    fn family(&self) -> Family {
        Family::Floor
    }

    fn reference(&self) -> &'static str {
        "the sum of ItemKNN, next-item counts and log popularity, weighted on C"
    }

    fn how(&self) -> How {
        How::Counted(&CountingRow)
    }
}

impl Counted for CountingRow {
    fn fit<'a>(&self, data: &Fitting<'a>) -> Result<Fitted<'a>> {
        let cases: Vec<Asked> = data
            .calibration
            .iter()
            .map(|asked| (asked.history.as_slice(), asked.target, asked.candidates.as_slice()))
            .collect();
        let (scores, choice) = tune(fit(data.log, data.items), &cases);
        let Weights {
            knn,
            next,
            popularity,
            decay,
        } = choice.weights;
        Ok(Fitted {
            scores: Box::new(Everything::new(scores, data.items.len())),
            choices: vec![cell::Choice {
                what: "weights".into(),
                value: serde_json::json!(format!(
                    "{knn} knn + {next} next + {popularity} popularity, decay {decay}{}{}",
                    match choice.tuned {
                        true => "",
                        false => " (as they are: too few users to choose)",
                    },
                    match choice.edge {
                        true => "; at the end of the grid",
                        false => "",
                    }
                )),
                cut: Cut::Calibration,
                users: choice.cases,
            }],
        })
    }
}

/// STAND-IN until the search is there.
fn tune(counting: Counting, cases: &[Asked]) -> (Counting, Choice) {
    let choice = Choice { weights: Weights::UNTUNED, cases: cases.len(), tuned: false, untuned_ndcg: 0.0, best_ndcg: 0.0, chosen_ndcg: 0.0, edge: false };
    (counting.with_weights(choice.weights), choice)
}
