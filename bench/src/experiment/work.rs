//! How much there is to compute, before anything is computed: tokens and floating-point operations, from the lengths of a sample.

use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};
use weaverec_model::backbone::DecoderConfig;
use weaverec_model::train::{Example, training_flops};

/// Texts of one kind: how many, and how long they are on average, by a sample of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Text {
    /// How many there are.
    pub count: usize,
    /// Tokens of one.
    pub tokens: f64,
    /// Those that are predicted.
    pub targets: f64,
}

impl Text {
    /// Of `count` texts of which these are some.
    pub fn of(sample: &[Example], count: usize) -> Self {
        // To a 256th, which JSON keeps to the last bit.
        let mean = |of: fn(&Example) -> usize| {
            let mean = sample.iter().map(of).sum::<usize>() as f64 / sample.len().max(1) as f64;
            (mean * 256.0).round() / 256.0
        };
        Text {
            count,
            tokens: mean(|example| example.tokens.len().saturating_sub(1)),
            targets: mean(Example::targets),
        }
    }

    /// So many of the same kind.
    pub fn times(self, count: usize) -> Self {
        Text { count, ..self }
    }
}

/// Floating-point operations of training over a frozen base, which is linear in these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpCounts {
    /// A token, but for attention.
    pub token: f64,
    /// A token's attention, for each token of its sequence.
    pub length: f64,
    /// A token that is predicted.
    pub target: f64,
}

impl OpCounts {
    /// Of a decoder of these sizes.
    pub fn of(config: &DecoderConfig) -> Self {
        let token = training_flops(config, 1, 0, 0.0);
        OpCounts {
            token,
            length: training_flops(config, 1, 0, 1.0) - token,
            target: training_flops(config, 0, 1, 0.0),
        }
    }

    /// Training an adapter on texts, `passes` times.
    pub fn training(&self, text: Text, passes: usize) -> Work {
        let times = (text.count * passes) as f64;
        let a_text = text.tokens * (self.token + self.length * text.tokens) + text.targets * self.target;
        Work {
            tokens: (times * text.tokens) as u64,
            flops: times * a_text,
        }
    }

    /// Training all weights: their gradients are half as much again.
    pub fn pretraining(&self, text: Text, passes: usize) -> Work {
        let Work { tokens, flops } = self.training(text, passes);
        Work {
            tokens,
            flops: 1.5 * flops,
        }
    }

    /// Reading texts once: half of what training takes.
    pub fn scoring(&self, text: Text) -> Work {
        let Work { tokens, flops } = self.training(text, 1);
        Work {
            tokens,
            flops: 0.5 * flops,
        }
    }
}

/// What a cell computes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Tokens that go through a model.
    pub tokens: u64,
    /// Floating-point operations.
    pub flops: f64,
}

impl Add for Work {
    type Output = Work;

    fn add(self, other: Work) -> Work {
        Work {
            tokens: self.tokens + other.tokens,
            flops: self.flops + other.flops,
        }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Work>>(parts: I) -> Work {
        parts.fold(Work::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weaverec_model::backbone::nano::NanoConfig;

    fn config() -> DecoderConfig {
        let sizes = NanoConfig {
            vocabulary: 400,
            width: 32,
            inner: 64,
            layers: 2,
            heads: 2,
            key_value_heads: 1,
        };
        sizes.llama(0)
    }

    #[test]
    fn estimates_are_what_a_training_of_texts_of_one_length_is_said_to_have_taken() {
        let example = Example {
            tokens: vec![1; 31],
            loss_from: 11,
        };
        let text = Text::of(&[example.clone(), example], 70).times(50);
        assert_eq!((text.count, text.tokens, text.targets), (50, 30.0, 20.0));
        let operations = OpCounts::of(&config());
        let work = operations.training(text, 2);
        assert_eq!(work.tokens, 3000);
        let exact = training_flops(&config(), 3000, 2000, 30.0);
        assert!((work.flops / exact - 1.0).abs() < 1e-12, "{} {exact}", work.flops);
        let scoring = operations.scoring(text);
        assert!((scoring.flops / exact - 0.25).abs() < 1e-12);
        assert!((operations.pretraining(text, 2).flops / exact - 1.5).abs() < 1e-12);
    }

    #[test]
    fn nothing_takes_nothing() {
        let none = Text::of(&[], 0);
        assert_eq!(OpCounts::of(&config()).training(none, 3), Work::default());
        assert_eq!([Work::default(); 3].into_iter().sum::<Work>(), Work::default());
    }
}
