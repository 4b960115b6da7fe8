//! The stages that choose interactions, on packed rows in memory or, under a memory limit, in files.
//!
//! They give what the plans of [`crate::stage`] give on the same rows, without plans: ids are integers from the first line on, so
//! that grouping is counting and a k-core is a few sweeps. A set whose ids do not fit into
//! memory, and a cluster, take the plans.

mod dictionary;
mod file;
mod rows;
mod spilled;
mod users;

use rayon::prelude::*;

pub use dictionary::Dictionary;
pub use file::RowFile;
pub use rows::{Interaction, Packed, Part, Row};
pub use spilled::SpilledHistories;
pub use users::Users;

use crate::error::Result;
use crate::prepared::StageCount;
use crate::stage::order::TieBreaker;
use crate::stage::{DedupPolicy, KCore, Order};
pub use crate::texts::Texts;

/// Users sorted as one piece of work.
const BLOCK: usize = 4096;

/// Users whose rows are gathered together: more than enough for every read that the processor can have under way.
const GATHERED: usize = 32;

/// Interactions by user, each user's oldest first.
#[derive(Debug)]
pub struct Histories {
    /// Indices of rows.
    rows: Vec<u32>,
    /// Their items, by code, while there are stages to come that count items.
    items: Vec<u32>,
    /// Where a user's begin, by code; one more at the end.
    starts: Vec<u32>,
    /// Where they end: before the next user's begin, once some were removed.
    ends: Vec<u32>,
}

/// What is told apart when a user's rows are sorted.
#[derive(Clone, Copy)]
struct Key {
    time: i64,
    place: i64,
    index: u32,
    /// Code of the item.
    item: u32,
}

impl Histories {
    /// Groups the rows that `keep` takes, removes repeats and puts each user's in order.
    ///
    /// Runs in the thread pool it is called from.
    pub fn of(packed: &Packed, keep: impl Fn(&Row) -> bool, dedup: DedupPolicy, order: &Order) -> Self {
        let mut histories = Self::group(packed, keep);
        let mut rest = (histories.rows.as_mut_slice(), histories.items.as_mut_slice());
        let mut blocks = Vec::new();
        let starts = histories.starts[..histories.ends.len()].chunks(BLOCK);
        for (starts, ends) in starts.zip(histories.ends.chunks_mut(BLOCK)) {
            let count = (ends[ends.len() - 1] - starts[0]) as usize;
            let (rows, items) = std::mem::take(&mut rest);
            let (own, items) = (rows.split_at_mut(count), items.split_at_mut(count));
            rest = (own.1, items.1);
            blocks.push((own.0, items.0, starts, ends));
        }
        let blocks = blocks.into_par_iter().enumerate();
        blocks.for_each(|(block, (rows, items, starts, ends))| {
            let (mut keys, mut breaker) = (Vec::new(), order.breaker());
            let users = (block * BLOCK) as u32..;
            for (user, (start, end)) in users.zip(starts.iter().zip(ends)) {
                let own = (start - starts[0]) as usize..(*end - starts[0]) as usize;
                let (rows, items) = (&mut rows[own.clone()], &mut items[own]);
                keys.clear();
                keys.extend(rows.iter().map(|index| {
                    let row = packed.row(*index);
                    Key {
                        time: row.time,
                        place: row.place,
                        index: *index,
                        item: row.item,
                    }
                }));
                arrange(&mut keys, dedup, packed, user, &mut breaker);
                for ((row, item), key) in rows.iter_mut().zip(items).zip(&keys) {
                    (*row, *item) = (key.index, key.item);
                }
                *end = start + keys.len() as u32;
            }
        });
        histories
    }

