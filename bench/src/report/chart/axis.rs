//! Axes: from values to positions, with round ticks, linear or logarithmic.

use crate::report::number::power_of_ten;

/// A map from values to positions along one direction of a drawing.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

/// A value that an axis names, and its name.
pub type Tick = (f64, String);

impl Axis {
    /// Equal differences are equal distances; from `low..high` in values to `from..to` in the drawing.
    pub fn linear((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        // A range without width would put everything at infinity.
        let high = if high > low { high } else { low + 1.0 };
        Self {
            low,
            high,
            from,
            to,
            logarithmic: false,
        }
    }

    /// Equal ratios are equal distances. The range, of positive values, is widened to 1, 2 or 5 times a power of ten at either end, so that
    /// there are always two ticks to read it by.
    pub fn logarithmic((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let low = floor_125(low);
        let end = ceil_125(high);
        let high = if end > low { end } else { ceil_125(low * 1.5) };
        Self {
            low,
            high,
            from,
            to,
            logarithmic: true,
        }
    }

    /// The position of a value.
    pub fn at(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// Round values inside the range, about `wanted` of them.
    pub fn ticks(&self, wanted: f64) -> Vec<Tick> {
        if self.logarithmic {
            self.logarithmic_ticks(wanted)
        } else {
            self.linear_ticks(wanted)
        }
    }

    /// Multiples of 1, 2 or 5 times a power of ten, with as many decimals as they need.
    fn linear_ticks(&self, wanted: f64) -> Vec<Tick> {
        let raw = (self.high - self.low) / wanted;
        let unit = 10f64.powf(raw.log10().floor());
        let step = unit
            * [1.0, 2.0, 5.0, 10.0]
                .into_iter()
                .find(|m| m * unit >= raw)
                .unwrap_or(10.0);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let tick = |count: i64| {
            let value = count as f64 * step;
            (value, format!("{value:.decimals$}").replace('-', "−"))
        };
        (first..=last).map(tick).collect()
    }

    /// 1, 2 and 5 times powers of ten; the powers alone where these are too many, and every n-th where they still are.
    fn logarithmic_ticks(&self, wanted: f64) -> Vec<Tick> {
        let (first, last) = (exponent(self.low), exponent(self.high));
        let inside = |value: &f64| *value >= self.low * (1.0 - 1e-9) && *value <= self.high * (1.0 + 1e-9);
        let of = |factors: &[f64], every: usize| -> Vec<Tick> {
            (first..=last)
                .step_by(every)
                .flat_map(|k| factors.iter().map(move |factor| factor * 10f64.powi(k)))
                .filter(inside)
                .map(|value| (value, power_of_ten(value, 0)))
                .collect()
        };
        let ticks = of(&[1.0, 2.0, 5.0], 1);
        if ticks.len() as f64 <= 1.5 * wanted {
            return ticks;
        }
        let every = (f64::from(last - first + 1) / wanted).ceil().max(1.0) as usize;
        of(&[1.0], every)
    }
}

/// The power of ten at or below a positive value.
fn exponent(value: f64) -> i32 {
    let guess = value.log10().floor() as i32;
    // A logarithm may fall a digit short of a power of ten.
    if value >= 10f64.powi(guess + 1) * (1.0 - 1e-12) {
        guess + 1
    } else {
        guess
    }
}

/// The largest of 1, 2 and 5 times a power of ten that is not above the value.
fn floor_125(value: f64) -> f64 {
    let unit = 10f64.powi(exponent(value));
    let fits = |factor: &f64| factor * unit <= value * (1.0 + 1e-12);
    unit * [5.0, 2.0].into_iter().find(fits).unwrap_or(1.0)
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below the value.
fn ceil_125(value: f64) -> f64 {
    let unit = 10f64.powi(exponent(value));
    let fits = |factor: &f64| factor * unit >= value * (1.0 - 1e-12);
    unit * [1.0, 2.0, 5.0].into_iter().find(fits).unwrap_or(10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(axis: Axis, wanted: f64) -> Vec<String> {
        axis.ticks(wanted).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_inside_the_range() {
        assert_eq!(
            shown(Axis::linear((0.0, 0.73), (0.0, 1.0)), 5.0),
            ["0.0", "0.2", "0.4", "0.6"]
        );
        assert_eq!(shown(Axis::linear((0.46, 0.58), (0.0, 1.0)), 5.0)[0], "0.50");
        assert_eq!(
            shown(Axis::linear((-0.06, 0.021), (0.0, 1.0)), 5.0),
            ["−0.06", "−0.04", "−0.02", "0.00", "0.02"]
        );
    }

    #[test]
    fn logarithmic_ticks_are_one_two_and_five_times_powers_of_ten() {
        let axis = Axis::logarithmic((1.2e11, 3.6e11), (0.0, 300.0));
        assert_eq!(shown(axis, 4.0), ["1×10¹¹", "2×10¹¹", "5×10¹¹"]);
        // Equal ratios are equal distances: 1 to 2 as 2 to 4.
        let step = axis.at(2e11) - axis.at(1e11);
        assert!((axis.at(4e11) - axis.at(2e11) - step).abs() < 1e-9);
        assert!((axis.at(1e11)).abs() < 1e-9 && (axis.at(5e11) - 300.0).abs() < 1e-9);
        let decades = Axis::logarithmic((3.0, 4e6), (0.0, 300.0));
        assert_eq!(shown(decades, 4.0), ["1×10²", "1×10⁴", "1×10⁶"]);
    }

    #[test]
    fn a_single_value_still_has_two_ticks_about_it() {
        for value in [1e12, 2e12, 3.3e9, 9.99e3, 1e-3] {
            let axis = Axis::logarithmic((value, value), (0.0, 1.0));
            assert!(axis.ticks(4.0).len() >= 2, "{value}: {axis:?}");
            assert!((0.0..=1.0).contains(&axis.at(value)), "{value}: {axis:?}");
        }
    }
}
