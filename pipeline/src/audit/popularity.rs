//! Where popularity alone stands: a candidate set that it answers measures popularity.

use std::fmt;

use serde::{Deserialize, Serialize};

/// 1 / log2(rank + 1), from rank 1 to the last that counts. Written out: a logarithm may end in another bit on another system.
const DISCOUNTS: [f64; 5] = [
    1.0,
    0.630_929_753_571_457_5,
    0.5,
    0.430_676_558_073_393_06,
    0.386_852_807_234_541_63,
];

/// Items of a catalogue from which on bins are fine enough for popularity to be at chance.
const ITEMS: usize = 2_000;

/// How far from chance popularity may stand on binned candidates, besides [`ERRORS`].
const MARGIN: f64 = 0.01;

/// Standard errors that it may be further away: of few users little is known.
const ERRORS: f64 = 3.0;

/// NDCG@5 over the test prompts of ranking candidates by their training interactions, those of one count in random order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Popularity {
    /// Test prompts.
    pub tests: u64,
    /// On `candidates`.
    pub uniform: f64,
    /// On `binned`.
    pub binned: f64,
    /// Of a random order of the binned candidates.
    pub chance: f64,
    /// The standard error of the difference between the two before this.
    pub error: f64,
}

impl Popularity {
    /// How far from chance the binned candidates may be.
    pub fn tolerance(&self) -> f64 {
        MARGIN + ERRORS * self.error
    }

    /// What is wrong with the binned candidates of a domain of so many items, if anything is.
    pub fn finding(&self, items: usize) -> Option<String> {
        let off = (self.binned - self.chance).abs();
        (items >= ITEMS && self.tests > 1 && off > self.tolerance()).then(|| {
            format!(
                "popularity alone reaches NDCG@5 {:.3} on binned candidates where chance is {:.3} (±{:.3} would do): items of one bin are \
                 asked for too unequally; say so beside every result on them",
                self.binned,
                self.chance,
                self.tolerance()
            )
        })
    }
}

impl fmt::Display for Popularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "popularity alone has NDCG@5 {:.3} on uniform and {:.3} on binned candidates, chance {:.3}",
            self.uniform, self.binned, self.chance
        )
    }
}

/// What the averages are made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    tests: u64,
    uniform: f64,
    binned: f64,
    chance: f64,
    /// Of the differences between binned and chance.
    squares: f64,
}

impl Sums {
    /// Adds a test prompt, of which the items of both sets are in the catalogue; `count` knows an item's training interactions.
    pub fn add(&mut self, target: u32, uniform: &[u32], binned: &[u32], count: impl Fn(u32) -> u32) {
        let (found, chance) = (gain(target, binned, &count), chance(binned.len()));
        self.tests += 1;
        self.uniform += gain(target, uniform, &count);
        self.binned += found;
        self.chance += chance;
        self.squares += (found - chance) * (found - chance);
    }

    /// Adds those of other prompts.
    pub fn append(&mut self, other: Self) {
        self.tests += other.tests;
        self.uniform += other.uniform;
        self.binned += other.binned;
        self.chance += other.chance;
        self.squares += other.squares;
    }

    /// The averages.
    pub fn averages(&self) -> Popularity {
        let tests = self.tests.max(1) as f64;
        let mean = (self.binned - self.chance) / tests;
        let variance = (self.squares / tests - mean * mean).max(0.0);
        Popularity {
            tests: self.tests,
            uniform: self.uniform / tests,
            binned: self.binned / tests,
            chance: self.chance / tests,
            error: (variance / (tests - 1.0).max(1.0)).sqrt(),
        }
    }
}

/// Of a set that is ranked by popularity.
fn gain(target: u32, set: &[u32], count: impl Fn(u32) -> u32) -> f64 {
    let own = count(target);
    let above = set.iter().filter(|item| count(**item) > own).count();
    let tied = set
        .iter()
        .filter(|item| **item != target && count(**item) == own)
        .count();
    // Each of the places that those of one count share is as likely as another.
    let places = DISCOUNTS.iter().skip(above).take(tied + 1);
    places.sum::<f64>() / (tied + 1) as f64
}

/// Of a set of that size in random order.
fn chance(size: usize) -> f64 {
    DISCOUNTS.iter().take(size).sum::<f64>() / size.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_by_their_expectation() {
        let count = |item: u32| [9, 5, 5, 5, 1, 0, 0][item as usize];
        let ranked = |target| gain(target, &[0, 1, 2, 3, 4, 5, 6], count);
        assert_eq!(ranked(0), 1.0);
        let second_to_fourth = (DISCOUNTS[1] + DISCOUNTS[2] + DISCOUNTS[3]) / 3.0;
        assert_eq!(ranked(2), second_to_fourth);
        assert_eq!(ranked(4), DISCOUNTS[4]);
        assert_eq!(ranked(5), 0.0);
        let same = gain(3, &[1, 2, 3, 4, 5, 6, 0], |_| 7);
        assert!((same - chance(7)).abs() < 1e-15, "{same}");
        for (rank, discount) in (1..).zip(DISCOUNTS) {
            assert!(
                (discount - 1.0 / f64::from(rank + 1).log2()).abs() < 1e-15,
                "{rank}"
            );
        }
    }

    #[test]
    fn popularity_away_from_chance_is_a_finding_where_the_catalogue_is_large_and_users_are_many() {
        let of = |users: u32, tilt: u32| {
            let mut sums = Sums::default();
            for user in 0..users {
                // The target is at each place of thirty in turn; with a tilt, every so many times at the first.
                let place = if tilt > 0 && user % tilt == 0 {
                    0
                } else {
                    user % 30
                };
                let set: Vec<u32> = (0..30).collect();
                sums.add(place, &set, &set, |item| 100 - item);
            }
            sums.averages()
        };
        let fair = of(30_000, 0);
        assert!(
            (fair.binned - fair.chance).abs() < 1e-12 && (fair.chance - 0.0983).abs() < 1e-4,
            "{fair:?}"
        );
        assert_eq!(fair.finding(5_000), None);
        let tilted = of(30_000, 20);
        let sentence = tilted.finding(5_000).unwrap_or_default();
        assert!(
            sentence.contains("0.132") && sentence.contains("0.098"),
            "{sentence}"
        );
        assert_eq!(
            tilted.finding(1_999),
            None,
            "small catalogues are told of, no more"
        );
        assert_eq!(of(60, 20).finding(5_000), None, "60 users may be so by chance");
        assert_eq!(Sums::default().averages().finding(5_000), None);
    }
}
