//! A window of time: only what happened in it counts.

use datafusion::arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use datafusion::prelude::{DataFrame, col, lit};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A half-open window; a side that is not given is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeWindow {
    /// The first moment in it, in milliseconds UTC.
    pub from: Option<i64>,
    /// The first moment after it, in milliseconds UTC.
    pub until: Option<i64>,
}

impl TimeWindow {
    /// Whether it leaves anything out.
    pub fn bounded(&self) -> bool {
        self.from.is_some() || self.until.is_some()
    }

    /// Fails for a window that holds no moment.
    pub fn check(&self) -> Result<()> {
        match (self.from, self.until) {
            (Some(from), Some(until)) if from >= until => Err(Error::Usage(format!(
                "the window from {from} until {until} (ms UTC) is empty; `until` must be later"
            ))),
            _ => Ok(()),
        }
    }

    /// Keeps the interactions in the window.
    pub fn apply(&self, mut interactions: DataFrame) -> Result<DataFrame> {
        if let Some(from) = self.from {
            interactions = interactions.filter(col("timestamp").gt_eq(lit(from)))?;
        }
        if let Some(until) = self.until {
            interactions = interactions.filter(col("timestamp").lt(lit(until)))?;
        }
        Ok(interactions)
    }
}

/// A moment as people write it, in milliseconds UTC: a date (`2014-03-01`, its first moment) or RFC 3339 (`2014-03-01T12:00:00Z`).
pub fn parse_time(text: &str) -> Result<i64> {
    string_to_timestamp_nanos(text)
        .map(|nanoseconds| nanoseconds.div_euclid(1_000_000))
        .map_err(|_| {
            Error::Usage(format!(
                "`{text}` is no moment; write 2014-03-01 or 2014-03-01T12:00:00Z"
            ))
        })
}

/// A moment as [`parse_time`] reads it.
pub fn time_text(milliseconds: i64) -> String {
    match chrono::DateTime::from_timestamp_millis(milliseconds) {
        Some(time) => format!("{time:?}"),
        None => format!("{milliseconds} ms"),
    }
}

/// Units of time, the longest first: names and milliseconds.
const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration as people write it, in milliseconds: `60s`, `5min`, `2h`, `500ms`, or `0`.
pub fn parse_duration(text: &str) -> Result<i64> {
    let wrong = || {
        Error::Usage(format!(
            "`{text}` is no duration; write 60s, or another whole number of ms, s, min, h or d"
        ))
    };
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let count: i64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = text[digits..].trim_start();
    let unit = match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, unit)) => *unit,
        None if unit.is_empty() && count == 0 => 1,
        None => return Err(wrong()),
    };
    count.checked_mul(unit).ok_or_else(wrong)
}

/// A duration in seconds, or in milliseconds where it is no whole number of them.
pub fn duration_text(milliseconds: i64) -> String {
    match milliseconds % 1_000 {
        0 => format!("{} s", milliseconds / 1_000),
        _ => format!("{milliseconds} ms"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dates_and_times_are_utc() {
        assert_eq!(parse_time("1970-01-02").unwrap(), 86_400_000);
        assert_eq!(parse_time("1970-01-01T00:00:01.5Z").unwrap(), 1_500);
        assert_eq!(parse_time("1970-01-01T01:00:00+01:00").unwrap(), 0);
        assert_eq!(parse_time("1969-12-31T23:59:59.9999Z").unwrap(), -1);
        assert!(
            parse_time("last week")
                .unwrap_err()
                .to_string()
                .contains("last week")
        );
    }

    #[test]
    fn a_moment_is_written_as_it_is_read() {
        for (text, time) in [
            ("1970-01-02T00:00:00Z", 86_400_000),
            ("2014-03-01T12:00:00.250Z", 1_393_675_200_250),
        ] {
            assert_eq!(time_text(time), text);
            assert_eq!(parse_time(text).unwrap(), time);
        }
        assert_eq!(time_text(i64::MAX), format!("{} ms", i64::MAX));
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, expected) in [
            ("60s", 60_000),
            ("0", 0),
            ("0s", 0),
            ("5 min", 300_000),
            ("2h", 7_200_000),
            ("250ms", 250),
            (" 1d", 86_400_000),
        ] {
            assert_eq!(parse_duration(text).unwrap(), expected, "{text}");
        }
        for text in ["60", "-1s", "1.5s", "s", "", "1w", "99999999999999d", "٦s"] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains("60s") && error.contains(text), "{error}");
        }
        assert_eq!(
            (duration_text(60_000), duration_text(1_500)),
            ("60 s".into(), "1500 ms".into())
        );
    }

    #[test]
    fn a_window_that_holds_nothing_is_refused() {
        let window = |from, until| TimeWindow {
            from: Some(from),
            until: Some(until),
        };
        assert!(window(5, 6).check().is_ok());
        assert!(window(5, 5).check().is_err());
    }
}
