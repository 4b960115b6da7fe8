//! What was found along the weights that a merge was tried with: NDCG of calibration users, who chose among them where they are enough, and entropy of prompts without
//! answers under the same weights.
//!
//! A curve decides nothing. It is kept beside a ranking so that a report can show whether entropy, by which other rows choose, moves with
//! what it stands for.

use serde::{Deserialize, Serialize};

/// The points of a grid, each with both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightCurve {
    /// What the members were trained on, in the order of the weights.
    pub members: Vec<String>,
    /// The place of the target's own adapter among them.
    pub own: usize,
    /// What NDCG is of, as `NDCG@5 of content scores at α = 1`.
    pub metric: String,
    /// Calibration users that it is the mean over.
    pub users: usize,
    /// Which entropy, as `entropy over the vocabulary, 3 tokens`.
    pub entropy: String,
    /// Those of the calibration users whose prompts it is of.
    pub entropy_users: usize,
    /// What was tried, each once, equal parts first.
    pub points: Vec<WeightPoint>,
}

/// What was found at one choice of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightPoint {
    /// Of each member.
    pub weights: Vec<f64>,
    /// Mean NDCG.
    pub ndcg: f64,
    /// Mean entropy, in nats.
    pub entropy: f64,
}

impl WeightCurve {
    /// Adds a point, unless its weights are there already: equal parts may be a point of the grid as well.
    pub fn add(&mut self, point: WeightPoint) {
        if self.points.iter().all(|known| known.weights != point.weights) {
            self.points.push(point);
        }
    }
}
