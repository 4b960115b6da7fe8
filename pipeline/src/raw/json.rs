//! One JSON object a line, of which a few keys are wanted: the others are passed over without being decoded or copied.
//!
//! The form of what is passed over is checked all the same, as `serde_json` does it: a line is an object or is refused.

use std::borrow::Cow;

use super::scan::Refusal;

const NO_OBJECT: &str = "not a JSON object";
const WRONG_TYPE: &str = "a key holds a value of the wrong type or stands twice";

/// The values of `keys`, as they are written, of an object that must be the whole text and must not hold one of them twice.
pub(crate) fn fields<'b, const N: usize>(
    bytes: &'b [u8],
    keys: [&str; N],
) -> Result<[Option<&'b [u8]>; N], Refusal> {
    find(
        bytes,
        keys,
        |before| if before { Err(WRONG_TYPE.into()) } else { Ok(()) },
    )
}

/// The same where of a repeated key the last value counts.
pub(crate) fn last_fields<'b, const N: usize>(
    bytes: &'b [u8],
    keys: [&str; N],
) -> Result<[Option<&'b [u8]>; N], Refusal> {
    find(bytes, keys, |_| Ok(()))
}

fn find<'b, const N: usize>(
    bytes: &'b [u8],
    keys: [&str; N],
    allowed: impl Fn(bool) -> Result<(), Refusal>,
) -> Result<[Option<&'b [u8]>; N], Refusal> {
    let mut found = [None; N];
    let mut scanner = Scanner { bytes, at: 0 };
    scanner.members(|key, value| {
        for (slot, _) in found
            .iter_mut()
            .zip(&keys)
            .filter(|(_, wanted)| wanted.as_bytes() == key)
        {
            allowed(slot.is_some())?;
            *slot = Some(value);
        }
        Ok(())
    })?;
    Ok(found)
}

/// A text; nothing where the key is absent or null.
pub(crate) fn text(value: Option<&[u8]>) -> Result<Option<Cow<'_, str>>, Refusal> {
    let Some(value) = present(value) else {
        return Ok(None);
    };
    let Some(inner) = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
    else {
        return Err(WRONG_TYPE.into());
    };
    if inner.contains(&b'\\') {
        let decoded: String = serde_json::from_slice(value).map_err(|_| NO_OBJECT)?;
        return Ok(Some(Cow::Owned(decoded)));
    }
    let text = std::str::from_utf8(inner).map_err(|_| NO_OBJECT)?;
    Ok(Some(Cow::Borrowed(text)))
}

/// A number; nothing where the key is absent or null.
pub(crate) fn number(value: Option<&[u8]>) -> Result<Option<f64>, Refusal> {
    match present(value) {
        None => Ok(None),
        Some(value) if matches!(value[0], b'-' | b'0'..=b'9') => match short_number(value) {
            Some(number) => Ok(Some(number)),
            None => serde_json::from_slice(value)
                .map(Some)
                .map_err(|_| NO_OBJECT.into()),
        },
        Some(_) => Err(WRONG_TYPE.into()),
    }
}

/// Any value, decoded; nothing where the key is absent or null.
pub(crate) fn value(value: Option<&[u8]>) -> Result<Option<serde_json::Value>, Refusal> {
    let decode = |value| serde_json::from_slice(value).map_err(|_| NO_OBJECT.into());
    present(value).map(decode).transpose()
}

fn present(value: Option<&[u8]>) -> Option<&[u8]> {
    value.filter(|value| *value != b"null")
}

/// Digits, at most 15 and perhaps one point among them: such a number is exact, or the quotient of two that are, and so rounds once.
fn short_number(text: &[u8]) -> Option<f64> {
    let (mut digits, mut decimals, mut point) = (0_u64, 0, false);
    if text.len() > 16 {
        return None;
    }
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                digits = digits * 10 + u64::from(byte - b'0');
                decimals += usize::from(point);
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    const POWERS: [f64; 16] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ];
    // Without a point there may be 16 digits, and 2^53 has 16 as well.
    (digits < 1 << 53).then(|| digits as f64 / POWERS[decimals])
}

struct Scanner<'b> {
    bytes: &'b [u8],
    at: usize,
}

type Scanned<T> = Result<T, Refusal>;

impl<'b> Scanner<'b> {
    /// Goes through the members of an object that is all there is.
    fn members(&mut self, mut visit: impl FnMut(&[u8], &'b [u8]) -> Scanned<()>) -> Scanned<()> {
        self.space();
        self.expect(b'{')?;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return self.end();
        }
        loop {
            let key = self.key()?;
            let start = self.at;
            self.skip()?;
            visit(&key, &self.bytes[start..self.at])?;
            self.space();
            match self.next()? {
                b',' => self.space(),
                b'}' => return self.end(),
                _ => return self.fail(),
            }
        }
    }

