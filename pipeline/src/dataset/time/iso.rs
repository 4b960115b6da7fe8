//! ISO 8601 as programs write it.
//!
//! A date is `2020-09-13`, `20200913`, a day of a week (`2020-W37-7`) or of a year (`2020-257`). A time follows after `T` or blanks:
//! `12`, `12:26`, `12:26:40`, the same without colons, with a fraction of a second of any length after a point or a comma; `24:00` ends
//! a day, and second 60 is the leap second. An offset is `Z`, `+02`, `+0200` or `+02:00`, after which a zone's name in brackets adds
//! nothing; databases also write ` UTC`, `UTC+2` and ` GMT`. Without an offset it is UTC. Names of other zones are refused: whoever
//! passed over them would sort the times of two zones wrongly.

use chrono::{Datelike, NaiveDate, Weekday};

const DAY: i64 = 86_400_000;

/// Days from the first of the year 1, as [`chrono`] counts them, to 1970.
const EPOCH: i64 = 719_163;

/// Milliseconds since 1970, UTC; a fraction is cut there. `None` for what is no such time.
pub(super) fn millis(text: &str) -> Option<i64> {
    let mut rest = Rest(text.as_bytes());
    let date = rest.date()?;
    let blanks = rest.blanks();
    let time = if rest.next_is(|byte| byte == b'T' || byte == b't') && !blanks {
        rest.0 = &rest.0[1..];
        rest.time()?
    } else if blanks && rest.next_is(|byte| byte.is_ascii_digit()) {
        rest.time()?
    } else {
        0
    };
    rest.blanks();
    let offset = rest.zone()?;
    let days = i64::from(date.num_days_from_ce()) - EPOCH;
    rest.0.is_empty().then_some(days * DAY + time - offset)
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn next_is(&self, wanted: impl Fn(u8) -> bool) -> bool {
        self.0.first().is_some_and(|byte| wanted(*byte))
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.next_is(|byte| byte == wanted);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn blanks(&mut self) -> bool {
        let before = self.0.len();
        self.0 = self.0.trim_ascii_start();
        before > self.0.len()
    }

    /// How many digits come next.
    fn digits(&self) -> usize {
        self.0.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// The number in the next `width` bytes.
    fn number(&mut self, width: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(width)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + u32::from(digit - b'0'))
        })
    }

    /// A number between signs, of two digits or, as some programs write it, of one.
    fn part(&mut self) -> Option<u32> {
        let width = self.digits();
        (1..=2).contains(&width).then_some(())?;
        self.number(width)
    }

    fn date(&mut self) -> Option<NaiveDate> {
        let width = self.digits();
        let year = self.number(4)? as i32;
        match width {
            8 => NaiveDate::from_ymd_opt(year, self.number(2)?, self.number(2)?),
            7 => NaiveDate::from_yo_opt(year, self.number(3)?),
            4 if self.take(b'W') => {
                let week = self.number(2)?;
                self.day_of_week(year, week)
            }
            4 if self.take(b'-') => {
                if self.take(b'W') {
                    let week = self.number(2)?;
                    self.take(b'-').then_some(())?;
                    return self.day_of_week(year, week);
                }
                if self.digits() == 3 {
                    return NaiveDate::from_yo_opt(year, self.number(3)?);
                }
                let month = self.part()?;
                self.take(b'-').then_some(())?;
                NaiveDate::from_ymd_opt(year, month, self.part()?)
            }
            _ => None,
        }
    }

    fn day_of_week(&mut self, year: i32, week: u32) -> Option<NaiveDate> {
        let day = u8::try_from(self.number(1)?.checked_sub(1)?).ok()?;
        NaiveDate::from_isoywd_opt(year, week, Weekday::try_from(day).ok()?)
    }

    /// Milliseconds of the day.
    fn time(&mut self) -> Option<i64> {
        let (mut minute, mut second, mut seconds) = (0, 0, false);
        let hour = match self.digits() {
            4 | 6 => {
                seconds = self.digits() == 6;
                let hour = self.number(2)?;
                minute = self.number(2)?;
                if seconds {
                    second = self.number(2)?;
                }
                hour
            }
            _ => {
                let hour = self.part()?;
                if self.take(b':') {
                    minute = self.part()?;
                    seconds = self.take(b':');
                    if seconds {
                        second = self.part()?;
                    }
                }
                hour
            }
        };
        let (millis, whole) = if seconds { self.fraction()? } else { (0, true) };
        let end_of_day = hour == 24 && minute == 0 && second == 0 && whole;
        if minute > 59 || second > 60 || (hour > 23 && !end_of_day) {
            return None;
        }
        Some((i64::from(hour * 60 + minute) * 60 + i64::from(second)) * 1_000 + millis)
    }

    /// The milliseconds of a fraction, and whether all of it is 0.
    fn fraction(&mut self) -> Option<(i64, bool)> {
        if !self.take(b'.') && !self.take(b',') {
            return Some((0, true));
        }
        let (digits, rest) = self.0.split_at(self.digits());
        self.0 = rest;
        let digit = |at: usize| digits.get(at).map_or(0, |digit| i64::from(digit - b'0'));
        let millis = digit(0) * 100 + digit(1) * 10 + digit(2);
        let whole = digits.iter().all(|digit| *digit == b'0');
        (!digits.is_empty()).then_some((millis, whole))
    }

    /// Milliseconds that the clock is ahead of UTC.
    fn zone(&mut self) -> Option<i64> {
        if self.0.is_empty() {
            return Some(0);
        }
        let offset = if self.take(b'Z') || self.take(b'z') {
            0
        } else if self.universal() {
            self.blanks();
            if self.0.is_empty() {
                return Some(0);
            }
            self.offset(1)?
        } else {
            self.offset(2)?
        };
        // What Java writes after the offset: `[Europe/Berlin]`.
        if let Some(name) = self.0.strip_prefix(b"[")
            && let Some(name) = name.strip_suffix(b"]")
            && !name.is_empty()
            && !name.contains(&b']')
        {
            self.0 = &[];
        }
        Some(offset)
    }

    fn universal(&mut self) -> bool {
        let found = self
            .0
            .split_at_checked(3)
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"UTC") || name.eq_ignore_ascii_case(b"GMT"));
        if let Some((_, rest)) = found {
            self.0 = rest;
        }
        found.is_some()
    }

    /// `+02`, `+0200`, `+02:00` or with seconds; hours of one digit where so few are enough.
    fn offset(&mut self, fewest: usize) -> Option<i64> {
        let west = if let Some(rest) = self.0.strip_prefix("\u{2212}".as_bytes()) {
            self.0 = rest;
            true
        } else if self.take(b'-') {
            true
        } else {
            self.take(b'+').then_some(false)?
        };
        let width = self.digits();
        let (mut minutes, mut seconds) = (0, 0);
        let hours = if width == 4 || width == 6 {
            let hours = self.number(2)?;
            minutes = self.number(2)?;
            if width == 6 {
                seconds = self.number(2)?;
            }
            hours
        } else {
            (width >= fewest).then_some(())?;
            let hours = self.part()?;
            if self.take(b':') {
                minutes = self.number(2)?;
                if self.take(b':') {
                    seconds = self.number(2)?;
                }
            }
            hours
        };
        if hours > 23 || minutes > 59 || seconds > 59 {
            return None;
        }
        let ahead = i64::from((hours * 60 + minutes) * 60 + seconds) * 1_000;
        Some(if west { -ahead } else { ahead })
    }
}

