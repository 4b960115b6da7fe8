//! From a log's times to milliseconds, with an eye on clocks that count in another unit than the description says.
//!
//! A single time in another unit is a bad line. When most times of a file are, the description is wrong: reading stops after
//! [`SAMPLE`] of them, or at the end of a shorter file, and says what to write instead.

use super::scan::Refusal;
use crate::dataset::{TimeFormat, TimeUnit};

/// How many telling times are looked at before a file is given up.
const SAMPLE: u64 = 1_000;

/// Latest time taken seriously, in milliseconds: the end of the year 9999.
const LAST: f64 = 253_402_300_799_999.0;

/// A time as a file holds it.
#[derive(Clone, Copy)]
pub(crate) enum Time<'a> {
    /// A count of the described unit.
    Number(f64),
    /// A date in words, or a count written in digits.
    Text(&'a str),
    /// Milliseconds since 1970, from a column whose type says so.
    Millis(i64),
}

/// Reads the times of a file.
pub(crate) struct Clock {
    format: TimeFormat,
    /// Times by the unit their size speaks of.
    tally: [u64; 4],
}

impl Clock {
    pub fn new(format: TimeFormat) -> Self {
        Clock {
            format,
            tally: [0; 4],
        }
    }

    /// Milliseconds since 1970, UTC.
    pub fn millis(&mut self, time: Time<'_>) -> Result<i64, Refusal> {
        let millis = match (time, &self.format) {
            (Time::Millis(millis), _) => millis as f64,
            (Time::Number(value), TimeFormat::Unit(unit)) => self.counted(value, *unit)?,
            (Time::Text(text), TimeFormat::Unit(unit)) => {
                let value = text.trim().parse().map_err(|_| "timestamp is no number")?;
                self.counted(value, *unit)?
            }
            (Time::Number(_), _) => return Err("timestamp is a number where a date is expected".into()),
            (Time::Text(text), format) => format
                .calendar(text)
                .ok_or_else(|| format!("timestamp does not fit the form {format}"))?
                as f64,
        };
        if !millis.is_finite() || millis < 0.0 {
            return Err("negative timestamp".into());
        }
        if millis > LAST {
            return Err("timestamp beyond the year 9999".into());
        }
        // Nearly all are whole, which is seen sooner than they are rounded.
        let whole = millis as i64;
        Ok(if whole as f64 == millis {
            whole
        } else {
            millis.round() as i64
        })
    }

    fn counted(&mut self, value: f64, unit: TimeUnit) -> Result<f64, Refusal> {
        if let Some(shown) = TimeUnit::by_magnitude(value) {
            self.tally[shown as usize] += 1;
            if self.tally.iter().sum::<u64>() == SAMPLE {
                self.verdict(unit)?;
            }
            if shown != unit {
                let (shown, expected) = (shown.name(), unit.name());
                return Err(format!("timestamp in {shown} where {expected} are expected").into());
            }
        }
        Ok(value / unit.per_millisecond())
    }

    /// To be called after the file; an error if most of its times were in another unit.
    pub fn end_file(&self) -> Result<(), Refusal> {
        match self.format {
            TimeFormat::Unit(unit) => self.verdict(unit),
            _ => Ok(()),
        }
    }

    fn verdict(&self, expected: TimeUnit) -> Result<(), Refusal> {
        let telling: u64 = self.tally.iter().sum();
        let most = TimeUnit::ALL
            .into_iter()
            .find(|unit| 2 * self.tally[*unit as usize] > telling);
        match most.filter(|unit| *unit != expected) {
            None => Ok(()),
            Some(unit) => Err(Refusal::File(format!(
                "{} of {telling} timestamps are in {}, by their size, where {} are expected; put `time = \"{}\"` into the \
                 description of the data set (`weaverec datasets show` prints one to copy)",
                self.tally[unit as usize],
                unit.name(),
                expected.name(),
                unit.symbol()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn clock(format: &str) -> Clock {
        Clock::new(TimeFormat::try_from(format.to_string()).unwrap())
    }

    fn reason(refusal: Refusal) -> String {
        match refusal {
            Refusal::Line(text) | Refusal::File(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_unit_comes_to_the_same_milliseconds() {
        for (format, text) in [
            ("s", "1501425850.25"),
            ("ms", "1501425850250"),
            ("us", " 1501425850250000"),
            ("ns", "1501425850250000000"),
            ("iso", "2017-07-30T14:44:10.250Z"),
        ] {
            assert!(
                matches!(clock(format).millis(Time::Text(text)), Ok(1_501_425_850_250)),
                "{format}"
            );
        }
        assert!(matches!(clock("s").millis(Time::Millis(5)), Ok(5)));
    }

    #[test]
    fn impossible_times_are_refused_with_a_reason() {
        for (format, text, expected) in [
            ("s", "-1", "negative timestamp"),
            ("s", "nan", "negative timestamp"),
            ("s", "soon", "timestamp is no number"),
            ("ms", "1e300", "timestamp beyond the year 9999"),
            ("iso", "12/17/2017", "timestamp does not fit the form iso"),
            ("%Y", "1066", "timestamp does not fit the form %Y"),
            ("iso", "1969-12-31", "negative timestamp"),
        ] {
            assert_eq!(
                reason(clock(format).millis(Time::Text(text)).unwrap_err()),
                expected,
                "{text}"
            );
        }
        let number = clock("iso").millis(Time::Number(7.0)).unwrap_err();
        assert_eq!(reason(number), "timestamp is a number where a date is expected");
    }

    #[test]
    fn a_file_in_another_unit_is_an_error_that_says_what_to_write() {
        for (format, value, symbol) in [
            ("s", 1.5e12, "ms"),
            ("s", 1.5e15, "us"),
            ("ms", 1.5e9, "s"),
            ("us", 1.5e12, "ms"),
        ] {
            let mut clock = clock(format);
            assert!(matches!(clock.millis(Time::Number(value)), Err(Refusal::Line(_))));
            let Err(Refusal::File(text)) = clock.end_file() else {
                panic!("{format}")
            };
            assert!(text.contains(&format!("`time = \"{symbol}\"`")), "{text}");
        }
    }

    #[test]
    fn a_long_file_in_another_unit_is_given_up_early_and_a_few_bad_lines_are_not_held_against_it() {
        let mut wrong = clock("s");
        let stop = (0..).position(|_| matches!(wrong.millis(Time::Number(1.5e12)), Err(Refusal::File(_))));
        assert_eq!(stop, Some(SAMPLE as usize - 1));
        let mut mixed = clock("s");
        for row in 0..3_000 {
            let found = mixed.millis(Time::Number(if row % 3 == 0 { 1.5e12 } else { 1.5e9 }));
            assert!(matches!(found, Ok(_) | Err(Refusal::Line(_))), "row {row}");
        }
        assert!(mixed.end_file().is_ok());
    }
}
