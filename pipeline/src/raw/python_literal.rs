//! Python literals, as `repr` writes them: the metadata of Amazon 2014 is one dict a line.
//!
//! A parser over bytes with Python 3's reading of escapes; it evaluates nothing. [`parse_keys`] decodes only the keys asked for
//! and skips the rest (a `related` dict is most of a real line), checking its form all the same.

use memchr::memchr2;

/// How deep lists and dicts may nest; real lines need four, and a line must not overflow the stack.
const MAX_DEPTH: usize = 64;

/// A Python value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An integer that fits 64 bits (also Python 2's `7L`).
    Int(i64),
    /// A larger integer, in digits.
    Long(String),
    /// Any other number: fractions, `nan`, `inf`.
    Float(f64),
    /// A string, decoded.
    Text(String),
    /// The same of one that holds half of a surrogate pair, which is left out: another string may look alike then.
    Cut(String),
    /// `[…]`
    List(Vec<Value>),
    /// `(…)`
    Tuple(Vec<Value>),
    /// `{key: value, …}` in the order written; a repeated key stands twice.
    Dict(Vec<(Value, Value)>),
}

impl Value {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Cut(text) => Some(text),
            _ => None,
        }
    }
}

/// Why a text is no Python literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Byte offset where reading stopped.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// One literal, which must be the whole text.
///
/// # Errors
/// [`ParseError`] with the offset of the first byte that does not fit.
pub fn parse(bytes: &[u8]) -> Result<Value, ParseError> {
    let mut parser = Parser::new(bytes)?;
    let value = parser.value(0)?;
    parser.end()?;
    Ok(value)
}

