//! Whether events of one moment are in the order that the split's name says. Written out here rather than asked of the stage that
//! ordered them, whose mistakes are to be found.

use crate::prepared::{InteractionRow, Manifest};
use crate::stage::Ties;
use crate::stage::order::tie_key;
use crate::texts::Texts;

/// Looks at interactions one after another.
pub struct TieCheck<'a> {
    manifest: &'a Manifest,
    domain: String,
    user_id: String,
    /// Items, times and lines of the moment at hand.
    items: Texts,
    times: Vec<i64>,
    lines: Vec<i64>,
    broken: bool,
}

impl<'a> TieCheck<'a> {
    /// Of a folder with that manifest.
    pub fn new(manifest: &'a Manifest) -> Self {
        Self {
            manifest,
            domain: manifest.parameters.domain_name(&manifest.dataset),
            user_id: String::new(),
            items: Texts::default(),
            times: Vec::new(),
            lines: Vec::new(),
            broken: false,
        }
    }

    /// Takes the next one, which may be at the moment of the one before it.
    pub fn next(&mut self, row: &InteractionRow<'_>, goes_on: bool) {
        if !goes_on {
            self.close();
            self.user_id.clear();
            self.user_id.push_str(row.user_id);
        }
        // A moment with more than 4 GiB of ids is none.
        self.broken |= !self.items.push(row.item_id);
        self.times.push(row.timestamp);
        self.lines.push(row.line);
    }

    /// Whether a moment was out of order; to be asked after the last row.
    pub fn broken(&mut self) -> bool {
        self.close();
        // Versions that did not name the order of ties had another one.
        self.broken && !self.manifest.split.is_empty()
    }

    fn close(&mut self) {
        if self.lines.len() > 1 {
            self.broken |= match self.manifest.parameters.ties {
                Ties::Line => !self.lines.is_sorted(),
                Ties::Hash => !self.keys().is_sorted(),
            };
        }
        self.items.clear();
        self.times.clear();
        self.lines.clear();
    }

    /// Tie key and line of each row of the moment.
    fn keys(&self) -> Vec<(u64, i64)> {
        let event = |row: u32| (self.times[row as usize], self.items.get(row));
        let mut rows: Vec<u32> = (0..self.lines.len() as u32).collect();
        rows.sort_unstable_by_key(|row| (event(*row), self.lines[*row as usize]));
        let mut keys = vec![(0, 0); rows.len()];
        for repeats in rows.chunk_by(|left, right| event(*left) == event(*right)) {
            for (occurrence, row) in (0..).zip(repeats) {
                let (seed, domain) = (self.manifest.parameters.tie_seed, &self.domain);
                let (time, item) = event(*row);
                let key = tie_key(seed, domain, &self.user_id, time, item, occurrence);
                keys[*row as usize] = (key, self.lines[*row as usize]);
            }
        }
        keys
    }
}
