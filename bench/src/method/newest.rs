//! The newest successor: what followed the last item most recently.

use anyhow::Result;

use super::log::Log;
use super::{CaseScores, Counted, Fitted, Fitting, How, Method};
use crate::family::Family;

/// The row.
pub struct Newest;

impl Method for Newest {
    fn id(&self) -> &'static str {
        "newest"
    }
    fn label(&self) -> &'static str {
        "newest successor"
    }
    fn family(&self) -> Family {
        Family::Floor
    }
    fn reference(&self) -> &'static str {
        "the item that followed the last one most recently"
    }
    fn how(&self) -> How {
        How::Counted(&Newest)
    }
}

impl Counted for Newest {
    fn fit<'a>(&self, data: &Fitting<'a>) -> Result<Fitted<'a>> {
        Ok(Fitted {
            scores: Box::new(Successors { log: data.log }),
            choices: Vec::new(),
        })
    }
}

struct Successors<'a> {
    log: &'a Log,
}

impl CaseScores for Successors<'_> {
    fn scores(&self, _user: &str, history: &[u32], items: &[u32]) -> Vec<f32> {
        let last = history.last();
        let score = |item: &u32| {
            let follows = |of: &&Vec<u32>| {
                of.windows(2)
                    .any(|pair| Some(&pair[0]) == last && pair[1] == *item)
            };
            self.log.sequences().iter().filter(follows).count() as f32
        };
        items.iter().map(score).collect()
    }
}
