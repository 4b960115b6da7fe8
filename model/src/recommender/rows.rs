//! Sequences packed into rows, one after another without padding.

use std::ops::Range;
use std::sync::Arc;

use crate::op::Pair;

/// Where a sequence that is shorter than the longest has its positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// The first item has position 0.
    Start,
    /// The last item has the last position, as with padding on the left.
    End,
}

/// Sequences of rows of the item table, packed.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// The item's row in its table, of each packed row.
    pub items: Vec<u32>,
    /// The row's position in its sequence.
    pub positions: Vec<u32>,
    /// The rows of each sequence.
    pub spans: Vec<Range<usize>>,
}

impl Rows {
    /// Adds a sequence of `length` positions at most.
    pub fn push(&mut self, items: &[u32], align: Align, length: usize) {
        let start = self.items.len();
        let first = match align {
            Align::Start => 0,
            Align::End => length - items.len(),
        };
        self.items.extend_from_slice(items);
        self.positions
            .extend((first..first + items.len()).map(|position| position as u32));
        self.spans.push(start..self.items.len());
    }

    /// The rows that see themselves in attention.
    pub fn pairs(&self) -> Arc<[Pair]> {
        self.spans.iter().cloned().map(Pair::own).collect()
    }

    /// The last row of each sequence, none of which is empty.
    pub fn last(&self) -> Vec<u32> {
        self.spans.iter().map(|span| span.end as u32 - 1).collect()
    }
}

/// The last `length` of a sequence.
pub(super) fn tail(items: &[u32], length: usize) -> &[u32] {
    &items[items.len().saturating_sub(length)..]
}
