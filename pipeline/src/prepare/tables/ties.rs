//! Counts events that tie, and whether the order of the file within a tie is that of the items' ids.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::prepared::{IdOrder, Share, TieReport};
use crate::raw::{file_of, line_of};
use crate::schema::Item;
use crate::stage::moment::Moments;

/// What is counted of ties as histories are written.
pub struct TieTally {
    ids: IdOrder,
    neighbours: Share,
    test_targets: Share,
    ascending: Share,
    /// Lines from a user's first to the last one, of all users.
    covered: u64,
    /// First and last line by file.
    extent: BTreeMap<i64, (i64, i64)>,
    /// (place, item) of a moment.
    moment: Vec<(i64, u32)>,
}

impl TieTally {
    /// Over these items, which are in the order of their raw ids.
    pub fn new(items: &[Item]) -> Self {
        Self {
            ids: IdOrder::of(items),
            neighbours: Share::default(),
            test_targets: Share::default(),
            ascending: Share::default(),
            covered: 0,
            extent: BTreeMap::new(),
            moment: Vec::new(),
        }
    }

    /// Counts a user's items, by dense id, with their moments, their places in the raw files and which is the target of the test.
    pub fn note(&mut self, items: &[u32], moments: &Moments<'_>, places: &[i64], test: Option<usize>) {
        if let Some(target) = test.filter(|target| *target > 0) {
            self.test_targets.add(moments.goes_on(target));
        }
        for moment in moments.ranges() {
            if moment.len() > 1 {
                self.note_moment(&items[moment.clone()], &places[moment]);
            }
        }
        self.neighbours.of += items.len().saturating_sub(1) as u64;
        self.note_extent(places);
    }

    fn note_moment(&mut self, items: &[u32], places: &[i64]) {
        self.neighbours.count += items.len() as u64 - 1;
        let mut moment = std::mem::take(&mut self.moment);
        moment.clear();
        moment.extend(places.iter().copied().zip(items.iter().copied()));
        moment.sort_unstable();
        for pair in moment.windows(2) {
            match self.ids.compare(pair[0].1, pair[1].1) {
                Ordering::Equal => (),
                order => self.ascending.add(order == Ordering::Less),
            }
        }
        self.moment = moment;
    }

    /// Where files hold user after user, users' lines do not overlap, and all of them together cover each line once.
    fn note_extent(&mut self, places: &[i64]) {
        let (Some(first), Some(last)) = (places.iter().min(), places.iter().max()) else {
            return;
        };
        // A user of several files covers none of them.
        if file_of(*first) == file_of(*last) {
            self.covered += (last - first) as u64 + 1;
        }
        for place in [*first, *last] {
            let (file, line) = (file_of(place), line_of(place));
            let extent = self.extent.entry(file).or_insert((line, line));
            *extent = (extent.0.min(line), extent.1.max(line));
        }
    }

    /// What was counted.
    pub fn report(&self) -> TieReport {
        let lines: i64 = self.extent.values().map(|(first, last)| last - first + 1).sum();
        TieReport {
            neighbours: self.neighbours,
            test_targets: self.test_targets,
            ascending: self.ascending,
            users_a_line: self.covered as f64 / lines.max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(ids: &[&str], users: &[&[(u32, i64, i64)]]) -> TieReport {
        within(0, ids, users)
    }

    fn within(window: i64, ids: &[&str], users: &[&[(u32, i64, i64)]]) -> TieReport {
        let items: Vec<Item> = (1..)
            .zip(ids)
            .map(|(item, id)| Item {
                item,
                item_id: (*id).to_owned(),
                title: String::new(),
                categories: String::new(),
                train_count: 0,
            })
            .collect();
        let mut tally = TieTally::new(&items);
        for rows in users {
            let items: Vec<u32> = rows.iter().map(|row| row.0).collect();
            let times: Vec<i64> = rows.iter().map(|row| row.1).collect();
            let places: Vec<i64> = rows.iter().map(|row| row.2).collect();
            tally.note(
                &items,
                &Moments::of(&times, window),
                &places,
                Some(rows.len() - 1),
            );
        }
        tally.report()
    }

    #[test]
    fn shares_are_of_neighbours_of_targets_and_of_the_files_order() {
        // In file order the tied items are 1 2 3, then 3 2.
        let rows: [&[(u32, i64, i64)]; 2] = [
            &[(2, 5, 2), (1, 5, 1), (3, 5, 3), (2, 9, 4)],
            &[(1, 1, 7), (2, 3, 6), (3, 3, 5)],
        ];
        let report = tally(&["a", "b", "c"], &rows);
        let counts = |share: Share| (share.count, share.of);
        assert_eq!(counts(report.neighbours), (3, 5));
        assert_eq!(counts(report.test_targets), (1, 2));
        assert_eq!(counts(report.ascending), (2, 3));
        assert!(report.users_a_line <= 1.0, "one user after the other");
    }

    #[test]
    fn a_burst_ties_from_its_first_event_to_its_last() {
        // Two bursts in the order of events; in file order 1 2 3, then 4 5 as they came.
        let rows: [&[(u32, i64, i64)]; 1] = [&[(3, 7, 3), (1, 5, 1), (2, 9, 2), (4, 20, 4), (5, 22, 5)]];
        let report = within(2, &["a", "b", "c", "d", "e"], &rows);
        let counts = |share: Share| (share.count, share.of);
        assert_eq!(counts(report.neighbours), (3, 4));
        assert_eq!(counts(report.test_targets), (1, 1));
        assert_eq!(counts(report.ascending), (3, 3));
        assert_eq!(
            counts(within(1, &["a", "b", "c", "d", "e"], &rows[..0]).neighbours),
            (0, 0)
        );
    }

    #[test]
    fn numbers_ascend_as_numbers_and_repeats_do_neither() {
        // In the order of texts 10 comes before 9; x is no number.
        let ids = ["10", "9", "x"];
        let ascends = |items: [u32; 2]| {
            let rows: Vec<(u32, i64, i64)> = (0..).zip(items).map(|(line, item)| (item, 5, line)).collect();
            let found = tally(&ids, &[&rows]).ascending;
            (found.count, found.of)
        };
        assert_eq!(ascends([2, 1]), (1, 1), "9, 10");
        assert_eq!(ascends([1, 2]), (0, 1), "10, 9");
        assert_eq!(ascends([2, 3]), (1, 1), "9, x");
        assert_eq!(ascends([2, 2]), (0, 0), "9, 9");
    }

    #[test]
    fn users_whose_lines_overlap_are_under_way_together() {
        let rows: Vec<Vec<(u32, i64, i64)>> = (0..4)
            .map(|user| (0..10).map(|at| (1, at, at * 4 + user)).collect())
            .collect();
        let rows: Vec<&[(u32, i64, i64)]> = rows.iter().map(Vec::as_slice).collect();
        let report = tally(&["a"], &rows);
        assert!(report.users_a_line > 3.0, "{report:?}");
    }
}
