//! Titles fit for a prompt: entities resolved, markup removed, one line, no separator inside, bounded length.

use std::borrow::Cow;

use crate::schema::TITLE_SEPARATOR;

/// How many layers of escaping are taken off (`&amp;amp;eacute;` has three).
const MAX_LAYERS: usize = 4;

/// The entities that occur in published titles, beside the numeric ones.
const ENTITIES: [(&str, &str); 48] = [
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", " "),
    ("reg", "\u{ae}"),
    ("copy", "\u{a9}"),
    ("trade", "\u{2122}"),
    ("deg", "\u{b0}"),
    ("hellip", "\u{2026}"),
    ("ndash", "\u{2013}"),
    ("mdash", "\u{2014}"),
    ("lsquo", "\u{2018}"),
    ("rsquo", "\u{2019}"),
    ("ldquo", "\u{201c}"),
    ("rdquo", "\u{201d}"),
    ("bull", "\u{2022}"),
    ("middot", "\u{b7}"),
    ("eacute", "\u{e9}"),
    ("Eacute", "\u{c9}"),
    ("egrave", "\u{e8}"),
    ("ecirc", "\u{ea}"),
    ("euml", "\u{eb}"),
    ("agrave", "\u{e0}"),
    ("aacute", "\u{e1}"),
    ("acirc", "\u{e2}"),
    ("atilde", "\u{e3}"),
    ("auml", "\u{e4}"),
    ("Auml", "\u{c4}"),
    ("aring", "\u{e5}"),
    ("ccedil", "\u{e7}"),
    ("iacute", "\u{ed}"),
    ("icirc", "\u{ee}"),
    ("iuml", "\u{ef}"),
    ("ntilde", "\u{f1}"),
    ("oacute", "\u{f3}"),
    ("ocirc", "\u{f4}"),
    ("ouml", "\u{f6}"),
    ("Ouml", "\u{d6}"),
    ("uacute", "\u{fa}"),
    ("uuml", "\u{fc}"),
    ("Uuml", "\u{dc}"),
    ("szlig", "\u{df}"),
    ("frac12", "\u{bd}"),
    ("frac14", "\u{bc}"),
    ("times", "\u{d7}"),
    ("shy", ""),
];

/// Elements whose text is no title: programs and style sheets that a crawler took for one.
const CODE: [&str; 2] = ["script", "style"];

/// The title as a prompt may hold it, or `None` when nothing usable is left.
///
/// The result is one line of at most `max_chars` characters, cut between words where that is possible; it holds no control
/// character and no [`TITLE_SEPARATOR`], and cleaning it again changes nothing.
///
/// ```
/// use weaverec_pipeline::title::clean;
/// assert_eq!(clean("Shea  Butter &amp;amp; <b>Honey</b>\n", 80).as_deref(), Some("Shea Butter & Honey"));
/// assert_eq!(clean("<span class=\"a-size-medium a-color-secondary\"", 80), None);
/// ```
pub fn clean(raw: &str, max_chars: usize) -> Option<String> {
    let mut text = pass(raw, max_chars);
    // Taking one thing out can put another together (`&am<b>p;`); what is cleaned must stay as it is when cleaned again.
    loop {
        let again = pass(&text, max_chars);
        if again == text {
            break;
        }
        text = again;
    }
    // A title needs something to read.
    text.chars().any(char::is_alphanumeric).then_some(text)
}

fn pass(raw: &str, max_chars: usize) -> String {
    let mut text = Cow::Borrowed(raw);
    for _ in 0..MAX_LAYERS {
        match unescape(&text) {
            Cow::Owned(next) => text = Cow::Owned(next),
            Cow::Borrowed(_) => break,
        }
    }
    let text = without_tags(&text);
    // The tail of a tag whose beginning is lost (`Magazines" />`): what stands before it was an attribute.
    let text = text.rfind("/>").map_or(text.as_ref(), |at| &text[at + 2..]);
    cut(&plain(text), max_chars)
}

