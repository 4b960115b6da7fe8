//! Losses of a target against a sample of the others, where the whole catalogue is too dear or the method wants it so; the gradient is
//! formed in the same visit.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::math::{dot, vectorised};
use super::rows::write_rows;
use super::storage::operand;
use super::threads::{map, threads};

/// What targets are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Negatives {
    /// These, in every row.
    Shared(Vec<u32>),
    /// As many for each row, one row after another.
    Each(Vec<u32>),
}

/// What a row's scores come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// `−log softmax` over the target and the negatives.
    Softmax,
    /// `−(β log σ(s⁺) + Σ log(1 − σ(s⁻))) / (k + 1)` with k negatives: with β one the binary cross-entropy, with β below one that of
    /// gSASRec (Petrov and Macdonald 2023).
    Binary {
        /// The power to which the target's probability is raised.
        beta: f32,
    },
}

/// Sum over the rows of the loss of `hidden · headᵀ` at the row's target and its negatives, a scalar.
///
/// `hidden` is `(rows, width)`, `head` is `(items, width)`. A negative that is the row's target counts for nothing. In main memory only.
pub fn sampled_loss(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    negatives: Negatives,
    objective: Objective,
) -> Result<Tensor> {
    let op = Sampled {
        targets: targets.to_vec(),
        negatives,
        objective,
        head_gradient: head.track_op(),
        gradients: Mutex::default(),
    };
    hidden.apply_op2(head, op)
}

struct Sampled {
    targets: Vec<u32>,
    negatives: Negatives,
    objective: Objective,
    head_gradient: bool,
    /// Of hidden rows and of the head, kept from the forward visit.
    gradients: Mutex<(Vec<f32>, Vec<f32>)>,
}

/// Rows that one thread takes at a time.
const ROWS_A_JOB: usize = 32;

