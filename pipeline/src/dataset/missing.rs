//! Spellings that say that there is no value.
//!
//! A text that is blank is never a value; beside that, databases and programs write words for what they do not know, and a table
//! that is written as text holds the words.

/// Where a spelling says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// Of any value.
    Everywhere,
    /// Of a title alone: as an id or a category it may be a word (`NA` is Namibia).
    OfTitles,
}

/// What databases (`\N`, `NULL`), JavaScript (`null`, `undefined`), Python (`None`), its data frames (`nan`, `NaN`, `NaT`, `<NA>`) and
/// spreadsheets (`#N/A`) write.
const SPELLINGS: [(&str, Said); 16] = [
    ("\\N", Said::Everywhere),
    ("NULL", Said::Everywhere),
    ("null", Said::Everywhere),
    ("None", Said::Everywhere),
    ("nan", Said::Everywhere),
    ("NaN", Said::Everywhere),
    ("NaT", Said::Everywhere),
    ("<NA>", Said::Everywhere),
    ("NAN", Said::OfTitles),
    ("(null)", Said::OfTitles),
    ("nil", Said::OfTitles),
    ("undefined", Said::OfTitles),
    ("NA", Said::OfTitles),
    ("N/A", Said::OfTitles),
    ("n/a", Said::OfTitles),
    ("#N/A", Said::OfTitles),
];

/// What a description of an open format means where it has no key `missing`.
pub(crate) fn of_values() -> impl Iterator<Item = &'static str> {
    let everywhere = SPELLINGS
        .into_iter()
        .filter(|(_, said)| *said == Said::Everywhere);
    everywhere.map(|(word, _)| word)
}

/// What says, in any format, that there is no title.
pub(crate) fn of_titles() -> impl Iterator<Item = &'static str> {
    SPELLINGS.into_iter().map(|(word, _)| word)
}

/// Knows whether a text says that there is no value.
#[derive(Clone, Debug)]
pub(crate) struct Missing {
    spellings: Vec<String>,
    /// By first byte, whether any of them begins so: few values do, and no other need be compared.
    begins: [bool; 256],
}

impl Missing {
    /// By these spellings, as they are written, besides the empty text.
    pub fn new(spellings: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let spellings = spellings.into_iter().map(|text| text.as_ref().trim().to_owned());
        let spellings: Vec<String> = spellings.filter(|text| !text.is_empty()).collect();
        let mut begins = [false; 256];
        for first in spellings.iter().filter_map(|text| text.bytes().next()) {
            begins[usize::from(first)] = true;
        }
        Self { spellings, begins }
    }

    /// Whether a text without blanks around it is none.
    #[inline]
    pub fn is(&self, text: &str) -> bool {
        match text.as_bytes().first() {
            None => true,
            Some(first) => self.begins[usize::from(*first)] && self.spellings.iter().any(|word| word == text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_spellings_themselves_are_none() {
        let missing = Missing::new(of_values());
        for text in ["", "\\N", "NULL", "null", "None", "nan", "NaN", "NaT", "<NA>"] {
            assert!(missing.is(text), "{text}");
        }
        for text in ["nano", "Nonesuch", "NA", "N", "0", "nULL", "\u{e9}"] {
            assert!(!missing.is(text), "{text}");
        }
        let titles = Missing::new(of_titles());
        assert!(["NA", "N/A", "None", "NaT"].iter().all(|text| titles.is(text)) && !titles.is("none"));
        let none = Missing::new([""; 1]);
        assert!(none.is("") && !none.is("null"));
    }
}
