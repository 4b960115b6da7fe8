//! One JSON object a line, of which a few keys are wanted: the others are passed over without being decoded or copied.
//!
//! The form of what is passed over is checked all the same, as `serde_json` does it: a line is an object or is refused. What programs
//! write that is no JSON is put up with where it does no harm: `NaN` is a value that is missing, `Infinity` a number without end, and
//! half of a surrogate pair, as a text that was cut leaves it, is left out.
//!
//! It is here for its speed, and stays while it is half as fast again as `jiter` and `sonic-rs` (`pipeline/peers/benches/json.rs`).

mod mend;
mod plain;
mod scanner;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use mend::mended;
use plain::plain_bytes;
use scanner::{Head, Scanner};

/// Why a line is not what is wanted, in words that many lines share.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The line is no object, or goes on after it.
    #[error("not a JSON object")]
    NoObject,
    /// A wanted key does not hold what it should, or is there twice.
    #[error("a key holds a value of the wrong type or stands twice")]
    WrongType,
    /// An id with half a character, which ids of others may differ in.
    #[error("an id holds half a character")]
    HalfCharacter,
}

/// Heads that are remembered, and bytes of each: more than any log's lines have, little enough to be looked through.
const HEADS: usize = 32;
const HEAD_BYTES: usize = 64;

/// Takes the values of the same keys out of one object after another.
///
/// The lines of a log nearly always have the same keys in the same order and spacing. What stood before each value is remembered,
/// so that it is compared as a whole where it stands again, and its key need be neither scanned nor looked up.
///
/// ```
/// use weaverec_pipeline::raw::json::{Fields, number, text};
/// let mut fields = Fields::new(["asin", "overall"]);
/// let [item, rating] = fields.of(br#"{"asin": "B01", "reviewText": "fits", "overall": 4.5}"#)?;
/// assert_eq!((text(item)?.as_deref(), number(rating)?), (Some("B01"), Some(4.5)));
/// # Ok::<(), weaverec_pipeline::raw::json::Malformed>(())
/// ```
pub struct Fields<'k, const N: usize> {
    keys: [&'k str; N],
    /// Whether the last value of a repeated key counts, instead of none.
    repeats: bool,
    /// In the order in which they came.
    heads: Vec<Known<N>>,
}

/// What stood before a value.
struct Known<const N: usize> {
    text: Box<[u8]>,
    /// Whether it stood at the beginning of an object.
    first: bool,
    /// Which keys it names.
    named: [bool; N],
}

