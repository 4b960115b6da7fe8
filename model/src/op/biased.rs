//! A bias for every row and what follows it, in one visit: candle's own sum over rows, which the bias's gradient is, is slow.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::composed;
use super::math::{exp, vectorised};
use super::rows::write_rows;
use super::storage::{contiguous, operand, with_all_values};

/// What each value goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonlinearity {
    /// Nothing: the map stays linear.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `x · Φ(x)` with the normal distribution function itself, as BERT has it; not the form with a hyperbolic tangent.
    Gelu,
}

/// `nonlinearity(x + bias)` for rows `(rows, width)` and a bias `(width)`.
pub fn biased(x: &Tensor, bias: &Tensor, nonlinearity: Nonlinearity) -> Result<Tensor> {
    if composed::applies(x) {
        let sum = x.broadcast_add(bias)?;
        return match nonlinearity {
            Nonlinearity::Identity => Ok(sum),
            Nonlinearity::Relu => sum.relu(),
            Nonlinearity::Gelu => sum.gelu_erf(),
        };
    }
    x.apply_op2(bias, Biased { nonlinearity })
}

/// The normal distribution function to about 2e-7, and its density: formula 7.1.26 of Abramowitz and Stegun for the error function.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let bell = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let tail = 0.5
        * t
        * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))))
        * bell;
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    // One over the root of 2π.
    (below, 0.398_942_3 * bell)
}

impl Nonlinearity {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        match self {
            Nonlinearity::Identity => x,
            Nonlinearity::Relu => x.max(0.0),
            Nonlinearity::Gelu => x * normal(x).0,
        }
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        match self {
            Nonlinearity::Identity => 1.0,
            Nonlinearity::Relu => f32::from(u8::from(x > 0.0)),
            Nonlinearity::Gelu => {
                let (below, density) = normal(x);
                below + x * density
            }
        }
    }
}

struct Biased {
    nonlinearity: Nonlinearity,
}

impl CustomOp2 for Biased {
    fn name(&self) -> &'static str {
        "biased"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xl: &Layout,
        bs: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, width) = xl.shape().dims2()?;
        let (x, b) = (operand(xs, xl, self.name())?, operand(bs, bl, self.name())?);
        if b.len() != width || width == 0 {
            bail!(
                "{}: input {:?} does not fit bias {:?}",
                self.name(),
                xl.shape(),
                bl.shape()
            );
        }
        let mut y = vec![0.0; x.len()];
        write_rows(&mut y, width, |start, y| {
            vectorised(
                #[inline(always)]
                || {
                    for (row, out) in x[start..].chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                        for i in 0..width {
                            out[i] = self.nonlinearity.value(row[i] + b[i]);
                        }
                    }
                },
            );
        });
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = b.elem_count();
        let grad = contiguous(grad)?;
        with_all_values([x, b, &grad], self.name(), |[x_values, b_values, g]| {
            let mut dx = vec![0.0; x_values.len()];
            write_rows(&mut dx, width, |start, dx| {
                vectorised(
                    #[inline(always)]
                    || {
                        let rows = x_values[start..]
                            .chunks_exact(width)
                            .zip(g[start..].chunks_exact(width));
                        for ((row, g), out) in rows.zip(dx.chunks_exact_mut(width)) {
                            for i in 0..width {
                                out[i] = g[i] * self.nonlinearity.slope(row[i] + b_values[i]);
                            }
                        }
                    },
                );
            });
            let db = match b.track_op() {
                false => None,
                true => {
                    let mut db = vec![0.0; width];
                    vectorised(
                        #[inline(always)]
                        || {
                            for row in dx.chunks_exact(width) {
                                for i in 0..width {
                                    db[i] += row[i];
                                }
                            }
                        },
                    );
                    Some(Tensor::from_vec(db, b.shape(), b.device())?)
                }
            };
            let dx = match x.track_op() {
                false => None,
                true => Some(Tensor::from_vec(dx, x.shape(), x.device())?),
            };
            Ok((dx, db))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::op::tests::{check, random, variable};
    use crate::op::with_composed;
    use candle_core::Var;

    #[test]
    fn each_agrees_with_primitives_and_its_gradients_with_differences() {
        for nonlinearity in [Nonlinearity::Identity, Nonlinearity::Gelu] {
            let (x, b) = (variable(&[5, 19], 1), variable(&[19], 2));
            check(
                &[x.clone(), b.clone()],
                &|| biased(&x, &b, nonlinearity).unwrap(),
                &|| with_composed(|| biased(&x, &b, nonlinearity).unwrap()),
            );
        }
        // Far from the kink, where differences across it say nothing.
        let far = random(&[5, 8], 3);
        let far = (far.sign().unwrap() + far).unwrap();
        let (x, b) = (Var::from_tensor(&far).unwrap(), variable(&[8], 4));
        b.set(&(b.as_tensor() * 0.5).unwrap()).unwrap();
        check(
            &[x.clone(), b.clone()],
            &|| biased(&x, &b, Nonlinearity::Relu).unwrap(),
            &|| with_composed(|| biased(&x, &b, Nonlinearity::Relu).unwrap()),
        );
    }

    #[test]
    fn the_normal_distribution_is_right_far_out_too() {
        // scipy.stats.norm.cdf
        for (x, below) in [
            (-6.0, 9.865_876e-10),
            (-1.0, 0.158_655_25),
            (0.0, 0.5),
            (2.5, 0.993_790_3),
        ] {
            assert!((normal(x).0 - below).abs() < 3e-7f32, "{x}");
        }
    }
}
