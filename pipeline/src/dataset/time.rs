//! How a log writes times.

mod iso;
mod pattern;
mod suggest;

use std::fmt;

use serde::{Deserialize, Serialize};

use pattern::Pattern;
pub(crate) use suggest::{is_date_in_digits, ways, zone};

/// A unit in which a clock counts since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// `s`
    Seconds,
    /// `ms`
    Milliseconds,
    /// `us`
    Microseconds,
    /// `ns`
    Nanoseconds,
}

impl TimeUnit {
    /// All, coarse to fine.
    pub const ALL: [TimeUnit; 4] = [
        TimeUnit::Seconds,
        TimeUnit::Milliseconds,
        TimeUnit::Microseconds,
        TimeUnit::Nanoseconds,
    ];

    /// The name in a description.
    pub fn symbol(self) -> &'static str {
        ["s", "ms", "us", "ns"][self as usize]
    }

    /// The name in a sentence.
    pub fn name(self) -> &'static str {
        ["seconds", "milliseconds", "microseconds", "nanoseconds"][self as usize]
    }

    /// How many of it make a millisecond.
    pub(crate) fn per_millisecond(self) -> f64 {
        [1e-3, 1.0, 1e3, 1e6][self as usize]
    }

    /// The unit in which a clock of our days would show `value`: in seconds, every time from March 1973 to the year 5138 lies
    /// between 10⁸ and 10¹¹, and each finer unit has the next three powers of ten to itself. Smaller values tell nothing.
    pub(crate) fn by_magnitude(value: f64) -> Option<Self> {
        match value {
            1e8..1e11 => Some(TimeUnit::Seconds),
            1e11..1e14 => Some(TimeUnit::Milliseconds),
            1e14..1e17 => Some(TimeUnit::Microseconds),
            1e17..1e20 => Some(TimeUnit::Nanoseconds),
            _ => None,
        }
    }
}

/// How a log writes times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TimeFormat {
    /// As a number since 1970.
    Unit(TimeUnit),
    /// As ISO 8601 has it, and databases that keep close to it: a date, or a date and a time, with an offset or taken for UTC.
    Iso,
    /// By a pattern of `strptime`; without an offset (`%z`) taken for UTC, without a time for midnight. What a pattern names and nobody
    /// could honour, such as the name of a zone (`%Z`), makes it none.
    Pattern(String),
}

impl TimeFormat {
    /// What reads such times.
    pub(crate) fn reader(&self) -> TimeReader {
        match self {
            TimeFormat::Unit(unit) => TimeReader::Unit(*unit),
            TimeFormat::Iso => TimeReader::Iso,
            TimeFormat::Pattern(pattern) => TimeReader::Pattern(Pattern::new(pattern)),
        }
    }
}

/// A way to write times, made ready for many of them.
pub(crate) enum TimeReader {
    /// A count.
    Unit(TimeUnit),
    /// ISO 8601.
    Iso,
    /// By a pattern.
    Pattern(Pattern),
}

impl TimeReader {
    /// Milliseconds since 1970 of a time in words; `None` for text that does not fit, and for numbers, which need no calendar.
    pub(crate) fn calendar(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        match self {
            TimeReader::Unit(_) => None,
            TimeReader::Iso => iso::millis(text),
            TimeReader::Pattern(pattern) => pattern.millis(text),
        }
    }
}

impl TryFrom<String> for TimeFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(unit) = TimeUnit::ALL.into_iter().find(|unit| unit.symbol() == text) {
            return Ok(TimeFormat::Unit(unit));
        }
        if text == "iso" {
            return Ok(TimeFormat::Iso);
        }
        if text.contains('%') {
            pattern::check(&text)?;
            return Ok(TimeFormat::Pattern(text));
        }
        Err(format!(
            "`{text}` is no way to write times; give \"s\", \"ms\", \"us\" or \"ns\" for a count since 1970, \"iso\", or a pattern such \
             as \"%Y-%m-%d %H:%M:%S\""
        ))
    }
}

impl From<TimeFormat> for String {
    fn from(format: TimeFormat) -> Self {
        format.to_string()
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            TimeFormat::Unit(unit) => unit.symbol(),
            TimeFormat::Iso => "iso",
            TimeFormat::Pattern(pattern) => pattern,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn format(text: &str) -> TimeFormat {
        TimeFormat::try_from(text.to_string()).unwrap()
    }

    #[test]
    fn dates_and_times_are_read_with_and_without_an_offset() {
        for (pattern, text, millis) in [
            (
                "%a %b %d %H:%M:%S %z %Y",
                "Sun Jul 30 07:44:10 -0700 2017",
                1_501_425_850_000,
            ),
            ("%Y-%m-%d", "2017-12-17", 1_513_468_800_000),
            ("%d/%m/%Y %H:%M", "17/12/2017 00:01", 1_513_468_860_000),
            ("iso", "2017-12-17", 1_513_468_800_000),
            ("iso", "2017-12-17T00:00:00.250Z", 1_513_468_800_250),
            ("iso", "2017-12-17T02:00:00+02:00", 1_513_468_800_000),
            ("iso", " 2017-12-17 00:00:01 ", 1_513_468_801_000),
            ("iso", "2017-12-17 02:00:00+02", 1_513_468_800_000),
        ] {
            assert_eq!(
                format(pattern).reader().calendar(text),
                Some(millis),
                "{pattern}: {text}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_no_time() {
        for (pattern, text) in [
            ("iso", ""),
            ("iso", "soon"),
            ("iso", "2017-13-01"),
            ("%Y-%m-%d", "Posted yesterday"),
            ("%a %b %d %H:%M:%S %z %Y", "Mon Jul 30 07:44:10 -0700 2017"),
        ] {
            assert_eq!(format(pattern).reader().calendar(text), None, "{pattern}: {text}");
        }
    }

    #[test]
    fn an_unknown_way_to_write_times_lists_the_known_ones() {
        for text in ["seconds", "%Q!", ""] {
            let error = TimeFormat::try_from(text.to_string()).unwrap_err();
            assert!(error.contains("\"ms\"") && error.contains("%Y-%m-%d"), "{error}");
        }
    }

    #[test]
    fn a_clock_of_our_days_gives_its_unit_away() {
        let day = 1_700_000_000.0;
        for (factor, unit) in [1.0, 1e3, 1e6, 1e9].into_iter().zip(TimeUnit::ALL) {
            assert_eq!(TimeUnit::by_magnitude(day * factor), Some(unit));
            assert_eq!(format(unit.symbol()), TimeFormat::Unit(unit));
        }
        assert_eq!(TimeUnit::by_magnitude(7.0), None);
        assert_eq!(TimeUnit::by_magnitude(f64::NAN), None);
    }
}
