//! How the rotary frequencies of models for long contexts are scaled.

use serde::{Deserialize, Serialize};

/// How the rotary frequencies are stretched for contexts longer than the pre-training's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// Every frequency is divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1's rule: long wavelengths are divided by `factor`, short ones kept, those between interpolated.
    Llama3 {
        /// Divisor of the lowest frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided by `factor`.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` stay as they are.
        high_freq_factor: f64,
        /// Context length of the pre-training.
        original_max_position_embeddings: usize,
    },
}

impl RopeScaling {
    /// Llama 3.1's rule from what it divides each frequency by, if it is that: with the bounds of all such models, 1 and 4.
    pub(in crate::backbone) fn llama3_of(frequencies: &[f32], divisors: &[f32]) -> Option<Self> {
        const LOW: f64 = 1.0;
        const HIGH: f64 = 4.0;
        let pairs = || {
            let pairs = frequencies.iter().zip(divisors);
            pairs.map(|(frequency, divisor)| (f64::from(*frequency), f64::from(*divisor)))
        };
        let factor = pairs().map(|(_, divisor)| divisor).fold(1.0, f64::max);
        let wavelength = |frequency: f64| 2.0 * std::f64::consts::PI / frequency;
        let kept = |divisor: f64| divisor < 1.0 + 1e-3;
        let divided = |divisor: f64| divisor > factor * (1.0 - 1e-3);
        // Where a frequency is interpolated, its wavelength tells the context it was made for; the longest such one most exactly.
        let interpolated = pairs().rfind(|(_, divisor)| !kept(*divisor) && !divided(*divisor));
        let original = match interpolated {
            Some((frequency, divisor)) => {
                let smooth = (1.0 / divisor - 1.0 / factor) / (1.0 - 1.0 / factor);
                wavelength(frequency) * (LOW + smooth * (HIGH - LOW))
            }
            // Without one, any context will do that has no wavelength in between.
            None => {
                let last_kept = pairs().rfind(|(_, divisor)| kept(*divisor))?;
                let first_divided = pairs().find(|(_, divisor)| divided(*divisor))?;
                0.5 * (wavelength(last_kept.0) * HIGH + wavelength(first_divided.0) * LOW)
            }
        };
        let scaling = RopeScaling::Llama3 {
            factor,
            low_freq_factor: LOW,
            high_freq_factor: HIGH,
            original_max_position_embeddings: original.round() as usize,
        };
        let same = |(frequency, divisor): (f64, f64)| {
            let ours = frequency / scaling.apply(frequency);
            (ours - divisor).abs() < 1e-3 * divisor
        };
        (frequencies.len() == divisors.len() && pairs().all(same)).then_some(scaling)
    }

    pub(super) fn apply(self, frequency: f64) -> f64 {
        let (factor, low_freq_factor, high_freq_factor, original_max_position_embeddings) = match self {
            RopeScaling::Linear { factor } => return frequency / factor,
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => (
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            ),
        };
        let original = original_max_position_embeddings as f64;
        let wavelength = 2.0 * std::f64::consts::PI / frequency;
        if wavelength < original / high_freq_factor {
            frequency
        } else if wavelength > original / low_freq_factor {
            frequency / factor
        } else {
            let smooth = (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
            (1.0 - smooth) * frequency / factor + smooth * frequency
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backbone::DecoderConfig;

    fn plain() -> DecoderConfig {
        let text = r#"{"model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 4, "head_dim": 64, "rope_theta": 5e5}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn llama3_scaling_is_told_by_its_divisors_and_no_other_is_taken_for_it() {
        let frequencies = plain().inverse_frequencies();
        for (factor, original_max_position_embeddings) in [(8.0, 8192), (32.0, 8192), (4.0, 300)] {
            let scaling = RopeScaling::Llama3 {
                factor,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position_embeddings,
            };
            let divisor = |f: &f32| (f64::from(*f) / scaling.apply(f64::from(*f))) as f32;
            let mut divisors: Vec<f32> = frequencies.iter().map(divisor).collect();
            assert_eq!(RopeScaling::llama3_of(&frequencies, &divisors), Some(scaling));
            assert_eq!(RopeScaling::llama3_of(&frequencies[1..], &divisors), None);
            divisors[0] *= 1.5;
            assert_eq!(RopeScaling::llama3_of(&frequencies, &divisors), None);
        }
    }

    #[test]
    fn llama3_scaling_keeps_high_frequencies_and_divides_low_ones() {
        let mut scaled = plain();
        scaled.rope_scaling = Some(RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        });
        let (plain, scaled) = (plain().inverse_frequencies(), scaled.inverse_frequencies());
        assert_eq!((plain.len(), plain[0], scaled[0]), (32, 1.0, 1.0));
        assert!((plain[31] / scaled[31] - 8.0).abs() < 1e-4);
        assert!(scaled.windows(2).all(|pair| pair[1] < pair[0]));
    }
}