/// `log(1 + eˣ)`.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[inline(always)]
fn add_scaled(to: &mut [f32], factor: f32, from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

impl Objective {
    /// A row's loss; the scores, the target's first, become their gradients. Minus infinity stands for what counts for nothing.
    fn loss(self, scores: &mut [f32]) -> f32 {
        match self {
            Objective::Softmax => {
                let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let at_target = scores[0];
                scores.iter_mut().for_each(|score| *score = (*score - max).exp());
                let sum: f32 = scores.iter().sum();
                scores.iter_mut().for_each(|score| *score /= sum);
                scores[0] -= 1.0;
                max + sum.ln() - at_target
            }
            Objective::Binary { beta } => {
                let share = 1.0 / scores.len() as f32;
                let mut loss = beta * softplus(-scores[0]);
                scores[0] = -beta * sigmoid(-scores[0]) * share;
                for score in &mut scores[1..] {
                    loss += softplus(*score);
                    *score = sigmoid(*score) * share;
                }
                loss * share
            }
        }
    }
}

impl Sampled {
    /// Number of negatives a row.
    fn count(&self) -> usize {
        match &self.negatives {
            Negatives::Shared(ids) => ids.len(),
            Negatives::Each(ids) => ids.len() / self.targets.len().max(1),
        }
    }

    /// The row's items, its target first.
    fn items(&self, row: usize) -> impl Iterator<Item = u32> {
        let negatives = match &self.negatives {
            Negatives::Shared(ids) => ids.as_slice(),
            Negatives::Each(ids) => &ids[row * self.count()..(row + 1) * self.count()],
        };
        std::iter::once(self.targets[row]).chain(negatives.iter().copied())
    }

    fn check(&self, hidden: &Shape, head: &Shape) -> Result<(usize, usize)> {
        let ((rows, width), (items, inner)) = (hidden.dims2()?, head.dims2()?);
        let ids = match &self.negatives {
            Negatives::Shared(ids) => ids,
            Negatives::Each(ids) => ids,
        };
        let whole = matches!(self.negatives, Negatives::Shared(_)) || ids.len() == rows * self.count();
        if width != inner || rows != self.targets.len() || !whole {
            bail!(
                "sampled loss: {hidden:?}, {head:?}, {} targets and {} negatives",
                self.targets.len(),
                ids.len()
            );
        }
        if let Some(bad) = self.targets.iter().chain(ids).find(|id| **id as usize >= items) {
            bail!("sampled loss: item {bad} is not among the {items} of the head");
        }
        Ok((width, items))
    }

    /// Losses of some rows, the gradients of their scores, and those of the rows themselves.
    fn rows(&self, rows: std::ops::Range<usize>, hidden: &[f32], head: &[f32], width: usize) -> Rows {
        let columns = self.count() + 1;
        let mut found = Rows {
            losses: Vec::with_capacity(rows.len()),
            d_scores: vec![0.0; rows.len() * columns],
            d_hidden: vec![0.0; rows.len() * width],
        };
        for (nth, row) in rows.enumerate() {
            let h = &hidden[row * width..(row + 1) * width];
            let scores = &mut found.d_scores[nth * columns..(nth + 1) * columns];
            vectorised(
                #[inline(always)]
                || {
                    for (i, (score, item)) in scores.iter_mut().zip(self.items(row)).enumerate() {
                        let item = item as usize;
                        *score = match i > 0 && item == self.targets[row] as usize {
                            true => f32::NEG_INFINITY,
                            false => dot(h, &head[item * width..(item + 1) * width]),
                        };
                    }
                },
            );
            found.losses.push(self.objective.loss(scores));
            let d_hidden = &mut found.d_hidden[nth * width..(nth + 1) * width];
            vectorised(
                #[inline(always)]
                || {
                    for (d, item) in scores.iter().zip(self.items(row)) {
                        let item = item as usize;
                        add_scaled(d_hidden, *d, &head[item * width..(item + 1) * width]);
                    }
                },
            );
        }
        found
    }
}

struct Rows {
    losses: Vec<f32>,
    d_scores: Vec<f32>,
    d_hidden: Vec<f32>,
}

impl CustomOp2 for Sampled {
    fn name(&self) -> &'static str {
        "sampled loss"
    }

    fn cpu_fwd(
        &self,
        hs: &CpuStorage,
        hl: &Layout,
        ws: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (width, items) = self.check(hl.shape(), wl.shape())?;
        let (hidden, head) = (operand(hs, hl, self.name())?, operand(ws, wl, self.name())?);
        let rows = self.targets.len();
        let jobs = rows.div_ceil(ROWS_A_JOB);
        let parts = map(threads(), jobs, |job| {
            let start = job * ROWS_A_JOB;
            self.rows(start..(start + ROWS_A_JOB).min(rows), hidden, head, width)
        });
        // One after another, so that the sum does not depend on threads.
        let losses = parts.iter().flat_map(|part| &part.losses);
        let total: f64 = losses.map(|loss| f64::from(*loss)).sum();
        let mut d_head = Vec::new();
        if self.head_gradient {
            d_head = vec![0.0; items * width];
            let columns = self.count() + 1;
            // Every thread goes through all rows and keeps to its own items, whose sums so have one order.
            write_rows(&mut d_head, width, |start, run| {
                let own = start / width..(start + run.len()) / width;
                vectorised(
                    #[inline(always)]
                    || {
                        for row in 0..rows {
                            let h = &hidden[row * width..(row + 1) * width];
                            let at = row % ROWS_A_JOB * columns;
                            let d_scores = &parts[row / ROWS_A_JOB].d_scores[at..at + columns];
                            for (d, item) in d_scores.iter().zip(self.items(row)) {
                                let item = item as usize;
                                if own.contains(&item) {
                                    add_scaled(&mut run[(item - own.start) * width..][..width], *d, h);
                                }
                            }
                        }
                    },
                );
            });
        }
        let d_hidden = parts.iter().flat_map(|part| &part.d_hidden).copied().collect();
        *self.gradients.lock().unwrap_or_else(|e| e.into_inner()) = (d_hidden, d_head);
        Ok((CpuStorage::F32(vec![total as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let factor = grad.to_scalar::<f32>()?;
        let (d_hidden, d_head) =
            std::mem::take(&mut *self.gradients.lock().unwrap_or_else(|e| e.into_inner()));
        let finish = |mut values: Vec<f32>, like: &Tensor| {
            values.iter_mut().for_each(|v| *v *= factor);
            Tensor::from_vec(values, like.shape(), like.device())
        };
        let d_head = match self.head_gradient {
            true => Some(finish(d_head, head)?),
            false => None,
        };
        let d_hidden = match hidden.track_op() {
            true => Some(finish(d_hidden, hidden)?),
            false => None,
        };
        Ok((d_hidden, d_head))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::op::tests::{check, flat, variable};
    use candle_core::Device;

    /// The same of candle's primitives, row by row; no negative may be a target.
    fn slow(
        hidden: &Tensor,
        head: &Tensor,
        targets: &[u32],
        negatives: &[&[u32]],
        objective: Objective,
    ) -> Tensor {
        let mut sum = Tensor::new(0f32, &Device::Cpu).unwrap();
        for (row, target) in targets.iter().enumerate() {
            let ids = [&[*target], negatives[row]].concat();
            let ids = Tensor::new(ids.as_slice(), &Device::Cpu).unwrap();
            let items = head.index_select(&ids, 0).unwrap();
            let h = hidden.narrow(0, row, 1).unwrap();
            let scores = h.matmul(&items.t().unwrap()).unwrap().squeeze(0).unwrap();
            let count = negatives[row].len();
            let loss = match objective {
                Objective::Softmax => {
                    let all = scores.exp().unwrap().sum_all().unwrap().log().unwrap();
                    (all - scores.get(0).unwrap()).unwrap()
                }
                Objective::Binary { beta } => {
                    // log(1 + eˣ), for scores that are not large.
                    let softplus = |t: Tensor| (t.exp().unwrap() + 1.0).unwrap().log().unwrap();
                    let positive = softplus(scores.get(0).unwrap().neg().unwrap());
                    let others = softplus(scores.narrow(0, 1, count).unwrap()).sum_all().unwrap();
                    let loss = ((positive * f64::from(beta)).unwrap() + others).unwrap();
                    (loss / (count + 1) as f64).unwrap()
                }
            };
            sum = (sum + loss).unwrap();
        }
        sum
    }

    #[test]
    fn both_objectives_agree_with_primitives_and_their_gradients_with_differences() {
        let targets = [3, 0, 3, 6];
        // Item 2 comes twice in one row, and in others.
        let each = vec![1, 2, 2, 4, 5, 6, 0, 1, 2, 2, 4, 5];
        let of_each: Vec<&[u32]> = each.chunks(3).collect();
        let shared = vec![1, 2, 5];
        for objective in [Objective::Softmax, Objective::Binary { beta: 0.3 }] {
            for (negatives, rows) in [
                (Negatives::Each(each.clone()), of_each.clone()),
                (Negatives::Shared(shared.clone()), vec![shared.as_slice(); 4]),
            ] {
                let (hidden, head) = (variable(&[4, 6], 1), variable(&[7, 6], 2));
                check(
                    &[hidden.clone(), head.clone()],
                    &|| sampled_loss(&hidden, &head, &targets, negatives.clone(), objective).unwrap(),
                    &|| slow(&hidden, &head, &targets, &rows, objective),
                );
            }
        }
    }

    #[test]
    fn a_negative_that_is_the_target_counts_for_nothing() {
        let (hidden, head) = (variable(&[1, 6], 1), variable(&[7, 6], 2));
        let loss = |negatives: &[u32]| {
            let negatives = Negatives::Shared(negatives.to_vec());
            let loss = sampled_loss(&hidden, &head, &[3], negatives, Objective::Softmax).unwrap();
            let gradients = loss.backward().unwrap();
            (flat(&loss), flat(gradients.get(&head).unwrap()))
        };
        assert_eq!(loss(&[1, 3, 2]), loss(&[1, 2]));
    }

    #[test]
    fn items_that_are_not_there_are_refused() {
        let (hidden, head) = (variable(&[1, 6], 1), variable(&[7, 6], 2));
        let negatives = Negatives::Each(vec![7]);
        let error = sampled_loss(&hidden, &head, &[3], negatives, Objective::Softmax).unwrap_err();
        assert!(error.to_string().contains("item 7"), "{error}");
    }
}
