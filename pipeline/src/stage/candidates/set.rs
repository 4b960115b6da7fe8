//! One candidate set while it is drawn.

use std::collections::HashSet;

use rand_chacha::ChaCha8Rng;

use super::{Candidates, Touched};
use crate::seed;
use crate::stage::bins::Bins;

/// A candidate set that is being drawn.
pub(super) struct Set<'a> {
    draws: &'a Candidates,
    rng: ChaCha8Rng,
    touched: &'a Touched,
    titles: Ids,
    chosen: Vec<u32>,
}

/// A set of ids, which is looked through while it is small: hashing a few numbers takes longer.
#[derive(Debug, Default)]
pub(super) struct Ids {
    few: Vec<u32>,
    many: HashSet<u32>,
}

/// The largest set that is looked through.
const FEW: usize = 64;

impl Ids {
    pub(super) fn of(ids: &[u32]) -> Self {
        if ids.len() <= FEW {
            return Self {
                few: ids.to_vec(),
                many: HashSet::new(),
            };
        }
        Self {
            few: Vec::new(),
            many: ids.iter().copied().collect(),
        }
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.few.contains(&id) || (!self.many.is_empty() && self.many.contains(&id))
    }

    /// Whether it was not there yet.
    fn insert(&mut self, id: u32) -> bool {
        if self.contains(id) {
            return false;
        }
        if self.few.len() < FEW {
            self.few.push(id);
            return true;
        }
        self.many.insert(id)
    }

    /// How many there are, each counted once.
    pub(super) fn distinct(&self) -> usize {
        let first = |(at, id): &(usize, &u32)| !self.few[..*at].contains(id);
        self.few.iter().enumerate().filter(first).count() + self.many.len()
    }
}

/// Draws tried for each place of a set before all that is left is listed. Bounded because titles may repeat without end.
const TRIES: usize = 64;

impl<'a> Set<'a> {
    /// A set that holds the target alone, with the generator that a key, the user and the position give.
    pub(super) fn begun(
        draws: &'a Candidates,
        key: &str,
        user: &str,
        position: u32,
        target: u32,
        touched: &'a Touched,
    ) -> Self {
        Self {
            draws,
            rng: seed::rng(draws.seed, key, user, u64::from(position)),
            touched,
            titles: Ids::of(&[draws.titles.first(target)]),
            chosen: vec![target],
        }
    }

    /// The items in random order.
    pub(super) fn shuffled(mut self) -> Vec<u32> {
        seed::shuffle(&mut self.rng, &mut self.chosen);
        self.chosen
    }

    fn full(&self) -> bool {
        self.chosen.len() >= self.draws.size
    }

    fn items(&self) -> usize {
        self.draws.titles.items()
    }

    /// Takes the item unless the user touched it or its title is there already.
    fn offer(&mut self, item: u32) {
        if !self.touched.items.contains(item) && self.titles.insert(self.draws.titles.first(item)) {
            self.chosen.push(item);
        }
    }

    pub(super) fn fill_uniformly(&mut self) {
        let items = self.items();
        self.try_each(items, |place| place as u32 + 1);
        if !self.full() {
            let rest = self.touched.rest(items);
            self.fill_from(rest.to_vec());
        }
    }

    /// Offers draws from so many items, where most of them hit; the others are rejected.
    fn try_each(&mut self, items: usize, item: impl Fn(usize) -> u32) {
        if (self.touched.distinct + self.draws.size) * 2 > items {
            return;
        }
        for _ in 0..self.draws.size * TRIES {
            if self.full() {
                break;
            }
            let place = seed::below(&mut self.rng, items as u64) as usize;
            self.offer(item(place));
        }
    }

    /// Fills the set from a bin and, as far as that does not suffice, from those nearest to it. Whether any of these gave an item.
    pub(super) fn fill_from_bins(&mut self, bins: &Bins, own: usize) -> bool {
        self.fill_from_bin(bins.items(own));
        let within = self.chosen.len();
        if !self.full() {
            for bin in bins.nearest(own) {
                self.fill_from_bin(bins.items(bin));
                if self.full() {
                    break;
                }
            }
        }
        self.chosen.len() > within
    }

    fn fill_from_bin(&mut self, items: &[u32]) {
        self.try_each(items.len(), |place| items[place]);
        if !self.full() {
            let untouched = items.iter().copied();
            let rest = untouched.filter(|item| !self.touched.items.contains(*item));
            self.fill_from(rest.collect());
        }
    }

    pub(super) fn fill_by_popularity(&mut self, sums: &[u64]) {
        let total = sums[sums.len() - 1];
        for _ in 0..self.draws.size * TRIES {
            if self.full() || total == 0 {
                break;
            }
            let at = seed::below(&mut self.rng, total);
            self.offer(sums.partition_point(|sum| *sum <= at) as u32);
        }
        if self.full() {
            return;
        }
        // A few items may hold nearly all interactions: what they leave open goes to the others that have any, then to the rest.
        let rest = self.touched.rest(self.items()).iter().copied();
        let (known, unknown): (Vec<u32>, Vec<u32>) =
            rest.partition(|item| sums[*item as usize] > sums[*item as usize - 1]);
        for rest in [known, unknown] {
            if !self.full() {
                self.fill_from(rest);
            }
        }
    }

    fn fill_from(&mut self, mut rest: Vec<u32>) {
        seed::shuffle(&mut self.rng, &mut rest);
        for item in rest {
            if self.full() {
                break;
            }
            self.offer(item);
        }
    }
}