/// Resolves one layer of entities; borrowed when there is none.
fn unescape(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(at) = text[from..].find('&').map(|at| at + from) {
        from = at + 1;
        let Some((value, length)) = entity(&text[from..]) else {
            continue;
        };
        out.push_str(&text[copied..at]);
        out.push_str(&value);
        from += length;
        copied = from;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The entity whose `&` is already taken off: what it stands for and how many bytes it is long.
fn entity(text: &str) -> Option<(Cow<'static, str>, usize)> {
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let name = &text[..end];
    let value = if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        Cow::Owned(
            char::from_u32(windows_1252(code))
                .unwrap_or(char::REPLACEMENT_CHARACTER)
                .to_string(),
        )
    } else {
        Cow::Borrowed(ENTITIES.iter().find(|(known, _)| *known == name)?.1)
    };
    Some((value, end + 1))
}

/// Numbers of the C1 range mean Windows characters in HTML (`&#146;` is an apostrophe).
fn windows_1252(code: u32) -> u32 {
    match code {
        0x85 => 0x2026,
        0x91 => 0x2018,
        0x92 => 0x2019,
        0x93 => 0x201c,
        0x94 => 0x201d,
        0x95 => 0x2022,
        0x96 => 0x2013,
        0x97 => 0x2014,
        0x99 => 0x2122,
        other => other,
    }
}

/// Takes tags out, a tag that the text ends in too; `<` before anything but a letter, `/` or `!` is a plain sign (`< 5 oz`).
fn without_tags(text: &str) -> Cow<'_, str> {
    let is_tag = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
    let mut out = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find('<') {
        let inside = &rest[at + 1..];
        out.push_str(&rest[..at]);
        if !is_tag(inside) {
            out.push('<');
            rest = inside;
            continue;
        }
        found = true;
        // A tag may stand between two words.
        out.push(' ');
        let name: String = inside
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_lowercase();
        if CODE.contains(&name.as_str()) {
            let ends = |at: usize| {
                let found = inside.as_bytes().get(at + 2..at + 2 + name.len());
                found.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
            };
            let close = inside.match_indices("</").find(|(at, _)| ends(*at));
            rest = close.map_or("", |(at, _)| &inside[at..]);
            continue;
        }
        rest = inside.find('>').map_or("", |end| &inside[end + 1..]);
    }
    if !found {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// One line: control characters become spaces, the separator a single bar, runs of spaces one space.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    for char in text.chars() {
        // Zero-width characters and marks of text direction are as invisible as control characters.
        let invisible =
            matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}' | '\u{fffd}');
        if char.is_whitespace() || char.is_control() || invisible {
            gap = true;
            continue;
        }
        // `||` parts titles; a bar beside a bar, or at an end where a separator will touch it, would read as one.
        if char == '|' && (out.is_empty() || out.ends_with('|')) {
            gap = gap || !out.is_empty();
            continue;
        }
        if gap && !out.is_empty() && !(char == '|' && out.ends_with('|')) {
            out.push(' ');
        }
        gap = false;
        out.push(char);
    }
    assert!(!out.contains(TITLE_SEPARATOR));
    trim(&out).to_string()
}

/// Spaces and bars have no place at the ends.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c == ' ' || c == '|')
}

/// At most `max_chars` characters, ending with a whole word where the first word is short enough.
fn cut(text: &str, max_chars: usize) -> String {
    let Some((end, next)) = text.char_indices().nth(max_chars) else {
        return text.to_string();
    };
    let kept = &text[..end];
    let whole = if next == ' ' {
        kept
    } else {
        kept.rfind(' ').map_or(kept, |space| &kept[..space])
    };
    // A cut must not leave a comma or an opened bracket hanging.
    whole
        .trim_end_matches(|c: char| c == ' ' || c == '|' || ",;:-(&/".contains(c))
        .to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entities_are_resolved_however_often_they_were_escaped() {
        for (raw, cleaned) in [
            ("Salt &amp; Pepper", "Salt & Pepper"),
            ("Salt &amp;amp; Pepper", "Salt & Pepper"),
            ("L&#39;Or&eacute;al &#x2122;", "L'Or\u{e9}al \u{2122}"),
            ("Men&amp;#146;s Health", "Men\u{2019}s Health"),
            ("AT&T & Co; Ltd", "AT&T & Co; Ltd"),
        ] {
            assert_eq!(clean(raw, 100).as_deref(), Some(cleaned), "{raw}");
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
    fn separators_and_line_ends_do_not_survive() {
        assert_eq!(clean("A||B | C\n\tD|", 100).as_deref(), Some("A| B | C D"));
        assert_eq!(
            clean("zero\u{200b}width\u{0}null", 100).as_deref(),
            Some("zero width null")
        );
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
                "[a-z]{1,6}",
                "\\PC{0,3}",
            ],
            0..25,
        );
        prop_oneof![dirty.prop_map(|parts| parts.concat()), any::<String>()]
    }

    proptest! {
        #[test]
        fn a_clean_title_is_one_bounded_line_and_stays_as_it_is(raw in titles(), max_chars in 1_usize..60) {
            if let Some(title) = clean(&raw, max_chars) {
                prop_assert!(title.chars().count() <= max_chars);
                prop_assert!(!title.contains(TITLE_SEPARATOR));
                prop_assert!(!title.chars().any(char::is_control));
                prop_assert_eq!(title.trim(), &title);
                prop_assert!(!title.contains("  "));
                // Joined titles can be split again.
                prop_assert!(!title.starts_with('|') && !title.ends_with('|'));
                let again = clean(&title, max_chars);
                prop_assert_eq!(again.as_deref(), Some(title.as_str()));
            }
        }
    }
}
