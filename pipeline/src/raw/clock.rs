//! From a log's times to milliseconds, with an eye on clocks that count in another unit, or write times otherwise, than the description
//! says.
//!
//! A single time that does not fit is a bad line. When most times of a file do not and another way to write them would read those, or when
//! none fits, the description is wrong: reading stops after [`SAMPLE`] of them, or at the end of a shorter file, and says what to write
//! instead.

use super::scan::Refusal;
use crate::dataset::{TimeFormat, TimeReader, TimeUnit, is_date_in_digits, ways, zone};
use crate::quote::shown;

/// How many telling times are looked at before a file is given up.
const SAMPLE: u64 = 1_000;

/// Times that do not fit and are kept, to find what does fit: enough to tell days from months.
const KEPT: usize = 50;

/// Bytes of a time that are kept.
const LONGEST: usize = 60;

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
    reader: TimeReader,
    /// Counts by the unit their size speaks of.
    tally: [u64; 4],
    /// Counts that are dates written in digits.
    dates: u64,
    /// Times that are such as the description says.
    fit: u64,
    /// Times that are not.
    unfit: u64,
    /// The first of each of these that tell something.
    units: [Option<f64>; 4],
    date: Option<f64>,
    examples: Vec<String>,
}

impl Clock {
    pub fn new(format: TimeFormat) -> Self {
        Clock {
            reader: format.reader(),
            format,
            tally: [0; 4],
            dates: 0,
            fit: 0,
            unfit: 0,
            units: [None; 4],
            date: None,
            examples: Vec::new(),
        }
    }

    /// Whether times are counts of a unit.
    pub fn counts(&self) -> bool {
        matches!(self.reader, TimeReader::Unit(_))
    }

