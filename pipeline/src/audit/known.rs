//! What every user did, packed: the sequences as written, checked against the interactions.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use crate::audit::AuditReport;
use crate::audit::namesakes::Namesakes;
use crate::audit::place::{Place, Rule};
use crate::audit::ties::TieCheck;
use crate::error::Result;
use crate::prepared::Prepared;
use crate::seed;

/// Interactions of a user above which they are sorted.
const MANY: usize = 64;

/// All sequences, by dense user id from 1.
pub struct Known {
    /// Hashes of the raw ids.
    users: Vec<u64>,
    /// Where each user's interactions begin; one more at the end.
    starts: Vec<usize>,
    items: Vec<u32>,
    times: Vec<i64>,
    /// Whether each interaction is at the moment of the one before it; empty where times say so.
    goes_on: Vec<bool>,
    /// By user.
    places: Vec<Place>,
    /// When anybody first had an item, by dense id; empty where there is no cut.
    first_seen: Vec<i64>,
    /// The items of users with many, sorted: nobody's whole sequence is gone through for each of as many prompts.
    sorted: HashMap<u32, Vec<u32>>,
    /// The newest training interactions of the two users whose are newest: (time, user).
    newest: Vec<(i64, u32)>,
}

impl Known {
    /// Reads the sequences of a folder and reports where they are not its interactions in the order of time.
    pub fn read(prepared: &Prepared, namesakes: &Namesakes, report: &mut AuditReport) -> Result<Self> {
        let rule = Rule::of(prepared.manifest());
        let mut titles = Vec::new();
        let mut known = Self {
            users: Vec::new(),
            starts: vec![0],
            items: Vec::new(),
            times: Vec::new(),
            goes_on: Vec::new(),
            places: Vec::new(),
            first_seen: Vec::new(),
            sorted: HashMap::new(),
            newest: Vec::new(),
        };
        prepared.each_sequence(|sequence| {
            let ends = rule.moments(&sequence.timestamps);
            if ends.is_none() || sequence.timestamps.len() != sequence.items.len() {
                report.leak(
                    &format!("sequence of user {}", sequence.user_id),
                    "its interactions are not in the order of time",
                );
            }
            let ends = ends.unwrap_or(Cow::Borrowed(&sequence.timestamps));
            known.users.push(hash(&sequence.user_id));
            if sequence.items.len() > MANY {
                let mut items = sequence.items.clone();
                items.sort_unstable();
                known.sorted.insert(known.users.len() as u32, items);
            }
            known.items.extend(&sequence.items);
            known.times.extend(&sequence.timestamps);
            known.starts.push(known.items.len());
            if rule.has_bursts() {
                // A user's first interaction goes on with nothing.
                known
                    .goes_on
                    .extend(std::iter::repeat_n(false, ends.len().min(1)));
                known
                    .goes_on
                    .extend(ends.windows(2).map(|pair| pair[0] == pair[1]));
            }
            titles.clear();
            titles.extend(sequence.items.iter().map(|item| namesakes.title(*item)));
            let place = rule.place(&titles, &ends);
            let trained = sequence.timestamps.iter().take(place.known as usize);
            known.note(trained.max().copied());
            known.places.push(place);
        })?;
        if prepared.manifest().cut.is_some() {
            known.note_first_seen();
        }
        known.compare(prepared, report)?;
        Ok(known)
    }

    fn note(&mut self, newest: Option<i64>) {
        let user = self.users.len() as u32;
        self.newest.extend(newest.map(|time| (time, user)));
        self.newest.sort_unstable_by_key(|newest| Reverse(*newest));
        self.newest.truncate(2);
    }

    fn note_first_seen(&mut self) {
        let items = self.items.iter().max().map_or(0, |item| *item as usize + 1);
        self.first_seen = vec![i64::MAX; items];
        for (item, time) in self.items.iter().zip(&self.times) {
            let first = &mut self.first_seen[*item as usize];
            *first = (*first).min(*time);
        }
    }

