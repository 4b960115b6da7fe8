//! UTF-8 that was read as an old encoding: `FranÃ§ais`, `donâ€™t`, `â„¢`.
//!
//! Which bytes the signs stand for is in the tables of `encoding_rs`. Where those bytes are a character in UTF-8, the signs are taken for
//! that character, unless people write such signs beside each other: `CAFÉ®` is a brand in capitals (its last two bytes would be a
//! letter of the phonetic alphabet), `2×¼` a size. Titles are short and each tells its damage by itself, so nothing is counted up over a text.

use std::sync::LazyLock;

use encoding_rs::{Encoding, MACINTOSH, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252};

/// The characters of the bytes from 0x80 on.
type Table = [char; 128];

static WESTERN: LazyLock<Table> = LazyLock::new(|| table(WINDOWS_1252));
static CENTRAL: LazyLock<Table> = LazyLock::new(|| table(WINDOWS_1250));
static CYRILLIC: LazyLock<Table> = LazyLock::new(|| table(WINDOWS_1251));
static MAC: LazyLock<Table> = LazyLock::new(|| table(MACINTOSH));

fn table(encoding: &'static Encoding) -> Table {
    std::array::from_fn(|at| {
        let byte = [at as u8 + 0x80];
        let (text, _) = encoding.decode_without_bom_handling(&byte);
        text.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER)
    })
}

fn byte(table: &Table, char: char) -> Option<u8> {
    match char as u32 {
        // A control character is a byte that whoever read it left as it was.
        control @ 0x80..=0x9f => Some(control as u8),
        _ => table
            .iter()
            .position(|known| *known == char)
            .map(|at| at as u8 + 0x80),
    }
}

/// The text with such signs put right, layer by layer; nothing where it has none.
pub fn mended(text: &str) -> Option<String> {
    // Most texts have no sign with which a damaged character begins.
    if !text.chars().any(begins) {
        return None;
    }
    let mut mended = once(text)?;
    while let Some(next) = once(&mended) {
        mended = next;
    }
    Some(mended)
}

/// Whether a damaged character may begin with this: the first bytes of UTF-8's sequences in one of the encodings, and what stands for
/// itself.
fn begins(char: char) -> bool {
    matches!(char, '\u{80}'..='\u{9f}' | '\u{c2}'..='\u{f4}' | '\u{102}' | '\u{139}' | '\u{432}' | '\u{201a}' | '\u{221a}' | '\u{ac}')
}

fn once(text: &str) -> Option<String> {
    let found = sequences(text);
    let beside = |at: usize| {
        let follows = |first: usize| {
            found
                .get(first)
                .zip(found.get(first + 1))
                .is_some_and(|(a, b)| a.end == b.start)
        };
        follows(at) || at > 0 && follows(at - 1)
    };
    let mut out = String::new();
    let mut copied = 0;
    for (at, sequence) in found.iter().enumerate() {
        if sequence.sure || beside(at) {
            out.push_str(&text[copied..sequence.start]);
            out.push(sequence.means);
            copied = sequence.end;
        }
    }
    (copied > 0).then(|| out + &text[copied..])
}

/// Signs that may be one character.
struct Sequence {
    start: usize,
    end: usize,
    means: char,
    /// By itself; if not, only beside another, as the letters of a Greek word are.
    sure: bool,
}

/// What stands around a sequence.
struct Around {
    before: Option<char>,
    after: Option<char>,
}

impl Around {
    /// Within a word, or at the end of one in small letters: nobody goes on there with a capital and a sign.
    fn a_word(&self) -> bool {
        self.before.is_some_and(char::is_lowercase) || self.after.is_some_and(char::is_alphabetic)
    }
}

fn sequences(text: &str) -> Vec<Sequence> {
    let mut found = Vec::new();
    let mut before = None;
    let mut rest = text.char_indices();
    while let Some((start, first)) = rest.next() {
        let sequence = begins(first)
            .then(|| sequence(text, start, first, before))
            .flatten();
        before = Some(first);
        if let Some(sequence) = sequence {
            while rest.offset() < sequence.end {
                before = rest.next().map(|(_, char)| char);
            }
            found.push(sequence);
        }
    }
    found
}

