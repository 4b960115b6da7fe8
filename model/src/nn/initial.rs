//! A parameter's first values.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::op::mix;

/// How a parameter's first values are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// Normal around zero with this standard deviation.
    Normal(f32),
    /// Uniform from minus this bound, which is above zero, to below it.
    Uniform(f32),
}

impl Initial {
    /// `count` values: a function of the seed and the name alone, whatever else was drawn before.
    pub fn values(self, count: usize, seed: u64, name: &str) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(mix(seed) ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes()));
        let mut value = || match self {
            Initial::Zeros => 0.0,
            Initial::Ones => 1.0,
            Initial::Normal(deviation) => {
                let (u, v): (f32, f32) = (rng.random(), rng.random());
                // Box and Muller; 1 − u is never zero.
                deviation * (-2.0 * (1.0 - u).ln()).sqrt() * (std::f32::consts::TAU * v).cos()
            }
            Initial::Uniform(bound) => rng.random_range(-bound..bound),
        };
        (0..count).map(|_| value()).collect()
    }
}
