//! Items as runs of tokens: what a decoder reads of histories, and what it learns of sequences.

use super::super::codes::{ItemCodes, Layout, SPECIAL, START, TOKENS};
use crate::rank::Catalogue;
use crate::{Error, Result};

/// The items of a domain as tokens, each as many as the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recommender) struct Tokens {
    /// Tokens an item.
    each: usize,
    /// Those of item 1, then those of item 2, and so on.
    tokens: Vec<u32>,
}

/// A start token and the tokens of some items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recommender) struct Sequence {
    /// All tokens.
    pub tokens: Vec<u32>,
    /// The first token there is loss on; at least 1, and the first of an item.
    pub loss_from: usize,
}

impl Tokens {
    /// Of codes.
    pub fn of_codes(layout: Layout, codes: &ItemCodes) -> Self {
        Tokens {
            each: TOKENS,
            tokens: layout.items(codes).into_flattened(),
        }
    }

    /// A token of its own for each of so many items, after those that are no item's.
    pub fn one_each(items: usize) -> Self {
        let first = SPECIAL as u32;
        Tokens {
            each: 1,
            tokens: (first..first + items as u32).collect(),
        }
    }

    /// Tokens an item.
    pub fn each(&self) -> usize {
        self.each
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.tokens.len() / self.each
    }

    /// Those of an item.
    fn of(&self, item: u32) -> Result<&[u32]> {
        let place = (item as usize).checked_sub(1);
        let found = place.and_then(|place| self.tokens.get(place * self.each..(place + 1) * self.each));
        found.ok_or_else(|| {
            Error::Usage(format!(
                "item {item} has no tokens: they are of {} items, the first of which is 1",
                self.items()
            ))
        })
    }

    /// The tree of all items.
    ///
    /// # Errors
    /// Two items of the same tokens.
    pub fn catalogue(&self) -> Result<Catalogue> {
        let items: Vec<&[u32]> = self.tokens.chunks_exact(self.each).collect();
        Catalogue::new(&items)
    }

    /// What is read of somebody who had these items, oldest first.
    fn history(&self, items: &[u32]) -> Result<Vec<u32>> {
        let mut tokens = Vec::with_capacity(1 + self.each * items.len());
        tokens.push(START);
        for item in items {
            tokens.extend_from_slice(self.of(*item)?);
        }
        Ok(tokens)
    }

    /// What is read of a history: its newest items, `most` at most.
    ///
    /// # Errors
    /// An item that there is none of.
    pub fn prompt(&self, items: &[u32], most: usize) -> Result<Vec<u32>> {
        self.history(&items[items.len().saturating_sub(most)..])
    }

    /// A history and the item that came next, which alone is asked for.
    ///
    /// # Errors
    /// An item that there is none of.
    pub fn held_out(&self, history: &[u32], next: u32, most: usize) -> Result<Sequence> {
        let mut tokens = self.prompt(history, most)?;
        let loss_from = tokens.len();
        tokens.extend_from_slice(self.of(next)?);
        Ok(Sequence { tokens, loss_from })
    }

    /// How many [windows](Self::windows) there are of a sequence of so many items.
    pub fn count_windows(items: usize, most: usize) -> usize {
        let length = most + 1;
        match items {
            0 => 0,
            _ => 1 + items.saturating_sub(length).div_ceil(length.div_ceil(2)),
        }
    }

    /// A user's sequence as runs of as many items as are read, in which every item is learnt once: of a later run, which begins half a run
    /// before the last one's end, what is new.
    ///
    /// # Errors
    /// An item that there is none of.
    pub fn windows(&self, items: &[u32], most: usize) -> Result<Vec<Sequence>> {
        // One more than is read, since the last is only predicted.
        let length = most + 1;
        let mut windows = Vec::new();
        let mut learnt = 0;
        while learnt < items.len() {
            let end = match learnt {
                0 => length.min(items.len()),
                _ => (learnt + length.div_ceil(2)).min(items.len()),
            };
            let start = end.saturating_sub(length);
            windows.push(Sequence {
                tokens: self.history(&items[start..end])?,
                loss_from: 1 + self.each * (learnt - start),
            });
            learnt = end;
        }
        Ok(windows)
    }
}
