//! Dropout whose mask is a function of a key, so that the backward makes it anew and a training goes on with the same masks.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::linear::drop_out;
use super::storage::{contiguous, operand, with_values};

/// `x` times a mask: 0 with probability `p`, below one, and otherwise `1 / (1 − p)`. The mask depends on the key and on where in `x` a
/// value stands, and on nothing else. In main memory only.
pub fn dropout(x: &Tensor, p: f32, key: u64) -> Result<Tensor> {
    match p > 0.0 {
        false => Ok(x.clone()),
        true => x.contiguous()?.apply_op1(Dropout { p, key }),
    }
}

struct Dropout {
    p: f32,
    key: u64,
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut values = operand(storage, layout, self.name())?.to_vec();
        drop_out(&mut values, self.p, self.key);
        Ok((CpuStorage::F32(values), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = contiguous(grad)?;
        with_values(&grad, self.name(), |g| {
            let mut values = g.to_vec();
            drop_out(&mut values, self.p, self.key);
            Ok(Some(Tensor::from_vec(values, x.shape(), x.device())?))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::op::tests::{flat, random, variable};

    #[test]
    fn a_share_is_dropped_the_rest_grows_and_the_gradient_goes_the_same_way() {
        let x = variable(&[40, 50], 1);
        let y = dropout(&x, 0.25, 7).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let gradient = flat(gradients.get(&x).unwrap());
        let mut dropped = 0;
        for ((x, y), g) in flat(&x).into_iter().zip(flat(&y)).zip(gradient) {
            assert!(g == 0.0 || (g - 4.0 / 3.0).abs() < 1e-6, "{g}");
            assert_eq!(y, x * g);
            dropped += usize::from(g == 0.0);
        }
        // 500 are expected, with a deviation of 19.
        assert!((400..600).contains(&dropped), "{dropped}");
        let again = dropout(&x, 0.25, 7).unwrap();
        assert_eq!(flat(&again), flat(&y));
        assert_ne!(flat(&dropout(&x, 0.25, 8).unwrap()), flat(&y));
    }

    #[test]
    fn without_a_probability_nothing_is_done() {
        let x = random(&[3, 4], 2);
        assert_eq!(flat(&dropout(&x, 0.0, 1).unwrap()), flat(&x));
    }
}
