//! Causal attention over packed rows with grouped queries, a backward, and rows of a key/value cache as context.

mod backward;
mod group;
mod join;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use self::group::groups;
use self::join::Joined;
use super::buffer::Buffer;
use super::gemm::{View, gemm};
use super::math::{exp_in_place, vectorised};
use super::storage::{contiguous, operand, with_values};
use super::threads::{map, threads};

/// A run of rows that attend to one another causally, after rows that all of them see: of a cache, and of the same matrix.
///
/// With `after`, what several sequences begin with is there once: the prompt before its candidates, the beginning of a title
/// before its endings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The segment's rows in the packed matrix.
    pub rows: Range<usize>,
    /// The rows of the cache that every row of the segment sees; empty where there is no cache.
    pub context: Range<usize>,
    /// Runs of packed rows before this segment's that every row of it sees too, after the cached ones.
    pub after: Vec<Range<usize>>,
}

impl Segment {
    /// Number of rows outside the segment that its rows see.
    pub fn seen(&self) -> usize {
        self.context.len() + self.after.iter().map(Range::len).sum::<usize>()
    }
}

/// Sizes of the heads.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Number of query heads.
    pub query: usize,
    /// Number of key/value heads; divides the number of query heads.
    pub key_value: usize,
    /// Width of a head.
    pub width: usize,
}

impl Heads {
    /// What scores are multiplied with, as a rule: one over the root of a head's width.
    pub fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// Attention of packed queries, `(rows, query · width)`, over packed keys and values, `(rows, key_value · width)`.
///
/// `cache` holds earlier keys and values, `(cached rows, key_value · width)` each, which the segments' contexts refer to; there
/// is no gradient through it. The segments must cover the rows from first to last without gaps.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: Heads,
    segments: &Arc<[Segment]>,
    cache: Option<(&Tensor, &Tensor)>,
) -> Result<Tensor> {
    let op = Attention {
        heads,
        scale: heads.scale(),
        window: None,
        segments: segments.clone(),
        cache: cache.map(|(k, v)| (k.clone(), v.clone())),
    };
    q.apply_op3(k, v, op)
}

/// Who attends to what: the part of an attention that does not depend on values.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub heads: Heads,
    /// What scores are multiplied with.
    pub scale: f32,
    /// How many positions a row sees, its own included; `None`: all up to its own.
    pub window: Option<usize>,
    pub segments: Arc<[Segment]>,
    pub cache: Option<(Tensor, Tensor)>,
}

/// One head's work on one segment: everything it reads, as views.
struct Work<'a> {
    q: View<'a>,
    k: View<'a>,
    v: View<'a>,
    /// Keys and values of each run of rows before the segment's own.
    context: Vec<(View<'a>, View<'a>)>,
    rows: usize,
    seen: usize,
}

impl<'a> Work<'a> {
    /// Those runs, with the column where each begins.
    fn runs(&self) -> impl Iterator<Item = (usize, &(View<'a>, View<'a>))> {
        self.context.iter().scan(0, |column, run| {
            let begin = *column;
            *column += run.0.size().0;
            Some((begin, run))
        })
    }
}

impl Attention {
    /// Refuses shapes that do not fit the heads, and segments with gaps or contexts beyond the cache.
    pub fn check(&self, q: &Shape, k: &Shape, v: &Shape) -> Result<()> {
        let (rows, width) = q.dims2()?;
        let heads = self.heads;
        let kv = (rows, heads.key_value * heads.width);
        if width != heads.query * heads.width || k.dims2()? != kv || v.dims2()? != kv {
            bail!("attention: queries {q:?}, keys {k:?} and values {v:?} do not fit {heads:?}");
        }
        let mut next = 0;
        for segment in self.segments.iter() {
            if segment.rows.start != next || segment.rows.end < next {
                bail!("attention: segment {segment:?} does not follow row {next}");
            }
            next = segment.rows.end;
            let cached = match &self.cache {
                Some((k, _)) => k.dim(0)?,
                None => 0,
            };
            if segment.context.end > cached && !segment.context.is_empty() {
                bail!("attention: segment {segment:?} looks beyond the {cached} cached rows");
            }
            if segment.after.iter().any(|run| run.end > segment.rows.start) {
                bail!("attention: segment {segment:?} looks ahead");
            }
        }
        if next != rows {
            bail!("attention: the segments cover {next} of {rows} rows");
        }
        Ok(())
    }

