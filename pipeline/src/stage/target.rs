//! Which of a user's interactions are asked for: the targets of validation and test.
//!
//! By default a target is new to its user. Where repeats stay in a log (a pantry is refilled), "the last thing again" answers the others,
//! and they cannot be told from items that no candidate set may hold, those that the user touched.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::parameters::Parameters;
use crate::schema::Item;
use crate::stage::moment::Moments;
use crate::stage::split::{Holdout, MIN_LENGTH};

/// What becomes of interactions whose item, or one with its title, the user had before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repeats {
    /// They are no targets. Leave-one-out: the test is the last interaction that is new, and what follows is dropped; the validation
    /// is the last one before it that is. Negatives are items that the user never touched.
    #[default]
    Novel,
    /// They are targets as any others, and negatives are all items but those with the target's title.
    Keep,
}

/// Items by what a language model sees of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Titles(Arc<[u32]>);

impl Titles {
    /// Of a domain's items, in the order of their dense ids from 1.
    pub fn of(items: &[Item]) -> Self {
        let mut first = HashMap::with_capacity(items.len());
        let alike = items
            .iter()
            .map(|item| *first.entry(item.title.as_str()).or_insert(item.item));
        Self(std::iter::once(0).chain(alike).collect())
    }

    /// The first item with the title of this one.
    pub fn first(&self, item: u32) -> u32 {
        self.0[item as usize]
    }

    /// How many items there are.
    pub fn items(&self) -> usize {
        self.0.len() - 1
    }
}

/// The parts of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The leading interactions that are training data, for popularity say.
    pub known: usize,
    /// The leading interactions that training prompts are cut from.
    pub train: usize,
    /// Index of the validation target.
    pub validation: Option<usize>,
    /// Index of the test target.
    pub test: Option<usize>,
}

/// The rule of a prepared domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    holdout: Holdout,
    repeats: Repeats,
    /// Milliseconds.
    window: i64,
    titles: Titles,
}

/// Looks at a user's items, of one sequence's length together, before all of them are put into a set.
const LOOKS: usize = 16;

impl Targets {
    /// Under the parameters of a domain with these titles.
    pub fn new(parameters: &Parameters, holdout: Holdout, titles: Titles) -> Self {
        Self {
            holdout,
            repeats: parameters.repeats,
            window: parameters.tie_window_ms,
            titles,
        }
    }

    /// What is held out.
    pub fn holdout(&self) -> Holdout {
        self.holdout
    }

    /// What becomes of repeats.
    pub fn repeats(&self) -> Repeats {
        self.repeats
    }

    /// The items by title.
    pub fn titles(&self) -> &Titles {
        &self.titles
    }

