//! The floor: a random order, keyed by seed, user and candidate.

use weaverec_pipeline::schema::Prompt;
use weaverec_pipeline::seed;

/// A random score for every candidate of every prompt.
pub fn scores(test: &[Prompt], seed: u64) -> Vec<Vec<f32>> {
    let score = |prompt: &Prompt, candidate: u32| {
        let parts = [
            &seed.to_le_bytes()[..],
            prompt.user_id.as_bytes(),
            &candidate.to_le_bytes(),
        ];
        // The upper 24 bits fit a float exactly.
        (seed::key(&parts) >> 40) as f32
    };
    test.iter()
        .map(|p| p.candidates.iter().map(|c| score(p, *c)).collect())
        .collect()
}
