//! What a catalogue is ranked by: whatever tells the chances of next tokens.

use candle_core::{DType, Tensor};

use super::Mass;
use crate::Result;
use crate::backbone::{Decoder, KvCache, Pass};
use crate::op::{log_probabilities, with_gradient};
use crate::rank::top::rounding;

/// Chances of next tokens, by a decoder or by several that agree on their vocabulary.
pub trait NextTokens {
    /// What is kept of prompts, for what is read after them.
    type Cache;

    /// Reads whole prompts. For each (row of the pass, token) asked for the token's log-probability after that row, in the order asked.
    ///
    /// # Errors
    /// Tokens that are not in the vocabulary.
    fn read(&self, pass: &Pass, asked: &[(usize, u32)]) -> Result<(Vec<f32>, Self::Cache)>;

    /// Reads on after prompts. For each (place among `rows`, token) asked for the token's log-probability after that row of the pass. Rows
    /// ascend. Where chances are shares of what the catalogue has, whatever all tokens of a row have in common may be left out.
    ///
    /// # Errors
    /// Tokens that are not in the vocabulary.
    fn read_on(
        &self,
        pass: &Pass,
        rows: &[u32],
        asked: &[(usize, u32)],
        cache: &Self::Cache,
        mass: Mass,
    ) -> Result<Vec<f32>>;

    /// Nats by which what it tells of the same tokens may differ between two passes, or more.
    fn rounding(&self) -> f32;
}

impl NextTokens for Decoder {
    type Cache = KvCache;

    fn read(&self, pass: &Pass, asked: &[(usize, u32)]) -> Result<(Vec<f32>, KvCache)> {
        let (hidden, cache) = self.hidden_and_cache(pass, None)?;
        Ok((log_probabilities(&hidden, self.head(), asked)?, cache))
    }

    fn read_on(
        &self,
        pass: &Pass,
        rows: &[u32],
        asked: &[(usize, u32)],
        cache: &KvCache,
        mass: Mass,
    ) -> Result<Vec<f32>> {
        let hidden = self.hidden_of(pass, rows, Some(cache))?;
        let head = self.head();
        let in_memory =
            hidden.device().is_cpu() && hidden.dtype() == DType::F32 && head.dtype() == DType::F32;
        // A beginning goes on with a few tokens of a thousand, and shares among these need nothing of the others.
        match mass {
            Mass::Catalogue if in_memory => products(&hidden, head, asked),
            _ => Ok(log_probabilities(&hidden, head, asked)?),
        }
    }

    fn rounding(&self) -> f32 {
        rounding(self)
    }
}

/// For each (row, token) the product of a row of `hidden`, `(rows, width)`, and the token's row of `head`, `(vocabulary, width)`.
fn products(hidden: &Tensor, head: &Tensor, asked: &[(usize, u32)]) -> Result<Vec<f32>> {
    let width = hidden.dim(1)?;
    let found = with_gradient(hidden, |hidden| {
        with_gradient(head, |head| {
            let of = |(row, token): &(usize, u32)| {
                let (row, token) = (row * width, *token as usize * width);
                dot(&hidden[row..row + width], &head[token..token + width])
            };
            asked.iter().map(of).collect()
        })
    })?;
    Ok(found?)
}

/// Inner product in eight lanes, which compilers vectorise.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut lanes = [0f32; 8];
    let (ones, others) = (one.chunks_exact(8), other.chunks_exact(8));
    let rest = ones.remainder().iter().zip(others.remainder());
    let rest: f32 = rest.map(|(a, b)| a * b).sum();
    for (one, other) in ones.zip(others) {
        for (lane, (a, b)) in lanes.iter_mut().zip(one.iter().zip(other)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}
