//! Times by a pattern of `strptime`.
//!
//! A pattern is looked at before any time is read: one with a directive that would be read and passed over, so that times lose a part
//! without a word, is refused.

use std::fmt::Write as _;

use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems, parse, parse_and_remainder};
use chrono::{DateTime, FixedOffset, NaiveTime};

/// A pattern made ready for many times; one that cannot be understood reads none.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// All of it, or what stands before the fraction of a second (`%f`).
    head: Vec<Item<'static>>,
    /// What stands after that fraction.
    tail: Option<Vec<Item<'static>>>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        // What no time fits.
        let nothing = || vec![Item::Error];
        let mut head: Vec<Item<'static>> = items(text).unwrap_or_else(nothing);
        for item in &mut head {
            if is_offset(item) {
                *item = permissive_offset();
            }
        }
        // `chrono` takes the digits of `%f` for a count of nanoseconds; everywhere else they are the fraction's, so that `.5` is half a
        // second.
        let fraction = head.iter().position(is_fraction);
        let tail = fraction.map(|at| {
            let tail = head.split_off(at + 1);
            head.truncate(at);
            tail
        });
        Pattern { head, tail }
    }

    /// Milliseconds since 1970, UTC; `None` for text that does not fit.
    pub fn millis(&self, text: &str) -> Option<i64> {
        millis(&self.read(text)?)
    }

    fn read(&self, text: &str) -> Option<Parsed> {
        let mut parsed = Parsed::new();
        let Some(tail) = &self.tail else {
            parse(&mut parsed, text, self.head.iter()).ok()?;
            return Some(parsed);
        };
        let rest = parse_and_remainder(&mut parsed, text, self.head.iter()).ok()?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (fraction, rest) = rest.split_at(digits);
        let nanos = format!("{fraction:0<9.9}").parse().ok().filter(|_| digits > 0)?;
        parsed.set_nanosecond(nanos).ok()?;
        parse(&mut parsed, rest, tail.iter()).ok()?;
        Some(parsed)
    }
}

fn items(text: &str) -> Option<Vec<Item<'static>>> {
    StrftimeItems::new(text).parse_to_owned().ok()
}

/// What reads `+0200`, `+02:00`, `+02` and `Z` alike.
fn permissive_offset() -> Item<'static> {
    StrftimeItems::new("%#z").next().unwrap_or(Item::Error)
}

fn is_offset(item: &Item<'_>) -> bool {
    matches!(
        item,
        Item::Fixed(
            Fixed::TimezoneOffset
                | Fixed::TimezoneOffsetColon
                | Fixed::TimezoneOffsetDoubleColon
                | Fixed::TimezoneOffsetTripleColon
                | Fixed::TimezoneOffsetColonZ
                | Fixed::TimezoneOffsetZ
        )
    ) || *item == permissive_offset()
}

fn is_fraction(item: &Item<'_>) -> bool {
    matches!(item, Item::Numeric(Numeric::Nanosecond, _))
}

/// The time that was read: without an hour midnight, without a minute the full hour, without an offset UTC.
fn millis(parsed: &Parsed) -> Option<i64> {
    let offset = parsed.offset().unwrap_or(0);
    let mut parsed = parsed.clone();
    let hour = parsed.hour_div_12().is_some() || parsed.hour_mod_12().is_some();
    let local = if hour || parsed.timestamp().is_some() {
        if hour && parsed.minute().is_none() {
            parsed.set_minute(0).ok()?;
        }
        parsed.to_naive_datetime_with_offset(offset).ok()?
    } else {
        parsed.to_naive_date().ok()?.and_time(NaiveTime::MIN)
    };
    Some(local.and_utc().timestamp_millis() - i64::from(offset) * 1_000)
}

