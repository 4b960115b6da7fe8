//! The row to beat: candidates by how often they occur in the training part of the target domain.

use anyhow::Result;
use weaverec_pipeline::schema::Item;

use super::{CaseScores, Counted, Fitted, Fitting, How, Method};
use crate::family::Family;

/// The row.
pub struct Popularity;

impl Method for Popularity {
    fn id(&self) -> &'static str {
        "popularity"
    }

    fn label(&self) -> &'static str {
        "popularity"
    }

    fn family(&self) -> Family {
        Family::Floor
    }

    fn reference(&self) -> &'static str {
        "training interactions of the target domain"
    }

    fn how(&self) -> How {
        How::Counted(&Popularity)
    }
}

impl Counted for Popularity {
    fn fit<'a>(&self, data: &Fitting<'a>) -> Result<Fitted<'a>> {
        Ok(Fitted {
            scores: Box::new(Counts { items: data.items }),
            choices: Vec::new(),
        })
    }
}

struct Counts<'a> {
    items: &'a [Item],
}

impl CaseScores for Counts<'_> {
    fn scores(&self, _: &str, _: &[u32], items: &[u32]) -> Vec<f32> {
        let count = |id: &u32| {
            let item = self.items.get(*id as usize - 1);
            item.map_or(0.0, |item| item.train_count as f32)
        };
        items.iter().map(count).collect()
    }
}
