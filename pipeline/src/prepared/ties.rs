//! How many events of a prepared folder tie in time, and what the raw files' order within ties looks like.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stage::Ties;

/// Some of many. In JSON the share stands beside the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Share {
    /// How many.
    pub count: u64,
    /// Of how many.
    pub of: u64,
}

impl Share {
    /// Counts one more, and whether it is one of the some.
    pub fn add(&mut self, counts: bool) {
        self.count += u64::from(counts);
        self.of += 1;
    }

    /// Adds what was counted elsewhere.
    pub fn append(&mut self, other: Self) {
        self.count += other.count;
        self.of += other.of;
    }

    /// Between 0 and 1; 0 of none.
    pub fn share(self) -> f64 {
        self.count as f64 / self.of.max(1) as f64
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} ({:.1} %)", self.count, self.of, self.share() * 100.0)
    }
}

#[derive(Serialize, Deserialize)]
struct Written {
    count: u64,
    of: u64,
    #[serde(default)]
    share: f64,
}

impl From<Written> for Share {
    fn from(written: Written) -> Self {
        let Written { count, of, .. } = written;
        Self { count, of }
    }
}

impl From<Share> for Written {
    fn from(share: Share) -> Self {
        Self {
            count: share.count,
            of: share.of,
            share: share.share(),
        }
    }
}

/// Ties among the events that a folder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TieReport {
    /// Neighbours in a user's sequence that are at one moment.
    pub neighbours: Share,
    /// Test targets that are at the moment of the event before them.
    pub test_targets: Share,
    /// Of tied neighbours in the order of the raw files those whose item ids ascend: numbers as numbers, others as text. Repeats of an
    /// item are left out.
    pub ascending: Share,
    /// How many users are under way at a line of the raw files, from their first to their last one, on average: at most 1 where the
    /// files hold user after user.
    pub users_a_line: f64,
}

/// Fewest tied neighbours that say something of the order of a file.
const ENOUGH: u64 = 30;

/// A share of ascending ids this far from 0 or 1 is that of a sorted file.
const SORTED: f64 = 0.1;

/// A share of ascending ids this far from one half is that of a file whose order has nothing to do with ids.
const EVEN: f64 = 0.1;

/// Users under way at a line from which on they are interleaved, as in a log that is written as events come.
const INTERLEAVED: f64 = 1.5;

impl TieReport {
    /// What the order of the raw files says of the choice between [`Ties`], where it says anything.
    pub fn advice(&self, ties: Ties) -> Option<&'static str> {
        let share = self.ascending.share();
        if self.ascending.of < ENOUGH {
            return None;
        }
        let sorted = share <= SORTED || share >= 1.0 - SORTED;
        let interleaved = (share - 0.5).abs() <= EVEN && self.users_a_line >= INTERLEAVED;
        match ties {
            Ties::Hash if sorted => Some("the file is sorted by item, keep the hash"),
            Ties::Line if sorted => Some(
                "the file is sorted by item, so that its order within ties gives the next item away; prepare with --ties hash",
            ),
            Ties::Hash if interleaved => Some(
                "the file's users are interleaved and its order has nothing to do with ids, consider --ties line",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for TieReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} neighbours in time, {} test targets with the event before them; in the order of the raw files {} ascend by item id",
            self.neighbours, self.test_targets, self.ascending
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn report(count: u64, of: u64, users_a_line: f64) -> TieReport {
        TieReport {
            ascending: Share { count, of },
            users_a_line,
            ..TieReport::default()
        }
    }

    #[test]
    fn a_sorted_file_keeps_the_hash_and_an_interleaved_log_may_keep_its_lines() {
        let advice = |count, users_a_line, ties| report(count, 100, users_a_line).advice(ties);
        for sorted in [0, 3, 97, 100] {
            assert!(advice(sorted, 1.0, Ties::Hash).unwrap().contains("keep the hash"));
            assert!(advice(sorted, 80.0, Ties::Line).unwrap().contains("--ties hash"));
        }
        assert!(
            advice(52, 80.0, Ties::Hash)
                .unwrap()
                .contains("consider --ties line")
        );
        assert_eq!(advice(52, 1.0, Ties::Hash), None, "user after user");
        assert_eq!(advice(52, 80.0, Ties::Line), None, "it was done already");
        assert_eq!(advice(75, 80.0, Ties::Hash), None);
        assert_eq!(report(9, 9, 1.0).advice(Ties::Hash), None, "too few");
    }

    #[test]
    fn shares_are_written_beside_their_counts() {
        let text = serde_json::to_string(&Share { count: 1, of: 4 }).unwrap();
        assert_eq!(text, r#"{"count":1,"of":4,"share":0.25}"#);
        assert_eq!(
            serde_json::from_str::<Share>(&text).unwrap(),
            Share { count: 1, of: 4 }
        );
        assert!((Share::default().share()).abs() < f64::EPSILON);
    }
}
