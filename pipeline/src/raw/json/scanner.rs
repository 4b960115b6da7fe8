//! The form of a JSON object, member by member.

use std::borrow::Cow;

use memchr::memchr2;

use super::super::scan::Refusal;
use super::NO_OBJECT;

/// Goes over an object once.
pub(super) struct Scanner<'b> {
    bytes: &'b [u8],
    at: usize,
}

/// What stands before a member's value.
pub(super) struct Head<'b> {
    /// Decoded.
    pub key: Cow<'b, [u8]>,
    /// From the end of the value before, or the beginning of the line, to the value.
    pub text: &'b [u8],
}

type Scanned<T> = Result<T, Refusal>;

impl<'b> Scanner<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Scanner { bytes, at: 0 }
    }

    /// What stands before the next member's value, which is its key and what surrounds it; none at the end of an object, which
    /// must be the end of all there is. `first` says that no member came before.
    pub fn head(&mut self, first: bool) -> Scanned<Option<Head<'b>>> {
        let start = self.at;
        self.space();
        if first {
            self.expect(b'{')?;
            self.space();
            if self.peek() == Some(b'}') {
                self.at += 1;
                return self.end().map(|()| None);
            }
        } else {
            match self.next()? {
                b',' => self.space(),
                b'}' => return self.end().map(|()| None),
                _ => return self.fail(),
            }
        }
        let key = self.key()?;
        let text = &self.bytes[start..self.at];
        Ok(Some(Head { key, text }))
    }

    /// Passes over a head that stands here exactly as it stood elsewhere; whether it does.
    #[inline]
    pub fn same_head(&mut self, text: &[u8]) -> bool {
        let same = self.bytes[self.at..].starts_with(text);
        self.at += if same { text.len() } else { 0 };
        same
    }

    /// The value that is next, as it is written.
    #[inline]
    pub fn value(&mut self) -> Scanned<&'b [u8]> {
        let start = self.at;
        self.skip()?;
        Ok(&self.bytes[start..self.at])
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
    // Of long texts the end is looked for first, and then whether anything before it must not be there: either is a few vector
    // instructions a block.
    let rest = &bytes[at..];
    let end = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    let mut within = 0;
    for block in rest[..end].as_chunks::<64>().0 {
        if block.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < 0x20 {
            break;
        }
        within += 64;
    }
    let control = rest[within..end].iter().position(|byte| *byte < 0x20);
    at + control.map_or(end, |control| within + control)
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