/// Whether every directive of a pattern is honoured; if not, what to write instead.
pub(super) fn check(text: &str) -> Result<(), String> {
    let refused = |why: &str| Err(format!("the pattern `{text}` {why}"));
    let Some(items) = items(text) else {
        return refused(
            "holds a directive that is none; give \"s\", \"ms\", \"us\" or \"ns\" for a count since 1970, \"iso\", or a pattern such as \
             \"%Y-%m-%d %H:%M:%S\"",
        );
    };
    if items.contains(&Item::Fixed(Fixed::TimezoneName)) {
        return refused(
            "has `%Z`, the name of a zone, which tells no offset, so that times of two zones would be sorted wrongly; use `%z` and \
             offsets (+0200) in the file, or put a name that is the same in every line into the pattern as it stands, as in \
             \"%Y-%m-%d %H:%M:%S UTC\" (such times are taken for UTC)",
        );
    }
    if items.iter().filter(|item| is_fraction(item)).count() > 1 {
        return refused("has `%f` twice; leave one of them out");
    }
    // A time with all its parts goes through the pattern and must come back, but for what the pattern leaves out.
    let offset = if items.iter().any(is_offset) { 19_800 } else { 0 };
    let Some((shown, time)) = probe(&items, offset) else {
        return refused("cannot be written; leave out the directives that only read");
    };
    let Some(parsed) = Pattern::new(text).read(&shown) else {
        return refused(
            "does not read back what it writes; put a sign between numbers of one or two digits, or leave out the `-` that drops their \
             zeros",
        );
    };
    if parsed.timestamp().is_some() {
        return Ok(());
    }
    if parsed.to_naive_date().is_err() {
        return refused(
            "gives no date; it needs the year, the month and the day (or `%j`, or a week and its day)",
        );
    }
    match (parsed.hour_div_12(), parsed.hour_mod_12()) {
        (None, Some(_)) => return refused("has `%I`, an hour of twelve; add `%p`, or use `%H`"),
        (Some(_), None) => return refused("has `%p` without an hour; add `%I`"),
        _ => {}
    }
    let parts = [
        ("hours", parsed.hour_mod_12()),
        ("minutes", parsed.minute()),
        ("seconds", parsed.second()),
        ("fractions of a second", parsed.nanosecond()),
    ];
    for pair in parts.windows(2) {
        if let [(coarse, None), (fine, Some(_))] = pair {
            return refused(&format!(
                "has {fine} without {coarse}, which would be passed over; add the {coarse}, or leave the {fine} out"
            ));
        }
    }
    let finest = parts.iter().take_while(|(_, part)| part.is_some()).count();
    let unit = [86_400_000, 3_600_000, 60_000, 1_000, 1][finest.min(4)];
    let expected = (time + i64::from(offset) * 1_000).div_euclid(unit);
    match millis(&parsed) {
        Some(found) if (found + i64::from(offset) * 1_000).div_euclid(unit) == expected => Ok(()),
        _ => refused("does not read back the times that it writes"),
    }
}

