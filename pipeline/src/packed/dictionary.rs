//! Raw ids as small integers.

use xxhash_rust::xxh3::xxh3_64;

/// Slots of an empty table; a power of two, as every table's number of slots.
const SLOTS: usize = 1 << 10;

/// Distinct texts, numbered in the order in which they came. The numbers are for one run and never reach an output.
///
/// The texts lie one after another in one buffer, and the table beside it holds nothing but numbers and parts of hashes: about
/// 16 bytes an id besides its text.
#[derive(Debug)]
pub struct Dictionary {
    text: String,
    /// Where each text ends.
    ends: Vec<u32>,
    /// Upper half: half of the hash, whose low bits say where the slot would best be; lower half: one more than the code. 0 is a
    /// free slot.
    slots: Vec<u64>,
    /// The code that was asked for last.
    last: Option<u32>,
}

impl Default for Dictionary {
    fn default() -> Self {
        Dictionary {
            text: String::new(),
            ends: Vec::new(),
            slots: vec![0; SLOTS],
            last: None,
        }
    }
}

impl Dictionary {
    /// The code of a text, a new one if it has none; none where 4 GiB of texts are full.
    pub fn intern(&mut self, text: &str) -> Option<u32> {
        // Logs are often in the order of users or of items.
        if self.last.is_some_and(|last| self.text(last) == text) {
            return self.last;
        }
        self.last = self.find_or_add(text);
        self.last
    }

    fn find_or_add(&mut self, text: &str) -> Option<u32> {
        let tag = tag(text);
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            if slot >> 32 == tag {
                let code = slot as u32 - 1;
                if self.text(code) == text {
                    return Some(code);
                }
            }
            at = (at + 1) & mask;
        }
        let end = u32::try_from(self.text.len() + text.len()).ok()?;
        let code = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(end);
        self.slots[at] = tag << 32 | (u64::from(code) + 1);
        // Probes stay short up to three slots in four.
        if self.ends.len() * 4 > self.slots.len() * 3 {
            self.grow();
        }
        Some(code)
    }

    /// The code of a text that is there.
    pub fn code(&self, text: &str) -> Option<u32> {
        let tag = tag(text);
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        while self.slots[at] != 0 {
            let slot = self.slots[at];
            let code = slot as u32 - 1;
            if slot >> 32 == tag && self.text(code) == text {
                return Some(code);
            }
            at = (at + 1) & mask;
        }
        None
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        let mut slots = vec![0; mask + 1];
        for slot in self.slots.iter().copied().filter(|slot| *slot != 0) {
            let mut at = (slot >> 32) as usize & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = slot;
        }
        self.slots = slots;
    }

    /// The text of a code.
    #[inline]
    pub fn text(&self, code: u32) -> &str {
        let code = code as usize;
        let start = if code == 0 { 0 } else { self.ends[code - 1] };
        &self.text[start as usize..self.ends[code] as usize]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * 4 + self.slots.capacity() * 8
    }

    /// The codes that `keep` takes, in the order of their texts, compared by bytes.
    pub fn sorted(&self, keep: impl Fn(u32) -> bool) -> Vec<u32> {
        // The first eight bytes, which nearly always decide, beside each code: a sort by texts would miss the cache at every look.
        let kept = (0..self.ends.len() as u32).filter(|code| keep(*code));
        let mut sorted: Vec<(u64, u32)> = kept.map(|code| (prefix(self.text(code)), code)).collect();
        sorted.sort_unstable_by(|(a, left), (b, right)| {
            a.cmp(b)
                .then_with(|| self.text(*left).as_bytes().cmp(self.text(*right).as_bytes()))
        });
        sorted.into_iter().map(|(_, code)| code).collect()
    }
}

/// Half of the hash.
fn tag(text: &str) -> u64 {
    xxh3_64(text.as_bytes()) >> 32
}

/// The first eight bytes as a number that compares as they do, short texts filled up with zeros.
fn prefix(text: &str) -> u64 {
    let mut bytes = [0; 8];
    let count = text.len().min(8);
    bytes[..count].copy_from_slice(&text.as_bytes()[..count]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_keep_their_codes_and_sort_by_bytes(texts in proptest::collection::vec("\\PC{0,10}|[ab\u{0}]{0,12}", 0..3_000)) {
            let mut dictionary = Dictionary::default();
            let mut known = HashMap::new();
            for text in &texts {
                let next = known.len() as u32;
                let code = *known.entry(text.as_str()).or_insert(next);
                prop_assert_eq!(dictionary.intern(text), Some(code));
            }
            for (text, code) in &known {
                prop_assert_eq!(dictionary.text(*code), *text);
                prop_assert_eq!(dictionary.code(text), Some(*code));
            }
            prop_assert_eq!(dictionary.code("no such text, longer than any"), None);
            let mut expected: Vec<&str> = known.keys().copied().collect();
            expected.sort_unstable();
            let sorted: Vec<&str> = dictionary.sorted(|_| true).into_iter().map(|code| dictionary.text(code)).collect();
            prop_assert_eq!(sorted, expected);
        }
    }
}
