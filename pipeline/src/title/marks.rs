//! What was met in titles, one by one and counted.

use serde::{Deserialize, Serialize};

/// What was met in a title.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// It is no title but one of the spellings for none.
    pub spelled_missing: bool,
    /// It looks like UTF-8 that was read as another encoding.
    pub mojibake: bool,
    /// That was put right.
    pub repaired: bool,
    /// An article went to the front.
    pub article_moved: bool,
}

impl Marks {
    /// As a letter, for tables of texts.
    pub(crate) fn letter(self) -> char {
        let bits = [
            self.spelled_missing,
            self.mojibake,
            self.repaired,
            self.article_moved,
        ];
        let number = bits
            .iter()
            .rev()
            .fold(0, |number, bit| number * 2 + u8::from(*bit));
        char::from(b'a' + number)
    }

    /// The marks of a letter.
    pub(crate) fn of_letter(letter: char) -> Self {
        let number = (letter as u32).wrapping_sub('a' as u32);
        let bit = |at: u32| number >> at & 1 == 1;
        Self {
            spelled_missing: bit(0),
            mojibake: bit(1),
            repaired: bit(2),
            article_moved: bit(3),
        }
    }
}

/// How many titles of a catalogue have a mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TitleCounts {
    /// Items without a title of which the data says so in words (`nan`, `None`), among those with a stand-in.
    pub spelled_missing: u64,
    /// Titles that look like UTF-8 read as another encoding.
    pub mojibake: u64,
    /// Of those, titles that were put right (`--repair-text`).
    pub repaired: u64,
    /// Titles whose article went from the end to the front.
    pub articles_moved: u64,
}

impl TitleCounts {
    /// Counts the marks of one title each.
    pub fn of(all: &[Marks]) -> Self {
        let count = |has: fn(&Marks) -> bool| all.iter().filter(|marks| has(marks)).count() as u64;
        Self {
            spelled_missing: count(|marks| marks.spelled_missing),
            mojibake: count(|marks| marks.mojibake),
            repaired: count(|marks| marks.repaired),
            articles_moved: count(|marks| marks.article_moved),
        }
    }
}