    /// A key and the colon after it; the value is next.
    fn key(&mut self) -> Scanned<Cow<'b, [u8]>> {
        let start = self.at;
        self.expect(b'"')?;
        let escaped = self.string()?;
        let quoted = &self.bytes[start..self.at];
        let plain = &quoted[1..quoted.len() - 1];
        let key = if escaped {
            let decoded: String = serde_json::from_slice(quoted).map_err(|_| NO_OBJECT)?;
            Cow::Owned(decoded.into_bytes())
        } else {
            if !plain.is_ascii() {
                std::str::from_utf8(plain).map_err(|_| NO_OBJECT)?;
            }
            Cow::Borrowed(plain)
        };
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(key)
    }

    /// Passes over a value, without recursion: nothing limits how deep a line nests.
    fn skip(&mut self) -> Scanned<()> {
        let mut closers = Vec::new();
        loop {
            // A value begins here.
            match self.next()? {
                b'"' => drop(self.string()?),
                b't' => self.word(b"rue")?,
                b'f' => self.word(b"alse")?,
                b'n' => self.word(b"ull")?,
                byte @ (b'-' | b'0'..=b'9') => self.number(byte)?,
                open @ (b'[' | b'{') => {
                    let close = if open == b'[' { b']' } else { b'}' };
                    self.space();
                    if self.peek() == Some(close) {
                        self.at += 1;
                    } else {
                        closers.push(close);
                        if close == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                _ => return self.fail(),
            }
            // It has ended; so may what it stands in.
            loop {
                let Some(close) = closers.last().copied() else {
                    return Ok(());
                };
                self.space();
                match self.next()? {
                    b',' => {
                        self.space();
                        if close == b'}' {
                            self.key()?;
                        }
                        break;
                    }
                    byte if byte == close => drop(closers.pop()),
                    _ => return self.fail(),
                }
            }
        }
    }

    /// Passes over the rest of a string whose opening quote is taken; whether it holds escapes.
    fn string(&mut self) -> Scanned<bool> {
        let mut escaped = false;
        loop {
            self.at += plain_bytes(&self.bytes[self.at..]);
            match self.next()? {
                b'"' => return Ok(escaped),
                b'\\' => {
                    escaped = true;
                    match self.next()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            let digits = self.bytes.get(self.at..self.at + 4);
                            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                                return self.fail();
                            }
                            self.at += 4;
                        }
                        _ => return self.fail(),
                    }
                }
                // A control character.
                _ => return self.fail(),
            }
        }
    }

    /// Passes over the rest of a number that begins with `first`.
    fn number(&mut self, first: u8) -> Scanned<()> {
        let first = if first == b'-' { self.next()? } else { first };
        match first {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return self.fail(),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Scanned<()> {
        if !self.next()?.is_ascii_digit() {
            return self.fail();
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn word(&mut self, rest: &[u8]) -> Scanned<()> {
        if !self.bytes[self.at..].starts_with(rest) {
            return self.fail();
        }
        self.at += rest.len();
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Scanned<u8> {
        let byte = self.peek().ok_or(NO_OBJECT)?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8) -> Scanned<()> {
        if self.next()? == byte { Ok(()) } else { self.fail() }
    }

    fn end(&mut self) -> Scanned<()> {
        self.space();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            self.fail()
        }
    }

    fn fail<T>(&self) -> Scanned<T> {
        Err(NO_OBJECT.into())
    }
}

/// How many bytes come before the first that may end a string or must not stand in one.
fn plain_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    // Keys and ids are short: the first few words are looked at one by one.
    for word in bytes.as_chunks::<8>().0.iter().take(4) {
        if let Some(within) = special_byte(*word) {
            return at + within;
        }
        at += 8;
    }
    // Without a way out in its middle, a block is a few vector instructions.
    for block in bytes[at..].as_chunks::<32>().0 {
        let any = block.iter().fold(false, |any, byte| any | is_special(*byte));
        if any {
            break;
        }
        at += 32;
    }
    for word in bytes[at..].as_chunks::<8>().0 {
        if let Some(within) = special_byte(*word) {
            return at + within;
        }
        at += 8;
    }
    let within = bytes[at..].iter().position(|byte| is_special(*byte));
    within.map_or(bytes.len(), |within| at + within)
}

fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// The first special byte of eight.
#[inline(always)]
fn special_byte(word: [u8; 8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(word);
    // A byte below the subtrahend borrows, which shows in its highest bit; only a byte above it can be marked in error.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let marked = (equal(b'"') | equal(b'\\') | below(word, 0x20)) & HIGH;
    (marked != 0).then(|| marked.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Wanted<'a> {
        #[serde(borrow)]
        a: Option<Cow<'a, str>>,
        n: Option<f64>,
    }

    /// What serde makes of a line, and whether it takes it for an object.
    fn by_serde(line: &[u8]) -> Option<Wanted<'_>> {
        let object = line.trim_ascii_start().first() == Some(&b'{');
        serde_json::from_slice(line).ok().filter(|_| object)
    }

    fn by_scanner(line: &[u8]) -> Option<Wanted<'_>> {
        let [a, n] = fields(line, ["a", "n"]).ok()?;
        Some(Wanted {
            a: text(a).ok()?,
            n: number(n).ok()?,
        })
    }

    #[test]
    fn lines_are_read_and_refused_as_serde_does_it() {
        for line in [
            r#"{"a": "x", "n": 3}"#,
            r#" { "n" : -1.5e3 , "a" : null } "#,
            r#"{"x": {"a": [1, {"b": []}, "]"], "n": {}}, "a": "\u00e9\n", "n": 0.1}"#,
            r#"{"\u0061": "escaped key", "n": 123456789012345678901234567890}"#,
            r#"{"a": "x", "a": "y"}"#,
            r#"{"a": 1}"#,
            r#"{"n": "1"}"#,
            r#"{"n": 01}"#,
            r#"{"n": 1.}"#,
            r#"{"n": .5}"#,
            r#"{"n": 1e999}"#,
            r#"{"n": -}"#,
            r#"{"a": "\ud800"}"#,
            r#"{"x": "\ud800"}"#,
            r#"{"x": "\u12g4"}"#,
            r#"{"x": "\q"}"#,
            r#"{"x": nul}"#,
            r#"{"x": tru"#,
            r#"{"a": "x",}"#,
            r#"{"a": "x"} y"#,
            r#"{"a"}"#,
            r#"{"#,
            r#"{}"#,
            r#"["a"]"#,
            r#"{"x": [}]}"#,
            r#"{"x": [1, 2,]}"#,
            "{\"x\": \"tab\tinside, and long enough for a whole block of bytes\"}",
            "{\"a\": \"\u{7f}\u{80}\"}",
            "",
            "null",
        ] {
            assert_eq!(by_scanner(line.as_bytes()), by_serde(line.as_bytes()), "{line}");
        }
        for bytes in [&b"{\"a\": \"\xff\"}"[..], b"{\"x\": \"\xff\"}", b"{\"\xff\": 1}"] {
            assert_eq!(by_scanner(bytes), by_serde(bytes), "{bytes:?}");
        }
        let deep = format!("{{\"x\": {}{}, \"n\": 1}}", "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(by_scanner(deep.as_bytes()).unwrap().n, Some(1.0));
    }

    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("{".to_string()),
            Just("}".to_string()),
            Just("[".to_string()),
            Just("]".to_string()),
            Just(",".to_string()),
            Just(":".to_string()),
            Just("\"a\"".to_string()),
            Just("\"n\"".to_string()),
            Just("\"a\": \"".to_string()),
            Just("\"n\": ".to_string()),
            Just("\\".to_string()),
            Just("\"".to_string()),
            Just("null".to_string()),
            "-?[0-9]{1,18}(\\.[0-9]{0,3})?(e-?[0-9]{0,3})?",
            "\\PC{0,40}",
        ];
        let pieces = proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes());
        let objects = proptest::collection::btree_map("[anxy]", "\\PC{0,80}", 0..4)
            .prop_map(|map| serde_json::to_vec(&map).unwrap());
        prop_oneof![
            pieces.clone(),
            pieces.prop_map(|inner| [b"{\"a\": \"v\", ", inner.as_slice(), b"}"].concat()),
            objects,
        ]
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused_as_serde_does_it(line in lines()) {
            prop_assert_eq!(by_scanner(&line), by_serde(&line), "{}", String::from_utf8_lossy(&line));
        }

        #[test]
        fn short_numbers_are_exact(text in "[0-9]{1,9}(\\.[0-9]{1,6})?") {
            prop_assert_eq!(short_number(text.as_bytes()), Some(text.parse::<f64>().unwrap()));
        }
    }
}
