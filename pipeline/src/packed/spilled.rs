//! The same stages on rows in files: parts of the users are sorted one after another, and what the k-core needs to know of all
//! together are numbers of interactions, which fit into memory as the ids do.

use std::path::Path;

use super::{Key, Packed, Row, RowFile, arrange};
use crate::error::Result;
use crate::prepared::StageCount;
use crate::stage::{DedupPolicy, KCore, Order};

/// Most files that are open side by side.
const FILES: usize = 256;

/// Fewest rows of a file.
const ROWS: usize = 1 << 16;

/// Interactions by user in the order of raw ids, each user's oldest first, in several files one after another.
#[derive(Debug)]
pub struct SpilledHistories {
    files: Vec<RowFile>,
    /// Whether a user's rows count, by code.
    users: Vec<bool>,
    /// Whether an item's rows count, by code.
    items: Vec<bool>,
}

impl SpilledHistories {
    /// Groups the rows that `keep` takes, removes repeats and puts each user's in order. Uses files in the folder `place`, and memory
    /// for about `rows` rows.
    pub fn of(
        packed: &mut Packed,
        keep: impl Fn(&Row) -> bool,
        dedup: DedupPolicy,
        order: &Order,
        place: &Path,
        rows: usize,
    ) -> Result<Self> {
        let mut counts = vec![0_u32; packed.users.len()];
        packed.stream(|row| {
            counts[row.user as usize] += u32::from(keep(row));
            Ok(())
        })?;
        let wanted = rows.max(ROWS).max(packed.len() / FILES);
        // The file of each user: as many users in the order of their ids as make up the wanted number of rows.
        let mut file_of = vec![0_u16; packed.users.len()];
        let (mut file, mut filled) = (0_u16, 0);
        let by_id = packed.users.sorted(|_| true);
        for user in &by_id {
            let count = counts[*user as usize] as usize;
            if filled > 0 && filled + count > wanted {
                (file, filled) = (file + 1, 0);
            }
            file_of[*user as usize] = file;
            filled += count;
        }
        let user_ranks = ranks(&by_id, packed.users.len());
        drop((by_id, counts));
        let parts = (0..=file).map(|_| RowFile::new(place));
        let mut parts: Vec<RowFile> = parts.collect::<Result<_>>()?;
        packed.stream(|row| match keep(row) {
            true => parts[usize::from(file_of[row.user as usize])].push(row),
            false => Ok(()),
        })?;
        drop(file_of);

        let mut files = Vec::with_capacity(parts.len());
        for part in parts {
            files.push(sorted(part, packed, &user_ranks, dedup, order, place)?);
        }
        Ok(Self {
            files,
            users: vec![true; packed.users.len()],
            items: vec![true; packed.items.len()],
        })
    }

    /// Users and items with too few interactions leave, until none has too few.
    pub fn core(&mut self, core: KCore) -> Result<()> {
        let (users, items) = (core.users as u32, core.items as u32);
        if users < 2 && items < 2 {
            return Ok(());
        }
        let mut degrees = vec![0_u32; self.items.len()];
        self.each_row(|row| {
            degrees[row.item as usize] += 1;
            Ok(())
        })?;
        loop {
            let mut settled = true;
            for (left, degree) in self.items.iter_mut().zip(&degrees) {
                if *left && *degree < items {
                    // What has no rows is gone as it is.
                    settled &= *degree == 0;
                    *left = false;
                }
            }
            let mut short = Vec::new();
            self.each_user(|user, rows| {
                if (rows.len() as u32) < users {
                    short.push(user);
                    rows.iter().for_each(|row| degrees[row.item as usize] -= 1);
                }
                Ok(())
            })?;
            for user in &short {
                self.users[*user as usize] = false;
            }
            if settled && short.is_empty() {
                return Ok(());
            }
        }
    }

    fn each_row(&mut self, mut visit: impl FnMut(&Row) -> Result<()>) -> Result<()> {
        let (users, items) = (&self.users, &self.items);
        self.files.iter_mut().try_for_each(|file| {
            file.each(|row| match users[row.user as usize] && items[row.item as usize] {
                true => visit(row),
                false => Ok(()),
            })
        })
    }