    fn work<'a>(
        &self,
        segment: &Segment,
        head: usize,
        (q, k, v): (&'a [f32], &'a [f32], &'a [f32]),
        cache: Option<(&'a [f32], &'a [f32])>,
    ) -> Work<'a> {
        let Heads {
            query,
            key_value,
            width,
        } = self.heads;
        let (q_stride, kv_stride) = (query * width, key_value * width);
        let kv_column = head / (query / key_value) * width;
        let (start, rows) = (segment.rows.start, segment.rows.len());
        let run = |(k, v): (&'a [f32], &'a [f32]), rows: &Range<usize>| {
            let at = rows.start * kv_stride + kv_column;
            (
                View::strided(&k[at..], rows.len(), width, kv_stride),
                View::strided(&v[at..], rows.len(), width, kv_stride),
            )
        };
        let cached = cache.map(|cache| (cache, &segment.context));
        let packed = segment.after.iter().map(|rows| ((k, v), rows));
        let runs = cached.into_iter().chain(packed);
        let context: Vec<_> = runs
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(of, rows)| run(of, rows))
            .collect();
        let seen = context.iter().map(|(k, _)| k.size().0).sum();
        Work {
            q: View::strided(&q[start * q_stride + head * width..], rows, width, q_stride),
            k: View::strided(&k[start * kv_stride + kv_column..], rows, width, kv_stride),
            v: View::strided(&v[start * kv_stride + kv_column..], rows, width, kv_stride),
            context,
            rows,
            seen,
        }
    }

    /// Writes the attention probabilities of a block of query rows over the context and the rows up to the block's last one,
    /// `(block, seen + block.end)`, zero where a row does not see.
    fn probabilities(&self, work: &Work, block: &Range<usize>, p: &mut [f32]) {
        let (seen, columns) = (work.seen, work.seen + block.end);
        let q = work.q.rows(block.clone());
        for (column, (k, _)) in work.runs() {
            gemm(&mut p[column..], columns, 0.0, self.scale, q, k.t());
        }
        let k = work.k.rows(0..block.end);
        gemm(&mut p[seen..], columns, 0.0, self.scale, q, k.t());
        softmax(p, columns, seen + block.start, self.window);
    }

    /// The output of one head on one segment, `(rows, width)`, and its probabilities, block after block: all where they are to be
    /// kept, else what the last block left.
    fn output(&self, work: &Work, keep: bool) -> (Buffer, Buffer) {
        let (rows, seen, width) = (work.rows, work.seen, self.heads.width);
        let mut out = Buffer::stale(rows * width);
        let mut kept = Buffer::stale(match keep {
            true => probabilities(rows, seen),
            false => rows.min(BLOCK) * (seen + rows),
        });
        for block in blocks(rows) {
            let columns = seen + block.end;
            let at = if keep { probabilities(block.start, seen) } else { 0 };
            let p = &mut kept[at..at + block.len() * columns];
            self.probabilities(work, &block, p);
            let out = &mut out[block.start * width..block.end * width];
            let over_rows = View::strided(&p[seen..], block.len(), block.end, columns);
            gemm(out, width, 0.0, 1.0, over_rows, work.v.rows(0..block.end));
            for (column, (_, v)) in work.runs() {
                let over_run = View::strided(&p[column..], block.len(), v.size().0, columns);
                gemm(out, width, 1.0, 1.0, over_run, *v);
            }
        }
        (out, kept)
    }

    /// Runs `f` for every head of every item, in order, with its number, on as many threads as allowed.
    fn for_each_head<T: Sync, R: Send>(
        &self,
        items: &[T],
        f: impl Fn(usize, &T, usize) -> R + Sync,
    ) -> Vec<R> {
        let heads = self.heads.query;
        let jobs = items.len() * heads;
        let one = |job: usize| f(job, &items[job / heads], job % heads);
        map(threads(), jobs, one)
    }

    /// Writes the output, `(rows, query · width)`, to `out`; gives the probabilities, where they are to be kept.
    pub fn forward(
        &self,
        [q, k, v]: [&[f32]; 3],
        out: &mut [f32],
        keep: bool,
    ) -> Result<Option<Probabilities>> {
        let Heads { query, width, .. } = self.heads;
        let groups = groups(&self.segments);
        let heads = self.with_cache(|cache| {
            let work = |segment: &Segment, head| self.work(segment, head, (q, k, v), cache);
            Ok(self.for_each_head(&groups, |_, group, head| {
                let segments = &self.segments[group.segments.clone()];
                if let [segment] = segments {
                    let (out, p) = self.output(&work(segment, head), keep);
                    return (out, keep.then_some(p));
                }
                let works: Vec<Work> = segments.iter().map(|segment| work(segment, head)).collect();
                (self.output_of_group(&works, group.shared), None)
            }))
        })?;
        let joined = Joined {
            firsts: groups
                .iter()
                .map(|group| self.segments[group.segments.start].rows.start)
                .collect(),
            blocks: heads.iter().map(|(block, _)| &**block).collect(),
            heads: query,
            width,
        };
        joined.write(out, 1);
        Ok(heads.into_iter().map(|(_, p)| p).collect())
    }

    fn with_cache<R>(&self, f: impl FnOnce(Option<(&[f32], &[f32])>) -> Result<R>) -> Result<R> {
        match &self.cache {
            None => f(None),
            Some((k, v)) => with_values(k, "attention", |k| {
                with_values(v, "attention", |v| f(Some((k, v))))
            }),
        }
    }
}