    /// Milliseconds since 1970, UTC.
    pub fn millis(&mut self, time: Time<'_>) -> Result<i64, Refusal> {
        let millis = match (time, &self.reader) {
            (Time::Millis(millis), _) => millis as f64,
            (Time::Number(value), TimeReader::Unit(unit)) => self.counted(value, *unit)?,
            (Time::Text(text), TimeReader::Unit(unit)) => match text.trim().parse() {
                Ok(value) => self.counted(value, *unit)?,
                Err(_) => return Err(self.refuse(text, "timestamp is no number".to_owned())),
            },
            (Time::Number(value), reader) => {
                // A date may be written as a number: 20200913.
                match is_date_in_digits(value).then(|| reader.calendar(&value.to_string())) {
                    Some(Some(millis)) => {
                        self.fits()?;
                        millis as f64
                    }
                    _ => {
                        let reason = "timestamp is a number where a date is expected".to_owned();
                        return Err(self.refuse(&value.to_string(), reason));
                    }
                }
            }
            (Time::Text(text), reader) => match reader.calendar(text) {
                Some(millis) => {
                    self.fits()?;
                    millis as f64
                }
                None => {
                    let reason = format!("timestamp does not fit the form {}", self.format);
                    return Err(self.refuse(text, reason));
                }
            },
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
        self.fits()?;
        let shown = TimeUnit::by_magnitude(value);
        // No clock of our days shows such a count in any unit, so that few are looked at.
        if shown != Some(TimeUnit::Seconds) && is_date_in_digits(value) {
            self.dates += 1;
            self.date.get_or_insert(value);
            return Ok(value / unit.per_millisecond());
        }
        if let Some(shown) = shown {
            self.tally[shown as usize] += 1;
            if shown != unit {
                self.units[shown as usize].get_or_insert(value);
            }
            if self.tally.iter().sum::<u64>() == SAMPLE {
                self.other_unit(unit)?;
            }
            if shown != unit {
                let (shown, expected) = (shown.name(), unit.name());
                return Err(format!("timestamp in {shown} where {expected} are expected").into());
            }
        }
        Ok(value / unit.per_millisecond())
    }

    fn fits(&mut self) -> Result<(), Refusal> {
        self.fit += 1;
        self.after_some()
    }

    /// The refusal of a time that is not such as the description says: of its line, or of the file if most are.
    fn refuse(&mut self, text: &str, reason: String) -> Refusal {
        let text = text.trim();
        // A time that is missing says nothing about the others.
        if text.is_empty() {
            return reason.into();
        }
        self.unfit += 1;
        // One is quoted, whatever its length; the others are only tried on other forms.
        if self.examples.is_empty() || self.examples.len() < KEPT && text.len() <= LONGEST {
            self.examples.push(text.to_owned());
        }
        self.after_some().err().unwrap_or_else(|| reason.into())
    }

    fn after_some(&self) -> Result<(), Refusal> {
        if self.fit + self.unfit == SAMPLE {
            self.other_form()?;
        }
        Ok(())
    }

    /// To be called after the file; an error if most of its times were otherwise than described.
    pub fn end_file(&self) -> Result<(), Refusal> {
        self.other_form()?;
        match self.format {
            TimeFormat::Unit(unit) => self.other_unit(unit),
            _ => Ok(()),
        }
    }

    /// An error if most times do not fit what is described.
    fn other_form(&self) -> Result<(), Refusal> {
        let read = self.fit + self.unfit;
        if 2 * self.dates > read {
            let value = self.date.unwrap_or_default();
            let way = if value < 1e9 { "%Y%m%d" } else { "%Y%m%d%H%M%S" };
            return Err(self.instead(self.dates, "are dates written in digits", &value.to_string(), way));
        }
        if 2 * self.unfit <= read {
            return Ok(());
        }
        let form = format!("do not fit `time = \"{}\"`", self.format);
        let example = self.examples.first().map_or("", String::as_str);
        let ways = ways(&self.examples);
        if let Some(way) = ways.first() {
            let either = ways
                .get(1)
                .map(|other| format!(" or, if the month stands first, `time = \"{other}\"`"));
            let refusal = self.instead(self.unfit, &form, example, way);
            return Err(match (refusal, either) {
                (Refusal::File(message), Some(either)) => Refusal::File(message + &either),
                (refusal, _) => refusal,
            });
        }
        // Where some times fit and nothing reads the others, these are lines of their own, however many.
        if self.fit > 0 {
            return Ok(());
        }
        let hint = match zone(&self.examples) {
            Some((name, Some(way))) => format!(
                "of the zone {name} nothing here knows the offset: write offsets (+02:00) into the file, or, if all times are of that \
                 zone, `time = \"{way}\"`, by which they are taken for UTC"
            ),
            Some((name, None)) => format!(
                "of the zone {name} nothing here knows the offset; write offsets (+02:00) into the file"
            ),
            None => "give the pattern they follow, such as `time = \"%d/%m/%Y %H:%M\"`, and look whether the column is the one that \
                     holds the times"
                .to_owned(),
        };
        Err(Refusal::File(format!(
            "{} of {read} timestamps {form}, such as `{}`; {hint}",
            self.unfit,
            shown(example)
        )))
    }

    /// An error if most counts are in another unit.
    fn other_unit(&self, expected: TimeUnit) -> Result<(), Refusal> {
        let telling: u64 = self.tally.iter().sum();
        let most = TimeUnit::ALL
            .into_iter()
            .find(|unit| 2 * self.tally[*unit as usize] > telling);
        match most.filter(|unit| *unit != expected) {
            None => Ok(()),
            Some(unit) => {
                let what = format!(
                    "are in {}, by their size, where {} are expected",
                    unit.name(),
                    expected.name()
                );
                let example = self.units[unit as usize].unwrap_or_default().to_string();
                Err(self.instead(self.tally[unit as usize], &what, &example, unit.symbol()))
            }
        }
    }

    /// The refusal of a file whose times are read by `way`.
    fn instead(&self, count: u64, what: &str, example: &str, way: &str) -> Refusal {
        Refusal::File(format!(
            "{count} of {} timestamps {what}, such as `{}`; put `time = \"{way}\"` into the description of the data set \
             (`weaverec datasets show` prints one to copy)",
            self.fit + self.unfit,
            shown(example)
        ))
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
            ("%d/%m/%Y", "1066", "timestamp does not fit the form %d/%m/%Y"),
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
    fn a_file_of_times_in_another_form_is_an_error_that_quotes_one_and_says_what_reads_it() {
        for (format, texts, words) in [
            (
                "iso",
                &["13/09/2020", "7/8/2020"][..],
                ["such as `13/09/2020`", "`time = \"%d/%m/%Y\"`"],
            ),
            (
                "iso",
                &["1/2/2020"],
                [
                    "`time = \"%d/%m/%Y\"`",
                    "month stands first, `time = \"%m/%d/%Y\"`",
                ],
            ),
            (
                "%d/%m/%Y",
                &["1600000000000"],
                ["do not fit `time = \"%d/%m/%Y\"`", "`time = \"ms\"`"],
            ),
            ("s", &["2020-09-13 12:26:40 UTC"], ["1 of 1", "`time = \"iso\"`"]),
            (
                "s",
                &["20200913", "20200914"],
                ["dates written in digits", "`time = \"%Y%m%d\"`"],
            ),
            (
                "ms",
                &["20200913122640"],
                ["dates written in digits", "`time = \"%Y%m%d%H%M%S\"`"],
            ),
            (
                "iso",
                &["2020-09-13 12:26 CET"],
                ["zone CET", "`time = \"%Y-%m-%d %H:%M CET\"`"],
            ),
            (
                "iso",
                &["so\u{7}on", "never"],
                ["such as `so\\u{7}on`", "the pattern they follow"],
            ),
        ] {
            let mut clock = clock(format);
            for text in texts {
                let _ = clock.millis(Time::Text(text));
            }
            let found = reason(clock.end_file().unwrap_err());
            assert!(words.iter().all(|word| found.contains(word)), "{found}");
        }
        let mut numbers = clock("iso");
        assert!(numbers.millis(Time::Number(1.6e9)).is_err());
        assert!(reason(numbers.end_file().unwrap_err()).contains("`time = \"s\"`"));
    }

    #[test]
    fn times_that_are_missing_and_a_few_that_do_not_fit_are_lines_of_their_own() {
        let mut short = clock("iso");
        for text in ["", " ", "2020-09-13", "soon", ""] {
            let _ = short.millis(Time::Text(text));
        }
        assert!(short.end_file().is_ok());
        let mut mixed = clock("iso");
        for text in ["Posted yesterday", "2020-09-13", "soon", "never"] {
            let _ = mixed.millis(Time::Text(text));
        }
        assert!(mixed.end_file().is_ok(), "nothing else reads them");
        let mut long = clock("iso");
        let stop = (0..).position(|_| matches!(long.millis(Time::Text("soon")), Err(Refusal::File(_))));
        assert_eq!(stop, Some(SAMPLE as usize - 1));
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
