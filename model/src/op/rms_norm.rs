//! Root-mean-square normalisation (Zhang and Sennrich 2019) with a backward, which candle's fused form lacks.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::composed;
use super::math::{dot, vectorised};
use super::rows::write_rows;
use super::storage::{contiguous, operand, with_values};

/// `x / √(mean(x²) + eps) · weight` over the rows of `x`, `(rows, width)`; `weight` is `(width)`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if composed::applies(x) {
        return composed::rms_norm(x, weight, eps);
    }
    x.apply_op2(weight, RmsNorm { eps: eps as f32 })
}

/// One over the root mean square of a row.
#[inline(always)]
fn inverse(row: &[f32], eps: f32) -> f32 {
    1.0 / (dot(row, row) / row.len() as f32 + eps).sqrt()
}

/// Writes the normalised rows of `x` to `y`.
pub(super) fn normalise(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    let width = weight.len();
    write_rows(y, width, |start, y| {
        vectorised(
            #[inline(always)]
            || {
                for (row, out) in x[start..].chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                    let inverse = inverse(row, eps);
                    for i in 0..width {
                        out[i] = row[i] * inverse * weight[i];
                    }
                }
            },
        );
    });
}

/// Adds to `dx` the gradient of `x` that the gradient `g` of the result gives.
pub(super) fn add_input_gradient(x: &[f32], weight: &[f32], eps: f32, g: &[f32], dx: &mut [f32]) {
    let width = weight.len();
    write_rows(dx, width, |start, dx| {
        vectorised(
            #[inline(always)]
            || {
                let rows = x[start..].chunks_exact(width).zip(g[start..].chunks_exact(width));
                let mut scaled = vec![0.0; width];
                for ((row, g), out) in rows.zip(dx.chunks_exact_mut(width)) {
                    let inverse = inverse(row, eps);
                    for i in 0..width {
                        scaled[i] = g[i] * weight[i];
                    }
                    let along = dot(&scaled, row) * inverse * inverse * inverse / width as f32;
                    for i in 0..width {
                        out[i] += scaled[i] * inverse - row[i] * along;
                    }
                }
            },
        );
    });
}

/// Adds to `dw` the gradient of the weight that the gradient `g` of the result gives.
pub(super) fn add_weight_gradient(x: &[f32], eps: f32, g: &[f32], dw: &mut [f32]) {
    let width = dw.len();
    vectorised(
        #[inline(always)]
        || {
            for (row, g) in x.chunks_exact(width).zip(g.chunks_exact(width)) {
                let inverse = inverse(row, eps);
                for i in 0..width {
                    dw[i] += g[i] * row[i] * inverse;
                }
            }
        },
    );
}

struct RmsNorm {
    eps: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms norm"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xl: &Layout,
        ws: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, width) = xl.shape().dims2()?;
        let (x, w) = (operand(xs, xl, self.name())?, operand(ws, wl, self.name())?);
        if w.len() != width {
            bail!(
                "{}: input {:?} does not fit weight {:?}",
                self.name(),
                xl.shape(),
                wl.shape()
            );
        }
        let mut y = vec![0.0; x.len()];
        normalise(x, w, self.eps, &mut y);
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, width) = x.dims2()?;
        let grad = contiguous(grad)?;
        with_values(&grad, self.name(), |g| {
            with_values(x, self.name(), |x_values| {
                with_values(w, self.name(), |w_values| {
                    let dx = match x.track_op() {
                        false => None,
                        true => {
                            let mut dx = vec![0.0; rows * width];
                            add_input_gradient(x_values, w_values, self.eps, g, &mut dx);
                            Some(Tensor::from_vec(dx, (rows, width), x.device())?)
                        }
                    };
                    let dw = match w.is_variable() {
                        false => None,
                        true => {
                            let mut dw = vec![0.0; width];
                            add_weight_gradient(x_values, self.eps, g, &mut dw);
                            Some(Tensor::from_vec(dw, width, w.device())?)
                        }
                    };
                    Ok((dx, dw))
                })
            })
        })
    }
}