/// The values of `keys` in a dict that must be the whole text; of a repeated key the last, as in Python.
///
/// # Errors
/// [`ParseError`] with the offset of the first byte that does not fit.
pub fn parse_keys<const N: usize>(bytes: &[u8], keys: [&str; N]) -> Result<[Option<Value>; N], ParseError> {
    let mut parser = Parser::new(bytes)?;
    let mut found = [const { None }; N];
    let place = |key: &Value| keys.iter().position(|wanted| key.as_text() == Some(wanted));
    parser.space();
    if parser.peek() == Some(b'(') {
        // In brackets it is a dict all the same, and too rare to be worth a way of its own.
        let Value::Dict(pairs) = parse(bytes)? else {
            return parser.fail("expected a dict");
        };
        for (key, value) in pairs {
            if let Some(at) = place(&key) {
                found[at] = Some(value);
            }
        }
        return Ok(found);
    }
    parser.expect(b'{', "expected a dict")?;
    parser.members(b'}', |parser| {
        let key = parser.value(1)?;
        parser.colon()?;
        match place(&key) {
            Some(at) => found[at] = Some(parser.value(1)?),
            None => parser.skip(1)?,
        }
        Ok(())
    })?;
    parser.end()?;
    Ok(found)
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn new(bytes: &'a [u8]) -> Parsed<Self> {
        let text = std::str::from_utf8(bytes).map_err(|error| ParseError {
            at: error.valid_up_to(),
            what: "not UTF-8",
        })?;
        Ok(Parser { text, bytes, at: 0 })
    }

    fn fail<T>(&self, what: &'static str) -> Parsed<T> {
        Err(ParseError { at: self.at, what })
    }

    fn peek(&self) -> Option<u8> {
        work(1);
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Parsed<()> {
        if self.peek() != Some(byte) {
            return self.fail(what);
        }
        self.at += 1;
        Ok(())
    }

    fn colon(&mut self) -> Parsed<()> {
        self.space();
        self.expect(b':', "expected a colon after a key")
    }

    fn end(&mut self) -> Parsed<()> {
        self.space();
        if self.at < self.bytes.len() {
            self.fail("text after the end of the literal")
        } else {
            Ok(())
        }
    }

    /// Calls `member` for each member up to `close`; returns how many there were and whether a comma stood last.
    fn members(
        &mut self,
        close: u8,
        mut member: impl FnMut(&mut Self) -> Parsed<()>,
    ) -> Parsed<(usize, bool)> {
        let mut count = 0;
        let mut comma = true;
        loop {
            self.space();
            match self.peek() {
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok((count, comma && count > 0));
                }
                None => return self.fail("the line ends inside a list or dict"),
                Some(_) if !comma => return self.fail("expected a comma"),
                Some(_) => {}
            }
            member(self)?;
            count += 1;
            self.space();
            comma = self.peek() == Some(b',');
            if comma {
                self.at += 1;
            }
        }
    }

    fn value(&mut self, depth: usize) -> Parsed<Value> {
        if depth > MAX_DEPTH {
            return self.fail("nested too deep");
        }
        self.space();
        match self.peek() {
            Some(b'[') => {
                self.at += 1;
                let mut values = Vec::new();
                self.members(b']', |parser| {
                    values.push(parser.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(Value::List(values))
            }
            Some(b'(') => {
                self.at += 1;
                let mut values = Vec::new();
                let (count, comma) = self.members(b')', |parser| {
                    values.push(parser.value(depth + 1)?);
                    Ok(())
                })?;
                // `(x)` is x in brackets; only `(x,)` is a tuple of one.
                match values.pop() {
                    Some(only) if count == 1 && !comma => Ok(only),
                    last => {
                        values.extend(last);
                        Ok(Value::Tuple(values))
                    }
                }
            }
            Some(b'{') => {
                self.at += 1;
                let mut pairs = Vec::new();
                self.members(b'}', |parser| {
                    let key = parser.value(depth + 1)?;
                    parser.colon()?;
                    pairs.push((key, parser.value(depth + 1)?));
                    Ok(())
                })?;
                Ok(Value::Dict(pairs))
            }
            Some(b'\'' | b'"') => self.string(),
            Some(byte) if byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.') => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() => self.word(),
            Some(_) => self.fail("expected a value"),
            None => self.fail("the line ends where a value is expected"),
        }
    }

    /// Passes over a value; strings, which are most of it, are not decoded.
    fn skip(&mut self, depth: usize) -> Parsed<()> {
        if depth > MAX_DEPTH {
            return self.fail("nested too deep");
        }
        self.space();
        match self.peek() {
            Some(open @ (b'[' | b'(')) => {
                self.at += 1;
                let close = if open == b'[' { b']' } else { b')' };
                self.members(close, |parser| parser.skip(depth + 1)).map(drop)
            }
            Some(b'{') => {
                self.at += 1;
                self.members(b'}', |parser| {
                    parser.skip(depth + 1)?;
                    parser.colon()?;
                    parser.skip(depth + 1)
                })
                .map(drop)
            }
            Some(b'\'' | b'"') => self.raw_string().map(|(raw, _)| work(raw.len())),
            _ => self.value(depth).map(drop),
        }
    }

    /// `True`, `False`, `None`, `nan`, `inf`, or a string with a prefix.
    fn word(&mut self) -> Parsed<Value> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            self.at += 1;
        }
        let value = match &self.bytes[start..self.at] {
            b"True" => Value::Bool(true),
            b"False" => Value::Bool(false),
            b"None" => Value::None,
            b"nan" | b"NaN" => Value::Float(f64::NAN),
            b"inf" | b"Infinity" => Value::Float(f64::INFINITY),
            b"u" | b"U" | b"b" | b"B" if matches!(self.peek(), Some(b'\'' | b'"')) => self.string()?,
            _ => {
                self.at = start;
                return self.fail("unknown word");
            }
        };
        Ok(value)
    }

    fn number(&mut self) -> Parsed<Value> {
        let start = self.at;
        if matches!(self.peek(), Some(b'-' | b'+')) {
            self.at += 1;
            if self.peek().is_some_and(|byte| byte.is_ascii_alphabetic()) {
                let negative = self.bytes[start] == b'-';
                return match self.word()? {
                    Value::Float(value) => Ok(Value::Float(if negative { -value } else { value })),
                    _ => self.fail("a sign before something that is no number"),
                };
            }
        }
        while let Some(byte) = self.peek() {
            let sign = matches!(byte, b'-' | b'+') && matches!(self.bytes[self.at - 1], b'e' | b'E');
            if !(byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E') || sign) {
                break;
            }
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        work(2 * text.len());
        if let Ok(value) = text.parse::<i64>() {
            if matches!(self.peek(), Some(b'l' | b'L')) {
                self.at += 1;
            }
            return Ok(Value::Int(value));
        }
        if text
            .trim_start_matches(['-', '+'])
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            && text.len() > 2
        {
            if matches!(self.peek(), Some(b'l' | b'L')) {
                self.at += 1;
            }
            return Ok(Value::Long(digits(text)));
        }
        match text.parse::<f64>() {
            Ok(value) => Ok(Value::Float(value)),
            Err(_) => {
                self.at = start;
                self.fail("not a number")
            }
        }
    }

    /// A string as written between its quotes, and whether it holds escapes.
    fn raw_string(&mut self) -> Parsed<(&'a str, bool)> {
        let quote = self.bytes[self.at];
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        while let Some(ahead) = self
            .bytes
            .get(self.at..)
            .and_then(|rest| memchr2(quote, b'\\', rest))
        {
            self.at += ahead + 1;
            if self.bytes[self.at - 1] == quote {
                // Quotes are ASCII, so both ends are character boundaries.
                return Ok((&self.text[start..self.at - 1], escaped));
            }
            escaped = true;
            self.at += 1;
        }
        self.at = self.bytes.len();
        self.fail("a string is not closed")
    }

    fn string(&mut self) -> Parsed<Value> {
        let (raw, escaped) = self.raw_string()?;
        work(raw.len());
        if !escaped {
            return Ok(Value::Text(raw.to_string()));
        }
        unescape(raw).or_else(|what| self.fail(what))
    }
}

/// An integer as Python would write it.
fn digits(text: &str) -> String {
    let sign = if text.starts_with('-') { "-" } else { "" };
    let digits = text.trim_start_matches(['-', '+']).trim_start_matches('0');
    if digits.is_empty() {
        "0".to_owned()
    } else {
        format!("{sign}{digits}")
    }
}

/// Resolves the escapes of a string body. Half of a surrogate pair without the other half is no character, and is left out.
fn unescape(raw: &str) -> Result<Value, &'static str> {
    work(raw.len());
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    // The first half of a surrogate pair, as Python 2 wrote characters beyond the basic plane.
    let mut high: Option<u32> = None;
    let mut cut = false;
    while let Some(char) = chars.next() {
        let code = if char == '\\' {
            escape(&mut chars)?
        } else {
            Escape::Char(char)
        };
        let first = high.take();
        match code {
            Escape::Code(low @ 0xDC00..=0xDFFF) => match first {
                Some(first) => {
                    let joined = 0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00);
                    text.push(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
                    continue;
                }
                None => cut = true,
            },
            Escape::Code(first @ 0xD800..=0xDBFF) => high = Some(first),
            Escape::Char(char) => text.push(char),
            Escape::Code(code) => match char::from_u32(code) {
                Some(char) => text.push(char),
                None => {
                    text.push(char::REPLACEMENT_CHARACTER);
                    cut = true;
                }
            },
            // Python keeps the backslash of an escape it does not know.
            Escape::Unknown(char) => text.extend(['\\', char]),
        }
        cut |= first.is_some();
    }
    Ok(match cut || high.is_some() {
        true => Value::Cut(text),
        false => Value::Text(text),
    })
}

enum Escape {
    Char(char),
    Code(u32),
    Unknown(char),
}

/// What stands after a backslash.
fn escape(chars: &mut std::str::Chars<'_>) -> Result<Escape, &'static str> {
    let Some(kind) = chars.next() else {
        return Err("a string ends in a backslash");
    };
    Ok(match kind {
        '\\' | '\'' | '"' => Escape::Char(kind),
        'n' => Escape::Char('\n'),
        't' => Escape::Char('\t'),
        'r' => Escape::Char('\r'),
        'a' => Escape::Char('\u{7}'),
        'b' => Escape::Char('\u{8}'),
        'v' => Escape::Char('\u{b}'),
        'f' => Escape::Char('\u{c}'),
        'x' => Escape::Code(hex(chars, 2)?),
        'u' => Escape::Code(hex(chars, 4)?),
        'U' => Escape::Code(hex(chars, 8)?),
        '0'..='7' => {
            let mut code = kind as u32 - '0' as u32;
            for _ in 0..2 {
                let Some(digit) = chars.clone().next().and_then(|next| next.to_digit(8)) else {
                    break;
                };
                code = code * 8 + digit;
                chars.next();
            }
            Escape::Code(code)
        }
        other => Escape::Unknown(other),
    })
}

fn hex(chars: &mut std::str::Chars<'_>, digits: usize) -> Result<u32, &'static str> {
    let mut code = 0_u32;
    for _ in 0..digits {
        let digit = chars
            .next()
            .and_then(|next| next.to_digit(16))
            .ok_or("a cut hexadecimal escape")?;
        code = (code << 4) | digit;
    }
    Ok(code)
}

/// Bytes that were looked at, for the test that says how many there may be.
#[cfg(not(test))]
#[inline(always)]
fn work(_bytes: usize) {}

#[cfg(test)]
use tests::work;

#[cfg(test)]
#[path = "python_literal_tests.rs"]
mod tests;
