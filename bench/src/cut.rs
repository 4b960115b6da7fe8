//! Which users choose and which are reported: everybody is cut once, by a keyed hash, and stays where the hash puts them.

use serde::{Deserialize, Serialize};

/// The part of the users that somebody belongs to. Choices are made on the first two, results are reported on the last two, and nobody
/// is in more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// Held out (10 %): chooses steps and learning rates.
    Selection,
    /// Held out (20 %): chooses whatever is chosen after training.
    Calibration,
    /// Test users (30 % of the rest) that tuning, CI and READMEs may see.
    Dev,
    /// The other test users, for a profile that is frozen.
    Final,
}

/// Upper ends of the parts on a scale from 0 to 1: 30 % of the rest is 21 % of all.
const ENDS: [(Cut, f64); 4] = [
    (Cut::Selection, 0.10),
    (Cut::Calibration, 0.30),
    (Cut::Dev, 0.51),
    (Cut::Final, 1.0),
];

impl Cut {
    /// All parts, in the order of the scale.
    pub const ALL: [Cut; 4] = [Cut::Selection, Cut::Calibration, Cut::Dev, Cut::Final];

    /// The name used in profiles and records.
    pub fn name(self) -> &'static str {
        match self {
            Cut::Selection => "selection",
            Cut::Calibration => "calibration",
            Cut::Dev => "dev",
            Cut::Final => "final",
        }
    }

    /// Whether results may be reported on it.
    pub fn is_reported(self) -> bool {
        matches!(self, Cut::Dev | Cut::Final)
    }
}

/// A user's place among all users of a domain; users are taken in this order wherever only some are needed, so that fewer are
/// always the first of more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lot(u64);

impl Lot {
    /// Of a user as named in the raw log. `domain` is what was prepared, whatever it is called in a study, so that two studies of one
    /// data set cut it alike.
    pub fn of(seed: u64, domain: &str, user: &str) -> Self {
        let mut hash = blake3::Hasher::new();
        for part in [&seed.to_le_bytes()[..], domain.as_bytes(), user.as_bytes()] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut first = [0; 8];
        hash.finalize_xof().fill(&mut first);
        Lot(u64::from_le_bytes(first))
    }

    /// The part it lies in.
    pub fn cut(self) -> Cut {
        // The upper 53 bits fit a double exactly.
        let share = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        let part = ENDS.iter().find(|(_, end)| share < *end);
        part.map_or(Cut::Final, |(cut, _)| *cut)
    }
}

/// How many users a domain has in each part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// [`Cut::Selection`].
    pub selection: usize,
    /// [`Cut::Calibration`].
    pub calibration: usize,
    /// [`Cut::Dev`].
    pub dev: usize,
    /// [`Cut::Final`].
    pub r#final: usize,
}

impl Sizes {
    /// Of so many users, by the shares that the parts have.
    pub fn expected(users: usize) -> Self {
        let mut sizes = Sizes::default();
        let mut from = 0.0;
        for (cut, end) in ENDS {
            *sizes.part(cut) = (users as f64 * (end - from)).round() as usize;
            from = end;
        }
        sizes
    }

    /// Of a part.
    pub fn of(self, cut: Cut) -> usize {
        match cut {
            Cut::Selection => self.selection,
            Cut::Calibration => self.calibration,
            Cut::Dev => self.dev,
            Cut::Final => self.r#final,
        }
    }

    /// Counts one more.
    pub fn add(&mut self, cut: Cut) {
        *self.part(cut) += 1;
    }

    fn part(&mut self, cut: Cut) -> &mut usize {
        match cut {
            Cut::Selection => &mut self.selection,
            Cut::Calibration => &mut self.calibration,
            Cut::Dev => &mut self.dev,
            Cut::Final => &mut self.r#final,
        }
    }
}

/// Keeps the first so many of what it is given, by lot.
#[derive(Debug)]
pub struct First<T> {
    limit: usize,
    kept: Vec<(Lot, T)>,
    /// The last that can be kept, once there are enough.
    last: Option<Lot>,
}

impl<T> First<T> {
    /// Keeps at most `limit`.
    pub fn new(limit: usize) -> Self {
        First {
            limit,
            kept: Vec::new(),
            last: None,
        }
    }

    /// Takes one more, which is made only if it may be kept.
    pub fn offer(&mut self, lot: Lot, make: impl FnOnce() -> T) {
        if self.limit == 0 || self.last.is_some_and(|last| lot > last) {
            return;
        }
        self.kept.push((lot, make()));
        // Sorted now and then rather than always: there may be a great many, in any order.
        if self.kept.len() >= self.limit.saturating_mul(2).max(64) {
            self.cut_back();
        }
    }

    fn cut_back(&mut self) {
        self.kept.sort_by_key(|(lot, _)| *lot);
        self.kept.truncate(self.limit);
        if self.kept.len() == self.limit {
            self.last = self.kept.last().map(|(lot, _)| *lot);
        }
    }

    /// Those that are kept, in order.
    pub fn into_vec(mut self) -> Vec<T> {
        self.cut_back();
        self.kept.into_iter().map(|(_, kept)| kept).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> impl Iterator<Item = String> {
        (0..40_000).map(|i| format!("A{i}"))
    }

    #[test]
    fn the_parts_have_the_shares_that_they_are_said_to_have() {
        let mut sizes = Sizes::default();
        users().for_each(|user| sizes.add(Lot::of(0, "beauty", &user).cut()));
        for (cut, share) in [
            (Cut::Selection, 0.10),
            (Cut::Calibration, 0.20),
            (Cut::Dev, 0.21),
            (Cut::Final, 0.49),
        ] {
            let found = sizes.of(cut) as f64 / 40_000.0;
            // Five standard errors of a share of 40,000 draws.
            let error = 5.0 * (share * (1.0 - share) / 40_000.0_f64).sqrt();
            assert!((found - share).abs() < error, "{cut:?}: {found}");
        }
    }

    #[test]
    fn seed_domain_and_user_decide_and_nothing_else() {
        let lot = Lot::of(0, "beauty", "A1");
        assert_eq!(lot, Lot::of(0, "beauty", "A1"));
        for other in [
            Lot::of(1, "beauty", "A1"),
            Lot::of(0, "sports", "A1"),
            Lot::of(0, "beauty", "A2"),
            Lot::of(0, "beautyA", "1"),
        ] {
            assert_ne!(lot, other);
        }
        // Two domains cut their users independently: of those that choose in one, a tenth choose in the other.
        let both = users()
            .filter(|user| ["a", "b"].map(|domain| Lot::of(0, domain, user).cut()) == [Cut::Selection; 2]);
        let both = both.count();
        assert!((300..500).contains(&both), "{both}");
    }

    #[test]
    fn fewer_users_are_the_first_of_more_in_whatever_order_they_come() {
        let first = |limit, reverse: bool| {
            let mut names: Vec<String> = users().take(500).collect();
            if reverse {
                names.reverse();
            }
            let mut first = First::new(limit);
            for name in names {
                first.offer(Lot::of(3, "beauty", &name), || name.clone());
            }
            first.into_vec()
        };
        let (few, many) = (first(20, false), first(300, true));
        assert_eq!(few, many[..20]);
        assert_eq!(many, first(300, false));
        assert_eq!(first(1000, true).len(), 500);
        assert!(first(0, false).is_empty());
    }
}