impl<'k, const N: usize> Fields<'k, N> {
    /// Objects that hold one of the keys twice are refused.
    pub fn new(keys: [&'k str; N]) -> Self {
        Self {
            keys,
            repeats: false,
            heads: Vec::new(),
        }
    }

    /// Of a repeated key the last value counts.
    pub fn last(keys: [&'k str; N]) -> Self {
        Self {
            repeats: true,
            ..Self::new(keys)
        }
    }

    /// The values, as they are written, of an object that must be all there is.
    ///
    /// # Errors
    /// The bytes are no object, or a key is there twice and must not be.
    pub fn of<'b>(&mut self, bytes: &'b [u8]) -> Result<[Option<&'b [u8]>; N], Malformed> {
        let mut scanner = Scanner::new(bytes);
        let mut found = [None; N];
        let (mut first, mut expected) = (true, 0);
        loop {
            // A member that is not in every line may be left out.
            let known = (expected..expected + 2).find(|at| {
                let known = self.heads.get(*at).filter(|known| known.first == first);
                known.is_some_and(|known| scanner.same_head(&known.text))
            });
            let named = match known {
                Some(at) => {
                    expected = at + 1;
                    self.heads[at].named
                }
                None => match scanner.head(first)? {
                    Some(head) => self.learn(&head, first, &mut expected),
                    None => return Ok(found),
                },
            };
            let value = scanner.value()?;
            for (slot, _) in found.iter_mut().zip(named).filter(|(_, named)| *named) {
                if slot.is_some() && !self.repeats {
                    return Err(Malformed::WrongType);
                }
                *slot = Some(value);
            }
            first = false;
        }
    }

    /// Which keys a head names. It is remembered, unless there are too many, and what is expected next is what comes after it.
    fn learn(&mut self, head: &Head<'_>, first: bool, expected: &mut usize) -> [bool; N] {
        let same = |known: &Known<N>| known.first == first && *known.text == *head.text;
        if let Some(at) = self.heads.iter().position(same) {
            *expected = at + 1;
            return self.heads[at].named;
        }
        let named = self.keys.map(|key| key.as_bytes() == &*head.key);
        if self.heads.len() < HEADS && head.text.len() <= HEAD_BYTES {
            self.heads.push(Known {
                text: head.text.into(),
                first,
                named,
            });
            *expected = self.heads.len();
        }
        named
    }
}

/// A text that is an id; nothing where the key is absent or null.
///
/// # Errors
/// It is something else, or no UTF-8, or has an escape for half a character: without that, two ids may be one.
pub fn id(value: Option<&[u8]>) -> Result<Option<Cow<'_, str>>, Malformed> {
    match text(value) {
        Ok(Some(Cow::Owned(_))) => {
            let strict = value.and_then(|value| serde_json::from_slice(value).ok());
            strict
                .map(|id| Some(Cow::Owned(id)))
                .ok_or(Malformed::HalfCharacter)
        }
        plain => plain,
    }
}

/// A text; nothing where the key is absent or null.
///
/// # Errors
/// It is something else, or no UTF-8.
pub fn text(value: Option<&[u8]>) -> Result<Option<Cow<'_, str>>, Malformed> {
    let Some(value) = present(value) else {
        return Ok(None);
    };
    let Some(inner) = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
    else {
        return Err(Malformed::WrongType);
    };
    if plain_bytes(inner) < inner.len() {
        return decode(value).map(|text| Some(Cow::Owned(text)));
    }
    let text = if inner.is_ascii() {
        // SAFETY: ASCII is UTF-8. To check that again costs more than to find it out.
        unsafe { std::str::from_utf8_unchecked(inner) }
    } else {
        std::str::from_utf8(inner).map_err(|_| Malformed::NoObject)?
    };
    Ok(Some(Cow::Borrowed(text)))
}

/// A number; nothing where the key is absent, null or NaN.
///
/// # Errors
/// It is something else.
pub fn number(value: Option<&[u8]>) -> Result<Option<f64>, Malformed> {
    match present(value) {
        None => Ok(None),
        Some(b"Infinity") => Ok(Some(f64::INFINITY)),
        Some(b"-Infinity") => Ok(Some(f64::NEG_INFINITY)),
        Some(value) if matches!(value[0], b'-' | b'0'..=b'9') => match short_number(value) {
            Some(number) => Ok(Some(number)),
            None => decode(value).map(Some),
        },
        Some(_) => Err(Malformed::WrongType),
    }
}

/// Any value, decoded; nothing where the key is absent, null or NaN.
///
/// # Errors
/// It is no UTF-8.
pub fn value(value: Option<&[u8]>) -> Result<Option<serde_json::Value>, Malformed> {
    present(value).map(decode).transpose()
}

/// What is there as it is written, null and NaN being nothing.
pub fn present(value: Option<&[u8]>) -> Option<&[u8]> {
    value.filter(|value| *value != b"null" && *value != b"NaN")
}

/// What a value of good form says; what strict JSON has no place for is taken out first, where there is any.
fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Malformed> {
    let found = serde_json::from_slice(value).or_else(|_| serde_json::from_slice(&mended(value)));
    found.map_err(|_| Malformed::NoObject)
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
    (digits < 1 << 53).then(|| match decimals {
        0 => digits as f64,
        _ => digits as f64 / POWERS[decimals],
    })
}
