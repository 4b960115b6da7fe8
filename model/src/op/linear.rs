//! The linear map of every projection: a frozen weight and, where an adapter is present, its low-rank update, in one operation.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::composed;
use super::gemm::{View, gemm};
use super::math::mix;
use super::storage::{contiguous, operand, with_values};

/// The low-rank update of one projection.
#[derive(Clone, Debug)]
pub struct LoraFactors {
    /// `A`, `(rank, in)`.
    pub a: Tensor,
    /// `B`, `(out, rank)`.
    pub b: Tensor,
    /// What the product is multiplied with: alpha / rank, or alpha / √rank.
    pub scale: f64,
    /// Probability with which an input value is dropped before `A`, and the key of this pass' mask.
    pub dropout: Option<(f32, u64)>,
}

/// `x Wᵀ`, plus `scale · dropout(x) Aᵀ Bᵀ` where `lora` is given.
///
/// `x` is `(rows, in)`, `weight` is `(out, in)`; the result is `(rows, out)`. The gradient of `weight` is formed only where it is
/// a variable (as in pre-training), never for a frozen one.
pub fn linear(x: &Tensor, weight: &Tensor, lora: Option<&LoraFactors>) -> Result<Tensor> {
    if composed::applies(x) {
        return composed::linear(x, &weight.clone().into(), None, lora);
    }
    match lora {
        None => x.apply_op2(weight, Plain),
        Some(factors) => {
            let op = WithLora {
                weight: weight.clone(),
                scale: factors.scale as f32,
                dropout: factors.dropout,
                input_needs_gradient: x.track_op(),
            };
            x.apply_op3(&factors.a, &factors.b, op)
        }
    }
}

/// Multiplies by a mask: 0 with probability `p`, otherwise 1 / (1 − p). The mask is a function of the key and the element
/// alone, so a backward makes it anew instead of keeping it.
pub(super) fn drop_out(values: &mut [f32], p: f32, key: u64) {
    let (threshold, keep) = ((p * 65_536.0) as u64, 1.0 / (1.0 - p));
    for (i, four) in values.chunks_mut(4).enumerate() {
        let mut bits = mix(key ^ (i as u64).wrapping_mul(0xA24B_AED4_963E_E407));
        for value in four {
            *value = if (bits & 0xFFFF) < threshold {
                0.0
            } else {
                *value * keep
            };
            bits >>= 16;
        }
    }
}

fn dimensions(x: &Shape, w: &Shape, op: &'static str) -> Result<(usize, usize, usize)> {
    let ((rows, width), (out, inner)) = (x.dims2()?, w.dims2()?);
    if width != inner {
        bail!("{op}: input {x:?} does not fit weight {w:?}");
    }
    Ok((rows, width, out))
}

struct Plain;

impl CustomOp2 for Plain {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xl: &Layout,
        ws: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width, out) = dimensions(xl.shape(), wl.shape(), self.name())?;
        let (x, w) = (operand(xs, xl, self.name())?, operand(ws, wl, self.name())?);
        let mut y = vec![0.0; rows * out];
        gemm(
            &mut y,
            out,
            0.0,
            1.0,
            View::new(x, rows, width),
            View::new(w, out, width).t(),
        );
        Ok((CpuStorage::F32(y), Shape::from((rows, out))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, width, out) = dimensions(x.shape(), w.shape(), self.name())?;
        let grad = contiguous(grad)?;
        with_values(&grad, self.name(), |g| {
            let g = View::new(g, rows, out);
            let dx = match x.track_op() {
                false => None,
                true => with_values(w, self.name(), |w| {
                    let mut dx = vec![0.0; rows * width];
                    gemm(&mut dx, width, 0.0, 1.0, g, View::new(w, out, width));
                    Tensor::from_vec(dx, (rows, width), x.device()).map(Some)
                })?,
            };
            let dw = match w.is_variable() {
                false => None,
                true => with_values(x, self.name(), |x| {
                    let mut dw = vec![0.0; out * width];
                    gemm(&mut dw, width, 0.0, 1.0, g.t(), View::new(x, rows, width));
                    Tensor::from_vec(dw, (out, width), w.device()).map(Some)
                })?,
            };
            Ok((dx, dw))
        })
    }
}

