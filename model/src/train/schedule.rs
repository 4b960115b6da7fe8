//! What each step sees and how far it goes: the order of the examples and the learning rate.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::op::mix;

/// The order of examples in an epoch: a function of the seed and the epoch alone.
pub(super) fn order(examples: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(mix(seed ^ mix(epoch as u64 + 1))));
    order
}

/// The factor on the peak rate at `step` of `total`: linear warm-up, then a cosine to zero.
pub(super) fn cosine_with_warmup(step: usize, total: usize, warmup: f64) -> f64 {
    let warm = (total as f64 * warmup).ceil();
    let step = step as f64;
    if step < warm {
        return (step + 1.0) / warm;
    }
    let done = (step - warm) / (total as f64 - warm).max(1.0);
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_depends_on_seed_and_epoch_and_loses_nothing() {
        let mut first = order(50, 7, 0);
        assert_eq!(first, order(50, 7, 0));
        assert_ne!(first, order(50, 7, 1));
        assert_ne!(first, order(50, 8, 0));
        first.sort_unstable();
        assert!(first.into_iter().eq(0..50));
    }

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        let rates: Vec<f64> = (0..100).map(|s| cosine_with_warmup(s, 100, 0.1)).collect();
        assert!((rates[9] - 1.0).abs() < 1e-12 && rates[0] < 0.11);
        assert!(rates[10..].windows(2).all(|w| w[1] < w[0]));
        assert!(rates[99] < 0.01);
    }
}