/// Whether signs with this meaning are one character, and whether that is sure.
type Judge = fn(char, &[char], &Around) -> Option<bool>;

fn sequence(text: &str, start: usize, first: char, before: Option<char>) -> Option<Sequence> {
    let readings: [(&Table, Judge); 4] = [
        (&WESTERN, western),
        (&CENTRAL, western),
        (&CYRILLIC, |means, _, _| is_punctuation(means).then_some(true)),
        (&MAC, mac),
    ];
    for (table, judge) in readings {
        let Some((signs, length, means)) = read(table, &text[start..]) else {
            continue;
        };
        let end = start + length;
        let after = text[end..].chars().next();
        if let Some(sure) = judge(means, &signs, &Around { before, after }) {
            return Some(Sequence {
                start,
                end,
                means,
                sure,
            });
        }
    }
    let alone = |means| {
        Some(Sequence {
            start,
            end: start + first.len_utf8(),
            means,
            sure: true,
        })
    };
    match first {
        // A control character of no use to anyone: what Windows has in that place.
        '\u{80}'..='\u{9f}' => alone(WESTERN[first as usize - 0x80]).filter(|found| found.means != first),
        // `voilÃ `, whose second sign was a space that does not break and has become one that does, or was trimmed.
        'Ã' if before.is_some_and(char::is_lowercase)
            && text[start + 2..].chars().next().is_none_or(|c| c == ' ') =>
        {
            alone('à')
        }
        _ => None,
    }
}

/// The signs that a text begins with, where their bytes are one character beyond ASCII: the signs after the first, their length, and
/// the character.
fn read(table: &Table, text: &str) -> Option<(Vec<char>, usize, char)> {
    let mut signs = text.chars();
    let lead = byte(table, signs.next()?)?;
    let more = match lead {
        0xc2..=0xdf => 1,
        0xe0..=0xef => 2,
        0xf0..=0xf4 => 3,
        _ => return None,
    };
    let mut bytes = vec![lead];
    let mut following = Vec::new();
    for sign in signs.by_ref().take(more) {
        bytes.push(byte(table, sign)?);
        following.push(sign);
    }
    let means = std::str::from_utf8(&bytes).ok()?.chars().next()?;
    Some((following, text.len() - signs.as_str().len(), means))
}

/// Whether a sequence of Windows-1252 or Latin-1 is one character, and whether that is sure.
fn western(means: char, signs: &[char], around: &Around) -> Option<bool> {
    // Control characters stand in no title; four signs like these no title has beside each other.
    if signs.len() == 3 || signs.iter().any(|sign| sign.is_control()) {
        return Some(true);
    }
    let last = signs.last().copied()?;
    // What may follow a word in capitals: quotes, trade marks, dashes, degrees.
    let follows_words = !last.is_alphabetic() && !"€‚ƒ„†‡ˆ‰‹˜¡¢¤¦¨¯´µ¶¸¿".contains(last);
    let within_word = around.after.is_some_and(char::is_alphabetic);
    match means as u32 {
        // Â before a sign: no language has words that end so.
        0x80..=0xbf => Some(true),
        // Ã, by itself also where a word of one letter was (à); but not between quotes, nor at the end of a word in capitals.
        0xc0..=0xff => {
            let ends_word = around
                .before
                .is_some_and(|char| char.is_uppercase() || "\"'“‘«„".contains(char));
            (!follows_words || within_word || !ends_word).then_some(true)
        }
        // Ä and Å, which are words by themselves.
        0x100..=0x17f => (around.a_word() || !follows_words).then_some(true),
        // The accents ˆ and ˜ of Windows-1252, which are there only when the damage was done twice.
        0x2c6 | 0x2dc => Some(true),
        // Accents by themselves.
        0x300..=0x36f => around
            .before
            .is_some_and(char::is_alphabetic)
            .then(|| around.a_word())?
            .then_some(true),
        // Greek, Cyrillic, Hebrew, Arabic.
        0x370..=0x3ff | 0x400..=0x47f | 0x5d0..=0x5ea | 0x600..=0x6ff => Some(false),
        // Vietnamese.
        0x1e80..=0x1eff => Some(within_word || !follows_words),
        // Punctuation and signs, from â on.
        0x2000..=0x2fff => Some(true),
        // The byte-order mark, what could not be read, and full-width signs.
        0xfeff | 0xfffd | 0xff01..=0xff5e => Some(true),
        // The rest of those with three signs: letters of other scripts.
        0x800.. => Some(false),
        _ => None,
    }
}

