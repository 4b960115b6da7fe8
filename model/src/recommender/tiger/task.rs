//! The task of a decoder over items as tokens: the next token, with some items hidden.

use std::hash::Hasher;

use candle_core::Tensor;

use super::super::codes::HIDDEN;
use super::tokens::Sequence;
use crate::backbone::{Decoder, Pass};
use crate::nn::Parameters;
use crate::op::{cross_entropy, mix};
use crate::rank::{Catalogue, Mass, NextTokens, Ranker, Sought};
use crate::train::pretrain::Nascent;
use crate::train::task::{Better, Mode, Part, Room, Task};
use crate::{Error, Result};

/// A model of next tokens that is trained.
pub(in crate::recommender) trait Learner {
    /// What it is once it learns no more.
    type Frozen: NextTokens;

    /// What is trained.
    fn parameters(&self) -> &Parameters;

    /// The loss of these tokens after these rows of a pass, which ascend, summed.
    fn summed_loss(&self, pass: &Pass, rows: &[u32], targets: &[u32], mode: Mode) -> Result<Tensor>;

    /// A model over a copy of the current values, through which no gradient goes.
    fn frozen(&self) -> Result<Self::Frozen>;
}

impl Learner for Nascent {
    type Frozen = Decoder;

    fn parameters(&self) -> &Parameters {
        self.parameters()
    }

    fn summed_loss(&self, pass: &Pass, rows: &[u32], targets: &[u32], _: Mode) -> Result<Tensor> {
        let decoder = self.decoder();
        let hidden = decoder.hidden_of(pass, rows, None)?;
        Ok(cross_entropy(&hidden, decoder.head(), targets)?)
    }

    /// Ranking keeps keys and values, which a decoder that is trained does not give.
    fn frozen(&self) -> Result<Decoder> {
        self.frozen()
    }
}

/// Next tokens of sequences of items.
pub(in crate::recommender) struct Sequences<'a, L> {
    /// What is trained.
    pub learner: &'a L,
    /// Tokens an item.
    pub each: usize,
    /// Share of the items that are hidden in training.
    pub dropout: f64,
    /// What decides the outcome beside settings, examples and shapes.
    pub fingerprint: String,
    /// The items.
    pub catalogue: &'a Catalogue,
    /// What the chance of a token is a share of when items are ranked.
    pub mass: Mass,
}

/// Most validation users who are ranked.
const RANKED: usize = 1000;

impl<L: Learner> Sequences<'_, L> {
    /// Mean NDCG@10 of the last items of sequences, the first thousand of them, among all items but those that came before; of ties the
    /// target is last.
    pub fn ndcg_at_10(&self, sequences: &[Sequence]) -> Result<f64> {
        let ranked = &sequences[..sequences.len().min(RANKED)];
        let item = |tokens: &[u32]| self.catalogue.find(tokens);
        let mut known = Vec::with_capacity(ranked.len());
        for sequence in ranked {
            let (before, last) = sequence.tokens.split_at(sequence.tokens.len() - self.each);
            let target = item(last)
                .ok_or_else(|| Error::Usage("a validation item is none of the catalogue".into()))?;
            let had = before[1..].chunks_exact(self.each).filter_map(item);
            let had: Vec<usize> = had.filter(|had| *had != target).collect();
            known.push((before, target, had));
        }
        let sought: Vec<Sought> = known
            .iter()
            .map(|(prompt, target, had)| Sought {
                prompt,
                target: *target,
                excluded: had,
            })
            .collect();
        let frozen = self.learner.frozen()?;
        let ranker = Ranker {
            decoder: &frozen,
            catalogue: self.catalogue,
            mass: self.mass,
        };
        let places = ranker.places(&sought, 10, &mut |_| ())?;
        let gain = |(above, tied): (usize, usize)| match above + tied {
            place if place < 10 => 1.0 / (place as f64 + 2.0).log2(),
            _ => 0.0,
        };
        Ok(places.into_iter().map(gain).sum::<f64>() / ranked.len().max(1) as f64)
    }
}

/// Sequences that go through the decoder in one pass.
pub(in crate::recommender) struct Batch {
    sequences: Vec<Sequence>,
    activation_memory: usize,
}

