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
    fn a_window_that_holds_nothing_is_refused() {
        let window = |from, until| TimeWindow {
            from: Some(from),
            until: Some(until),
        };
        assert!(window(5, 6).check().is_ok());
        assert!(window(5, 5).check().is_err());
    }
}
