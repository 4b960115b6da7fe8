//! Attention of short sequences over packed rows: causal, within a window or to both sides, to a sequence's own rows or to those of
//! another one, with dropout of its weights and a backward.
//!
//! Histories of a few items are too short for products of matrices to pay; here a row's scores are inner products one after another, so
//! that no row's result depends on what else is packed with it, to the last bit.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::math::{dot, exp_in_place, mix, vectorised};
use super::storage::{contiguous, operand, with_all_values};
use super::threads::{map, threads};

/// Rows that ask, and the rows that they may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Rows of the queries.
    pub queries: Range<usize>,
    /// Rows of keys and values.
    pub keys: Range<usize>,
}

impl Pair {
    /// Rows that see themselves.
    pub fn own(rows: Range<usize>) -> Self {
        Pair {
            queries: rows.clone(),
            keys: rows,
        }
    }
}

/// What a row sees. Queries and keys of different numbers stand with their last rows side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All rows.
    Full,
    /// Those up to its own.
    Causal,
    /// So many up to its own, which is one of them.
    Window(usize),
}

impl Sight {
    /// The keys that query `i` of `queries` sees, of `keys`.
    #[inline(always)]
    fn of(self, i: usize, queries: usize, keys: usize) -> Range<usize> {
        let end = match self {
            Sight::Full => keys,
            Sight::Causal | Sight::Window(_) => (i + 1 + keys).saturating_sub(queries),
        };
        match self {
            Sight::Window(width) => end.saturating_sub(width)..end,
            _ => 0..end,
        }
    }
}

/// Attention of `heads` heads from packed queries, `(rows, width)`, to packed keys and values, `(other rows, width)`: softmax of inner
/// products over the root of a head's width. The pairs cover the rows of both without gaps, from first to last; a row that sees none
/// gives zeros.
///
/// `dropout` is a probability below one and a key: weights are dropped as [`dropout`](super::dropout()) drops values, by the row, the head
/// and the place of the key in its pair. In main memory only.
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    pairs: &Arc<[Pair]>,
    sight: Sight,
    dropout: Option<(f32, u64)>,
) -> Result<Tensor> {
    let op = RowAttention {
        heads,
        pairs: pairs.clone(),
        sight,
        dropout: dropout.filter(|(p, _)| *p > 0.0),
    };
    q.apply_op3(k, v, op)
}

/// Query rows that one thread takes at a time.
const ROWS_A_JOB: usize = 128;

struct RowAttention {
    heads: usize,
    pairs: Arc<[Pair]>,
    sight: Sight,
    dropout: Option<(f32, u64)>,
}

/// A head's columns.
#[inline(always)]
fn columns(values: &[f32], row: usize, width: usize, columns: &Range<usize>) -> Range<usize> {
    debug_assert!(columns.end <= width && values.len() >= (row + 1) * width);
    row * width + columns.start..row * width + columns.end
}

