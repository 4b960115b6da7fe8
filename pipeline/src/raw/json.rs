//! One JSON object a line, of which a few keys are wanted: the others are passed over without being decoded or copied.
//!
//! The form of what is passed over is checked all the same, as `serde_json` does it: a line is an object or is refused.

mod scanner;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::scan::Refusal;
use scanner::Scanner;

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
    Scanner::new(bytes).members(|key, value| {
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