struct WithLora {
    weight: Tensor,
    scale: f32,
    dropout: Option<(f32, u64)>,
    input_needs_gradient: bool,
}

impl WithLora {
    fn apply_mask(&self, values: &mut [f32]) {
        if let Some((p, key)) = self.dropout {
            drop_out(values, p, key);
        }
    }

    /// `dropout(x) Aᵀ`, `(rows, rank)`, and the masked input where there is a mask.
    fn down(
        &self,
        x: &[f32],
        a: &[f32],
        rows: usize,
        width: usize,
        rank: usize,
    ) -> (Vec<f32>, Option<Vec<f32>>) {
        let masked = self.dropout.map(|_| {
            let mut copy = x.to_vec();
            self.apply_mask(&mut copy);
            copy
        });
        let mut h = vec![0.0; rows * rank];
        let input = View::new(masked.as_deref().unwrap_or(x), rows, width);
        gemm(&mut h, rank, 0.0, 1.0, input, View::new(a, rank, width).t());
        (h, masked)
    }
}

impl CustomOp3 for WithLora {
    fn name(&self) -> &'static str {
        "linear with lora"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xl: &Layout,
        s_a: &CpuStorage,
        l_a: &Layout,
        s_b: &CpuStorage,
        l_b: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width, out) = dimensions(xl.shape(), self.weight.shape(), self.name())?;
        let (_, _, rank) = dimensions(xl.shape(), l_a.shape(), self.name())?;
        if l_b.shape().dims2()? != (out, rank) {
            bail!(
                "{}: B is {:?} where A and the weight need ({out}, {rank})",
                self.name(),
                l_b.shape()
            );
        }
        let (x, a, b) = (
            operand(xs, xl, self.name())?,
            operand(s_a, l_a, self.name())?,
            operand(s_b, l_b, self.name())?,
        );
        let (h, _) = self.down(x, a, rows, width, rank);
        let mut y = vec![0.0; rows * out];
        with_values(&self.weight, self.name(), |w| {
            gemm(
                &mut y,
                out,
                0.0,
                1.0,
                View::new(x, rows, width),
                View::new(w, out, width).t(),
            );
            gemm(
                &mut y,
                out,
                1.0,
                self.scale,
                View::new(&h, rows, rank),
                View::new(b, out, rank).t(),
            );
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), Shape::from((rows, out))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let name = self.name();
        let (rows, width, out) = dimensions(x.shape(), self.weight.shape(), name)?;
        let rank = a.dim(0)?;
        let device = x.device().clone();
        let grad = contiguous(grad)?;
        with_values(&grad, name, |g| {
            with_values(x, name, |x| {
                with_values(a, name, |a| {
                    with_values(b, name, |b| {
                        let g = View::new(g, rows, out);
                        let (h, masked) = self.down(x, a, rows, width, rank);
                        let mut db = vec![0.0; out * rank];
                        gemm(&mut db, rank, 0.0, self.scale, g.t(), View::new(&h, rows, rank));
                        // The gradient that reaches the rank-sized activations.
                        let mut dh = vec![0.0; rows * rank];
                        gemm(&mut dh, rank, 0.0, self.scale, g, View::new(b, out, rank));
                        let dh_view = View::new(&dh, rows, rank);
                        let mut da = vec![0.0; rank * width];
                        let input = View::new(masked.as_deref().unwrap_or(x), rows, width);
                        gemm(&mut da, width, 0.0, 1.0, dh_view.t(), input);
                        let dx = match self.input_needs_gradient {
                            false => None,
                            true => {
                                let mut dx = vec![0.0; rows * width];
                                gemm(&mut dx, width, 0.0, 1.0, dh_view, View::new(a, rank, width));
                                self.apply_mask(&mut dx);
                                with_values(&self.weight, name, |w| {
                                    gemm(&mut dx, width, 1.0, 1.0, g, View::new(w, out, width));
                                    Ok(())
                                })?;
                                Some(Tensor::from_vec(dx, (rows, width), &device)?)
                            }
                        };
                        let da = Tensor::from_vec(da, (rank, width), &device)?;
                        let db = Tensor::from_vec(db, (out, rank), &device)?;
                        Ok((dx, Some(da), Some(db)))
                    })
                })
            })
        })
    }
}
