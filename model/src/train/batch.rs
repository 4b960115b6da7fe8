//! The order of examples, and how a step's examples are packed into passes.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::Example;
use crate::backbone::Pass;
use crate::op::mix;

/// A packed part of a step: the pass, the rows whose next token counts, and those tokens.
pub(super) struct MicroBatch {
    pub pass: Pass,
    pub rows: Vec<u32>,
    pub targets: Vec<u32>,
}

/// The order of examples in an epoch: a function of the seed and the epoch alone.
pub(super) fn order(examples: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(mix(seed ^ mix(epoch as u64 + 1))));
    order
}

/// Packs examples into passes of at most `tokens` rows (one example may be longer by itself).
///
/// The last token of an example is only predicted, never read, so it takes no row.
pub(super) fn pack<'a>(examples: impl IntoIterator<Item = &'a Example>, tokens: usize) -> Vec<MicroBatch> {
    let mut groups: Vec<(usize, Vec<&Example>)> = Vec::new();
    for example in examples.into_iter().filter(|e| e.targets() > 0) {
        let rows = example.tokens.len() - 1;
        match groups.last_mut() {
            Some((held, group)) if *held + rows <= tokens => {
                *held += rows;
                group.push(example);
            }
            _ => groups.push((rows, vec![example])),
        }
    }
    groups.into_iter().map(|(_, group)| pack_group(&group)).collect()
}

fn pack_group(examples: &[&Example]) -> MicroBatch {
    let (mut rows, mut targets, mut start) = (Vec::new(), Vec::new(), 0);
    for example in examples {
        let first = example.loss_from.max(1);
        rows.extend((first..example.tokens.len()).map(|i| (start + i - 1) as u32));
        targets.extend_from_slice(&example.tokens[first..]);
        start += example.tokens.len() - 1;
    }
    let pass = Pass::sequences(examples.iter().map(|e| &e.tokens[..e.tokens.len() - 1]));
    MicroBatch { pass, rows, targets }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(tokens: &[u32], loss_from: usize) -> Example {
        Example {
            tokens: tokens.to_vec(),
            loss_from,
        }
    }

    #[test]
    fn rows_point_at_the_token_before_each_target() {
        let batch = pack(&[example(&[5, 6, 7, 8], 2), example(&[9, 1], 1)], 100);
        assert_eq!(batch.len(), 1);
        assert_eq!(batch[0].rows, [1, 2, 3]);
        assert_eq!(batch[0].targets, [7, 8, 1]);
        assert_eq!(batch[0].pass.rows(), 4);
    }

    #[test]
    fn the_token_budget_splits_a_step_and_examples_without_a_target_take_no_room() {
        let examples = [
            example(&[1, 2, 3], 1),
            example(&[1, 2, 3], 3),
            example(&[4, 5, 6], 1),
        ];
        let parts = pack(&examples, 3);
        assert_eq!(parts.iter().map(|p| p.targets.len()).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch_and_loses_nothing() {
        let mut first = order(50, 7, 0);
        assert_eq!(first, order(50, 7, 0));
        assert_ne!(first, order(50, 7, 1));
        assert_ne!(first, order(50, 8, 0));
        first.sort_unstable();
        assert!(first.into_iter().eq(0..50));
    }
}
