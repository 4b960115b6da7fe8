//! Random masks that are the same whatever the order of the members and the number of threads.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::op::mix;

/// What a mask is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// Name of the rule.
    pub rule: &'a str,
    /// Identity of the member, which is not its place: members in another order draw the same masks. Empty: of all members together.
    pub member: &'a str,
    /// Path of the module.
    pub module: &'a str,
    /// Which matrix of the module: `delta`, the factors `A` and `B`, or what else a space gives a rule.
    pub part: &'a str,
}

/// Where masks come from.
pub trait Draws: Sync {
    /// `count` numbers from 0 up to 1, row by row: an entry is kept where its number is below the chance that it is kept with.
    fn uniform(&self, key: Key, count: usize) -> Vec<f64>;
}

/// Masks from a seed and the key alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seeded(pub u64);

impl Draws for Seeded {
    fn uniform(&self, key: Key, count: usize) -> Vec<f64> {
        let mut rng = keyed(self.0, &[key.rule, key.member, key.module, key.part]);
        (0..count).map(|_| rng.random::<f64>()).collect()
    }
}

pub(super) fn keyed(seed: u64, parts: &[&str]) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(mix(seed) ^ xxhash_rust::xxh3::xxh3_64(parts.join("\0").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_every_part_of_the_key_and_on_nothing_else() {
        let key = Key {
            rule: "dare_linear",
            member: "1",
            module: "m",
            part: "delta",
        };
        let first = Seeded(7).uniform(key, 8);
        assert_eq!(first, Seeded(7).uniform(key, 8));
        assert!(first.iter().all(|number| (0.0..1.0).contains(number)));
        let others = [
            Key {
                rule: "dare_ties",
                ..key
            },
            Key { member: "2", ..key },
            Key { module: "n", ..key },
            Key { part: "A", ..key },
        ];
        assert!(others.iter().all(|other| Seeded(7).uniform(*other, 8) != first));
        assert_ne!(Seeded(8).uniform(key, 8), first);
    }
}
