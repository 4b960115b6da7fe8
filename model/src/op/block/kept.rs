//! What a block keeps for its backward beyond what it must: memory for time, within a budget.

use crate::op::attention::{Heads, Segment, probabilities};

use super::{BlockWeights, GATE};

/// Which of the values that a backward could compute again it finds kept. Gradients are the same bit for bit whatever is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The attention's probabilities.
    pub probabilities: bool,
    /// The feed-forward's activated gate.
    pub activated: bool,
    /// The normalised rows before attention and feed-forward.
    pub normed: bool,
}

/// Bytes that each of them takes in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptBytes {
    /// Of the attention's probabilities.
    pub probabilities: usize,
    /// Of the activated gate.
    pub activated: usize,
    /// Of the normalised rows.
    pub normed: usize,
}

impl KeptBytes {
    /// For a block over `rows` packed rows, `wanted` of which go on after the attention.
    pub fn of(
        weights: &BlockWeights,
        heads: Heads,
        segments: &[Segment],
        rows: usize,
        wanted: usize,
    ) -> Self {
        let (inner, width) = match weights.projections[GATE].weight.dims() {
            [inner, width] => (*inner, *width),
            _ => (0, 0),
        };
        let scores = |segment: &Segment| heads.query * probabilities(segment.rows.len(), segment.seen());
        let values = |count: usize| count * size_of::<f32>();
        KeptBytes {
            probabilities: values(segments.iter().map(scores).sum()),
            activated: values(wanted * inner),
            normed: values((rows + wanted) * width),
        }
    }
}

impl Kept {
    /// What each block keeps so that all of it takes at most `budget` bytes: what saves most time a byte first, which is the
    /// probabilities, in as many blocks as they fit into, then the gates, then the normalised rows.
    pub fn within(budget: usize, blocks: &[KeptBytes]) -> Vec<Kept> {
        let mut plan = vec![Kept::default(); blocks.len()];
        let mut left = budget;
        let mut take = |bytes: usize| {
            let fits = bytes <= left;
            left -= if fits { bytes } else { 0 };
            fits
        };
        for (kept, bytes) in plan.iter_mut().zip(blocks) {
            kept.probabilities = take(bytes.probabilities);
        }
        for (kept, bytes) in plan.iter_mut().zip(blocks) {
            kept.activated = take(bytes.activated);
        }
        for (kept, bytes) in plan.iter_mut().zip(blocks) {
            kept.normed = take(bytes.normed);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: KeptBytes = KeptBytes {
        probabilities: 100,
        activated: 70,
        normed: 30,
    };

    fn bytes(plan: &[Kept], blocks: &[KeptBytes]) -> usize {
        let of = |(kept, bytes): (&Kept, &KeptBytes)| {
            usize::from(kept.probabilities) * bytes.probabilities
                + usize::from(kept.activated) * bytes.activated
                + usize::from(kept.normed) * bytes.normed
        };
        plan.iter().zip(blocks).map(of).sum()
    }

    #[test]
    fn no_budget_is_exceeded_and_a_large_one_keeps_everything() {
        let last = KeptBytes {
            activated: 7,
            normed: 13,
            ..BLOCK
        };
        let blocks = [BLOCK, BLOCK, last];
        let all = bytes(
            &[Kept {
                probabilities: true,
                activated: true,
                normed: true,
            }; 3],
            &blocks,
        );
        let mut before = 0;
        for budget in 0..=all {
            let taken = bytes(&Kept::within(budget, &blocks), &blocks);
            assert!(taken <= budget, "{taken} of {budget}");
            assert!(budget < 7 || taken > 0);
            before = taken;
        }
        assert_eq!(before, all);
    }

    #[test]
    fn what_saves_most_time_a_byte_comes_first() {
        let plan = Kept::within(275, &[BLOCK; 2]);
        let first = Kept {
            probabilities: true,
            activated: true,
            normed: false,
        };
        let second = Kept {
            activated: false,
            ..first
        };
        assert_eq!(plan, [first, second]);
        assert_eq!(Kept::within(0, &[BLOCK; 2]), [Kept::default(); 2]);
    }
}