#[inline(always)]
fn add_scaled(to: &mut [f32], factor: f32, from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

impl RowAttention {
    fn check(&self, q: &Shape, k: &Shape, v: &Shape) -> Result<usize> {
        let ((rows, width), (others, inner)) = (q.dims2()?, k.dims2()?);
        if width != inner || v.dims2()? != (others, inner) || self.heads == 0 || width % self.heads != 0 {
            bail!(
                "row attention: queries {q:?}, keys {k:?} and values {v:?} do not fit {} heads",
                self.heads
            );
        }
        let mut next = (0, 0);
        for pair in self.pairs.iter() {
            let follows = (pair.queries.start, pair.keys.start) == next;
            if !follows || pair.queries.end < next.0 || pair.keys.end < next.1 {
                bail!("row attention: {pair:?} does not follow rows {next:?}");
            }
            next = (pair.queries.end, pair.keys.end);
        }
        if next != (rows, others) {
            bail!("row attention: the pairs cover {next:?} of ({rows}, {others}) rows");
        }
        Ok(width)
    }

    /// Runs of pairs with some rows together; the same whatever the number of threads.
    fn jobs(&self) -> Vec<&[Pair]> {
        let (mut jobs, mut start, mut rows) = (Vec::new(), 0, 0);
        for (i, pair) in self.pairs.iter().enumerate() {
            rows += pair.queries.len();
            if rows >= ROWS_A_JOB {
                jobs.push(&self.pairs[start..=i]);
                (start, rows) = (i + 1, 0);
            }
        }
        if start < self.pairs.len() {
            jobs.push(&self.pairs[start..]);
        }
        jobs
    }

    /// What a weight is multiplied with in dropout; one without.
    #[inline(always)]
    fn mask(&self, row: usize, head: usize, key_row: usize) -> f32 {
        match self.dropout {
            None => 1.0,
            Some((p, key)) => {
                let of_row = mix(key ^ mix((row * self.heads + head) as u64));
                let bits = mix(of_row ^ key_row as u64);
                match (bits & 0xFFFF) < (p * 65_536.0) as u64 {
                    true => 0.0,
                    false => 1.0 / (1.0 - p),
                }
            }
        }
    }

    /// The weights of a row over the keys that it sees, before dropout.
    #[inline(always)]
    fn weights(
        &self,
        (q, k): (&[f32], &[f32]),
        width: usize,
        head: &Range<usize>,
        row: usize,
        keys: Range<usize>,
        weights: &mut Vec<f32>,
    ) {
        let scale = 1.0 / (head.len() as f32).sqrt();
        let q = &q[columns(q, row, width, head)];
        weights.clear();
        weights.extend(keys.map(|key| scale * dot(q, &k[columns(k, key, width, head)])));
        let (_, sum) = exp_in_place(weights);
        let inverse = 1.0 / sum;
        weights.iter_mut().for_each(|weight| *weight *= inverse);
    }

    /// The output of some pairs, `(their rows, width)`.
    fn output(&self, pairs: &[Pair], [q, k, v]: [&[f32]; 3], width: usize) -> Vec<f32> {
        let first = pairs[0].queries.start;
        let last = pairs[pairs.len() - 1].queries.end;
        let mut out = vec![0.0; (last - first) * width];
        let mut weights = Vec::new();
        vectorised(
            #[inline(always)]
            || {
                self.for_each_row(pairs, width, |row, number, head, seen, keys| {
                    self.weights((q, k), width, head, row, keys.clone(), &mut weights);
                    let out = &mut out[(row - first) * width..][head.clone()];
                    for ((place, key), weight) in seen.zip(keys).zip(&weights) {
                        let weight = weight * self.mask(row, number, place);
                        add_scaled(out, weight, &v[columns(v, key, width, head)]);
                    }
                });
            },
        );
        out
    }

    /// The gradients of some pairs' queries, keys and values.
    fn gradients(&self, pairs: &[Pair], [q, k, v]: [&[f32]; 3], g: &[f32], width: usize) -> [Vec<f32>; 3] {
        let (first, other) = (pairs[0].queries.start, pairs[0].keys.start);
        let end = &pairs[pairs.len() - 1];
        let mut d_q = vec![0.0; (end.queries.end - first) * width];
        let mut d_k = vec![0.0; (end.keys.end - other) * width];
        let mut d_v = d_k.clone();
        let (mut weights, mut slopes) = (Vec::new(), Vec::new());
        vectorised(
            #[inline(always)]
            || {
                self.for_each_row(pairs, width, |row, number, head, seen, keys| {
                    self.weights((q, k), width, head, row, keys.clone(), &mut weights);
                    let scale = 1.0 / (head.len() as f32).sqrt();
                    let (own_q, own_g) = (&q[columns(q, row, width, head)], &g[columns(g, row, width, head)]);
                    slopes.clear();
                    for ((place, key), weight) in seen.zip(keys.clone()).zip(&weights) {
                        let mask = self.mask(row, number, place);
                        slopes.push(mask * dot(own_g, &v[columns(v, key, width, head)]));
                        let d_v = &mut d_v[(key - other) * width..][head.clone()];
                        add_scaled(d_v, weight * mask, own_g);
                    }
                    let along = dot(&weights, &slopes);
                    let d_q = &mut d_q[(row - first) * width..][head.clone()];
                    for ((key, weight), slope) in keys.zip(&weights).zip(&slopes) {
                        let d_score = scale * weight * (slope - along);
                        add_scaled(d_q, d_score, &k[columns(k, key, width, head)]);
                        let d_k = &mut d_k[(key - other) * width..][head.clone()];
                        add_scaled(d_k, d_score, own_q);
                    }
                });
            },
        );
        [d_q, d_k, d_v]
    }

    /// Calls `f` for every row and head of some pairs that sees anything: the row, the head's number and columns, which keys of its pair it
    /// sees, and their rows.
    #[inline(always)]
    fn for_each_row(
        &self,
        pairs: &[Pair],
        width: usize,
        mut f: impl FnMut(usize, usize, &Range<usize>, Range<usize>, Range<usize>),
    ) {
        let wide = width / self.heads;
        for pair in pairs {
            for (i, row) in pair.queries.clone().enumerate() {
                let seen = self.sight.of(i, pair.queries.len(), pair.keys.len());
                if seen.is_empty() {
                    continue;
                }
                let keys = pair.keys.start + seen.start..pair.keys.start + seen.end;
                for head in 0..self.heads {
                    let columns = head * wide..(head + 1) * wide;
                    f(row, head, &columns, seen.clone(), keys.clone());
                }
            }
        }
    }
}

impl CustomOp3 for RowAttention {
    fn name(&self) -> &'static str {
        "row attention"
    }

    fn cpu_fwd(
        &self,
        qs: &CpuStorage,
        ql: &Layout,
        ks: &CpuStorage,
        kl: &Layout,
        vs: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = self.check(ql.shape(), kl.shape(), vl.shape())?;
        let name = self.name();
        let qkv = [
            operand(qs, ql, name)?,
            operand(ks, kl, name)?,
            operand(vs, vl, name)?,
        ];
        let jobs = self.jobs();
        let parts = map(threads(), jobs.len(), |job| self.output(jobs[job], qkv, width));
        Ok((CpuStorage::F32(parts.concat()), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = q.dim(1)?;
        let grad = contiguous(grad)?;
        let jobs = self.jobs();
        let parts = with_all_values([q, k, v, &grad], self.name(), |[q, k, v, g]| {
            Ok(map(threads(), jobs.len(), |job| {
                self.gradients(jobs[job], [q, k, v], g, width)
            }))
        })?;
        let joined = |which: usize, like: &Tensor| {
            let values: Vec<f32> = parts.iter().flat_map(|part| &part[which]).copied().collect();
            Tensor::from_vec(values, like.shape(), like.device()).map(Some)
        };
        Ok((joined(0, q)?, joined(1, k)?, joined(2, v)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::op::tests::{check, flat, random, variable};
    use candle_core::{D, Device};

    /// The same of candle's primitives, pair by pair and head by head; `masks` gives what weights are multiplied with.
    fn slow(
        [q, k, v]: [&Tensor; 3],
        heads: usize,
        pairs: &[Pair],
        sight: Sight,
        masks: &dyn Fn(usize, usize, usize) -> f32,
    ) -> Tensor {
        let wide = q.dim(1).unwrap() / heads;
        let of_pair = |pair: &Pair| {
            let (n, m) = (pair.queries.len(), pair.keys.len());
            let of_head = |head: usize| {
                let part = |t: &Tensor, rows: &Range<usize>| {
                    let rows = t.narrow(0, rows.start, rows.len()).unwrap();
                    rows.narrow(1, head * wide, wide).unwrap().contiguous().unwrap()
                };
                let (q, k, v) = (part(q, &pair.queries), part(k, &pair.keys), part(v, &pair.keys));
                let hidden: Vec<f32> = (0..n * m)
                    .map(|at| match sight.of(at / m, n, m).contains(&(at % m)) {
                        true => 0.0,
                        false => -1e9,
                    })
                    .collect();
                let hidden = Tensor::from_vec(hidden, (n, m), &Device::Cpu).unwrap();
                let scores = (q.matmul(&k.t().unwrap()).unwrap() / (wide as f64).sqrt()).unwrap();
                let p = candle_nn::ops::softmax(&(scores + hidden).unwrap(), D::Minus1).unwrap();
                let mask = (0..n * m).map(|at| masks(pair.queries.start + at / m, head, at % m));
                let mask = Tensor::from_vec(mask.collect::<Vec<f32>>(), (n, m), &Device::Cpu).unwrap();
                (p * mask).unwrap().matmul(&v).unwrap()
            };
            Tensor::cat(&(0..heads).map(of_head).collect::<Vec<_>>(), 1).unwrap()
        };
        Tensor::cat(&pairs.iter().map(of_pair).collect::<Vec<_>>(), 0).unwrap()
    }

    fn own(lengths: &[usize]) -> Arc<[Pair]> {
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(Pair::own(*end - length..*end))
        });
        ends.collect::<Vec<_>>().into()
    }

    #[test]
    fn every_sight_agrees_with_primitives_and_its_gradients_with_differences() {
        let pairs = own(&[3, 1, 5]);
        let inputs = [1, 2, 3].map(|key| variable(&[9, 8], key));
        for sight in [Sight::Full, Sight::Causal, Sight::Window(2)] {
            let [q, k, v] = &inputs;
            check(
                &inputs,
                &|| attend(q, k, v, 2, &pairs, sight, None).unwrap(),
                &|| slow([q, k, v], 2, &pairs, sight, &|_, _, _| 1.0),
            );
        }
    }

    #[test]
    fn rows_of_one_matrix_see_those_of_another() {
        let pair = |queries, keys| Pair { queries, keys };
        let pairs: Arc<[Pair]> = vec![pair(0..2, 0..4), pair(2..5, 4..7)].into();
        let inputs = [(5, 1), (7, 2), (7, 3)].map(|(rows, key)| variable(&[rows, 8], key));
        for sight in [Sight::Full, Sight::Causal] {
            let [q, k, v] = &inputs;
            check(
                &inputs,
                &|| attend(q, k, v, 4, &pairs, sight, None).unwrap(),
                &|| slow([q, k, v], 4, &pairs, sight, &|_, _, _| 1.0),
            );
        }
    }

    #[test]
    fn dropped_weights_are_dropped_in_the_backward_too() {
        let pairs = own(&[4, 6]);
        let inputs = [4, 5, 6].map(|key| variable(&[10, 8], key));
        let [q, k, v] = &inputs;
        let (p, key) = (0.3, 77);
        let op = RowAttention {
            heads: 2,
            pairs: pairs.clone(),
            sight: Sight::Causal,
            dropout: Some((p, key)),
        };
        check(
            &inputs,
            &|| attend(q, k, v, 2, &pairs, Sight::Causal, Some((p, key))).unwrap(),
            &|| {
                slow([q, k, v], 2, &pairs, Sight::Causal, &|row, head, place| {
                    op.mask(row, head, place)
                })
            },
        );
        let masks: Vec<f32> = (0..4000).map(|i| op.mask(i / 40, i % 2, i % 40)).collect();
        let kept = masks.iter().filter(|mask| **mask > 0.0).count();
        // 2,800 are expected, with a deviation of 29.
        assert!((2650..2950).contains(&kept), "{kept}");
    }

    #[test]
    fn what_comes_later_or_beside_changes_no_bit_of_a_row() {
        let all = [1, 2, 3].map(|key| random(&[300, 8], key));
        let [q, k, v] = &all;
        let whole = attend(q, k, v, 2, &own(&[3, 297]), Sight::Causal, None).unwrap();
        let [q, k, v] = all.each_ref().map(|t| t.narrow(0, 0, 2).unwrap());
        let short = attend(&q, &k, &v, 2, &own(&[2]), Sight::Causal, None).unwrap();
        assert_eq!(flat(&short), flat(&whole)[..16]);
    }

    #[test]
    fn rows_that_see_nothing_give_zeros_and_gaps_are_refused() {
        let (q, k) = (random(&[3, 4], 1), random(&[1, 4], 2));
        let pairs: Arc<[Pair]> = vec![Pair {
            queries: 0..3,
            keys: 0..1,
        }]
        .into();
        let out = attend(&q, &k, &k, 1, &pairs, Sight::Causal, None).unwrap();
        assert_eq!(flat(&out)[..8], [0.0; 8]);
        assert_eq!(flat(&out)[8..], flat(&k));
        let error = attend(&q, &q, &q, 1, &own(&[2]), Sight::Full, None).unwrap_err();
        assert!(error.to_string().contains("cover"), "{error}");
    }
}
