//! Titles fit for a prompt: entities resolved, markup removed, one line, no separator inside, bounded length.
//!
//! Every way to prepare a data set cleans its titles here, by the same [`Rules`].

mod article;
mod characters;
mod entity;
mod markup;
mod mojibake;

use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Serialize};

/// Composed characters (NFC): `e` and an accent are one `é`, as most texts that models learn from have it.
static NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();

/// How programs write that there is no title, as they leave it in files of text; such a title is none.
pub const MISSING: [&str; 15] = [
    "nan",
    "NaN",
    "NAN",
    "None",
    "null",
    "NULL",
    "(null)",
    "nil",
    "undefined",
    "\\N",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "<NA>",
];

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

impl Rules {
    /// Titles of so many characters; nothing moved or repaired.
    pub fn new(max_chars: usize) -> Self {
        Self {
            max_chars,
            leading_articles: false,
            repair: false,
            missing: MISSING.map(str::to_owned).to_vec(),
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::schema::TITLE_SEPARATOR;

    /// The rules of a MovieLens set, with repair.
    fn all_rules(max_chars: usize) -> Rules {
        Rules {
            leading_articles: true,
            repair: true,
            ..Rules::new(max_chars)
        }
    }

    #[test]
    fn layers_of_damage_come_off_together() {
        for (raw, cleaned) in [
            ("Salt &amp;amp; Pepper", "Salt & Pepper"),
            ("&lt;b&gt;Men&amp;#146;s&lt;/b&gt; Health", "Men\u{2019}s Health"),
            ("List&lt;String&gt; in Java", "List<String> in Java"),
            ("&am<wbr>p;Honey", "&Honey"),
            (
                "10 \u{f7} 2 \u{d7} 3 &divide; &times;",
                "10 \u{f7} 2 \u{d7} 3 \u{f7} \u{d7}",
            ),
            (
                "Cafe\u{301} A\u{30a}ngstro\u{308}m \u{212b}",
                "Caf\u{e9} \u{c5}ngstr\u{f6}m \u{c5}",
            ),
            ("Caf&#101;&#769;", "Caf\u{e9}"),
        ] {
            assert_eq!(clean(raw, 100).as_deref(), Some(cleaned), "{raw}");
        }
    }

    #[test]
    fn mojibake_is_marked_and_put_right_on_request() {
        for (raw, left, right) in [
            (
                "Cit\u{c3}\u{a9} perdue",
                "Cit\u{c3}\u{a9} perdue",
                "Cit\u{e9} perdue",
            ),
            (
                "Easton&Acirc;&reg; Tote",
                "Easton\u{c2}\u{ae} Tote",
                "Easton\u{ae} Tote",
            ),
            ("don\u{e2}\u{80}\u{99}t", "don\u{e2} t", "don\u{2019}t"),
        ] {
            let found = Rules::new(100).clean(raw);
            assert_eq!(found.text.as_deref(), Some(left));
            assert!(found.marks.mojibake && !found.marks.repaired, "{raw}");
            let found = all_rules(100).clean(raw);
            assert_eq!(found.text.as_deref(), Some(right));
            assert!(found.marks.mojibake && found.marks.repaired, "{raw}");
        }
        assert_eq!(
            Rules::new(100)
                .clean("NESCAF\u{c9}\u{ae} \u{2013} 2\u{d7}\u{bd}")
                .marks,
            Marks::default()
        );
    }

    #[test]
    fn a_title_that_says_there_is_none_is_none() {
        for raw in [
            "nan",
            " NaN ",
            "None",
            "null",
            "NULL",
            "\\N",
            "<NA>",
            "&lt;NA&gt;",
            "N/A",
            "#N/A",
            "<b>None</b>",
            "unknown",
        ] {
            let found = Rules::new(80).clean(raw);
            assert_eq!(found.text, None, "{raw}");
            assert!(found.marks.spelled_missing, "{raw}");
        }
        for raw in [
            "Nan",
            "Null",
            "none",
            "Unknown",
            "None of the Above",
            "Nullarbor",
            "NaN (2011)",
            "Naan",
        ] {
            assert_eq!(Rules::new(80).clean(raw).text.as_deref(), Some(raw));
        }
        // Nothing that can be read is no word for it.
        for raw in ["", "-", "<br>", "\u{3164}"] {
            let found = Rules::new(80).clean(raw);
            assert_eq!((found.text, found.marks), (None, Marks::default()), "{raw}");
        }
    }

    #[test]
    fn articles_go_to_the_front_before_the_cut_and_none_is_left_hanging() {
        let moved = |raw: &str, max_chars| all_rules(max_chars).clean(raw);
        let found = moved("French Connection, The (1971)", 80);
        assert_eq!(found.text.as_deref(), Some("The French Connection (1971)"));
        assert!(found.marks.article_moved);
        assert_eq!(
            moved("French Connection, The (1971)", 15).text.as_deref(),
            Some("The French")
        );
        // What a cut leaves of `Long, A Story` is no article.
        assert_eq!(
            moved("Something Long, A Story", 18).text.as_deref(),
            Some("Something Long")
        );
        assert_eq!(
            clean("French Connection, The (1971)", 80).as_deref(),
            Some("French Connection, The (1971)")
        );
    }

    #[test]
    fn marks_keep_their_letters() {
        for number in 0..16 {
            let letter = char::from(b'a' + number);
            assert_eq!(Marks::of_letter(letter).letter(), letter);
        }
    }

    #[test]
    fn markup_is_removed_and_broken_markup_is_no_title() {
        assert_eq!(
            clean("<b>Bold</b> Move<br/>Two", 100).as_deref(),
            Some("Bold Move Two")
        );
        assert_eq!(
            clean("Weight < 5 oz, > 2 oz", 100).as_deref(),
            Some("Weight < 5 oz, > 2 oz")
        );
        for raw in [
            "<span class=\"a-size-medium a-color-secondary\"",
            "&lt;span class=&quot;a-size&quot;&gt;",
            " Magazines\" />",
            "<script>var aPageStart = 1;</script>",
            "<style type=\"text/css\">.a { b: c }",
            "",
            " \n ",
            "||",
            "--- !",
        ] {
            assert_eq!(clean(raw, 100), None, "{raw}");
        }
    }

    #[test]
    fn long_titles_end_with_a_whole_word() {
        assert_eq!(
            clean("Organic Green Tea, 20 Bags", 18).as_deref(),
            Some("Organic Green Tea")
        );
        assert_eq!(clean("Organic Green Tea", 13).as_deref(), Some("Organic Green"));
        assert_eq!(clean("Donaudampfschiff", 5).as_deref(), Some("Donau"));
        assert_eq!(
            clean("\u{e9}\u{e9}\u{e9} \u{e9}\u{e9}\u{e9}", 4).as_deref(),
            Some("\u{e9}\u{e9}\u{e9}")
        );
    }

    fn titles() -> impl Strategy<Value = String> {
        let dirty = proptest::collection::vec(
            prop_oneof![
                Just("&amp;".to_string()),
                Just("&".to_string()),
                Just("lt;".to_string()),
                Just("#124;".to_string()),
                Just("|".to_string()),
                Just("<".to_string()),
                Just(">".to_string()),
                Just("b".to_string()),
                Just("</script".to_string()),
                Just("<style".to_string()),
                Just(" ".to_string()),
                Just("\n".to_string()),
                Just("\u{a0}".to_string()),
                Just(", ".to_string()),
                Just(", The".to_string()),
                Just("(a.k.a. ".to_string()),
                Just(")".to_string()),
                Just("<span a=\"".to_string()),
                Just("eacute".to_string()),
                Just("&#".to_string()),
                "[\u{c2}-\u{c5}\u{e2}][\u{80}-\u{bf}\u{2013}-\u{2026}\u{20ac}]{1,2}",
                "[\u{300}-\u{308}\u{200b}-\u{200f}\u{202a}-\u{202e}\u{fe0f}\u{ad}\u{1f469}\u{e0041}\u{e001}]",
                "[a-z]{1,6}",
                "\\PC{0,3}",
            ],
            0..25,
        );
        prop_oneof![dirty.prop_map(|parts| parts.concat()), any::<String>()]
    }

    proptest! {
        #[test]
        fn a_clean_title_is_one_bounded_line_and_stays_as_it_is(
            raw in titles(),
            max_chars in 1_usize..60,
            leading_articles: bool,
            repair: bool,
        ) {
            let rules = Rules { leading_articles, repair, ..Rules::new(max_chars) };
            if let Some(title) = rules.clean(&raw).text {
                prop_assert!(title.chars().count() <= max_chars);
                prop_assert!(!title.contains(TITLE_SEPARATOR));
                prop_assert!(!title.chars().any(char::is_control));
                let unseen = ['\u{200b}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{e0041}', '\u{e001}'];
                prop_assert!(!title.contains(unseen));
                prop_assert!(NFC.is_normalized(&title));
                prop_assert_eq!(title.trim(), &title);
                prop_assert!(!title.contains("  "));
                // Joined titles can be split again.
                prop_assert!(!title.starts_with('|') && !title.ends_with('|'));
                let again = rules.clean(&title).text;
                prop_assert_eq!(again.as_deref(), Some(title.as_str()));
            }
        }

        #[test]
        fn a_plain_title_is_cut_to_what_cleaning_gives(
            raw in "[!-%'-;=?-{}~]{1,6}( [!-%'-;=?-{}~]{1,6}){0,6}",
            max_chars in 1_usize..60,
        ) {
            prop_assert!(is_plain(&raw));
            let rules = Rules::new(max_chars);
            let pass = rules.pass(&raw, &mut Marks::default());
            prop_assert_eq!(rules.cut(&raw), pass);
        }
    }
}
