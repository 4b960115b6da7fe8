//! Randomness that belongs to a row, not to a run.
//!
//! Every draw is keyed by what it is for, (seed, domain, user, position), and comes from a generator of its own. So the
//! result does not depend on which thread, partition or machine reaches the row first, nor on how many rows came before.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A 64-bit key (XXH3) of a tuple of byte strings; lengths are part of it, so `("ab", "c")` differs from `("a", "bc")`.
pub fn key(parts: &[&[u8]]) -> u64 {
    Fields::of(parts).key()
}

/// The generator for one position of one user's sequence in one domain.
///
/// ```
/// use weaverec_pipeline::seed;
/// let mut a = seed::rng(7, "beauty", "A1", 3);
/// let mut b = seed::rng(7, "beauty", "A1", 3);
/// assert_eq!(seed::below(&mut a, 100), seed::below(&mut b, 100));
/// ```
pub fn rng(seed: u64, domain: &str, user: &str, position: u64) -> ChaCha8Rng {
    let fields = Fields::of(&[
        &seed.to_le_bytes(),
        domain.as_bytes(),
        user.as_bytes(),
        &position.to_le_bytes(),
    ]);
    let mut state = [0u8; 32];
    for (lane, chunk) in state.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&xxh3_64_with_seed(&fields.bytes, lane as u64).to_le_bytes());
    }
    ChaCha8Rng::from_seed(state)
}

/// A uniform draw from `0..n` without modulo bias (Lemire's multiply and reject); `n = 0` gives 0.
///
/// Written out here because a random library may change its own method between versions, and prepared data must not.
pub fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    let threshold = if n == 0 { return 0 } else { n.wrapping_neg() % n };
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(n);
        if product as u64 >= threshold {
            return (product >> 64) as u64;
        }
    }
}

/// Fisher–Yates shuffle with [`below`].
pub fn shuffle<T>(rng: &mut ChaCha8Rng, values: &mut [T]) {
    for last in (1..values.len()).rev() {
        values.swap(last, below(rng, last as u64 + 1) as usize);
    }
}

/// The parts of a [`key`], put together one by one: keys whose first parts agree share what is encoded of those.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
}

impl Fields {
    /// Of these parts.
    pub fn of(parts: &[&[u8]]) -> Self {
        let bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
        let mut fields = Self { bytes };
        parts.iter().for_each(|part| fields.push(part));
        fields
    }

    /// Adds a part.
    pub fn push(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(part);
    }

    /// Bytes so far: what [`truncate`](Self::truncate) goes back to.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Removes the parts added since there were so many bytes.
    pub fn truncate(&mut self, bytes: usize) {
        self.bytes.truncate(bytes);
    }

    /// The key of what is there.
    pub fn key(&self) -> u64 {
        xxh3_64(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_separate_their_parts() {
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_eq!(key(&[b"ab", b"c"]), key(&[b"ab", b"c"]));
    }

    #[test]
    fn every_coordinate_changes_the_stream() {
        let first = |seed, domain, user, position| rng(seed, domain, user, position).next_u64();
        let base = first(1, "d", "u", 2);
        for other in [
            first(2, "d", "u", 2),
            first(1, "e", "u", 2),
            first(1, "d", "v", 2),
            first(1, "d", "u", 3),
        ] {
            assert_ne!(base, other);
        }
        assert_eq!(base, first(1, "d", "u", 2));
    }

    #[test]
    fn draws_are_uniform_and_in_range() {
        let mut generator = rng(1, "d", "u", 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[below(&mut generator, 7) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&count| (9_500..10_500).contains(&count)),
            "{counts:?}"
        );
        assert_eq!(below(&mut generator, 1), 0);
        assert_eq!(below(&mut generator, 0), 0);
    }

    #[test]
    fn a_shuffle_keeps_the_elements() {
        let mut values: Vec<u32> = (0..50).collect();
        shuffle(&mut rng(1, "d", "u", 0), &mut values);
        assert_ne!(values, (0..50).collect::<Vec<_>>());
        values.sort_unstable();
        assert_eq!(values, (0..50).collect::<Vec<_>>());
    }
}
