//! JSON as programs write it, made JSON.

/// A value without what JSON has no place for: `NaN` and infinite numbers become `null`, and of a surrogate pair that is not whole
/// the half is left out. The value must have passed the scanner.
pub(super) fn mended(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    let mut quoted = false;
    while let Some((&byte, after)) = rest.split_first() {
        let length = match byte {
            b'"' => {
                quoted = !quoted;
                1
            }
            b'\\' if quoted => match unit(rest) {
                None => 2,
                Some(0xD800..=0xDBFF) if matches!(after.get(5..).and_then(unit), Some(0xDC00..=0xDFFF)) => 12,
                Some(0xD800..=0xDFFF) => {
                    rest = &after[5..];
                    continue;
                }
                Some(_) => 6,
            },
            _ if quoted => 1,
            _ => match NUMBERS.iter().find(|word| rest.starts_with(word)) {
                Some(word) => {
                    out.extend_from_slice(b"null");
                    rest = &rest[word.len()..];
                    continue;
                }
                None => 1,
            },
        };
        let (copied, next) = rest.split_at(length.min(rest.len()));
        out.extend_from_slice(copied);
        rest = next;
    }
    out
}

const NUMBERS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];

/// The number after `\u` that the text begins with.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_json_is_touched() {
        for (value, expected) in [
            (r#""Oak chair \ud83d""#, r#""Oak chair ""#),
            (
                r#""\ud83d\ude00 \ude00\ud83d\ud83d\ude00""#,
                r#""\ud83d\ude00 \ud83d\ude00""#,
            ),
            (r#""\\ud83d \u00e9 NaN""#, r#""\\ud83d \u00e9 NaN""#),
            (
                r#"["a\"NaN", NaN, -Infinity, {"Infinity": Infinity}]"#,
                r#"["a\"NaN", null, null, {"Infinity": null}]"#,
            ),
            (r#""\ud83d\n""#, r#""\n""#),
        ] {
            assert_eq!(String::from_utf8_lossy(&mended(value.as_bytes())), expected);
        }
    }
}
