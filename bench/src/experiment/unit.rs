//! Which units of a profile a run does: all of them, some by number, or a share of them, as on one of several machines.

use anyhow::{Result, bail};

/// A choice of units, which are numbered from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Units {
    /// All.
    All,
    /// None: they are only listed.
    Listed,
    /// Those of these numbers, in order.
    Numbers(Vec<usize>),
    /// The units of one of several shares of about the same size; neighbours, which have most in common, are in the same one.
    Share {
        /// Which, from 1.
        number: usize,
        /// Of how many.
        of: usize,
    },
}

impl Units {
    /// Reads `3/10`, the third of ten shares.
    ///
    /// # Errors
    /// What is no share.
    pub fn share(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is no share of the units: write 3/10 for the third of ten");
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let read = |part: &str| part.trim().parse::<usize>().map_err(|_| wrong());
        match (read(number)?, read(of)?) {
            (number, of) if (1..=of).contains(&number) => Ok(Units::Share { number, of }),
            _ => Err(wrong()),
        }
    }

    /// Reads `list`, or numbers and ranges of them such as `1,4-6`.
    ///
    /// # Errors
    /// What is neither.
    pub fn numbers(text: &str) -> Result<Self, String> {
        if text == "list" {
            return Ok(Units::Listed);
        }
        let wrong = || format!("{text} names no units: write list to see them, or numbers such as 1,4-6");
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let read = |number: &str| number.trim().parse::<usize>().map_err(|_| wrong());
            let (from, to) = (read(from)?, read(to)?);
            if from == 0 || from > to {
                return Err(wrong());
            }
            // A plan has thousands at most; a larger number is found to be none of its units.
            numbers.extend(from..=to.min(from.saturating_add(1_000_000)));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Units::Numbers(numbers))
    }

    /// Places, from 0, of the chosen ones among `count` units.
    ///
    /// # Errors
    /// A number that no unit has, or more shares than units.
    pub fn places(&self, count: usize) -> Result<Vec<usize>> {
        match self {
            Units::All | Units::Listed => Ok((0..count).collect()),
            Units::Numbers(numbers) => {
                if let Some(none) = numbers.iter().find(|number| **number > count) {
                    bail!("there is no unit {none}: this profile has {count}, which `--units list` shows");
                }
                Ok(numbers.iter().map(|number| number - 1).collect())
            }
            Units::Share { number, of } if *of > count => {
                bail!(
                    "share {number}/{of}: this profile has {count} units, so ask for at most as many shares"
                )
            }
            Units::Share { number, of } => Ok(((number - 1) * count / of..number * count / of).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn shares_are_neighbours_and_cover_every_unit_once() {
        for count in 1..30 {
            for of in 1..=count {
                let shares = (1..=of).map(|number| Units::share(&format!("{number}/{of}")).unwrap());
                let places: Vec<Vec<usize>> = shares.map(|share| share.places(count).unwrap()).collect();
                assert!(places.iter().all(|places| places.len().abs_diff(count / of) <= 1));
                assert_eq!(places.concat(), (0..count).collect::<Vec<_>>());
            }
        }
        assert!(Units::share("3/9").unwrap().places(8).is_err());
    }

    #[test]
    fn numbers_and_ranges_are_read_and_what_no_unit_has_is_said() {
        let places = |text: &str, count| Units::numbers(text).unwrap().places(count);
        assert_eq!(places("6, 1,4-6", 6).unwrap(), [0, 3, 4, 5]);
        assert_eq!(places("list", 2).unwrap(), [0, 1]);
        let error = places("2,7", 6).unwrap_err().to_string();
        assert!(error.contains("no unit 7") && error.contains("has 6"), "{error}");
        for wrong in ["", "0", "3-1", "one", "1-", "1/2"] {
            assert!(Units::numbers(wrong).unwrap_err().contains("1,4-6"), "{wrong}");
        }
        for wrong in ["", "0/3", "4/3", "1", "a/b", "1/0"] {
            assert!(Units::share(wrong).unwrap_err().contains("3/10"), "{wrong}");
        }
    }
}
