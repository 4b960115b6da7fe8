//! Users with their rows, some at a time.

use super::Row;
use crate::texts::Texts;

/// Rows that are enough: more than enough for every read that the processor can have under way.
const ENOUGH: usize = 256;

/// Some users, in order.
#[derive(Debug, Default)]
pub struct Users {
    /// Raw ids.
    pub ids: Texts,
    /// Rows of each.
    pub lengths: Vec<usize>,
    /// Rows of all, each user's oldest first.
    pub rows: Vec<Row>,
}

impl Users {
    /// Adds a user; not where there are enough.
    #[must_use]
    pub fn push(&mut self, id: &str, rows: &[Row]) -> bool {
        if self.rows.len() >= ENOUGH || !self.ids.push(id) {
            return false;
        }
        self.lengths.push(rows.len());
        self.rows.extend_from_slice(rows);
        true
    }

    /// Removes all and keeps their room.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.lengths.clear();
        self.rows.clear();
    }
}