/// Query rows whose scores are held at one time: few, so that little is computed above the diagonal; enough for an efficient
/// product.
const BLOCK: usize = 64;

/// Turns rows of scores, the first of which sees `before` columns and its own, and each other one more, into probabilities: zero where
/// a row does not see.
fn softmax(p: &mut [f32], columns: usize, before: usize, window: Option<usize>) {
    vectorised(
        #[inline(always)]
        || {
            for (i, row) in p.chunks_exact_mut(columns).enumerate() {
                let end = before + i + 1;
                let begin = window.map_or(0, |window| end.saturating_sub(window));
                let (row, hidden) = row.split_at_mut(end);
                let (gone, visible) = row.split_at_mut(begin);
                let (_, sum) = exp_in_place(visible);
                let inverse = 1.0 / sum;
                visible.iter_mut().for_each(|value| *value *= inverse);
                hidden.fill(0.0);
                gone.fill(0.0);
            }
        },
    );
}

/// A buffer a (segment, head).
pub(super) type Probabilities = Vec<Buffer>;

/// How many probabilities a head's first `rows` rows of a segment have, of which each sees `seen` others: blocks of them, each up to
/// its last row.
pub(super) fn probabilities(rows: usize, seen: usize) -> usize {
    blocks(rows).map(|block| block.len() * (seen + block.end)).sum()
}

fn blocks(rows: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    (0..rows.div_ceil(BLOCK)).map(move |i| i * BLOCK..((i + 1) * BLOCK).min(rows))
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
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
        self.check(ql.shape(), kl.shape(), vl.shape())?;
        let name = self.name();
        let mut out = vec![0.0; ql.shape().elem_count()];
        let qkv = [
            operand(qs, ql, name)?,
            operand(ks, kl, name)?,
            operand(vs, vl, name)?,
        ];
        self.forward(qkv, &mut out, false)?;
        Ok((CpuStorage::F32(out), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let name = self.name();
        let grad = contiguous(grad)?;
        let (mut d_q, mut d_k, mut d_v) = (
            vec![0.0; q.elem_count()],
            vec![0.0; k.elem_count()],
            vec![0.0; v.elem_count()],
        );
        with_values(&grad, name, |g| {
            with_values(q, name, |q| {
                with_values(k, name, |k| {
                    with_values(v, name, |v| {
                        self.backward([q, k, v], g, None, [&mut d_q, &mut d_k, &mut d_v])
                    })
                })
            })
        })?;
        let device = q.device();
        Ok((
            Some(Tensor::from_vec(d_q, q.shape(), device)?),
            Some(Tensor::from_vec(d_k, k.shape(), device)?),
            Some(Tensor::from_vec(d_v, v.shape(), device)?),
        ))
    }
}
