//! The floor: a random order, keyed by seed, user and candidate.

use anyhow::Result;
use weaverec_pipeline::seed;

use super::{CaseScores, Counted, Fitted, Fitting, How, Method};
use crate::family::Family;

/// The row.
pub struct Random;

impl Method for Random {
    fn id(&self) -> &'static str {
        "random"
    }

    fn label(&self) -> &'static str {
        "random"
    }

    fn family(&self) -> Family {
        Family::Floor
    }

    fn reference(&self) -> &'static str {
        "an order drawn by chance"
    }

    fn how(&self) -> How {
        How::Counted(&Random)
    }
}

impl Counted for Random {
    fn is_drawn(&self) -> bool {
        true
    }

    fn fit<'a>(&self, data: &Fitting<'a>) -> Result<Fitted<'a>> {
        Ok(Fitted {
            scores: Box::new(Order { seed: data.seed }),
            choices: Vec::new(),
        })
    }
}

struct Order {
    seed: u64,
}

impl CaseScores for Order {
    fn scores(&self, user: &str, _: &[u32], items: &[u32]) -> Vec<f32> {
        let score = |item: &u32| {
            let parts = [&self.seed.to_le_bytes()[..], user.as_bytes(), &item.to_le_bytes()];
            // The upper 24 bits fit a float exactly.
            (seed::key(&parts) >> 40) as f32
        };
        items.iter().map(score).collect()
    }
}
