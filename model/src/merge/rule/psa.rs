//! `psa`: the sum of the updates by weights, each entry through SharpRec's map (its post-map, PSA).
//!
//! Of an entry d, less a normal number of the standard deviation `sigma`, it makes `sign(d) (|d| + ε)^γ (1 + α e^(−β|d|))`. The numbers
//! are those of the released script, whose noise has no seed; here it is drawn from the recipe's. What the map does to updates of usual
//! size is close to a multiplication ([`psa_scalar`](super::psa_scalar) is the nearest), and the noise.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::{Inputs, Matrices, Merging, Method, consensus, within};
use crate::Result;
use crate::merge::matrix::Matrix;
use crate::merge::space::Space;

/// The settings of `psa`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Psa {
    /// Standard deviation of the noise.
    pub sigma: f64,
    /// The map.
    #[serde(flatten)]
    pub map: Map,
}

impl Default for Psa {
    fn default() -> Self {
        Psa {
            sigma: 1e-4,
            map: Map::default(),
        }
    }
}

/// The settings of the map of entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Map {
    /// The power of a magnitude.
    pub gamma: f64,
    /// How much is added to the smallest, as a share of them.
    pub alpha: f64,
    /// How fast that fades with the magnitude.
    pub beta: f64,
    /// What is added to every magnitude first.
    pub epsilon: f64,
}

impl Default for Map {
    fn default() -> Self {
        Map {
            gamma: 0.98,
            alpha: 0.1,
            beta: 10.0,
            epsilon: 1e-8,
        }
    }
}

impl Map {
    pub(super) fn check(&self) -> Result<()> {
        within("gamma", &self.gamma.into(), 0.0..=2.0)?;
        within("alpha", &self.alpha.into(), 0.0..=10.0)?;
        within("beta", &self.beta.into(), 0.0..=1e6)?;
        within("epsilon", &self.epsilon.into(), 0.0..=1.0)
    }

    /// What becomes of an entry; 0 stays.
    pub(super) fn of(&self, entry: f64) -> f64 {
        let size = entry.abs();
        if size == 0.0 {
            return 0.0;
        }
        let mapped = (size + self.epsilon).powf(self.gamma) * (1.0 + self.alpha * (-self.beta * size).exp());
        mapped.copysign(entry)
    }
}

impl Merging for Psa {
    fn method(&self) -> Method<'_> {
        Method::Matrices(Space::Dense, self)
    }

    fn check(&self, _: usize) -> Result<()> {
        within("sigma", &self.sigma.into(), 0.0..=1.0)?;
        self.map.check()
    }
}

impl Matrices for Psa {
    fn merge(&self, inputs: Inputs) -> Result<Matrix> {
        let (out, input) = inputs.site.shape;
        let drawn = match self.sigma > 0.0 {
            true => inputs.uniform_of_all((out * input).next_multiple_of(2), "psa"),
            false => Vec::new(),
        };
        let mut merged = consensus::sum(inputs.matrices, &inputs.weights);
        for (pair, values) in merged.values.chunks_mut(2).enumerate() {
            let noise = match drawn.get(2 * pair..2 * pair + 2) {
                Some(&[one, other]) => normal(one, other).map(|number| number * self.sigma),
                _ => [0.0; 2],
            };
            for (value, noise) in values.iter_mut().zip(noise) {
                *value = self.map.of(*value - noise);
            }
        }
        Ok(merged)
    }
}

/// Two normal numbers of two uniform ones (Box and Muller 1958).
fn normal(one: f64, other: f64) -> [f64; 2] {
    let radius = (-2.0 * (1.0 - one).ln()).sqrt();
    let angle = TAU * other;
    [radius * angle.cos(), radius * angle.sin()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_power_and_addition_the_map_is_the_identity() {
        let identity = Map {
            gamma: 1.0,
            alpha: 0.0,
            beta: 10.0,
            epsilon: 0.0,
        };
        for entry in [-2.5, -1e-9, 0.0, 3e-4, 7.0] {
            assert_eq!(identity.of(entry), entry);
        }
        let map = Map::default();
        assert_eq!(map.of(-0.01), -map.of(0.01));
        // Small entries grow by more than large ones: the tail is compressed.
        assert!(map.of(3e-4) / 3e-4 > map.of(0.3) / 0.3);
    }

    #[test]
    fn the_noise_is_normal() {
        let count = 20_000;
        let place = |index: usize, step: f64| (0.5 + index as f64 * step).fract();
        // Two sequences that fill the square evenly.
        let numbers: Vec<f64> = (0..count)
            .flat_map(|index| normal(place(index, 0.754_877_666), place(index, 0.569_840_291)))
            .collect();
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let square = numbers.iter().map(|number| number * number).sum::<f64>() / numbers.len() as f64;
        let within_one =
            numbers.iter().filter(|number| number.abs() < 1.0).count() as f64 / numbers.len() as f64;
        assert!(
            mean.abs() < 0.01 && (square - 1.0).abs() < 0.02,
            "{mean} {square}"
        );
        assert!((within_one - 0.6827).abs() < 0.01, "{within_one}");
    }
}
