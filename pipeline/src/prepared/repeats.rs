//! How many targets a folder's users had before.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::prepared::Share;

/// Repeats among the interactions that would be asked for if all were kept, and what comes of leaving them out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepeatReport {
    /// Of users with a test, if repeats are kept: those whose test is an item that they had before.
    pub test_items: Share,
    /// Of the same: those whose test is another item of a title that they had before.
    pub test_titles: Share,
    /// The first for the validation.
    pub validation_items: Share,
    /// The second for the validation.
    pub validation_titles: Share,
    /// Interactions behind the test's target, which nothing is made of: leave-one-out of new items.
    pub dropped: u64,
    /// Users that have a test only where repeats are kept.
    pub users_lost: u64,
}

impl fmt::Display for RepeatReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = [
            self.test_items,
            self.test_titles,
            self.validation_items,
            self.validation_titles,
        ];
        if shares.iter().all(|share| share.count == 0) {
            return write!(f, "none among {} tests", self.test_items.of);
        }
        let [items, titles, validation_items, validation_titles] = shares;
        write!(
            f,
            "{items} tests would be an item that the user had before, {titles} another of its title (validation: {validation_items} \
             and {validation_titles}); {} interactions dropped, {} users without a test for it",
            self.dropped, self.users_lost
        )
    }
}
