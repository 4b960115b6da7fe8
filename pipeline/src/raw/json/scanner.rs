//! The form of a JSON object, member by member.

use std::borrow::Cow;

use super::plain::plain_bytes;
use super::{Malformed, decode};

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

/// Which brackets are open: a bit each, in words.
#[derive(Default)]
struct Open {
    /// The innermost ones: as many bits as are in use.
    word: u64,
    count: usize,
    /// Those further out, 64 each.
    outer: Vec<u64>,
}

impl Open {
    fn push(&mut self, object: bool) {
        if self.count > 0 && self.count.is_multiple_of(64) {
            self.outer.push(self.word);
        }
        self.word = self.word << 1 | u64::from(object);
        self.count += 1;
    }

    /// Whether the innermost is an object's; none where nothing is open.
    fn last(&self) -> Option<bool> {
        (self.count > 0).then_some(self.word & 1 == 1)
    }

    fn pop(&mut self) {
        self.word >>= 1;
        self.count -= 1;
        if self.count > 0 && self.count.is_multiple_of(64) {
            self.word = self.outer.pop().unwrap_or_default();
        }
    }
}

fn closer(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// Whether bytes of the same number are the same: heads are too short for a call to pay.
#[inline]
fn equal(left: &[u8], right: &[u8]) -> bool {
    let (Some(left_end), Some(right_end)) = (left.last_chunk::<8>(), right.last_chunk::<8>()) else {
        return left == right;
    };
    let words = left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0);
    let number = |word: &[u8; 8]| u64::from_ne_bytes(*word);
    words
        .into_iter()
        .all(|(left, right)| number(left) == number(right))
        && number(left_end) == number(right_end)
}

type Scanned<T> = Result<T, Malformed>;

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

    /// Passes over a head that stands here exactly as it stood elsewhere, and space that may come after it; whether it does.
    #[inline]
    pub fn same_head(&mut self, text: &[u8]) -> bool {
        let here = self.bytes[self.at..].get(..text.len());
        let same = here.is_some_and(|bytes| equal(bytes, text));
        if same {
            self.at += text.len();
            self.space();
        }
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
            Cow::Owned(decode::<String>(quoted)?.into_bytes())
        } else {
            if !plain.is_ascii() {
                std::str::from_utf8(plain).map_err(|_| Malformed::NoObject)?;
            }
            Cow::Borrowed(plain)
        };
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(key)
    }

    /// Passes over a value.
    #[inline]
    fn skip(&mut self) -> Scanned<()> {
        match self.next()? {
            b'"' => self.string().map(drop),
            byte @ (b'-' | b'0'..=b'9') => self.number(byte),
            other => self.skip_other(other),
        }
    }

    /// Passes over the rest of a value that begins with `first`, without recursion: nothing limits how deep a line nests.
    fn skip_other(&mut self, first: u8) -> Scanned<()> {
        let mut open = Open::default();
        let mut first = first;
        loop {
            match first {
                b'"' => drop(self.string()?),
                b't' => self.word(b"rue")?,
                b'f' => self.word(b"alse")?,
                b'n' => self.word(b"ull")?,
                b'N' => self.word(b"aN")?,
                b'I' => self.word(b"nfinity")?,
                byte @ (b'-' | b'0'..=b'9') => self.number(byte)?,
                b'[' | b'{' => {
                    let object = first == b'{';
                    self.space();
                    if self.peek() == Some(closer(object)) {
                        self.at += 1;
                    } else {
                        open.push(object);
                        if object {
                            self.key()?;
                        }
                        first = self.next()?;
                        continue;
                    }
                }
                _ => return self.fail(),
            }
            // It has ended; so may what it stands in.
            loop {
                let Some(object) = open.last() else {
                    return Ok(());
                };
                self.space();
                match self.next()? {
                    b',' => {
                        self.space();
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    byte if byte == closer(object) => open.pop(),
                    _ => return self.fail(),
                }
            }
            first = self.next()?;
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
            b'I' => return self.word(b"nfinity"),
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
        let byte = self.peek().ok_or(Malformed::NoObject)?;
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
        Err(Malformed::NoObject)
    }
}
