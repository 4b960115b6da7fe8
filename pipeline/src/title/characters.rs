//! The characters of a title: one line, nothing that cannot be seen, no separator.

use crate::schema::TITLE_SEPARATOR;

/// What becomes of a character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is seen.
    Seen,
    /// It parts words, or stands for something lost between them.
    Gap,
    /// It has no width and no meaning of its own.
    Nothing,
    /// It joins, or keeps apart, what stands at its sides: letters of Persian and Hindi, the parts of an emoji.
    Joiner,
    /// It chooses a shape of what stands before it.
    Shape,
}

fn kind(char: char) -> Kind {
    match char {
        ' '..='~' => Kind::Seen,
        // Blank, though they are letters or signs: fillers of Hangul, the empty cell of Braille, Mongolian's separator.
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' | '\u{180e}' => Kind::Gap,
        // What could not be read, or is not text; a space without width parts words all the same.
        '\u{fff9}'..='\u{fffd}' | '\u{200b}' => Kind::Gap,
        '\u{200c}' | '\u{200d}' => Kind::Joiner,
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' | '\u{180f}' => {
            Kind::Shape
        }
        // Soft hyphens, marks and brackets of text direction (they would turn the rest of a prompt round), invisible operators, the
        // byte-order mark; tags spell text that only a machine reads.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => Kind::Nothing,
        // Private use, where fonts keep bullets and logos, and what is no character at all.
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' | '\u{fdd0}'..='\u{fdef}' => Kind::Gap,
        other if other as u32 & 0xfffe == 0xfffe => Kind::Gap,
        other if other.is_whitespace() || other.is_control() => Kind::Gap,
        _ => Kind::Seen,
    }
}

/// One line: what cannot be seen goes, the separator becomes a single bar, a run of spaces one space.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        // The character before this one, if nothing stands between them.
        let before = out.chars().next_back().filter(|_| !gap);
        let beside = |char: char| !char.is_ascii() && matches!(kind(char), Kind::Seen);
        let stays = match kind(char) {
            Kind::Gap => {
                gap = true;
                false
            }
            Kind::Nothing => false,
            // Not beside Latin letters, where it does nothing but tell two titles apart that look alike.
            Kind::Joiner => {
                let shaped = |char: char| beside(char) || matches!(kind(char), Kind::Shape);
                before.is_some_and(shaped) && chars.peek().is_some_and(|next| beside(*next))
            }
            Kind::Shape => before.is_some_and(|char| beside(char) || "0123456789#*".contains(char)),
            Kind::Seen => true,
        };
        if !stays {
            continue;
        }
        if char == ' ' {
            gap = true;
            continue;
        }
        // `||` parts titles; a bar beside a bar, or at an end where a separator will touch it, would read as one.
        if char == '|' && (out.is_empty() || out.ends_with('|')) {
            gap = gap || !out.is_empty();
            continue;
        }
        if gap && !out.is_empty() {
            out.push(' ');
        }
        gap = false;
        out.push(char);
    }
    debug_assert!(!out.contains(TITLE_SEPARATOR));
    let kept = out.trim_end_matches([' ', '|']).len();
    out.truncate(kept);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_line_ends_do_not_survive() {
        assert_eq!(plain("A||B | C\n\tD|"), "A| B | C D");
        assert_eq!(plain("| |A"), "A");
        assert_eq!(plain("A\u{85}B\u{2028}C\u{2029}D\u{a0}E\u{3000}F"), "A B C D E F");
    }

    #[test]
    fn what_cannot_be_seen_goes_and_leaves_a_space_where_it_parted_words() {
        for (text, left) in [
            ("zero\u{200b}width\u{0}null", "zero width null"),
            (
                "\u{feff}\u{200e}Oak\u{200f} (\u{202a}chair\u{202c})",
                "Oak (chair)",
            ),
            ("Oak \u{202e}riahc\u{2066}!\u{2069}", "Oak riahc!"),
            ("soft\u{ad}hyphen\u{2060}joined", "softhyphenjoined"),
            ("Oak\u{e0041}\u{e0042}\u{e007f} chair", "Oak chair"),
            ("\u{f0b7}Oak\u{f8ff}chair\u{10fffd}", "Oak chair"),
            ("lost\u{fffd}sign\u{fffc}", "lost sign"),
            ("\u{3164}\u{2800}\u{115f}", ""),
            ("no\u{fdd0}character\u{1ffff}", "no character"),
        ] {
            assert_eq!(plain(text), left, "{text:?}");
        }
    }

    #[test]
    fn joiners_and_shapes_stay_where_they_mean_something() {
        for text in [
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "\u{1f469}\u{200d}\u{1f52c} lab",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
            "1\u{fe0f}\u{20e3} first",
        ] {
            assert_eq!(plain(text), text);
        }
        assert_eq!(plain("Oak\u{200d}chair\u{200c}s\u{fe0f}"), "Oakchairs");
        assert_eq!(
            plain("\u{2764}\u{fe0f}\u{fe0f}\u{fe0e}\u{200d} x"),
            "\u{2764}\u{fe0f} x"
        );
    }
}
