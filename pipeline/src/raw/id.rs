//! What an id is, whatever a file holds it as: a text without blanks around it, or a number of which no digit may be lost.
//!
//! Integers are ids as they are. A floating number is one where it is whole and so small that its neighbours are whole numbers too;
//! any other has met, or will meet, the id of someone else, and no reading of it is right.

use std::borrow::Cow;

/// Up to here every whole number is a number of 64 bits: 2^53.
pub(super) const LARGEST: f64 = 9_007_199_254_740_992.0;

/// Without the blanks around it, those that nobody sees included.
#[inline]
pub(super) fn trimmed(text: &str) -> &str {
    // Nearly every id begins and ends with a letter or a digit.
    let plain = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_graphic);
    let bytes = text.as_bytes();
    if plain(bytes.first()) && plain(bytes.last()) {
        return text;
    }
    text.trim_matches(|c: char| c.is_whitespace() || invisible(c))
}

/// Marks of text direction, joiners and byte-order marks: copied along with a text, and no part of it.
fn invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// The id that a number in digits is, as JSON and decimals write it.
pub(super) fn of_digits<'t>(text: &'t str, column: &str) -> Result<Cow<'t, str>, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits == "0" {
        return Ok(Cow::Borrowed("0"));
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Cow::Borrowed(text));
    }
    let whole = whole(digits).filter(|whole| *whole as f64 <= LARGEST && *whole <= LARGEST as u64);
    let sign = if digits.len() < text.len() && whole != Some(0) {
        "-"
    } else {
        ""
    };
    match whole {
        Some(whole) => Ok(Cow::Owned(format!("{sign}{whole}"))),
        None => Err(no_id(column, text, LARGEST)),
    }
}

/// The id that a floating number is; nothing for NaN. Up to `largest` its type has every whole number.
pub(super) fn of_float(value: f64, largest: f64, column: &str) -> Result<Option<String>, String> {
    if value.is_nan() {
        return Ok(None);
    }
    if value.fract() == 0.0 && value.abs() <= largest {
        return Ok(Some((value as i64).to_string()));
    }
    Err(no_id(column, &value.to_string(), largest))
}

fn no_id(column: &str, value: &str, largest: f64) -> String {
    format!(
        "{column} holds the floating number {value}, which is no id: of these numbers only whole ones up to {largest} are exact; \
         write the ids as texts or as integers"
    )
}

/// The whole number that digits with a point or an exponent come to, if they do and it has at most 16 digits.
fn whole(text: &str) -> Option<u64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.parse::<i64>().ok()?.checked_sub(after.len() as i64)?;
    let digits = format!("{before}{after}");
    let significant = digits.trim_end_matches('0');
    let zeros = exponent.checked_add((digits.len() - significant.len()) as i64)?;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // What is longer is more than 2^53.
    if !(0..=16).contains(&zeros) || significant.len() > 16 {
        return None;
    }
    significant
        .parse::<u64>()
        .ok()?
        .checked_mul(10_u64.pow(zeros as u32))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_around_an_id_go_whatever_they_are() {
        for text in [
            " a b ",
            "\u{a0}a b",
            "a b\u{2003}\t",
            "\u{feff}a b\u{200b}",
            "a b\u{3000}",
            "a b",
        ] {
            assert_eq!(trimmed(text), "a b", "{text:?}");
        }
        assert_eq!(trimmed(" \u{a0}\u{200d} "), "");
        assert_eq!(trimmed("\u{e9} "), "\u{e9}");
        assert_eq!(trimmed("a\0"), "a\0");
    }

    #[test]
    fn an_integer_keeps_all_its_digits() {
        for text in ["7", "-7", "0", "103563353519118150001", "-9007199254740993"] {
            assert_eq!(of_digits(text, "id").unwrap(), text);
        }
        assert_eq!(of_digits("-0", "id").unwrap(), "0");
    }

    #[test]
    fn a_floating_number_is_the_integer_that_it_is() {
        for (text, id) in [
            ("1.0", "1"),
            ("-3.00", "-3"),
            ("1e3", "1000"),
            ("1.5e1", "15"),
            ("120E-1", "12"),
            ("0.0", "0"),
            ("-0.0", "0"),
            ("0e999999", "0"),
            ("9007199254740992.0", "9007199254740992"),
        ] {
            assert_eq!(of_digits(text, "id").unwrap(), id, "{text}");
        }
        assert_eq!(of_float(-3.0, LARGEST, "id").unwrap().unwrap(), "-3");
        assert_eq!(of_float(-0.0, LARGEST, "id").unwrap().unwrap(), "0");
        assert_eq!(of_float(f64::NAN, LARGEST, "id"), Ok(None));
    }

    #[test]
    fn any_other_floating_number_is_named_with_its_column_and_what_to_do() {
        for text in [
            "1.5",
            "1e300",
            "1e-3",
            "9007199254740993.0",
            "1e99999999999999999999",
        ] {
            let error = of_digits(text, "user_id").unwrap_err();
            assert!(
                error.contains("user_id holds the floating number")
                    && error.contains(text)
                    && error.contains("as texts"),
                "{error}"
            );
        }
        for value in [1.5, 1e300, f64::INFINITY, 9_007_199_254_740_994.0] {
            assert!(
                of_float(value, LARGEST, "user_id")
                    .unwrap_err()
                    .contains("user_id")
            );
        }
        assert!(of_float(16_777_218.0, 16_777_216.0, "user_id").is_err());
    }

    proptest! {
        #[test]
        fn the_decimal_and_the_floating_number_are_one_id(value in -9_007_199_254_740_992_i64..=9_007_199_254_740_992) {
            let id = value.to_string();
            for written in [format!("{value}.0"), format!("{:e}", value as f64)] {
                prop_assert_eq!(of_digits(&written, "id").unwrap(), id.as_str());
            }
            prop_assert_eq!(of_float(value as f64, LARGEST, "id").unwrap().unwrap(), id);
        }
    }
}
