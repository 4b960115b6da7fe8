//! Counting: the weighted sum of ItemKNN, next-item counts and popularity. What a table's rows have to beat before they have shown
//! anything, and the stronger for being tuned on the same calibration users.

mod search;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use weaverec_pipeline::schema::Item;

use super::item_knn::neighbours;
use super::links::{DECAY, Links};
use super::log::{ItemScores, Log};
use super::next_item::transitions;
use super::{Counted, Everything, Fitted, Fitting, How, Method};
use crate::choice;
use crate::cut::Cut;
use crate::family::Family;
use crate::statistics::{mean, sd};

pub use search::{Asked, Choice, Found, MIN_CASES};

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
    /// Cosines and shares alike; popularity parts only what neither knows.
    pub const UNTUNED: Self = Self {
        knn: 1.0,
        next: 1.0,
        popularity: 1e-9,
        decay: DECAY,
    };

    /// A score from its parts. One sum for scoring and for the search, so that both see the same ties.
    fn score(&self, knn: f64, next: f64, popularity: f64) -> f32 {
        (self.knn * knn + self.next * next + self.popularity * popularity) as f32
    }
}

/// The sum, of parts in units that mean the same in every domain: cosines and shares are means over the history, weighted by
/// [decay](Weights::decay), in units of the [size](Links::size) that they have in the domain (in a dense log cosines are large and shares
/// small); `ln(popularity + ½)` is in standard deviations from its mean over the domain's items.
#[derive(Clone, Debug)]
pub struct Counting {
    /// Cosines and shares, and the size of either.
    links: [(Links, f64); 2],
    popularity: Vec<f64>,
    weights: Weights,
}

/// Counts a log; titles are nothing to it. The weights are the untuned ones.
pub fn fit(log: &Log, _: &[Item]) -> Counting {
    let sized = |links: Links| {
        let size = links.size();
        (links, size)
    };
    Counting {
        links: [neighbours(log), transitions(log)].map(sized),
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

    /// The weights that are best on these cases, or rather the nearest to the untuned ones among those that are not shown to be worse.
    pub fn tune(&self, cases: &[Asked<'_>]) -> Choice {
        search::search(self, cases)
    }

    /// The means of a history for every item: cosines and shares.
    fn means(&self, history: &[u32], decay: f64) -> [Vec<f64>; 2] {
        self.links.each_ref().map(|(links, size)| {
            let mut means = links.mean(history, decay, self.popularity.len());
            means.iter_mut().for_each(|mean| *mean /= size);
            means
        })
    }
}

impl ItemScores for Counting {
    fn scores(&self, history: &[u32], out: &mut [f32]) {
        assert_eq!(out.len(), self.popularity.len(), "a place for every item");
        let [knn, next] = self.means(history, self.weights.decay);
        for (at, out) in out.iter_mut().enumerate() {
            *out = self.weights.score(knn[at], next[at], self.popularity[at]);
        }
    }
}

fn standardised_popularity(log: &Log) -> Vec<f64> {
    let half = |count: &u32| (f64::from(*count) + 0.5).ln();
    let logs: Vec<f64> = log.popularity().iter().map(half).collect();
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
            .map(|asked| {
                (
                    asked.history.as_slice(),
                    asked.target,
                    asked.candidates.as_slice(),
                )
            })
            .collect();
        let counting = fit(data.log, data.items);
        let choice = counting.tune(&cases);
        let Weights {
            knn,
            next,
            popularity,
            decay,
        } = choice.weights;
        let value = format!("{knn} knn + {next} next + {popularity} popularity, decay {decay}");
        let standing = match choice.found {
            Some(_) => "",
            None => " (as they are: too few users to choose)",
        };
        let scores = counting.with_weights(choice.weights);
        Ok(Fitted {
            scores: Box::new(Everything::new(scores, data.items.len())),
            choices: vec![choice::Choice {
                what: "weights".into(),
                value: format!("{value}{standing}").into(),
                cut: Cut::Calibration,
                users: choice.cases,
            }],
        })
    }
}

#[cfg(test)]
mod tests;
