//! Which way to write times would read some that the described one does not.

use std::slice::from_ref;

use super::pattern::Pattern;
use super::{TimeReader, TimeUnit};

/// Ways to write a date; the month's name is read long and short.
const DATES: [&str; 17] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d.%m.%y",
    "%d %B %Y",
    "%d-%B-%Y",
    "%B %d %Y",
    "%B %d, %Y",
    "%A, %d %B %Y",
    "%Y%m%d",
];

/// Ways to go on with a time; a blank in a pattern stands for any number of them, also none.
const TIMES: [&str; 13] = [
    "",
    " %H:%M",
    " %H:%M:%S",
    " %H:%M:%S%.f",
    " %H:%M:%S,%f",
    ", %H:%M",
    ", %H:%M:%S",
    " %I:%M %p",
    " %I:%M:%S %p",
    ", %I:%M %p",
    ", %I:%M:%S %p",
    "T%H:%M:%S%.f",
    " %H.%M.%S",
];

const OFFSETS: [&str; 2] = ["", " %z"];

/// What is put together otherwise.
const WHOLE: [&str; 6] = [
    "%Y%m%d%H%M%S",
    "%Y%m%d%H%M",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S %z %Y",
    "%d/%b/%Y:%H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S",
];

/// A count of seconds that is meant for a date, as in `20200913` or `20200913122640`.
pub(crate) fn is_date_in_digits(value: f64) -> bool {
    let eight = match value {
        19_700_101.0..=20_991_231.0 => value,
        1.970_010_1e13..=2.099_123_2e13 => (value / 1e6).trunc(),
        _ => return false,
    };
    let (month, day) = ((eight / 100.0).trunc() % 100.0, eight % 100.0);
    eight.fract() == 0.0 && (1.0..=12.0).contains(&month) && (1.0..=31.0).contains(&day)
}

/// The ways to write times that read all of some texts: none, one, or two if the texts do not tell which of them is meant.
fn ways_of_all(texts: &[String]) -> Vec<String> {
    if texts.is_empty() {
        return Vec::new();
    }
    if reads("iso", texts) {
        return vec!["iso".to_owned()];
    }
    if let Some(whole) = WHOLE.iter().find(|way| reads(way, texts)) {
        return vec![(*whole).to_owned()];
    }
    match unit(texts) {
        Some(unit) => vec![unit.symbol().to_owned()],
        None => by_pattern(texts),
    }
}

/// The same of most of some texts, for those among which are others.
pub(crate) fn ways(texts: &[String]) -> Vec<String> {
    let all = ways_of_all(texts);
    if !all.is_empty() {
        return all;
    }
    let most = |found: &Vec<String>| {
        let read = |way: &String| {
            let read = texts.iter().filter(|text| reads(way, from_ref(*text)));
            2 * read.count() > texts.len()
        };
        found.first().is_some_and(read)
    };
    let of_one = texts.iter().take(3).map(|text| ways_of_all(from_ref(text)));
    of_one.into_iter().find(most).unwrap_or_default()
}

fn reads(way: &str, texts: &[String]) -> bool {
    if let Some(unit) = TimeUnit::ALL.into_iter().find(|unit| unit.symbol() == way) {
        return self::unit(texts) == Some(unit);
    }
    let reader = if way == "iso" {
        TimeReader::Iso
    } else {
        TimeReader::Pattern(Pattern::new(way))
    };
    // Nobody means the year 20.
    let fits = |text: &String| reader.calendar(text).is_some_and(|millis| millis >= 0);
    texts.iter().all(fits)
}

/// The same of patterns put together of a date, a time and an offset.
fn by_pattern(texts: &[String]) -> Vec<String> {
    for offset in OFFSETS {
        for time in TIMES {
            let ways = DATES.iter().map(|date| format!("{date}{time}{offset}"));
            let found: Vec<String> = ways.filter(|way| reads(way, texts)).take(2).collect();
            if !found.is_empty() {
                return found;
            }
        }
    }
    Vec::new()
}

/// The unit in which all of the texts are counts of our days.
fn unit(texts: &[String]) -> Option<TimeUnit> {
    let mut units = texts
        .iter()
        .map(|text| text.trim().parse().ok().and_then(TimeUnit::by_magnitude));
    let first = units.next()??;
    units.all(|unit| unit == Some(first)).then_some(first)
}