    /// The moments of a sequence, by its times (ms UTC) in the order of events.
    pub(crate) fn moments<'t>(&self, times: &'t [i64]) -> Moments<'t> {
        Moments::of(times, self.window)
    }

    /// Parts a sequence: dense ids and times (ms UTC), oldest first.
    ///
    /// ```
    /// use weaverec_pipeline::parameters::Parameters;
    /// use weaverec_pipeline::schema::Item;
    /// use weaverec_pipeline::stage::target::{Targets, Titles};
    /// use weaverec_pipeline::stage::Holdout;
    /// let item = |(item, title): (u32, &str)| Item {
    ///     item, item_id: item.to_string(), title: title.into(), categories: String::new(), train_count: 0,
    /// };
    /// let items: Vec<Item> = (1..).zip(["tea", "milk", "salt"]).map(item).collect();
    /// let targets = Targets::new(&Parameters::default(), Holdout::LastTwo, Titles::of(&items));
    /// let parts = targets.parts(&[1, 2, 1, 3, 2], &[10, 20, 30, 40, 50]);
    /// assert_eq!((parts.validation, parts.test), (Some(1), Some(3)), "the tea and the milk are no news");
    /// ```
    pub fn parts(&self, items: &[u32], times: &[i64]) -> Parts {
        match (self.holdout, self.repeats) {
            (_, Repeats::Keep) => self.parts_with_repeats(times),
            (Holdout::LastTwo, Repeats::Novel) => last_two(items.len(), self.last_new(items)),
            (Holdout::From(_), Repeats::Novel) => {
                let parts = self.parts_with_repeats(times);
                // Both parts begin with an interaction whose history is what came before it.
                let new = |from: Option<usize>, until: usize| self.first_new(items, from?, until);
                let until = parts.test.unwrap_or(items.len());
                Parts {
                    validation: new(parts.validation, until),
                    test: new(parts.test, items.len()),
                    ..parts
                }
            }
        }
    }

    /// The same where repeats are kept, whatever becomes of them here.
    pub fn parts_with_repeats(&self, times: &[i64]) -> Parts {
        let length = times.len();
        match self.holdout {
            Holdout::LastTwo => {
                let ends = (length >= MIN_LENGTH).then(|| (length - 2, length - 1));
                last_two(length, ends)
            }
            Holdout::From(cut) => {
                let moments = self.moments(times);
                let validation = moments.before(cut.validation_from);
                let test = moments.before(cut.test_from);
                // The first interaction of all has no history to go by.
                let target = |from: usize, until: usize| (from > 0 && from < until).then_some(from);
                Parts {
                    known: validation,
                    train: validation,
                    validation: target(validation, test),
                    test: target(test, length),
                }
            }
        }
    }

    /// Whether nothing before an interaction has its title.
    pub fn is_new(&self, items: &[u32], at: usize) -> bool {
        let title = self.titles.first(items[at]);
        !items[..at].iter().any(|item| self.titles.first(*item) == title)
    }

    /// The last two that are new, if neither is a user's first.
    fn last_new(&self, items: &[u32]) -> Option<(usize, usize)> {
        let (mut looks, mut test) = (items.len() * LOOKS, None);
        // From the end: most sequences end in what is new.
        for at in (1..items.len()).rev() {
            if looks < at {
                return self.last_new_by_set(items);
            }
            looks -= at;
            if self.is_new(items, at) {
                match test {
                    None => test = Some(at),
                    Some(test) => return Some((at, test)),
                }
            }
        }
        None
    }

    /// The same in one pass, for those who repeat themselves without end.
    fn last_new_by_set(&self, items: &[u32]) -> Option<(usize, usize)> {
        let mut seen = HashSet::with_capacity(items.len());
        let (mut validation, mut test) = (None, None);
        for (at, item) in items.iter().enumerate() {
            if seen.insert(self.titles.first(*item)) && at > 0 {
                (validation, test) = (test, Some(at));
            }
        }
        Some((validation?, test?))
    }

    /// The first new one of a range.
    fn first_new(&self, items: &[u32], from: usize, until: usize) -> Option<usize> {
        let mut looks = items.len() * LOOKS;
        for at in from..until {
            if looks < at {
                let mut seen: HashSet<u32> =
                    items[..at].iter().map(|item| self.titles.first(*item)).collect();
                return (at..until).find(|at| seen.insert(self.titles.first(items[*at])));
            }
            looks -= at;
            if self.is_new(items, at) {
                return Some(at);
            }
        }
        None
    }
}

