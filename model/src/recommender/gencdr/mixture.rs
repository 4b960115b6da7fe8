//! Two decoders that tell the next token together: each token's chance is a mean of theirs, weighed by a gate.

use candle_core::Tensor;

use super::Gate;
use crate::backbone::{Decoder, KvCache, Pass};
use crate::op::{cross_entropy, linear, log_probabilities, with_gradient};
use crate::rank::{Mass, NextTokens};
use crate::{Error, Result};

/// How much the adapted decoder counts, as the logarithm of its share over that of the other.
#[derive(Clone, Debug)]
pub(super) enum Weighing {
    /// As much everywhere.
    Fixed(f64),
    /// The product of the universal decoder's state with `w`, `(1, width)`.
    Learned(Tensor),
}

impl Weighing {
    /// Of a gate, whose vector must be there if it was learnt.
    pub fn of(gate: Gate, weight: Option<&Tensor>) -> Result<Self> {
        match (gate, weight) {
            (Gate::Fixed(share), _) => Ok(Weighing::Fixed((share / (1.0 - share)).ln())),
            (Gate::Learned, Some(weight)) => Ok(Weighing::Learned(weight.clone())),
            (Gate::Learned, None) => Err(Error::Usage("a learnt gate has a vector".into())),
        }
    }

    /// Whether the adapted decoder is all that counts.
    fn is_whole(&self) -> bool {
        matches!(self, Weighing::Fixed(logit) if *logit == f64::INFINITY)
    }

    /// What it is after each of these states of the universal decoder, `(rows, width)`.
    fn logits(&self, states: &Tensor) -> Result<Vec<f64>> {
        match self {
            Weighing::Fixed(logit) => Ok(vec![*logit; states.dim(0)?]),
            Weighing::Learned(weight) => {
                let products = linear(states, &weight.detach(), None)?;
                Ok(with_gradient(&products, |values| {
                    values.iter().map(|value| f64::from(*value)).collect()
                })?)
            }
        }
    }
}

/// A token's log-chance by two decoders of which the first counts as much as a gate of this logit says, and the share of it that is the
/// first one's.
fn mixed(logit: f64, adapted: f32, universal: f32) -> (f64, f64) {
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let (one, other) = (
        f64::from(adapted) - softplus(-logit),
        f64::from(universal) - softplus(logit),
    );
    let most = one.max(other);
    let all = most + ((one - most).exp() + (other - most).exp()).ln();
    (all, (one - all).exp())
}

/// `−log(g p_adapted + (1 − g) p_universal)` of the targets, one a row, summed: a scalar. States are `(rows, width)`, the universal ones
/// constant, as is the head, `(vocabulary, width)`.
///
/// Its gradient is that of the adapted decoder's cross-entropy, each row weighed with the share `r` of the mixture's chance that is its own,
/// and for the gate's logit `g − r`.
pub(super) fn loss(
    adapted: &Tensor,
    universal: &Tensor,
    head: &Tensor,
    weighing: &Weighing,
    targets: &[u32],
) -> Result<Tensor> {
    let asked: Vec<(usize, u32)> = targets.iter().copied().enumerate().collect();
    let own = log_probabilities(&adapted.detach(), head, &asked)?;
    let common = log_probabilities(universal, head, &asked)?;
    let logits = weighing.logits(universal)?;
    let (mut value, mut shares, mut slopes) = (0.0, Vec::new(), Vec::new());
    for ((own, common), logit) in own.iter().zip(&common).zip(&logits) {
        let (all, share) = mixed(*logit, *own, *common);
        value -= all;
        shares.push(share as f32);
        slopes.push((1.0 / (1.0 + (-logit).exp()) - share) as f32);
    }
    let column = |values: Vec<f32>| Tensor::from_vec(values, (targets.len(), 1), adapted.device());
    // The states as they are, through which a row's share of the gradient goes.
    let still = adapted.detach();
    let weighed = ((adapted - &still)?.broadcast_mul(&column(shares)?)? + &still)?;
    let mut slope = cross_entropy(&weighed, head, targets)?;
    if let Weighing::Learned(weight) = weighing {
        let products = linear(universal, weight, None)?;
        slope = (slope + (products * column(slopes)?)?.sum_all()?)?;
    }
    // What has the gradient is replaced by the value.
    let value = Tensor::new(value as f32, adapted.device())?;
    Ok(((&slope - slope.detach())? + value)?)
}

/// A decoder, or two of which one is adapted, that rank together.
#[derive(Debug)]
pub(super) struct Mixture {
    /// The adapted one, or the only one.
    decoder: Decoder,
    /// The universal one beside it, and how much the first counts.
    beside: Option<(Decoder, Weighing)>,
}

impl Mixture {
    /// One decoder.
    pub fn alone(decoder: Decoder) -> Self {
        Mixture {
            decoder,
            beside: None,
        }
    }

    /// Two, or the adapted one where nothing else counts.
    pub fn new(adapted: Decoder, universal: &Decoder, weighing: Weighing) -> Self {
        let beside = (!weighing.is_whole()).then(|| (universal.clone(), weighing));
        Mixture {
            decoder: adapted,
            beside,
        }
    }

    /// Log-chances of what is asked for after rows of both decoders' states.
    fn answers(
        &self,
        (universal, weighing): (&Decoder, &Weighing),
        states: [&Tensor; 2],
        asked: &[(usize, u32)],
    ) -> Result<Vec<f32>> {
        let own = log_probabilities(states[0], self.decoder.head(), asked)?;
        let common = log_probabilities(states[1], universal.head(), asked)?;
        let logits = weighing.logits(states[1])?;
        let both = own.iter().zip(&common).zip(asked);
        Ok(both
            .map(|((own, common), (row, _))| mixed(logits[*row], *own, *common).0 as f32)
            .collect())
    }
}

impl NextTokens for Mixture {
    /// The adapted decoder's, and the universal one's where it takes part.
    type Cache = (KvCache, KvCache);

    fn read(&self, pass: &Pass, asked: &[(usize, u32)]) -> Result<(Vec<f32>, Self::Cache)> {
        let Some((universal, weighing)) = &self.beside else {
            let (answers, cache) = self.decoder.read(pass, asked)?;
            return Ok((answers, (cache, KvCache::default())));
        };
        let (own, own_cache) = self.decoder.hidden_and_cache(pass, None)?;
        let (common, common_cache) = universal.hidden_and_cache(pass, None)?;
        let answers = self.answers((universal, weighing), [&own, &common], asked)?;
        Ok((answers, (own_cache, common_cache)))
    }

    fn read_on(
        &self,
        pass: &Pass,
        rows: &[u32],
        asked: &[(usize, u32)],
        cache: &Self::Cache,
        mass: Mass,
    ) -> Result<Vec<f32>> {
        let Some((universal, weighing)) = &self.beside else {
            return self.decoder.read_on(pass, rows, asked, &cache.0, mass);
        };
        // Shares of each decoder are mixed as they were learnt, before they become shares of the catalogue.
        let own = self.decoder.hidden_of(pass, rows, Some(&cache.0))?;
        let common = universal.hidden_of(pass, rows, Some(&cache.1))?;
        self.answers((universal, weighing), [&own, &common], asked)
    }

    fn rounding(&self) -> f32 {
        let other = self
            .beside
            .as_ref()
            .map_or(0.0, |(decoder, _)| decoder.rounding());
        self.decoder.rounding().max(other)
    }
}
