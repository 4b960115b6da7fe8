//! The placebo of [`next_id`](super::next_id): the item before the last one by raw id. What the order of ids says of what goes together,
//! it says in both directions; what a sorted file gives away, in one.

use anyhow::Result;

use super::next_id::ByDistance;
use super::{Counted, Fitted, Fitting, How, Method};
use crate::family::Family;

/// The row. Of the candidates before the last item of the history by id, the nearer comes first; all behind it share the lowest score.
pub struct PreviousId;

impl Method for PreviousId {
    fn id(&self) -> &'static str {
        "previous-id"
    }

    fn label(&self) -> &'static str {
        "previous id (probe)"
    }

    fn family(&self) -> Family {
        Family::Probe
    }

    fn reference(&self) -> &'static str {
        "the raw id before the last item's: the placebo of next id"
    }

    fn how(&self) -> How {
        How::Counted(&PreviousId)
    }
}

impl Counted for PreviousId {
    fn fit<'a>(&self, data: &Fitting<'a>) -> Result<Fitted<'a>> {
        Ok(Fitted {
            scores: Box::new(ByDistance::new(data.items, backwards)),
            choices: Vec::new(),
        })
    }
}

/// From the candidate's place to the last item's.
pub(super) fn backwards(last: i64, candidate: i64) -> i64 {
    last - candidate
}