    /// Hands over the users that have rows, by code, in the order of their raw ids, with their rows, oldest first.
    pub fn each_user(&mut self, mut visit: impl FnMut(u32, &[Row]) -> Result<()>) -> Result<()> {
        let mut open: Vec<Row> = Vec::new();
        self.each_row(|row| {
            if let Some(last) = open.last()
                && last.user != row.user
            {
                visit(last.user, &open)?;
                open.clear();
            }
            open.push(*row);
            Ok(())
        })?;
        match open.last() {
            Some(last) => visit(last.user, &open),
            None => Ok(()),
        }
    }

    /// Sizes, and which items are left, by code.
    pub fn size(&mut self, stage: &str) -> Result<(StageCount, Vec<bool>)> {
        let mut left = vec![false; self.items.len()];
        let (mut interactions, mut users) = (0, 0);
        self.each_user(|_, rows| {
            interactions += rows.len() as u64;
            users += 1;
            rows.iter().for_each(|row| left[row.item as usize] = true);
            Ok(())
        })?;
        let count = StageCount {
            stage: stage.to_owned(),
            interactions,
            users,
            items: left.iter().filter(|left| **left).count() as u64,
        };
        Ok((count, left))
    }

    /// The `count`-th newest time, from 1; none where there are fewer rows.
    ///
    /// Digit after digit from the highest, each from one pass, so that nothing but counters is held.
    pub fn newest(&mut self, count: usize) -> Result<Option<i64>> {
        let (mut known, mut before) = (0_u64, count);
        for shift in [48, 32, 16, 0] {
            let mut counts = vec![0_usize; 1 << 16];
            self.each_row(|row| {
                let time = sortable(row.time);
                if shift == 48 || time >> (shift + 16) == known {
                    counts[(time >> shift & 0xffff) as usize] += 1;
                }
                Ok(())
            })?;
            let mut digit = None;
            for (value, count) in counts.iter().enumerate().rev() {
                if *count >= before {
                    digit = Some(value as u64);
                    break;
                }
                before -= count;
            }
            let Some(digit) = digit else {
                return Ok(None);
            };
            known = known << 16 | digit;
        }
        Ok(Some((known ^ (1 << 63)) as i64))
    }

    /// How many are before a time.
    pub fn count_before(&mut self, time: i64) -> Result<u64> {
        let mut count = 0;
        self.each_row(|row| {
            count += u64::from(row.time < time);
            Ok(())
        })?;
        Ok(count)
    }

    /// The newest time before another.
    pub fn newest_before(&mut self, time: i64) -> Result<Option<i64>> {
        let mut found = None;
        self.each_row(|row| {
            if row.time < time {
                found = found.max(Some(row.time));
            }
            Ok(())
        })?;
        Ok(found)
    }
}

/// A number that compares as the time does, without a sign.
fn sortable(time: i64) -> u64 {
    time as u64 ^ (1 << 63)
}

/// Ranks by code, of codes in the order of their texts.
fn ranks(sorted: &[u32], count: usize) -> Vec<u32> {
    let mut ranks = vec![0; count];
    for (rank, code) in (0..).zip(sorted) {
        ranks[*code as usize] = rank;
    }
    ranks
}

/// The rows of a file by user, each user's in order and without repeats.
fn sorted(
    mut part: RowFile,
    packed: &Packed,
    user_ranks: &[u32],
    dedup: DedupPolicy,
    order: &Order,
    place: &Path,
) -> Result<RowFile> {
    let mut rows = Vec::with_capacity(part.len());
    part.each(|row| {
        rows.push(*row);
        Ok(())
    })?;
    drop(part);
    rows.sort_unstable_by_key(|row| user_ranks[row.user as usize]);
    let mut done = RowFile::new(place)?;
    let (mut keys, mut breaker) = (Vec::new(), order.breaker());
    for own in rows.chunk_by(|left, right| left.user == right.user) {
        keys.clear();
        keys.extend((0..).zip(own).map(|(index, row)| Key {
            time: row.time,
            place: row.place,
            index,
            item: row.item,
        }));
        arrange(&mut keys, dedup, packed, own[0].user, &mut breaker);
        keys.iter()
            .try_for_each(|key| done.push(&own[key.index as usize]))?;
    }
    Ok(done)
}
