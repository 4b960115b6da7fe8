//! Next-item counts: candidates by how often they came right after an item of the history.

use anyhow::Result;
use rayon::prelude::*;
use weaverec_pipeline::schema::Item;

use super::links::{DECAY, LinkScores, Links};
use super::log::Log;
use super::{Counted, Everything, Fitted, Fitting, How, Method};
use crate::family::Family;

/// Counts a log; titles are nothing to it.
pub fn fit(log: &Log, _: &[Item]) -> LinkScores {
    LinkScores::new(transitions(log), DECAY)
}

/// `count(i → j) / count(i → anything)`, where `i → j` is that a user's next item after `i` is `j`.
pub fn transitions(log: &Log) -> Links {
    let mut next = vec![Vec::new(); log.items()];
    for pair in log.sequences().iter().flat_map(|items| items.windows(2)) {
        next[pair[0] as usize - 1].push(pair[1]);
    }
    let rows: Vec<Vec<(u32, f32)>> = next
        .into_par_iter()
        .map(|mut next| {
            next.sort_unstable();
            let share = |same: &[u32]| (same[0], (same.len() as f64 / next.len() as f64) as f32);
            next.chunk_by(|one, other| one == other).map(share).collect()
        })
        .collect();
    Links::of(&rows)
}

/// The row.
pub struct NextItem;

impl Method for NextItem {
    fn id(&self) -> &'static str {
        "next-item"
    }

    fn label(&self) -> &'static str {
        "next-item counts"
    }

    fn family(&self) -> Family {
        Family::Floor
    }

    fn reference(&self) -> &'static str {
        "how often an item came right after one of the history, recency .7"
    }

    fn how(&self) -> How {
        How::Counted(&NextItem)
    }
}

impl Counted for NextItem {
    fn fit<'a>(&self, data: &Fitting<'a>) -> Result<Fitted<'a>> {
        Ok(Fitted {
            scores: Box::new(Everything::new(fit(data.log, data.items), data.items.len())),
            choices: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::{log, scores};
    use super::*;

    #[test]
    fn what_follows_an_item_is_counted_among_all_that_does() {
        let links = transitions(&log());
        assert_eq!(links.row(2), [(3, 0.5), (5, 0.25), (6, 0.25)]);
        assert_eq!(links.row(4), [], "always the last");
        assert_eq!(links.row(8), [], "nobody has it");
    }

    #[test]
    fn with_no_decay_left_the_last_item_says_it_all() {
        let row = fit(&log(), &[]).with_decay(0.0);
        let expected = [0.0, 0.0, 0.5, 0.0, 0.25, 0.25, 0.0, 0.0];
        assert_eq!(scores(&row, 8, &[7, 2]), expected);
        assert_eq!(scores(&row, 8, &[2, 4]), [0.0; 8]);
    }
}