/// The same of a Mac's encoding.
fn mac(means: char, signs: &[char], around: &Around) -> Option<bool> {
    let is = match means as u32 {
        // ¬ before a sign.
        0xa0..=0xbf => true,
        // √ before a letter with an accent, or before a sign within a word; roots are of numbers and of Greek letters.
        0xc0..=0xff => {
            let letter = |sign: &char| sign.is_alphabetic() && (*sign as u32) < 0x180;
            signs.iter().all(letter) || around.a_word() && around.before.is_some_and(char::is_alphabetic)
        }
        // A low quote before two letters with accents.
        0x2000..=0x2fff => true,
        _ => false,
    };
    is.then_some(true)
}

/// The signs beyond ASCII that texts are full of: dashes, quotes, the ellipsis, the euro, trade marks, numbers.
fn is_punctuation(char: char) -> bool {
    matches!(char, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{203a}' | '\u{20ac}' | '\u{2116}' | '\u{2122}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_become_the_characters_that_they_were() {
        for (text, right) in [
            ("FranÃ§ais", "Français"),
            ("donâ€™t", "don’t"),
            ("Ã©", "é"),
            ("Elanâ„¢ and EASTONÂ® 20Â°C Â½", "Elan™ and EASTON® 20°C ½"),
            ("Ã‰dition MAÃ‘ANA FRANÃ‡AIS", "Édition MAÑANA FRANÇAIS"),
            ("The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t", "The Mona Lisa doesn’t"),
            (
                "ÄŒeÅ¡tina, Ä°stanbul, RÄ«ga, cÅ“ur",
                "Čeština, İstanbul, Rīga, cœur",
            ),
            ("Ð\u{a0}ÑƒÑ\u{81}Ñ\u{81}ÐºÐ¸Ð¹", "Русский"),
            ("Î•Î»Î»Î·Î½Î¹ÎºÎ¬", "Ελληνικά"),
            ("ãƒ†ã‚¹ãƒˆ", "テスト"),
            ("Viá»‡t Nam", "Việt Nam"),
            ("ðŸ˜€ smile", "😀 smile"),
            ("voilÃ  le cafÃ©, dÃ©jÃ\u{a0}vu", "voilà  le café, déjàvu"),
            ("Men\u{92}s", "Men’s"),
            ("Men\u{e2}\u{80}\u{99}s", "Men’s"),
            ("donвЂ™t", "don’t"),
            ("don‚Äôt caf√© OL√â Easton¬Æ", "don’t café OLÉ Easton®"),
            ("Ã¢Ëœâ€¦ twice", "★ twice"),
            ("Quote “FranÃ§ais” — half", "Quote “Français” — half"),
            ("ï»¿Oak", "\u{feff}Oak"),
        ] {
            assert_eq!(mended(text).as_deref(), Some(right), "{text}");
        }
    }

    #[test]
    fn what_people_write_is_left_alone() {
        for text in [
            "NESCAFÉ® Gold",
            "CAFÉ™ Noir",
            "MAÇÃ®",
            "HÄMÄLÄ® 5",
            "ANDRÉ’s “CAFÉ”…",
            "`café”…`",
            "“Å” and „Ä“",
            "2×¼ and 3×½",
            "2×\u{a0}4×\u{a0}6 ×\u{a0}2",
            "«está»… ahí",
            "Український лії",
            "в „кавычках“",
            "√2 and 2√π",
            "¬A",
            "naïve façade — œuvre",
            "SÃO PAULO – CORAÇÃO…",
            "Ænima · Þórr",
            "PÂTÉ™ CRÈME BRÛLÉE®",
            "Björk – Début",
            "日本語 テスト 한국어",
        ] {
            assert_eq!(mended(text), None, "{text}");
        }
    }
}