#[cfg(test)]
mod tests {
    use super::millis;

    const HALF_PAST: i64 = 1_600_000_000_000;

    #[test]
    fn a_time_is_the_same_however_iso_8601_writes_it() {
        for text in [
            "2020-09-13T12:26:40Z",
            "2020-09-13T12:26:40",
            "2020-09-13 12:26:40",
            "2020-09-13  12:26:40",
            "2020-09-13t12:26:40z",
            "2020-09-13T12:26:40+0000",
            "2020-09-13T12:26:40+00",
            "2020-09-13T12:26:40-00:00",
            "2020-09-13T14:26:40+02:00",
            "2020-09-13T14:26:40 +02:00",
            "2020-09-13T14:26:40+02:00[Europe/Berlin]",
            "2020-09-13T12:26:40Z[UTC]",
            "2020-09-13T07:56:40\u{2212}04:30",
            "2020-09-13T12:26:41+00:00:01",
            "20200913T122640Z",
            "20200913T122640",
            "20200913T142640+0200",
            "2020-W37-7T12:26:40Z",
            "2020W377T122640Z",
            "2020-257T12:26:40Z",
            "2020257T122640Z",
            "2020-9-13 12:26:40",
            "2020-09-13 12:26:40 UTC",
            "2020-09-13 12:26:40.0 utc",
            "2020-09-13 12:26:40UTC",
            "2020-09-13 14:26:40 UTC+2",
            "2020-09-13 14:26:40 UTC+02",
            "2020-09-13 14:26:40 UTC+02:00",
            "2020-09-13 12:26:40 UTC+00",
            "2020-09-13 12:26:40 GMT",
        ] {
            assert_eq!(millis(text), Some(HALF_PAST), "{text}");
        }
    }