/// The name of a zone that ends all of the texts, and what would read them if it stood in the pattern.
pub(crate) fn zone(texts: &[String]) -> Option<(String, Option<String>)> {
    let (before, name) = texts.first()?.trim().rsplit_once(' ')?;
    let short = (2..=5).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_uppercase());
    let place = name.contains('/')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || b"/_".contains(&byte));
    if !(short || place) || matches!(name, "AM" | "PM") || !before.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let without: Option<Vec<String>> = texts
        .iter()
        .map(|text| Some(text.trim().strip_suffix(name)?.trim().to_owned()))
        .collect();
    // What has to hold the name must be a pattern.
    let way = without.and_then(|texts| by_pattern(&texts).into_iter().next());
    Some((name.to_owned(), way.map(|way| format!("{way} {name}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Vec<String> {
        ways_of_all(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn times_tell_how_they_are_written() {
        for (texts, way) in [
            (&["2020-09-13T12:26:40Z", "2020-09-13"][..], "iso"),
            (&["1600000000", "1600000001.5"], "s"),
            (&["1600000000000"], "ms"),
            (&["1600000000000000"], "us"),
            (&["20200913122640"], "%Y%m%d%H%M%S"),
            (&["13/09/2020 12:26"], "%d/%m/%Y %H:%M"),
            (&["1/2/2020 12:26", "1/22/2020 2:26"], "%m/%d/%Y %H:%M"),
            (&["13.09.2020"], "%d.%m.%Y"),
            (&["13.09.20 12:26:40"], "%d.%m.%y %H:%M:%S"),
            (&["2020/09/13 12:26:40.5"], "%Y/%m/%d %H:%M:%S%.f"),
            (&["13/09/2020 12:26 PM"], "%d/%m/%Y %I:%M %p"),
            (&["Sep 13, 2020"], "%B %d, %Y"),
            (&["September 13, 2020, 12:26 pm"], "%B %d, %Y, %I:%M %p"),
            (&["Sun, 13 Sep 2020 12:26:40 +0000"], "%A, %d %B %Y %H:%M:%S %z"),
            (&["Sun Sep 13 12:26:40 2020"], "%a %b %d %H:%M:%S %Y"),
            (&["13/Sep/2020:12:26:40 +0000"], "%d/%b/%Y:%H:%M:%S %z"),
        ] {
            assert_eq!(of(texts), [way], "{texts:?}");
        }
        assert_eq!(of(&["1/2/2020"]), ["%d/%m/%Y", "%m/%d/%Y"]);
        assert_eq!(of(&["soon"]), Vec::<String>::new());
        assert_eq!(of(&["1600000000", "1600000000000"]), Vec::<String>::new());
        assert_eq!(of(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_few_other_texts_do_not_hide_how_most_are_written() {
        let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
        let found = |all: &[&str]| ways(&texts(all));
        assert_eq!(found(&["soon", "13/09/2020", "14/09/2020"]), ["%d/%m/%Y"]);
        assert_eq!(found(&["7", "1600000000", "1600000001"]), ["s"]);
        assert_eq!(found(&["soon", "13/09/2020"]), Vec::<String>::new());
    }

    #[test]
    fn what_is_proposed_may_stand_in_a_description() {
        let parts = OFFSETS
            .iter()
            .flat_map(|offset| TIMES.iter().map(move |time| format!("{time}{offset}")));
        let put_together = parts.flat_map(|rest| DATES.iter().map(move |date| format!("{date}{rest}")));
        for way in put_together.chain(WHOLE.iter().map(|way| (*way).to_owned())) {
            assert_eq!(super::super::pattern::check(&way), Ok(()), "{way}");
        }
    }

    #[test]
    fn the_name_of_a_zone_is_seen() {
        let texts = ["2020-09-13 12:26:40 CET".to_owned()];
        let way = "%Y-%m-%d %H:%M:%S CET".to_owned();
        assert_eq!(zone(&texts), Some(("CET".to_owned(), Some(way))));
        for text in ["13/09/2020 12:26 PM", "soon", "NEVER", "2 days ago"] {
            assert_eq!(zone(&[text.to_owned()]), None, "{text}");
        }
        let texts = ["2020-09-13 12:26:40 CET", "2020-09-13 12:26:40 CEST"].map(str::to_owned);
        assert_eq!(zone(&texts), Some(("CET".to_owned(), None)));
    }

    #[test]
    fn dates_in_digits_are_told_from_counts() {
        for value in [20_200_913.0, 19_991_231.0, 20_200_913_122_640.0] {
            assert!(is_date_in_digits(value), "{value}");
        }
        for value in [
            0.0,
            20_201_301.0,
            20_200_900.0,
            1.6e9,
            1.6e12,
            20_200_913.5,
            f64::NAN,
            -20_200_913.0,
        ] {
            assert!(!is_date_in_digits(value), "{value}");
        }
    }
}
