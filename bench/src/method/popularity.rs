//! The row to beat: candidates by how often they occur in the training part of the target domain.

use weaverec_pipeline::schema::{Item, Prompt};

/// The training count of every candidate of every prompt. Ties are counted against the row, as everywhere.
pub fn scores(test: &[Prompt], items: &[Item]) -> Vec<Vec<f32>> {
    let count = |id: u32| {
        items
            .get(id as usize - 1)
            .map_or(0.0, |item| item.train_count as f32)
    };
    test.iter()
        .map(|p| p.candidates.iter().map(|c| count(*c)).collect())
        .collect()
}