/// Leave-one-out with targets at these places.
fn last_two(length: usize, ends: Option<(usize, usize)>) -> Parts {
    match ends {
        None => Parts {
            known: length,
            train: 0,
            validation: None,
            test: None,
        },
        Some((validation, test)) => Parts {
            known: validation,
            train: validation,
            validation: Some(validation),
            test: Some(test),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::TimeCut;

    /// Items 1 to 9 with a title each, and 10 with that of item 1.
    fn targets(holdout: Holdout, repeats: Repeats, window: i64) -> Targets {
        let items: Vec<Item> = (1..=10)
            .map(|item| Item {
                item,
                item_id: item.to_string(),
                title: (item % 9).to_string(),
                categories: String::new(),
                train_count: 0,
            })
            .collect();
        let parameters = Parameters {
            repeats,
            tie_window_ms: window,
            ..Parameters::default()
        };
        Targets::new(&parameters, holdout, Titles::of(&items))
    }

    type Found = (usize, usize, Option<usize>, Option<usize>);

    fn parts(targets: &Targets, items: &[u32], times: &[i64]) -> Found {
        let parts = targets.parts(items, times);
        (parts.known, parts.train, parts.validation, parts.test)
    }

    #[test]
    fn leave_one_out_holds_out_the_last_two() {
        for repeats in [Repeats::Novel, Repeats::Keep] {
            let targets = targets(Holdout::LastTwo, repeats, 0);
            let of = |length: u32| {
                parts(
                    &targets,
                    &(1..=length).collect::<Vec<_>>(),
                    &vec![7; length as usize],
                )
            };
            assert_eq!(of(6), (4, 4, Some(4), Some(5)));
            assert_eq!(of(3), (1, 1, Some(1), Some(2)));
            assert_eq!(of(2), (2, 0, None, None));
            assert_eq!(of(0), (0, 0, None, None));
        }
    }

    #[test]
    fn a_target_is_the_last_that_is_new_in_item_and_title() {
        let of = |items: &[u32], repeats| {
            parts(
                &targets(Holdout::LastTwo, repeats, 0),
                items,
                &vec![7; items.len()],
            )
        };
        let novel = |items: &[u32]| of(items, Repeats::Novel);
        assert_eq!(
            novel(&[1, 2, 3, 2, 4, 1]),
            (2, 2, Some(2), Some(4)),
            "2 and 1 are old"
        );
        assert_eq!(
            novel(&[1, 2, 3, 10]),
            (1, 1, Some(1), Some(2)),
            "10 is called as 1"
        );
        assert_eq!(novel(&[1, 1, 2, 2, 3, 3]), (2, 2, Some(2), Some(4)));
        assert_eq!(novel(&[1, 1, 2, 2]), (4, 0, None, None), "two titles are too few");
        assert_eq!(of(&[1, 2, 3, 2, 4, 1], Repeats::Keep), (4, 4, Some(4), Some(5)));
        assert_eq!(of(&[1, 1, 2, 2], Repeats::Keep), (2, 2, Some(2), Some(3)));
    }

    #[test]
    fn one_who_repeats_without_end_is_parted_the_same() {
        let targets = targets(Holdout::LastTwo, Repeats::Novel, 0);
        let mut items = vec![1, 2, 3, 4, 5];
        items.extend((0..5_000_u32).map(|step| step % 5 + 1));
        items.push(6);
        items.extend((0..5_000_u32).map(|step| step % 6 + 1));
        let times = vec![7; items.len()];
        assert_eq!(parts(&targets, &items, &times), (4, 4, Some(4), Some(5_005)));
        assert_eq!(targets.last_new(&items), targets.last_new_by_set(&items));
        assert_eq!(targets.first_new(&items, 5, items.len()), Some(5_005));
        assert_eq!(targets.first_new(&items, 5_006, items.len()), None);
    }

    #[test]
    fn global_time_takes_the_first_new_interaction_of_each_period() {
        let cut = Holdout::From(TimeCut {
            validation_from: 10,
            test_from: 20,
        });
        let of = |items: &[u32], times: &[i64], repeats| parts(&targets(cut, repeats, 0), items, times);
        let novel = |items: &[u32], times: &[i64]| of(items, times, Repeats::Novel);
        let all = [1, 2, 3, 4, 5, 6];
        assert_eq!(novel(&all, &[1, 9, 10, 11, 20, 30]), (2, 2, Some(2), Some(4)));
        assert_eq!(novel(&[1, 2], &[1, 9]), (2, 2, None, None), "nothing held out");
        assert_eq!(novel(&[1, 2], &[1, 25]), (1, 1, None, Some(1)), "no validation");
        assert_eq!(
            novel(&[1, 2], &[25, 30]),
            (0, 0, None, None),
            "no history at the cut"
        );
        assert_eq!(
            novel(&[1, 2], &[10, 25]),
            (0, 0, None, Some(1)),
            "validation is history by then"
        );
        let again = [1, 2, 2, 10, 1, 3];
        let times = [1, 9, 10, 11, 20, 30];
        assert_eq!(novel(&again, &times), (2, 2, None, Some(5)), "all else is old");
        assert_eq!(of(&again, &times, Repeats::Keep), (2, 2, Some(2), Some(4)));
    }

    #[test]
    fn a_burst_is_never_parted_and_belongs_to_the_period_it_ends_in() {
        let cut = Holdout::From(TimeCut {
            validation_from: 10,
            test_from: 20,
        });
        // 9 and 11 are one burst under a window of 2, and so are 18, 20 and 19, in that order of events.
        let (items, times) = ([1, 2, 3, 4, 5, 6], [1, 11, 9, 18, 20, 19]);
        let within = |window| parts(&targets(cut, Repeats::Novel, window), &items, &times);
        assert_eq!(within(2), (1, 1, Some(1), Some(3)));
        let sorted = [1, 9, 11, 18, 19, 20];
        let none = targets(cut, Repeats::Novel, 0);
        assert_eq!(parts(&none, &items, &sorted), (2, 2, Some(2), Some(5)));
    }
}
