//! Dirt as real logs have it, and the record of how much was written, to compare with what a reader rejects.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How much dirt of each kind went into one domain's files (`dirt.json`).
///
/// Dirty interaction lines stand between the clean ones and replace none, so the sequences of `expected_sequences.jsonl.gz`
/// are what remains once the bad lines are rejected and exact duplicates removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dirt {
    /// Interactions without any fault.
    pub clean_interactions: u64,
    /// Interaction lines that are not of the format at all.
    pub garbage_lines: u64,
    /// Interaction lines without an item or without a time.
    pub missing_keys: u64,
    /// Interaction lines whose time is before 1970.
    pub negative_timestamps: u64,
    /// Exact copies of the line before; valid lines, for the deduplication to remove.
    pub duplicate_lines: u64,
    /// Items, with or without metadata.
    pub items: u64,
    /// Metadata lines that are not of the format at all.
    pub garbage_item_lines: u64,
    /// Metadata lines that come twice.
    pub duplicate_items: u64,
    /// Items without a metadata line.
    pub items_without_line: u64,
    /// Items whose metadata has no title.
    pub items_without_title: u64,
    /// Items whose title is a cut-off HTML tag.
    pub broken_titles: u64,
    /// Items whose title has HTML entities, tags or stray white space, but cleans to the intended title.
    pub escaped_titles: u64,
}

impl Dirt {
    /// Interaction lines that a reader must reject.
    pub fn rejected_interactions(&self) -> u64 {
        self.garbage_lines + self.missing_keys + self.negative_timestamps
    }

    /// Items for which no usable title can be found.
    pub fn untitled_items(&self) -> u64 {
        self.items_without_line + self.items_without_title + self.broken_titles
    }
}

/// What is put after a clean interaction line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// Half a line, as a crashed writer leaves it.
    Garbage,
    /// The item is missing.
    NoItem,
    /// The time is missing.
    NoTime,
    /// The time is before 1970.
    Negative,
    /// The line once more.
    Duplicate,
}

/// Draws whether a fault follows a line, and counts it.
pub fn line_fault(share: f64, rng: &mut ChaCha8Rng, dirt: &mut Dirt) -> Option<LineFault> {
    dirt.clean_interactions += 1;
    if !rng.random_bool(share) {
        return None;
    }
    let (fault, counter) = match rng.random_range(0..8) {
        0 | 1 => (LineFault::Garbage, &mut dirt.garbage_lines),
        2 => (LineFault::NoItem, &mut dirt.missing_keys),
        3 => (LineFault::NoTime, &mut dirt.missing_keys),
        4 | 5 => (LineFault::Negative, &mut dirt.negative_timestamps),
        _ => (LineFault::Duplicate, &mut dirt.duplicate_lines),
    };
    *counter += 1;
    Some(fault)
}

/// What is wrong with an item's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemFault {
    /// A line of garbage follows; the item itself is sound.
    GarbageAfter,
    /// The line comes twice.
    Duplicate,
    /// There is no line.
    NoLine,
    /// The line has no title.
    NoTitle,
    /// The title is a cut-off tag.
    BrokenTitle,
    /// The title needs cleaning.
    EscapedTitle,
}

/// Draws whether an item has a fault, and counts it.
pub fn item_fault(share: f64, rng: &mut ChaCha8Rng, dirt: &mut Dirt) -> Option<ItemFault> {
    dirt.items += 1;
    if !rng.random_bool(share) {
        return None;
    }
    let (fault, counter) = match rng.random_range(0..8) {
        0 => (ItemFault::GarbageAfter, &mut dirt.garbage_item_lines),
        1 => (ItemFault::Duplicate, &mut dirt.duplicate_items),
        2 => (ItemFault::NoLine, &mut dirt.items_without_line),
        3 => (ItemFault::NoTitle, &mut dirt.items_without_title),
        4 => (ItemFault::BrokenTitle, &mut dirt.broken_titles),
        _ => (ItemFault::EscapedTitle, &mut dirt.escaped_titles),
    };
    *counter += 1;
    Some(fault)
}

/// The start of a product page that a crawler took for the title.
pub const BROKEN_TITLE: &str = "<span class=\"a-size-medium a-color-secondary";

/// A title that cleans back to `title`.
pub fn escape_title(title: &str, rng: &mut ChaCha8Rng) -> String {
    let split = title.rfind(' ').map_or(0, |space| space + 1);
    let (head, last) = title.split_at(split);
    let mut letters = last.chars();
    let first = letters.next().map_or(0, u32::from);
    match rng.random_range(0..4) {
        0 => format!("{head}&#{first};{}", letters.as_str()),
        1 => format!("{head}&amp;#x{first:X};{}", letters.as_str()),
        2 => format!("{head}<b>{last}</b>"),
        _ => format!("  {}\t{last} ", head.trim_end()),
    }
}