    #[test]
    fn fractions_have_any_length_and_are_cut_at_milliseconds() {
        for (text, more) in [
            ("2020-09-13T12:26:40,123", 123),
            ("2020-09-13T12:26:40.1", 100),
            ("2020-09-13T12:26:40.1239", 123),
            ("2020-09-13 12:26:40.123456789012345 UTC", 123),
            ("20200913T122640,5Z", 500),
        ] {
            assert_eq!(millis(text), Some(HALF_PAST + more), "{text}");
        }
    }

    #[test]
    fn parts_may_be_left_out_and_a_day_may_end_at_24_hours_or_in_a_leap_second() {
        const MIDNIGHT: i64 = 1_599_955_200_000;
        for (text, after) in [
            ("2020-09-13", 0),
            ("20200913", 0),
            ("2020-09-13Z", 0),
            ("2020-09-13+02:00", -7_200_000),
            ("2020-09-13T12", 43_200_000),
            ("2020-09-13T12:26", 44_760_000),
            ("2020-09-13T1226Z", 44_760_000),
            ("2020-09-13T12:26+02", 37_560_000),
            ("2020-09-13T24:00", 86_400_000),
            ("2020-09-13T24:00:00.000Z", 86_400_000),
            ("2020-09-13T23:59:60Z", 86_400_000),
            ("2020-09-13T23:59:60.5Z", 86_400_500),
        ] {
            assert_eq!(millis(text), Some(MIDNIGHT + after), "{text}");
        }
        assert_eq!(millis("1969-12-31T23:59:59Z"), Some(-1_000));
    }

    #[test]
    fn what_iso_8601_does_not_say_is_no_time() {
        for text in [
            "",
            "soon",
            "2020",
            "2020-09",
            "202009",
            "2020-W37",
            "2020-W54-1",
            "2020-W37-8",
            "2020-366T",
            "2021-366",
            "2020-13-01",
            "2020-02-30",
            "2020-09-13T",
            "2020-09-13T25:00",
            "2020-09-13T24:00:01",
            "2020-09-13T24:00:00.0001",
            "2020-09-13T12:60",
            "2020-09-13T12:26:61",
            "2020-09-13T12:26,5",
            "2020-09-13T12:26:40.",
            "2020-09-13T123",
            "2020-09-13T12:26:40+",
            "2020-09-13T12:26:40+2",
            "2020-09-13T12:26:40+24:00",
            "2020-09-13T12:26:40+02:60",
            "2020-09-13 12:26:40 CET",
            "2020-09-13 12:26:40 EST",
            "2020-09-13T12:26:40[Europe/Berlin]",
            "2020-09-13T12:26:40Z[a]b]",
            "2020-09-13T12:26:40Z tail",
            "13.09.2020",
            "1600000000",
            "20200913122640",
            "2020-09-13 12:26:40 PM",
            "\u{661}\u{662}20-09-13",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
