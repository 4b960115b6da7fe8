//! Numbers as people read them, the same in every table, sentence and drawing.

use crate::statistics::Interval;

/// Stands where there is no value.
pub const NONE: &str = "–";

/// A signed number with three decimals; a rounded zero has no sign.
#[must_use]
pub fn plus(value: f64) -> String {
    let text = format!("{value:+.3}");
    if text == "-0.000" || text == "+0.000" {
        "0.000".to_owned()
    } else {
        text.replace('-', "−")
    }
}

/// An interval of differences: `[−0.004, +0.038]`.
#[must_use]
pub fn bounds(interval: Interval) -> String {
    format!("[{}, {}]", plus(interval.low), plus(interval.high))
}

/// An interval of levels: `[0.404, 0.438]`.
#[must_use]
pub fn bounds_of_level(interval: Interval) -> String {
    format!("[{:.3}, {:.3}]", interval.low, interval.high).replace('-', "−")
}

/// A difference with its interval, where there is one: `+0.021 [+0.004, +0.038]`.
#[must_use]
pub fn signed(difference: f64, interval: Option<Interval>) -> String {
    interval.map_or_else(
        || plus(difference),
        |interval| format!("{} {}", plus(difference), bounds(interval)),
    )
}

/// A level with three decimals and its standard deviation, where there is one: `0.412 ± 0.010`.
#[must_use]
pub fn with_sd(mean: f64, sd: Option<f64>) -> String {
    sd.map_or_else(|| format!("{mean:.3}"), |sd| format!("{mean:.3} ± {sd:.3}"))
}

/// A p-value in three decimals, or that it is below them.
#[must_use]
pub fn p_value(p: f64) -> String {
    if p < 0.001 {
        "< 0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}

/// A p-value after a word for it: `p = 0.031`, `p < 0.001`.
#[must_use]
pub fn p_words(word: &str, p: f64) -> String {
    if p < 0.001 {
        format!("{word} < 0.001")
    } else {
        format!("{word} = {p:.3}")
    }
}

/// A share in per cent with one decimal.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A count in at most four digits and a unit: `12.3 k`, `4.56×10¹⁵`.
#[must_use]
pub fn magnitude(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 1e3 => format!("{value:.0}"),
        value if value < 1e6 => format!("{:.1} k", value / 1e3),
        value if value < 1e9 => format!("{:.1} M", value / 1e6),
        value => power_of_ten(value, 2),
    }
}

/// A positive number as a power of ten with so many decimals: `4.56×10¹⁵`. Operations are always written so.
#[must_use]
pub fn power_of_ten(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let raised: String = exponent
        .chars()
        .map(|digit| match digit {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            // The others follow each other in Unicode.
            digit => digit
                .to_digit(10)
                .and_then(|digit| char::from_u32(0x2070 + digit))
                .unwrap_or(digit),
        })
        .collect();
    format!("{digits}×10{raised}")
}

/// Ascending numbers, neighbours drawn together as `weaverec reproduce --units` reads them: `1,4-6`.
#[must_use]
pub fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let shown = runs.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        alone => alone.iter().map(usize::to_string).collect(),
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_shown_and_a_rounded_zero_has_none() {
        assert_eq!(plus(0.0214), "+0.021");
        assert_eq!(plus(-0.0214), "−0.021");
        assert_eq!(plus(-0.0004), "0.000");
        let interval = Interval {
            low: -0.004,
            high: 0.0381,
        };
        assert_eq!(signed(0.017, Some(interval)), "+0.017 [−0.004, +0.038]");
        assert_eq!(signed(0.017, None), "+0.017");
    }

    #[test]
    fn large_numbers_have_few_digits() {
        assert_eq!(magnitude(0.0), "0");
        assert_eq!(magnitude(59_213.0), "59.2 k");
        assert_eq!(magnitude(2.384e11), "2.38×10¹¹");
        assert_eq!(power_of_ten(5e-4, 0), "5×10⁻⁴");
        assert_eq!(power_of_ten(4.567e20, 1), "4.6×10²⁰");
    }

    #[test]
    fn neighbouring_numbers_are_drawn_together() {
        assert_eq!(ranges(&[1, 4, 5, 6]), "1,4-6");
        assert_eq!(ranges(&[1, 3, 5]), "1,3,5");
        assert_eq!((ranges(&[2, 3]), ranges(&[])), ("2-3".to_owned(), String::new()));
    }

    #[test]
    fn small_p_values_are_bounded_and_not_rounded_to_zero() {
        assert_eq!(p_value(0.0004), "< 0.001");
        assert_eq!(p_words("adjusted p", 0.0312), "adjusted p = 0.031");
        assert_eq!(p_words("p", 1e-9), "p < 0.001");
    }
}
