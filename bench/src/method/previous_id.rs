//! The placebo of [`next_id`](super::next_id): the item before the last one by raw id. What the order of ids says of what goes together,
//! it says in both directions; what a sorted file gives away, in one.

use weaverec_pipeline::schema::{Item, Prompt};

use super::next_id::by_distance;

/// A score for every candidate of every prompt: the nearer before the last item of the history by id, the higher; all candidates behind
/// it share the lowest.
pub fn scores(test: &[Prompt], items: &[Item]) -> Vec<Vec<f32>> {
    by_distance(test, items, |last, candidate| last - candidate)
}
