//! Raw ids as small integers.

use std::ops::Range;

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::Texts;

/// Slots of an empty table; a power of two, as every table's number of slots.
const SLOTS: usize = 1 << 10;

/// Distinct texts, numbered in the order in which they came. The numbers are for one run and never reach an output.
///
/// The texts lie one after another in one buffer, and the table beside it holds nothing but numbers and parts of hashes: about
/// 16 bytes an id besides its text.
#[derive(Debug)]
pub struct Dictionary {
    /// By code.
    texts: Texts,
    /// Upper half: half of the hash, whose low bits say where the slot would best be; lower half: one more than the code. 0 is a
    /// free slot.
    slots: Vec<u64>,
}

impl Default for Dictionary {
    fn default() -> Self {
        Dictionary {
            texts: Texts::default(),
            slots: vec![0; SLOTS],
        }
    }
}

impl Dictionary {
    /// Adds the codes of some texts, by their numbers, to `codes`, new ones where there are none; of fewer texts where 4 GiB are full.
    ///
    /// A look-up reads a slot, then where the code's text lies, then that text, and in a large table none of the three is in the
    /// cache. Step by step for all texts, the reads of a step wait together instead of one after another.
    pub fn intern_all(&mut self, texts: &Texts, numbers: Range<u32>, codes: &mut Vec<u32>) {
        let mask = self.slots.len() - 1;
        let texts = numbers.map(|number| texts.get(number));
        let tags: Vec<u64> = texts.clone().map(tag).collect();
        let slots: Vec<u64> = tags.iter().map(|tag| self.slots[*tag as usize & mask]).collect();
        // The slots after the first one came with it. Where half a hash agrees, the text nearly always does.
        let guesses: Vec<Option<(u32, usize)>> = tags
            .iter()
            .zip(slots)
            .map(|(tag, mut slot)| {
                let mut at = *tag as usize;
                while slot != 0 && slot >> 32 != *tag {
                    at += 1;
                    slot = self.slots[at & mask];
                }
                let code = (slot as u32).checked_sub(1)?;
                Some((code, self.texts.span(code).start))
            })
            .collect();
        let buffer = self.texts.buffer().as_bytes();
        let begin: Vec<Option<u8>> = guesses
            .iter()
            .map(|guess| guess.and_then(|(_, start)| buffer.get(start).copied()))
            .collect();
        for (number, text) in texts.enumerate() {
            let code = match guesses[number] {
                Some((code, _)) if begin[number] == text.bytes().next() && self.text(code) == text => {
                    Some(code)
                }
                _ => self.find_or_add(text, tags[number]),
            };
            let Some(code) = code else {
                return;
            };
            codes.push(code);
        }
    }

    fn find_or_add(&mut self, text: &str, tag: u64) -> Option<u32> {
        let at = match self.find(text, tag) {
            Ok(code) => return Some(code),
            Err(free) => free,
        };
        let code = self.texts.len() as u32;
        if !self.texts.push(text) {
            return None;
        }
        self.slots[at] = tag << 32 | (u64::from(code) + 1);
        // Probes stay short up to three slots in four.
        if self.texts.len() * 4 > self.slots.len() * 3 {
            self.grow();
        }
        Some(code)
    }

    /// The code of a text that is there.
    pub fn code(&self, text: &str) -> Option<u32> {
        self.find(text, tag(text)).ok()
    }

    /// The code of a text, or the free slot where it would be.
    fn find(&self, text: &str, tag: u64) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return Err(at);
            }
            let code = slot as u32 - 1;
            if slot >> 32 == tag && self.text(code) == text {
                return Ok(code);
            }
            at = (at + 1) & mask;
        }
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
        self.texts.get(code)
    }

    /// All texts, by code.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.texts.bytes() + self.slots.capacity() * 8
    }

    /// The codes that `keep` takes, in the order of their texts, compared by bytes.
    ///
    /// Runs in the thread pool it is called from.
    pub fn sorted(&self, keep: impl Fn(u32) -> bool + Sync) -> Vec<u32> {
        // The first eight bytes, which nearly always decide, beside each code: a sort by texts would miss the cache at every look.
        let kept = (0..self.len() as u32).into_par_iter().filter(|code| keep(*code));
        let mut sorted: Vec<(u64, u32)> = kept.map(|code| (prefix(self.text(code)), code)).collect();
        sorted.par_sort_unstable_by(|(a, left), (b, right)| {
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
        fn texts_keep_their_codes_and_sort_by_bytes(
            texts in proptest::collection::vec("\\PC{0,10}|[ab\u{0}]{0,12}", 0..3_000),
            batch in 1_usize..300,
        ) {
            let mut dictionary = Dictionary::default();
            let mut known = HashMap::new();
            for texts in texts.chunks(batch) {
                let (mut together, mut codes, mut expected) = (Texts::default(), Vec::new(), Vec::new());
                for text in texts {
                    prop_assert!(together.push(text));
                    let next = known.len() as u32;
                    expected.push(*known.entry(text.as_str()).or_insert(next));
                }
                dictionary.intern_all(&together, 0..together.len() as u32, &mut codes);
                prop_assert_eq!(codes, expected);
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