/// A time with all its parts written by a pattern, and its milliseconds.
fn probe(items: &[Item<'_>], offset: i32) -> Option<(String, i64)> {
    let zone = FixedOffset::east_opt(offset)?;
    let time = DateTime::from_timestamp(1_501_425_890, 123_000_000)?.with_timezone(&zone);
    let permissive = permissive_offset();
    let items = items.iter().map(|item| {
        // That one can only be read.
        if *item == permissive {
            Item::Fixed(Fixed::TimezoneOffset)
        } else {
            item.clone()
        }
    });
    let mut shown = String::new();
    write!(shown, "{}", time.format_with_items(items)).ok()?;
    Some((shown, time.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pattern_that_would_pass_over_a_part_of_a_time_is_refused_with_its_remedy() {
        for (pattern, words) in [
            ("%Y-%m-%d %H:%M:%S %Z", ["`%Z`", "`%z`"]),
            ("%a %b %d %H:%M:%S %Z %Y", ["`%Z`", "as it stands"]),
            ("%d/%m/%Y %I:%M", ["`%I`", "`%p`"]),
            ("%d/%m/%Y %p", ["`%p`", "`%I`"]),
            ("%Y-%m-%d %M", ["minutes without hours", "add"]),
            ("%Y-%m-%d %H %S", ["seconds without minutes", "add"]),
            (
                "%Y-%m-%d %H:%M:%.3f",
                ["fractions of a second without seconds", "add"],
            ),
            ("%H:%M:%S", ["gives no date", "year"]),
            ("%Y-%m", ["gives no date", "day"]),
            ("%Y-%q", ["gives no date", "day"]),
            ("%S.%f %f", ["`%f` twice", "leave"]),
            ("%-d%-m%Y", ["read back", "zeros"]),
            ("%Y %Q", ["none", "%Y-%m-%d %H:%M:%S"]),
        ] {
            let error = check(pattern).unwrap_err();
            assert!(
                words.iter().all(|word| error.contains(word)),
                "{pattern}: {error}"
            );
        }
    }

    #[test]
    fn a_pattern_all_of_which_is_honoured_is_taken() {
        for pattern in [
            "%Y-%m-%d",
            "%d/%m/%Y %H:%M",
            "%m/%d/%y %I:%M:%S %p",
            "%a %b %d %H:%M:%S %z %Y",
            "%A, %e %B %Y %k:%M",
            "%Y-%m-%d %H",
            "%Y-%m-%dT%H:%M:%S%.f%:z",
            "%Y-%m-%d %H:%M:%S,%f",
            "%Y%m%d%H%M%S%3f",
            "%Y-%j",
            "%G-W%V-%u",
            "%Y %U %w",
            "%C%y-%m-%d",
            "%s",
            "%s%.f",
            "%c",
            "%D %T",
            "%F %R %#z",
            "%v %r",
            "%+",
            "%Y-%m-%d %H:%M:%S UTC",
            "%d/%b/%Y:%H:%M:%S %z",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn what_a_pattern_names_is_honoured() {
        const NOON: i64 = 1_600_000_000_000;
        for (pattern, text, found) in [
            ("%Y-%m-%d %H:%M:%S.%f", "2020-09-13 12:26:40.5", Some(NOON + 500)),
            (
                "%Y-%m-%d %H:%M:%S,%f",
                "2020-09-13 12:26:40,123456",
                Some(NOON + 123),
            ),
            (
                "%Y-%m-%d %H:%M:%S.%f %z",
                "2020-09-13 14:26:40.0123456789 +0200",
                Some(NOON + 12),
            ),
            ("%Y-%m-%d %H:%M:%S.%f", "2020-09-13 12:26:40.", None),
            ("%Y-%m-%dT%H:%M:%S%z", "2020-09-13T12:26:40Z", Some(NOON)),
            ("%Y-%m-%dT%H:%M:%S%z", "2020-09-13T14:26:40+02:00", Some(NOON)),
            ("%Y-%m-%dT%H:%M:%S%:z", "2020-09-13T14:26:40+0200", Some(NOON)),
            (
                "%Y-%m-%d%z",
                "2020-09-13+0200",
                Some(1_599_955_200_000 - 7_200_000),
            ),
            (
                "%Y-%m-%d %H",
                "2020-09-13 12",
                Some(1_599_955_200_000 + 43_200_000),
            ),
            ("%d.%m.%y %I:%M:%S %p", "13.09.20 12:26:40 PM", Some(NOON)),
            ("%Y-%m-%d %H:%M:%S UTC", "2020-09-13 12:26:40 UTC", Some(NOON)),
            ("%Y-%m-%d %H:%M:%S UTC", "2020-09-13 12:26:40 CET", None),
            ("%s", "1600000000", Some(NOON)),
        ] {
            assert_eq!(check(pattern), Ok(()));
            assert_eq!(Pattern::new(pattern).millis(text), found, "{pattern}: {text}");
        }
    }
}
