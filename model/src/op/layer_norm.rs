//! Layer normalisation (Ba, Kiros and Hinton 2016) with a backward, which candle's fused form lacks.

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};

use super::composed;
use super::math::{dot, sum, vectorised};
use super::rows::write_rows;
use super::storage::{contiguous, operand, with_all_values};

/// `(x − mean) / √(variance + eps) · weight + bias` over the last dimension of `x`, `(…, width)`; `weight` and `bias` are `(width)`. The
/// variance is that of the row itself, not an estimate from it.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    if composed::applies(x) {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
        return normal.broadcast_mul(weight)?.broadcast_add(bias);
    }
    x.contiguous()?
        .apply_op3(weight, bias, LayerNorm { eps: eps as f32 })
}

struct LayerNorm {
    eps: f32,
}

/// A row's mean, and one over its deviation; the row less its mean is left in `centred`.
#[inline(always)]
fn centre(row: &[f32], eps: f32, centred: &mut [f32]) -> f32 {
    let count = row.len() as f32;
    let mean = sum(row) / count;
    for (to, value) in centred.iter_mut().zip(row) {
        *to = value - mean;
    }
    1.0 / (dot(centred, centred) / count + eps).sqrt()
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xl: &Layout,
        ws: &CpuStorage,
        wl: &Layout,
        bs: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = xl.shape().dims().last().copied().unwrap_or(0);
        let name = self.name();
        let (x, w, b) = (
            operand(xs, xl, name)?,
            operand(ws, wl, name)?,
            operand(bs, bl, name)?,
        );
        if width == 0 || w.len() != width || b.len() != width {
            bail!(
                "{name}: input {:?} does not fit weight {:?} and bias {:?}",
                xl.shape(),
                wl.shape(),
                bl.shape()
            );
        }
        let mut y = vec![0.0; x.len()];
        write_rows(&mut y, width, |start, y| {
            vectorised(
                #[inline(always)]
                || {
                    for (row, out) in x[start..].chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                        let inverse = centre(row, self.eps, out);
                        for i in 0..width {
                            out[i] = out[i] * inverse * w[i] + b[i];
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
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = w.elem_count();
        let grad = contiguous(grad)?;
        with_all_values([x, w, &grad], self.name(), |[x_values, w_values, g]| {
            let dx = match x.track_op() {
                false => None,
                true => {
                    let mut dx = vec![0.0; x_values.len()];
                    self.input_gradient(x_values, w_values, g, &mut dx);
                    Some(Tensor::from_vec(dx, x.shape(), x.device())?)
                }
            };
            if !w.track_op() && !b.track_op() {
                return Ok((dx, None, None));
            }
            let (dw, db) = self.own_gradients(x_values, g, width);
            let dw = Tensor::from_vec(dw, w.shape(), w.device())?;
            let db = Tensor::from_vec(db, b.shape(), b.device())?;
            Ok((dx, w.track_op().then_some(dw), b.track_op().then_some(db)))
        })
    }
}

impl LayerNorm {
    /// Writes the gradient of the rows.
    fn input_gradient(&self, x: &[f32], w: &[f32], g: &[f32], dx: &mut [f32]) {
        let width = w.len();
        write_rows(dx, width, |start, dx| {
            vectorised(
                #[inline(always)]
                || {
                    let (mut centred, mut scaled) = (vec![0.0; width], vec![0.0; width]);
                    let rows = x[start..].chunks_exact(width).zip(g[start..].chunks_exact(width));
                    for ((row, g), out) in rows.zip(dx.chunks_exact_mut(width)) {
                        let inverse = centre(row, self.eps, &mut centred);
                        for i in 0..width {
                            scaled[i] = g[i] * w[i];
                        }
                        let mean = sum(&scaled) / width as f32;
                        let along = dot(&scaled, &centred) * inverse * inverse / width as f32;
                        for i in 0..width {
                            out[i] = inverse * (scaled[i] - mean - centred[i] * along);
                        }
                    }
                },
            );
        });
    }

    /// The gradients of weight and bias.
    fn own_gradients(&self, x: &[f32], g: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut dw, mut db) = (vec![0.0; width], vec![0.0; width]);
        vectorised(
            #[inline(always)]
            || {
                let mut centred = vec![0.0; width];
                for (row, g) in x.chunks_exact(width).zip(g.chunks_exact(width)) {
                    let inverse = centre(row, self.eps, &mut centred);
                    for i in 0..width {
                        dw[i] += g[i] * centred[i] * inverse;
                        db[i] += g[i];
                    }
                }
            },
        );
        (dw, db)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::op::tests::{check, variable};
    use crate::op::with_composed;

    #[test]
    fn it_agrees_with_primitives_and_its_gradients_with_differences() {
        let (x, w, b) = (variable(&[5, 19], 1), variable(&[19], 2), variable(&[19], 3));
        check(
            &[x.clone(), w.clone(), b.clone()],
            &|| layer_norm(&x, &w, &b, 1e-5).unwrap(),
            &|| with_composed(|| layer_norm(&x, &w, &b, 1e-5).unwrap()),
        );
    }
}