    fn group(packed: &Packed, keep: impl Fn(&Row) -> bool) -> Self {
        let mut starts = vec![0_u32; packed.users.len() + 1];
        for (_, row) in packed.each() {
            starts[row.user as usize + 1] += u32::from(keep(row));
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        // While rows are put in their places, an end is the place of the user's next row.
        let mut ends = starts[..packed.users.len()].to_vec();
        let mut rows = vec![0; sum as usize];
        for (index, row) in packed.each().filter(|(_, row)| keep(row)) {
            let end = &mut ends[row.user as usize];
            rows[*end as usize] = index;
            *end += 1;
        }
        let items = vec![0; rows.len()];
        Self {
            rows,
            items,
            starts,
            ends,
        }
    }

    /// Users and items with too few interactions leave, until none has too few.
    pub fn core(&mut self, packed: &Packed, core: KCore) {
        let (users, items) = (core.users as u32, core.items as u32);
        if users < 2 && items < 2 {
            return;
        }
        let mut degrees = vec![0_u32; packed.items.len()];
        for user in 0..self.ends.len() {
            let span = self.span(user);
            self.items[span]
                .iter()
                .for_each(|item| degrees[*item as usize] += 1);
        }
        loop {
            let mut removed = false;
            for user in 0..self.ends.len() {
                let span = self.span(user);
                let (start, before) = (span.start, span.len());
                let mut end = start;
                for at in span {
                    let item = self.items[at];
                    if degrees[item as usize] >= items {
                        (self.items[end], self.rows[end]) = (item, self.rows[at]);
                        end += 1;
                    } else {
                        degrees[item as usize] -= 1;
                    }
                }
                if end - start < users as usize {
                    for item in &self.items[start..end] {
                        degrees[*item as usize] -= 1;
                    }
                    end = start;
                }
                self.ends[user] = end as u32;
                removed |= end - start < before;
            }
            if !removed {
                return;
            }
        }
    }

    fn span(&self, user: usize) -> std::ops::Range<usize> {
        self.starts[user] as usize..self.ends[user] as usize
    }

    /// Sizes, and which items are left, by code.
    pub fn size(&self, packed: &Packed, stage: &str) -> (StageCount, Vec<bool>) {
        let mut left = vec![false; packed.items.len()];
        let (mut interactions, mut users) = (0, 0);
        for user in 0..self.ends.len() {
            let items = &self.items[self.span(user)];
            interactions += items.len() as u64;
            users += u64::from(!items.is_empty());
            items.iter().for_each(|item| left[*item as usize] = true);
        }
        let count = StageCount {
            stage: stage.to_owned(),
            interactions,
            users,
            items: left.iter().filter(|left| **left).count() as u64,
        };
        (count, left)
    }

    /// To be called after the last stage that counts items.
    pub fn forget_items(&mut self) {
        self.items = Vec::new();
    }

    /// Whether a user has rows.
    pub fn has(&self, user: u32) -> bool {
        !self.span(user as usize).is_empty()
    }

    /// The rows of a user, oldest first.
    pub fn of_user(&self, user: u32) -> &[u32] {
        &self.rows[self.span(user as usize)]
    }

    /// Hands over users, by code, with their raw ids and their rows, oldest first, some at a time.
    ///
    /// What is read of a user lies all over the memory. It is gathered step by step for some users together, so that the reads of a
    /// step wait together.
    pub fn each_users(
        &self,
        packed: &Packed,
        users: &[u32],
        mut visit: impl FnMut(&Users) -> Result<()>,
    ) -> Result<()> {
        let (mut some, mut indices) = (Users::default(), Vec::new());
        for block in users.chunks(GATHERED) {
            some.clear();
            indices.clear();
            let spans: Vec<_> = block.iter().map(|user| self.span(*user as usize)).collect();
            packed.users.texts().gather(block.iter().copied(), &mut some.ids);
            some.lengths.extend(spans.iter().map(ExactSizeIterator::len));
            for span in spans {
                indices.extend_from_slice(&self.rows[span]);
            }
            some.rows.extend(indices.iter().map(|index| *packed.row(*index)));
            visit(&some)?;
        }
        Ok(())
    }
}

/// Leaves out repeats among the rows of a user, as the policy says, and puts the others in order.
fn arrange(
    keys: &mut Vec<Key>,
    dedup: DedupPolicy,
    packed: &Packed,
    user: u32,
    breaker: &mut TieBreaker<'_, Key>,
) {
    if matches!(dedup, DedupPolicy::First | DedupPolicy::Last) {
        keys.sort_unstable_by_key(|key| (key.item, key.time, key.place));
        if dedup == DedupPolicy::Last {
            keys.reverse();
        }
        keys.dedup_by_key(|key| key.item);
    }
    // Codes are for one run: they bring the repeats of an item together and decide nothing.
    keys.sort_unstable_by_key(|key| (key.time, key.item, key.place));
    if dedup == DedupPolicy::Exact {
        keys.dedup_by_key(|key| (key.time, key.item));
    }
    breaker.next_user();
    let order = breaker.order();
    for run in keys.chunk_by_mut(|left, right| order.tied(left.time, right.time)) {
        if run.len() > 1 {
            breaker.sort(
                packed.users.text(user),
                run,
                |key| key.time,
                |key| packed.items.text(key.item),
                |key| key.place,
            );
        }
    }
}

/// Sizes of the rows that `keep` takes.
pub fn size(packed: &Packed, stage: &str, keep: impl Fn(&Row) -> bool) -> StageCount {
    let mut users = vec![false; packed.users.len()];
    let mut items = vec![false; packed.items.len()];
    let mut interactions = 0;
    for (_, row) in packed.each().filter(|(_, row)| keep(row)) {
        interactions += 1;
        users[row.user as usize] = true;
        items[row.item as usize] = true;
    }
    let count = |left: &[bool]| left.iter().filter(|left| **left).count() as u64;
    StageCount {
        stage: stage.to_owned(),
        interactions,
        users: count(&users),
        items: count(&items),
    }
}
