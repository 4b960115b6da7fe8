//! Titles fit for a prompt: entities resolved, markup removed, one line, no separator inside, bounded length.
//!
//! Every way to prepare a data set cleans its titles here, by the same [`Rules`].

mod article;
mod characters;
mod entity;
mod marks;
mod markup;
mod mojibake;

use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Serialize};

use crate::dataset::missing_titles;

pub use marks::{Marks, TitleCounts};

/// Composed characters (NFC): `e` and an accent are one `é`, as most texts that models learn from have it.
static NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();

/// What data sets put where they know no title (MovieLens 100K, Amazon), in just these letters: a film may be called `Unknown`.
const PLACEHOLDERS: [&str; 1] = ["unknown"];

/// How many bytes of a title are looked at. What comes after so many is no part of any title.
const LONGEST: usize = 64 * 1024;

/// How titles are cleaned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Most characters.
    pub max_chars: usize,
    /// Whether an article at the end goes to the front: `French Connection, The (1971)`.
    pub leading_articles: bool,
    /// Whether UTF-8 that was read as another encoding is put right (`FranÃ§ais`); it is marked in any case.
    pub repair: bool,
    /// Spellings of a title that is none.
    pub missing: Vec<String>,
}

/// What came of a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleaned {
    /// As a prompt may hold it; none where nothing usable is left.
    pub text: Option<String>,
    /// What was met.
    pub marks: Marks,
}

impl Rules {
    /// Titles of so many characters; nothing moved or repaired.
    pub fn new(max_chars: usize) -> Self {
        Self {
            max_chars,
            leading_articles: false,
            repair: false,
            missing: missing_titles().map(str::to_owned).collect(),
        }
    }

    /// The title as a prompt may hold it.
    ///
    /// It is one line of at most so many characters, cut between words where that is possible, in composed characters; it holds nothing
    /// that cannot be seen and no [separator](crate::schema::TITLE_SEPARATOR), and cleaning it again changes nothing.
    pub fn clean(&self, raw: &str) -> Cleaned {
        let mut marks = Marks::default();
        let text = if is_plain(raw) && !(self.leading_articles && raw.contains(", ")) {
            self.cut(raw).to_owned()
        } else {
            let mut text = self.pass(&raw[..raw.floor_char_boundary(LONGEST)], &mut marks);
            // Taking one thing out can put another together (`&am<wbr>p;`); what is cleaned must stay as it is when cleaned again.
            loop {
                let again = self.pass(&text, &mut marks);
                if again == text {
                    break text;
                }
                text = again;
            }
        };
        if self.is_missing(&text) {
            marks = Marks {
                spelled_missing: true,
                ..Marks::default()
            };
            return Cleaned { text: None, marks };
        }
        // A title needs something to read.
        if !text.chars().any(char::is_alphanumeric) {
            return Cleaned {
                text: None,
                marks: Marks::default(),
            };
        }
        Cleaned {
            text: Some(text),
            marks,
        }
    }

    fn pass(&self, raw: &str, marks: &mut Marks) -> String {
        let mut text = entity::resolved(raw);
        if let Some(mended) = mojibake::mended(&text) {
            marks.mojibake = true;
            if self.repair {
                marks.repaired = true;
                text = mended.into();
            }
        }
        let plain = characters::plain(&markup::without(&text));
        let mut text = NFC.normalize(&plain);
        if self.leading_articles
            && let Some(moved) = article::in_front(&text)
        {
            marks.article_moved = true;
            text = moved.into();
        }
        self.cut(&text).to_owned()
    }

    /// At most so many characters, ending with a whole word where the first word is short enough.
    fn cut<'a>(&self, text: &'a str) -> &'a str {
        let Some((end, next)) = text.char_indices().nth(self.max_chars) else {
            return text;
        };
        let kept = &text[..end];
        let whole = if next == ' ' {
            kept
        } else {
            kept.rfind(' ').map_or(kept, |space| &kept[..space])
        };
        // A cut must not leave a comma or an opened bracket hanging, nor what would read as an article at the end.
        let clear =
            |text: &'a str| text.trim_end_matches(|c: char| c == ' ' || c == '|' || ",;:-(&/".contains(c));
        let whole = clear(whole);
        if self.leading_articles {
            without_hanging_articles(whole, clear)
        } else {
            whole
        }
    }

    fn is_missing(&self, text: &str) -> bool {
        let spelled = |word: &str| text == word;
        self.missing.iter().any(|word| spelled(word)) || PLACEHOLDERS.iter().any(|word| spelled(word))
    }
}

/// The text without articles at its end, cleared of what is left hanging before each.
fn without_hanging_articles<'a>(text: &'a str, clear: impl Fn(&'a str) -> &'a str) -> &'a str {
    let mut whole = text;
    loop {
        let shorter = clear(article::without_hanging(whole));
        if shorter.len() == whole.len() {
            return whole;
        }
        whole = shorter;
    }
}

/// Whether there is nothing to do but to cut: most titles are such, and catalogues have millions.
fn is_plain(text: &str) -> bool {
    let mut before = b' ';
    for byte in text.bytes() {
        let odd = !(b' '..=b'~').contains(&byte) || matches!(byte, b'&' | b'<' | b'>' | b'|');
        if odd || byte == b' ' && before == b' ' {
            return false;
        }
        before = byte;
    }
    before != b' '
}

/// The title by [rules](Rules::new) that neither move nor repair anything.
///
/// ```
/// use weaverec_pipeline::title::clean;
/// assert_eq!(clean("Shea  Butter &amp;amp; <b>Honey</b>\n", 80).as_deref(), Some("Shea Butter & Honey"));
/// assert_eq!(clean("<span class=\"a-size-medium a-color-secondary\"", 80), None);
/// ```
pub fn clean(raw: &str, max_chars: usize) -> Option<String> {
    Rules::new(max_chars).clean(raw).text
}

#[cfg(test)]
mod tests;
