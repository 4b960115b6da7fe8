//! How what stands in a file is quoted: short, and with nothing in it that a terminal would obey.

use std::path::Path;

/// Bytes that are shown of what a file holds.
const MOST: usize = 200;

/// Bytes of a whole message. One that quotes more than it should still fits on a screen.
const MOST_MESSAGE: usize = 2_000;

/// Whether a sign does something else than to be seen: controls, and what reverses or breaks lines.
fn acts(sign: char) -> bool {
    sign.is_control() || matches!(sign, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Puts a sign into a text as it may be shown.
fn show(sign: char, into: &mut String) {
    match sign {
        '\0' => into.push_str("\\0"),
        _ if acts(sign) => into.extend(sign.escape_default()),
        _ => into.push(sign),
    }
}

/// The beginning of a line, at most 200 bytes: signs that a terminal would obey as `\t`, `\0` or `\u{1b}`, bytes that are no UTF-8
/// replaced. Whether it is all of it.
fn beginning(bytes: &[u8]) -> (String, bool) {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        let replaced = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        for sign in chunk.valid().chars().chain(replaced) {
            let before = shown.len();
            show(sign, &mut shown);
            if shown.len() > MOST {
                shown.truncate(before);
                return (shown, false);
            }
        }
    }
    (shown, true)
}

/// The beginning of a line, for a table.
pub(crate) fn sample(bytes: &[u8]) -> String {
    // More can hardly be needed, and a line may have 16 MiB. A character cut in half would be shown as damaged.
    let mut end = bytes.len().min(2 * MOST);
    while end > MOST && end < bytes.len() && bytes[end] & 0b1100_0000 == 0b1000_0000 {
        end -= 1;
    }
    beginning(&bytes[..end]).0
}

/// The beginning of a text, for an error; `…` stands for the rest.
pub(crate) fn shown(text: &str) -> String {
    let (mut shown, whole) = beginning(text.as_bytes());
    if !whole {
        shown.push('…');
    }
    shown
}

/// A message that may quote anything, in full. Lines stay lines.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '\n' => shown.push('\n'),
            _ => show(sign, &mut shown),
        }
    }
    shown
}

/// The same of a message that quotes a file; one that is too long for a screen loses its middle, since what to do stands at its end.
pub(crate) fn message(text: &str) -> String {
    if text.len() <= MOST_MESSAGE {
        return plain(text);
    }
    let begin = text.floor_char_boundary(MOST_MESSAGE / 2);
    let end = text.ceil_char_boundary(text.len() - MOST_MESSAGE / 2);
    let (first, last) = (plain(&text[..begin]), plain(&text[end..]));
    format!("{first} … ({} bytes left out) … {last}", end - begin)
}

/// A path.
pub(crate) fn path(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        let hostile = "a\tb\u{1b}[31m\u{9b}0m\0\u{202e}é\r";
        let expected = "a\\tb\\u{1b}[31m\\u{9b}0m\\0\\u{202e}é\\r";
        assert_eq!(shown(hostile), expected);
        assert_eq!(sample(hostile.as_bytes()), expected);
        assert_eq!(message(hostile), expected);
        assert_eq!(path(Path::new("x\u{1b}c")), "x\\u{1b}c");
        assert_eq!(message("two\nlines"), "two\nlines");
        assert_eq!(sample(b"\xff\xfe,3"), "\u{fffd}\u{fffd},3");
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        let long = "é".repeat(1_000);
        assert_eq!(sample(long.as_bytes()), "é".repeat(100));
        assert_eq!(shown(&long), format!("{}…", "é".repeat(100)));
        assert_eq!(sample(&[0; 4_096]).len(), 200, "spelled out and cut");
        assert_eq!(sample(&[b'x'; 100_000]), "x".repeat(200));
        let odd = format!("x{long}");
        assert_eq!(sample(odd.as_bytes()), format!("x{}", "é".repeat(99)));
        let message = message(&format!("the header is `{long}`; mend it"));
        assert!(message.len() < 2_100 && message.ends_with("mend it"), "{message}");
        assert!(message.contains("bytes left out"), "{message}");
    }
}
