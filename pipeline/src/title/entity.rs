//! HTML's character references (`&eacute;`, `&#146;`), by the table of HTML's standard in `htmlize`.

use std::borrow::Cow;

/// How many layers of escaping are taken off (`&amp;amp;eacute;` has three).
const MAX_LAYERS: usize = 4;

/// What the names of letters with an accent, a ring or a stroke end in.
const LETTERS: [&str; 9] = [
    "acute", "grave", "circ", "uml", "tilde", "ring", "cedil", "slash", "lig",
];

/// What markup itself is written with.
const MARKUP: [&str; 4] = ["amp", "quot", "lt", "gt"];

/// The text without references, however often it was escaped; borrowed where it has none.
///
/// Of the standard's two rules for names without a semicolon this is the one for attributes, where a letter that follows ends it: titles
/// have `&` between words (`headset&microphone`) oftener than references in that shape. Names that begin no word are resolved all the same
/// (`L'Or&eacuteal`, `R&ampB`).
pub fn resolved(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_LAYERS {
        if !text.contains('&') {
            break;
        }
        let closed = closed(&text);
        match htmlize::unescape_attribute(closed.as_ref()) {
            Cow::Owned(next) => text = Cow::Owned(next),
            Cow::Borrowed(_) => break,
        }
    }
    text
}

/// The text with semicolons behind the names that want one and that nothing but a name begins with.
fn closed(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices('&') {
        if let Some(end) = unclosed(&text[at..]).map(|length| at + length) {
            out.push_str(&text[copied..end]);
            out.push(';');
            copied = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    Cow::Owned(out + &text[copied..])
}

/// Length of the reference without a semicolon that a text begins with, `&` included, where more letters follow.
fn unclosed(text: &str) -> Option<usize> {
    let word = text[1..].find(|sign: char| !sign.is_ascii_alphanumeric());
    let (word, after) = text.split_at(word.map_or(text.len(), |end| end + 1));
    if word.len() == 1 || after.starts_with(';') {
        return None;
    }
    let known = |length: &usize| {
        let name = word.as_bytes().get(..*length);
        name.is_some_and(|name| htmlize::ENTITIES.contains_key(name))
    };
    // A year behind `&copy`.
    let number = word.find(|sign: char| sign.is_ascii_digit());
    let letter = || {
        let ends = |begin: usize| {
            LETTERS
                .iter()
                .filter(move |end| word.get(begin..).is_some_and(|rest| rest.starts_with(**end)))
        };
        [2, 3]
            .into_iter()
            .flat_map(|begin| ends(begin).map(move |end| begin + end.len()))
            .find(known)
    };
    let markup = || {
        let name = MARKUP.iter().find(|name| word[1..].starts_with(**name))?;
        let next = word[1 + name.len()..].chars().next().or(after.chars().next())?;
        (next.is_ascii_uppercase() || next == '=').then_some(1 + name.len())
    };
    number.filter(known).or_else(letter).or_else(markup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_however_often_they_were_escaped() {
        for (text, right) in [
            ("Salt &amp; Pepper", "Salt & Pepper"),
            ("Salt &amp;amp; Pepper", "Salt & Pepper"),
            ("L&#39;Or&eacute;al &#x2122;", "L'Oréal ™"),
            ("Men&amp;#146;s Health", "Men’s Health"),
            ("AT&T & Co; Ltd R&D Q&A &c.", "AT&T & Co; Ltd R&D Q&A &c."),
            // Beyond the names of old.
            (
                "6&apos;&nbsp;&hearts; &check; &CounterClockwiseContourIntegral;",
                "6'\u{a0}♥ ✓ ∳",
            ),
            ("&bne; &NotEqualTilde;", "=\u{20e5} ≂\u{338}"),
        ] {
            assert_eq!(resolved(text), right, "{text}");
        }
    }

    #[test]
    fn every_name_of_the_standard_is_known() {
        assert_eq!(htmlize::ENTITIES.len(), 2231);
    }

    #[test]
    fn numbers_mean_what_browsers_show() {
        for (text, right) in [
            ("&#128;&#130;&#138;&#140;&#142;&#145;&#151;&#159;", "€‚ŠŒŽ‘—Ÿ"),
            ("&#150", "–"),
            ("&#X41;&#x42;&#67", "ABC"),
            ("&#55357;", "\u{fffd}"),
            ("&#xD83D;&#xDE00;", "\u{fffd}\u{fffd}"),
            (
                "&#1114112;&#99999999999999999999;&#0;",
                "\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("&#0000000000000065;", "A"),
            ("&#;&#x;&#", "&#;&#x;&#"),
            ("&#x1F600;", "😀"),
        ] {
            assert_eq!(resolved(text), right, "{text}");
        }
    }

    #[test]
    fn a_name_without_a_semicolon_is_resolved_where_it_begins_no_word() {
        for (text, right) in [
            ("Caf&eacute", "Café"),
            ("Caf&eacute Noir", "Café Noir"),
            ("L'Or&eacuteal", "L'Oréal"),
            ("&Aringngstr&oumlm &aeligble", "Ångström æble"),
            ("&copy 2015 &copy2015", "© 2015 ©2015"),
            ("R&ampB &quotThe Best&quot", "R&B \"The Best\""),
            ("a &lt= b", "a <= b"),
            ("headset&microphone", "headset&microphone"),
            ("pen&notebook print&copying", "pen&notebook print&copying"),
            ("guitar&amplifier &quotes", "guitar&amplifier &quotes"),
            ("?a=1&lt=2&copy=3", "?a=1<=2&copy=3"),
            ("&nosuchname; &notit;", "&nosuchname; &notit;"),
        ] {
            assert_eq!(resolved(text), right, "{text}");
        }
    }
}