    fn compare(&self, prepared: &Prepared, report: &mut AuditReport) -> Result<()> {
        let (mut rows, mut user, mut differ) = (0, 1, false);
        let mut ties = TieCheck::new(prepared.manifest());
        prepared.each_interaction(|row| {
            while self.starts.get(user).is_some_and(|end| rows >= *end) {
                user += 1;
            }
            let here = (Some(&row.item), Some(&row.timestamp), user);
            differ |= (self.items.get(rows), self.times.get(rows), row.user as usize) != here;
            ties.next(&row, self.goes_on(user, rows));
            rows += 1;
            Ok(())
        })?;
        if ties.broken() {
            report.leak(
                "interactions",
                "events of one time are not in the order that the split's name says",
            );
        }
        if differ || rows != self.items.len() {
            report.leak(
                "sequences",
                "they are not the interactions in the order of user and time",
            );
        }
        Ok(())
    }

    /// Whether the dense id is that of the raw one.
    pub fn has(&self, user: u32, user_id: &str) -> bool {
        let index = (user as usize).wrapping_sub(1);
        self.users.get(index) == Some(&hash(user_id))
    }

    /// A user's items, oldest first; the user must be there.
    pub fn items(&self, user: u32) -> &[u32] {
        &self.items[self.range(user)]
    }

    /// Whether a user, who must be there, ever touched one of `candidates`, which are sorted, other than `target`.
    pub fn touched_any(&self, user: u32, candidates: &[u32], target: u32) -> bool {
        let among = |items: &[u32], sorted: &[u32]| {
            let mut others = items.iter().filter(|item| **item != target);
            others.any(|item| sorted.binary_search(item).is_ok())
        };
        match self.sorted.get(&user) {
            Some(items) => among(candidates, items),
            None => among(self.items(user), candidates),
        }
    }

    /// The times of [`items`](Self::items).
    pub fn times(&self, user: u32) -> &[i64] {
        &self.times[self.range(user)]
    }

    /// Whether an interaction, by its number among all, is at the moment of the one before it, of the same user.
    fn goes_on(&self, user: usize, row: usize) -> bool {
        if self.starts.get(user - 1) == Some(&row) {
            return false;
        }
        match (self.goes_on.get(row), row.checked_sub(1)) {
            (Some(goes_on), _) => *goes_on,
            (None, Some(before)) => self.times.get(before) == self.times.get(row),
            (None, None) => false,
        }
    }

    /// Whether a user's interaction, by its index from 0, is at the moment of the one before it; both must be there.
    pub fn ties(&self, user: u32, at: usize) -> bool {
        at > 0 && self.goes_on(user as usize, self.starts[user as usize - 1] + at)
    }

    /// Where a user's validation and test are; the user must be there.
    pub fn place(&self, user: u32) -> Place {
        self.places[user as usize - 1]
    }

    /// When anybody first had an item; none where there is no cut, or nobody had it.
    pub fn first_seen(&self, item: u32) -> Option<i64> {
        let first = self.first_seen.get(item as usize).copied();
        first.filter(|time| *time < i64::MAX)
    }

    fn range(&self, user: u32) -> std::ops::Range<usize> {
        self.starts[user as usize - 1]..self.starts[user as usize]
    }

    /// When the newest training interaction of anybody else was.
    pub fn newest_training_of_others(&self, user: u32) -> Option<i64> {
        let others = self.newest.iter().find(|(_, owner)| *owner != user);
        others.map(|(time, _)| *time)
    }
}

fn hash(user_id: &str) -> u64 {
    seed::key(&[user_id.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_touched_is_known_however_much_it_is() {
        let few: Vec<u32> = vec![9, 2, 9, 4];
        let many: Vec<u32> = (0..200).map(|step| step * 7 % 200 * 2).collect();
        let mut sorted = many.clone();
        sorted.sort_unstable();
        let known = Known {
            users: vec![1, 2],
            starts: vec![0, few.len(), few.len() + many.len()],
            times: vec![0; few.len() + many.len()],
            items: [few, many].concat(),
            goes_on: Vec::new(),
            places: Vec::new(),
            first_seen: Vec::new(),
            sorted: HashMap::from([(2, sorted)]),
            newest: Vec::new(),
        };
        for (user, candidates, target, expected) in [
            (1, [1, 4, 5], 5, true),
            (1, [1, 4, 5], 4, false),
            (1, [1, 3, 5], 5, false),
            (2, [7, 398, 399], 7, true),
            (2, [7, 398, 399], 398, false),
            (2, [7, 397, 399], 399, false),
        ] {
            assert_eq!(
                known.touched_any(user, &candidates, target),
                expected,
                "{user} {candidates:?}"
            );
        }
    }
}