impl<L: Learner> Task for Sequences<'_, L> {
    type Example = Sequence;
    type Batch = Batch;

    fn look(&self, held_out: &[&Sequence], _: Room) -> Result<f64> {
        let held_out: Vec<Sequence> = held_out.iter().map(|sequence| (*sequence).clone()).collect();
        self.ndcg_at_10(&held_out)
    }

    fn better(&self) -> Better {
        Better::More
    }

    fn parameters(&self) -> &Parameters {
        self.learner.parameters()
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn hash(&self, example: &Sequence, hasher: &mut dyn Hasher) {
        hasher.write(&(example.loss_from as u64).to_le_bytes());
        hasher.write(&(example.tokens.len() as u64).to_le_bytes());
        example
            .tokens
            .iter()
            .for_each(|token| hasher.write(&token.to_le_bytes()));
    }

    fn targets(&self, example: &Sequence) -> usize {
        example.tokens.len().saturating_sub(example.loss_from)
    }

    fn parts(&self, examples: &[&Sequence], room: Room) -> Result<Vec<Part<Batch>>> {
        let mut parts: Vec<Part<Batch>> = Vec::new();
        for example in examples.iter().filter(|example| self.targets(example) > 0) {
            // The last token is only predicted.
            let (tokens, targets) = (example.tokens.len() - 1, self.targets(example));
            match parts.last_mut() {
                Some(part) if part.tokens + tokens <= room.tokens => {
                    part.tokens += tokens;
                    part.targets += targets;
                    part.batch.sequences.push((*example).clone());
                }
                _ => parts.push(Part {
                    batch: Batch {
                        sequences: vec![(*example).clone()],
                        activation_memory: room.activation_memory,
                    },
                    targets,
                    tokens,
                }),
            }
        }
        Ok(parts)
    }

    fn summed_loss(&self, batch: &Batch, mode: Mode) -> Result<Tensor> {
        let mut pass = Pass::default();
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        for (number, sequence) in batch.sequences.iter().enumerate() {
            let key = mode.key().map(|key| mix(key ^ mix(number as u64)));
            let hides =
                |item: usize| key.is_some_and(|key| share(mix(key ^ mix(item as u64 + 1))) < self.dropout);
            let (read, learnt) = hidden(sequence, self.each, hides);
            let own = pass.push(&read, 0..0, Vec::new());
            rows.extend(learnt.iter().map(|at| (own.start + at - 1) as u32));
            targets.extend(learnt.iter().map(|at| sequence.tokens[*at]));
        }
        pass.keep(batch.activation_memory);
        self.learner.summed_loss(&pass, &rows, &targets, mode)
    }
}

/// A number from 0 up to 1 of 53 bits of another.
fn share(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// What is read of a sequence of which some items are hidden, and the places of the tokens that are learnt: of a hidden item the first alone,
/// which is told by what comes before it.
fn hidden(sequence: &Sequence, each: usize, hides: impl Fn(usize) -> bool) -> (Vec<u32>, Vec<usize>) {
    let mut read = sequence.tokens[..sequence.tokens.len() - 1].to_vec();
    let mut learnt = Vec::with_capacity(sequence.tokens.len());
    for item in 0..(sequence.tokens.len() - 1).div_ceil(each) {
        let tokens = 1 + item * each..(1 + (item + 1) * each).min(sequence.tokens.len());
        let last = tokens.end == sequence.tokens.len();
        // Nothing follows the last item, which is there to be learnt.
        let hides = !last && hides(item);
        if hides {
            read[tokens.clone()].fill(HIDDEN);
        }
        if tokens.start >= sequence.loss_from {
            learnt.extend(tokens.take(if hides { 1 } else { each }));
        }
    }
    (read, learnt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_item_is_not_read_and_of_it_the_first_token_alone_is_learnt() {
        let sequence = Sequence {
            tokens: vec![0, 11, 12, 13, 14, 21, 22, 23, 24, 31, 32, 33, 34],
            loss_from: 5,
        };
        let (read, learnt) = hidden(&sequence, 4, |_| false);
        assert_eq!(read, sequence.tokens[..12]);
        assert_eq!(learnt, [5, 6, 7, 8, 9, 10, 11, 12]);
        let (read, learnt) = hidden(&sequence, 4, |item| item == 1);
        assert_eq!(read, [0, 11, 12, 13, 14, 1, 1, 1, 1, 31, 32, 33]);
        assert_eq!(learnt, [5, 9, 10, 11, 12]);
        let (read, learnt) = hidden(&sequence, 4, |_| true);
        assert_eq!(
            read,
            [0, 1, 1, 1, 1, 1, 1, 1, 1, 31, 32, 33],
            "the last one is never hidden"
        );
        assert_eq!(learnt, [5, 9, 10, 11, 12]);
        let single = Sequence {
            tokens: vec![0, 11, 12, 13],
            loss_from: 1,
        };
        let (read, learnt) = hidden(&single, 1, |item| item == 1);
        assert_eq!(
            (read, learnt),
            (vec![0, 11, 1], vec![1, 2, 3]),
            "of an item of one token that is all"
        );
    }

    #[test]
    fn shares_are_uniform() {
        let drawn: Vec<f64> = (0..10_000).map(|i| share(mix(i))).collect();
        assert!(drawn.iter().all(|share| (0.0..1.0).contains(share)));
        let below = drawn.iter().filter(|share| **share < 0.1).count();
        assert!((900..1100).contains(&below), "{below}");
    }
}
