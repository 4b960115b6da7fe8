//! Where validation and test belong in a sequence. Written out here rather than asked of the stages that order and part sequences, whose
//! mistakes are to be found: bursts are told from sorted times, and what is new from a list of what was seen.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::prepared::Manifest;
use crate::stage::{Repeats, TimeCut};

/// The parts of a sequence, as they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// How many of the first interactions are training data.
    pub known: u32,
    /// How many of them training prompts may be made of.
    pub trained: u32,
    /// Index of the validation target.
    pub validation: Option<u32>,
    /// Index of the test target.
    pub test: Option<u32>,
}

/// The rule that a manifest states.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    cut: Option<TimeCut>,
    repeats: Repeats,
    /// Milliseconds.
    window: i64,
}

/// Titles that are looked through one by one.
const FEW: usize = 64;

impl Rule {
    /// Of a folder.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            cut: manifest.cut,
            repeats: manifest.parameters.repeats,
            window: manifest.parameters.tie_window_ms,
        }
    }

    /// Whether events that differ in time may be at one moment.
    pub fn has_bursts(&self) -> bool {
        self.window > 0
    }

    /// When the moment of each event ends; none where events are not in the order of moments.
    pub fn moments<'t>(&self, times: &'t [i64]) -> Option<Cow<'t, [i64]>> {
        if self.window == 0 {
            return times.is_sorted().then_some(Cow::Borrowed(times));
        }
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let mut ends = Vec::with_capacity(times.len());
        for burst in sorted.chunk_by(|one, next| next.saturating_sub(*one) <= self.window) {
            let mut own = times[ends.len()..ends.len() + burst.len()].to_vec();
            own.sort_unstable();
            if own != burst {
                return None;
            }
            ends.extend(std::iter::repeat_n(own[own.len() - 1], burst.len()));
        }
        Some(Cow::Owned(ends))
    }

    /// The parts of a sequence: a number for each title, and when the moment of each event ends.
    pub fn place(&self, titles: &[u32], ends: &[i64]) -> Place {
        let new = match self.repeats {
            Repeats::Keep => vec![true; titles.len()],
            Repeats::Novel => first_of_each(titles),
        };
        let Some(cut) = self.cut else {
            let mut asked = (1..new.len()).rev().filter(|at| new[*at]);
            let (test, validation) = (asked.next(), asked.next());
            return match (validation, test) {
                (Some(validation), Some(test)) => Place {
                    known: validation as u32,
                    trained: validation as u32,
                    validation: Some(validation as u32),
                    test: Some(test as u32),
                },
                _ => Place {
                    known: new.len() as u32,
                    trained: 0,
                    validation: None,
                    test: None,
                },
            };
        };
        let before = |time: i64| ends.iter().filter(|end| **end < time).count();
        let (validation, test) = (before(cut.validation_from), before(cut.test_from));
        let first = |from: usize, until: usize| {
            let mut asked = (from..until).filter(|at| from > 0 && new[*at]);
            asked.next().map(|at| at as u32)
        };
        Place {
            known: validation as u32,
            trained: validation as u32,
            validation: first(validation, test),
            test: first(test, new.len()),
        }
    }
}

/// Whether each title is there for the first time.
fn first_of_each(titles: &[u32]) -> Vec<bool> {
    if titles.len() <= FEW {
        let new = |(at, title): (usize, &u32)| !titles[..at].contains(title);
        return titles.iter().enumerate().map(new).collect();
    }
    let mut seen = HashSet::with_capacity(titles.len());
    titles.iter().map(|title| seen.insert(*title)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;
    use crate::schema::Item;
    use crate::seed;
    use crate::stage::{Holdout, Targets, Titles};

    /// What this file says of a sequence is what the stage says, over sequences that repeat themselves and burst.
    #[test]
    fn the_audit_and_the_stage_part_sequences_alike() {
        let items: Vec<Item> = (1..=40)
            .map(|item| Item {
                item,
                item_id: item.to_string(),
                title: (item % 30).to_string(),
                categories: String::new(),
                train_count: 0,
            })
            .collect();
        let cut = TimeCut {
            validation_from: 40,
            test_from: 70,
        };
        let (mut tested, mut bursts) = (0, 0);
        for round in 0..4_000_u64 {
            let mut rng = seed::rng(round, "audit", "place", 0);
            let mut draw = |below: u64| seed::below(&mut rng, below);
            let length = draw(if round % 100 == 0 { 200 } else { 14 }) as usize;
            let sequence: Vec<u32> = (0..length).map(|_| draw(40) as u32 + 1).collect();
            let mut times: Vec<i64> = (0..length).map(|_| draw(100) as i64).collect();
            times.sort_unstable();
            let window = [0, 3, 9][draw(3) as usize];
            // Another order within bursts.
            for burst in times.chunk_by_mut(|one, next| next - *one <= window) {
                bursts += u64::from(burst.len() > 1 && burst[0] < burst[burst.len() - 1]);
                burst.reverse();
            }
            let repeats = [Repeats::Novel, Repeats::Keep][draw(2) as usize];
            let cut = (draw(2) == 0).then_some(cut);
            let parameters = Parameters {
                repeats,
                tie_window_ms: window,
                ..Parameters::default()
            };
            let holdout = cut.map_or(Holdout::LastTwo, Holdout::From);
            let parts = Targets::new(&parameters, holdout, Titles::of(&items)).parts(&sequence, &times);
            let rule = Rule { cut, repeats, window };
            let ends = rule.moments(&times).unwrap_or_default();
            let titles: Vec<u32> = sequence.iter().map(|item| item % 30).collect();
            let place = rule.place(&titles, &ends);
            let index = |at: Option<usize>| at.map(|at| at as u32);
            let expected = Place {
                known: parts.known as u32,
                trained: parts.train as u32,
                validation: index(parts.validation),
                test: index(parts.test),
            };
            assert_eq!(place, expected, "{sequence:?} at {times:?}, {rule:?}");
            tested += u64::from(place.test.is_some());
        }
        assert!(tested > 1_000 && bursts > 1_000, "{tested}, {bursts}");
    }

    #[test]
    fn bursts_out_of_order_are_found() {
        let rule = |window| Rule {
            cut: None,
            repeats: Repeats::Novel,
            window,
        };
        let ends = |window, times: &[i64]| rule(window).moments(times).map(Cow::into_owned);
        assert_eq!(ends(2, &[7, 5, 9, 20]), Some(vec![9, 9, 9, 20]));
        assert_eq!(ends(2, &[7, 5, 20, 9]), None);
        assert_eq!(ends(0, &[5, 7, 9]), Some(vec![5, 7, 9]));
        assert_eq!(ends(0, &[7, 5]), None);
    }
}
