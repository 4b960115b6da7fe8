//! Root-mean-square normalisation (Zhang and Sennrich 2019) with a backward, which candle's fused form lacks.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::math::dot;
use super::storage::{contiguous, operand, with_values};

/// `x / √(mean(x²) + eps) · weight` over the rows of `x`, `(rows, width)`; `weight` is `(width)`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    x.apply_op2(weight, RmsNorm { eps: eps as f32 })
}

struct RmsNorm {
    eps: f32,
}

impl RmsNorm {
    fn inverse(&self, row: &[f32]) -> f32 {
        1.0 / (dot(row, row) / row.len() as f32 + self.eps).sqrt()
    }
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
        for (row, out) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let inverse = self.inverse(row);
            for i in 0..width {
                out[i] = row[i] * inverse * w[i];
            }
        }
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
        let (mut dx, mut dw) = (vec![0.0f32; rows * width], vec![0.0f32; width]);
        let mut scaled = vec![0.0f32; width];
        with_values(&grad, self.name(), |g| {
            with_values(x, self.name(), |x| {
                with_values(w, self.name(), |w| {
                    let per_row = x
                        .chunks_exact(width)
                        .zip(g.chunks_exact(width))
                        .zip(dx.chunks_exact_mut(width));
                    for ((row, g), out) in per_row {
                        let inverse = self.inverse(row);
                        for i in 0..width {
                            scaled[i] = g[i] * w[i];
                            dw[i] += g[i] * row[i] * inverse;
                        }
                        let along = dot(&scaled, row) * inverse * inverse * inverse / width as f32;
                        for i in 0..width {
                            out[i] = scaled[i] * inverse - row[i] * along;
                        }
                    }
                    Ok(())
                })
            })
        })?;
        let dx = if x.track_op() {
            Some(Tensor::from_vec(dx, (rows, width), x.device())?)
        } else {
            None
        };
        let dw = if w.is_variable() {
            Some(Tensor::from_vec(dw, width, w.device())?)
        } else {
            None
        };
        Ok((dx, dw))
    }
}
