//! Sums over rows of functions of their next-token distributions, a block of rows at a time: the gradient that reaches the hidden states is
//! formed in the same visit, and no more than a block's logits are ever held.

use std::ops::Range;

use candle_core::{D, DType, Tensor};

use crate::Result;
use crate::op::linear;

/// Logits that are held at one time: 16 MB.
const MOST_LOGITS: usize = 1 << 22;

/// The value of a sum, and a scalar with the sum's gradient (but not its value) where the hidden states have one.
pub(super) struct Sum {
    pub value: f64,
    pub gradient: Option<Tensor>,
}

/// Of rows `(rows, width)` before a head `(vocabulary, width)`. `of` is given some of the rows and their log-probabilities, `(count,
/// vocabulary)` in f32, and gives their share of the sum and its gradient over the logits.
fn over_rows(
    hidden: &Tensor,
    head: &Tensor,
    of: impl Fn(Range<usize>, &Tensor) -> Result<(f64, Tensor)>,
) -> Result<Sum> {
    let (rows, vocabulary) = (hidden.dim(0)?, head.dim(0)?);
    let (values, weights) = (hidden.detach(), head.detach());
    let size = (MOST_LOGITS / vocabulary.max(1)).max(1);
    let (mut value, mut gradients) = (0.0, Vec::new());
    for start in (0..rows).step_by(size) {
        let count = size.min(rows - start);
        let part = values.narrow(0, start, count)?.contiguous()?;
        let logits = linear(&part, &weights, None)?.to_dtype(DType::F32)?;
        let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
        let normaliser = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
        let (own, d_logits) = of(start..start + count, &shifted.broadcast_sub(&normaliser)?)?;
        value += own;
        if hidden.track_op() {
            let d_hidden = d_logits.to_dtype(weights.dtype())?.matmul(&weights)?;
            gradients.push(d_hidden.to_dtype(DType::F32)?);
        }
    }
    let gradient = match gradients.is_empty() {
        true => None,
        // Linear in the hidden states, with the gradient as its slope.
        false => Some((hidden.to_dtype(DType::F32)? * Tensor::cat(&gradients, 0)?)?.sum_all()?),
    };
    Ok(Sum { value, gradient })
}

/// Σ w log p(target) over rows.
pub(super) fn log_likelihood(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
) -> Result<Sum> {
    over_rows(hidden, head, |rows, logs| {
        let (count, device) = (rows.len(), logs.device());
        let targets = Tensor::from_slice(&targets[rows.clone()], (count, 1), device)?;
        let weights = Tensor::from_slice(&weights[rows], (count, 1), device)?;
        let value = (logs.gather(&targets, 1)? * &weights)?
            .sum_all()?
            .to_scalar::<f32>()?;
        let away = logs.exp()?.broadcast_mul(&weights.neg()?)?;
        Ok((f64::from(value), away.scatter_add(&targets, &weights, 1)?))
    })
}

/// Σ w H over rows, H the entropy of the next token in nats.
pub(super) fn entropy(hidden: &Tensor, head: &Tensor, weights: &[f32]) -> Result<Sum> {
    over_rows(hidden, head, |rows, logs| {
        let weights = Tensor::from_slice(&weights[rows.clone()], (rows.len(), 1), logs.device())?;
        let p = logs.exp()?;
        let entropies = (&p * logs)?.sum_keepdim(D::Minus1)?.neg()?;
        let value = (&entropies * &weights)?.sum_all()?.to_scalar::<f32>()?;
        // ∂H/∂z_j = −p_j (log p_j + H).
        let slopes = (p * logs.broadcast_add(&entropies)?)?.broadcast_mul(&weights.neg()?)?;
        Ok((f64::from(value), slopes))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{Device, Var};

    use super::*;
    use crate::backbone::decoder::tests::{flat, random};

    /// The sum's gradient against that of the same sum composed of candle's operations.
    fn agrees(of: impl Fn(&Tensor, &Tensor) -> Sum, composed: impl Fn(&Tensor) -> Tensor) {
        let hidden = Var::from_tensor(&random("hidden", &[5, 6], 1.0)).unwrap();
        let head = random("head", &[9, 6], 1.0);
        let sum = of(hidden.as_tensor(), &head);
        let logits = hidden.as_tensor().matmul(&head.t().unwrap()).unwrap();
        let e = logits.exp().unwrap();
        let logs = logits
            .broadcast_sub(&e.sum_keepdim(1).unwrap().log().unwrap())
            .unwrap();
        let expected = composed(&logs);
        assert!((sum.value - f64::from(expected.to_scalar::<f32>().unwrap())).abs() < 1e-5);
        let gradient = |loss: &Tensor| flat(loss.backward().unwrap().get(&hidden).unwrap());
        let (ours, theirs) = (gradient(&sum.gradient.unwrap()), gradient(&expected));
        for (a, b) in ours.iter().zip(&theirs) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        // Without a variable there is a value alone.
        let frozen = of(&hidden.as_detached_tensor(), &head);
        assert!(frozen.gradient.is_none() && (frozen.value - sum.value).abs() < 1e-9);
    }

    const WEIGHTS: [f32; 5] = [1.0, -0.5, 0.0, 2.0, 0.25];

    #[test]
    fn likelihoods_and_entropies_have_the_gradients_of_their_definitions() {
        let weights = || Tensor::new(&WEIGHTS, &Device::Cpu).unwrap();
        let targets = [8u32, 0, 3, 3, 1];
        agrees(
            |hidden, head| log_likelihood(hidden, head, &targets, &WEIGHTS).unwrap(),
            |logs| {
                let ids = Tensor::new(&targets, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
                let at = logs.gather(&ids, 1).unwrap().squeeze(1).unwrap();
                (at * weights()).unwrap().sum_all().unwrap()
            },
        );
        agrees(
            |hidden, head| entropy(hidden, head, &WEIGHTS).unwrap(),
            |logs| {
                let products = (logs.exp().unwrap() * logs).unwrap().sum(1).unwrap();
                (products * weights()).unwrap().sum_all().unwrap().neg().unwrap()
            },
        );
    }
}
