//! Attention of packed rows: segments of about the same length stand side by side in one batch, and one product serves them all.
//!
//! Where the rows of the batches come from, and what each of them sees, is worked out once for a pass; every layer only gathers rows.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{D, DType, Device, Result, Tensor, bail};

use super::known::known;
use crate::op::attention::{Attention, Heads, Segment};

/// Scores that are held at one time, unless a single segment has more: 256 MB in f32.
const MOST_SCORES: usize = 1 << 26;

/// Rows to gather: of a source of `of` rows, where `of` itself stands for a row of zeros.
#[derive(Clone)]
struct Rows {
    ids: Tensor,
    /// Whether they are the source as it is.
    all_in_order: bool,
    /// Whether there are zeros among them.
    padded: bool,
}

impl Rows {
    fn new(ids: Vec<u32>, of: usize, device: &Device) -> Result<Self> {
        let count = ids.len();
        Ok(Rows {
            all_in_order: count == of && (0..).zip(&ids).all(|(place, id)| place == *id),
            padded: ids.iter().any(|id| *id as usize == of),
            ids: Tensor::from_vec(ids, count, device)?,
        })
    }

    fn of(&self, source: &Tensor) -> Result<Tensor> {
        if self.all_in_order {
            return Ok(source.clone());
        }
        if !self.padded {
            return source.index_select(&self.ids, 0);
        }
        let zeros = Tensor::zeros((1, source.dim(1)?), source.dtype(), source.device())?;
        Tensor::cat(&[source, &zeros], 0)?.index_select(&self.ids, 0)
    }
}

/// Segments that are computed together, padded to the longest of them.
struct Batch {
    segments: usize,
    /// Rows of the longest segment.
    rows: usize,
    /// The most rows that a segment's rows see, its own included.
    seen: usize,
    /// Where the queries come from.
    queries: Rows,
    /// Where keys and values come from: of the cached rows and after them the packed ones.
    keys: Rows,
    /// Added to the scores: 0, or minus infinity for what a row does not see, `(segments, 1, rows, seen)`.
    mask: Tensor,
}

/// Who attends to what, laid out on a device.
pub(super) struct Plan {
    heads: Heads,
    scale: f64,
    batches: Vec<Batch>,
    /// Where each packed row stands in the batches' queries, one batch after another, and where in their keys.
    row_among_queries: Rows,
    row_among_keys: Rows,
    /// Rows of the cache.
    cached: usize,
    rows: usize,
    /// Whether a segment sees rows outside itself: those have no gradient.
    shared: bool,
}

impl Plan {
    pub fn new(attention: &Attention, cached: usize, device: &Device) -> Result<Self> {
        let segments: Vec<&Segment> = attention.segments.iter().filter(|s| !s.rows.is_empty()).collect();
        let rows = segments.last().map_or(0, |segment| segment.rows.end);
        let source = cached + rows;
        let mut row_among_queries = vec![0; rows];
        let mut row_among_keys = vec![0; rows];
        let (mut queries_before, mut keys_before) = (0, 0);
        let mut batches = Vec::new();
        for group in groups(&segments, attention.heads.query) {
            let longest = group.iter().map(|s| s.rows.len()).max().unwrap_or(0);
            let seen = group.iter().map(|s| s.seen() + s.rows.len()).max().unwrap_or(0);
            let mut queries = vec![rows as u32; group.len() * longest];
            let mut keys = vec![source as u32; group.len() * seen];
            let mut mask = vec![f32::NEG_INFINITY; group.len() * longest * seen];
            for (place, segment) in group.iter().enumerate() {
                let own = segment.rows.clone();
                let (first_query, first_key) = (place * longest, place * seen);
                copy_ids(&mut queries[first_query..], std::iter::once(own.clone()));
                let packed = |run: &Range<usize>| cached + run.start..cached + run.end;
                let runs = std::iter::once(segment.context.clone())
                    .chain(segment.after.iter().map(packed))
                    .chain([packed(&own)]);
                copy_ids(&mut keys[first_key..], runs);
                for (i, row) in own.enumerate() {
                    row_among_queries[row] = (queries_before + first_query + i) as u32;
                    row_among_keys[row] = (keys_before + first_key + segment.seen() + i) as u32;
                }
                for i in 0..longest {
                    let end = (segment.seen() + i + 1).min(seen);
                    let begin = attention.window.map_or(0, |w| end.saturating_sub(w));
                    let first = (first_query + i) * seen;
                    mask[first + begin..first + end].fill(0.0);
                }
            }
            queries_before += queries.len();
            keys_before += keys.len();
            batches.push(Batch {
                segments: group.len(),
                rows: longest,
                seen,
                queries: Rows::new(queries, rows, device)?,
                keys: Rows::new(keys, source, device)?,
                mask: Tensor::from_vec(mask, (group.len(), 1, longest, seen), device)?,
            });
        }
        Ok(Plan {
            heads: attention.heads,
            scale: f64::from(attention.scale),
            batches,
            row_among_queries: Rows::new(row_among_queries, queries_before, device)?,
            row_among_keys: Rows::new(row_among_keys, keys_before, device)?,
            cached,
            rows,
            shared: segments.iter().any(|s| s.seen() > 0),
        })
    }
}

/// Writes the ids of the rows of `runs`, one after another.
fn copy_ids(ids: &mut [u32], runs: impl Iterator<Item = Range<usize>>) {
    ids.iter_mut()
        .zip(runs.flatten())
        .for_each(|(id, row)| *id = row as u32);
}

/// Segments by length, at most twice as long as the shortest of their group and not too many in one.
fn groups<'a>(segments: &[&'a Segment], heads: usize) -> Vec<Vec<&'a Segment>> {
    let mut sorted = segments.to_vec();
    let class = |segment: &Segment| segment.rows.len().next_power_of_two();
    // Stable, so that one group of equal lengths keeps the packed order.
    sorted.sort_by_key(|segment| class(segment));
    let mut groups: Vec<Vec<&Segment>> = Vec::new();
    let mut scores = 0;
    for segment in sorted {
        let own = class(segment) * (segment.seen() + segment.rows.len()) * heads;
        match groups.last_mut() {
            Some(group) if class(group[0]) == class(segment) && scores + own <= MOST_SCORES => {
                scores += own;
                group.push(segment);
            }
            _ => {
                scores = own;
                groups.push(vec![segment]);
            }
        }
    }
    groups
}

/// Attention of packed queries over packed keys and values, and those of a cache; as [`crate::op::attention()`].
pub(super) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    plan: &Arc<Plan>,
    cache: Option<(&Tensor, &Tensor)>,
) -> Result<Tensor> {
    let cached = cache.map_or(Ok(0), |(k, _)| k.dim(0))?;
    if (cached, q.dim(0)?) != (plan.cached, plan.rows) {
        bail!(
            "attention: {} rows after {cached} where the plan is for {} after {}",
            q.dim(0)?,
            plan.rows,
            plan.cached
        );
    }
    let values = [q, k, v].map(Tensor::detach);
    let out = plan.forward(&values, cache)?;
    let plan = plan.clone();
    known("attention", &[q, k, v], out, move |g| {
        Ok(plan.backward(&values, g)?.map(Some).into())
    })
}

/// A batch's queries, keys and values by head: `(segments, key/value heads, rows · queries a key, width)`, and
/// `(segments, key/value heads, seen, width)`.
struct Operands {
    q: Tensor,
    k: Tensor,
    v: Tensor,
}

impl Plan {
    fn forward(&self, [q, k, v]: &[Tensor; 3], cache: Option<(&Tensor, &Tensor)>) -> Result<Tensor> {
        let (k, v) = match cache {
            None => (k.clone(), v.clone()),
            Some((cached_k, cached_v)) => (Tensor::cat(&[cached_k, k], 0)?, Tensor::cat(&[cached_v, v], 0)?),
        };
        let parts = self.batches.iter().map(|batch| {
            let of = self.operands(batch, q, &k, &v)?;
            let p = self.probabilities(batch, &of)?;
            self.rows_of(batch, &p.matmul(&of.v)?)
        });
        self.row_among_queries
            .of(&Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
    }

    fn backward(&self, [q, k, v]: &[Tensor; 3], g: &Tensor) -> Result<[Tensor; 3]> {
        if self.shared {
            bail!("attention: there is no gradient to what several segments see");
        }
        let [mut d_q, mut d_k, mut d_v] = [const { Vec::new() }; 3];
        for batch in &self.batches {
            let of = self.operands(batch, q, k, v)?;
            let p = self.probabilities(batch, &of)?;
            let d_out = self.by_head(batch, &batch.queries.of(g)?)?;
            let d_p = d_out.matmul(&of.v.t()?)?.to_dtype(DType::F32)?;
            let wide = p.to_dtype(DType::F32)?;
            let along = (&wide * &d_p)?.sum_keepdim(D::Minus1)?;
            let d_scores = ((wide * d_p.broadcast_sub(&along)?)? * self.scale)?.to_dtype(q.dtype())?;
            d_q.push(self.rows_of(batch, &d_scores.matmul(&of.k)?)?);
            d_k.push(self.keys_of(batch, &d_scores.t()?.matmul(&of.q)?)?);
            d_v.push(self.keys_of(batch, &p.t()?.matmul(&d_out)?)?);
        }
        Ok([
            self.row_among_queries.of(&Tensor::cat(&d_q, 0)?)?,
            self.row_among_keys.of(&Tensor::cat(&d_k, 0)?)?,
            self.row_among_keys.of(&Tensor::cat(&d_v, 0)?)?,
        ])
    }

    fn operands(&self, batch: &Batch, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Operands> {
        let keys = |t: &Tensor| {
            let shape = (batch.segments, batch.seen, self.heads.key_value, self.heads.width);
            batch.keys.of(t)?.reshape(shape)?.transpose(1, 2)?.contiguous()
        };
        Ok(Operands {
            q: self.by_head(batch, &batch.queries.of(q)?)?,
            k: keys(k)?,
            v: keys(v)?,
        })
    }

    /// Rows of queries as a matrix for each key/value head: the queries that share a key stand below one another.
    fn by_head(&self, batch: &Batch, rows: &Tensor) -> Result<Tensor> {
        let Heads {
            query,
            key_value,
            width,
        } = self.heads;
        rows.reshape((batch.segments, batch.rows, query, width))?
            .transpose(1, 2)?
            .contiguous()?
            .reshape((batch.segments, key_value, query / key_value * batch.rows, width))
    }

    /// The inverse of [`by_head`](Self::by_head).
    fn rows_of(&self, batch: &Batch, by_head: &Tensor) -> Result<Tensor> {
        let Heads { query, width, .. } = self.heads;
        by_head
            .reshape((batch.segments, query, batch.rows, width))?
            .transpose(1, 2)?
            .contiguous()?
            .reshape((batch.segments * batch.rows, query * width))
    }

    fn keys_of(&self, batch: &Batch, by_head: &Tensor) -> Result<Tensor> {
        let width = self.heads.key_value * self.heads.width;
        by_head
            .transpose(1, 2)?
            .contiguous()?
            .reshape((batch.segments * batch.seen, width))
    }

    /// Attention probabilities, in the type of the queries, of the shape of the products of queries and keys.
    fn probabilities(&self, batch: &Batch, of: &Operands) -> Result<Tensor> {
        let scores = of.q.matmul(&of.k.t()?)?;
        let by_query_head = (batch.segments, self.heads.query, batch.rows, batch.seen);
        let seen = (scores.to_dtype(DType::F32)?.reshape(by_query_head)? * self.scale)?
            .broadcast_add(&batch.mask)?;
        let e = seen.broadcast_sub(&seen.max_keepdim(D::Minus1)?)?.exp()?;
        e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?
            .to_dtype(of.q.dtype())?
            .reshape(scores.shape())
    }
}

/// Some rows of a matrix, each at most once, and where each of the matrix' rows stands among them. Laid out before a pass begins, so that
/// nothing is sent to a device in the middle of it.
pub(crate) struct Wanted {
    rows: Rows,
    places: Rows,
}

impl Wanted {
    /// Of a matrix of `count` rows.
    pub fn new(rows: &[u32], count: usize, device: &Device) -> Result<Self> {
        let mut places = vec![rows.len() as u32; count];
        for (place, row) in rows.iter().enumerate() {
            match places.get_mut(*row as usize) {
                Some(at) if *at as usize == rows.len() => *at = place as u32,
                _ => bail!("rows: row {row} of {count} is asked for twice, or is not there"),
            }
        }
        Ok(Wanted {
            rows: Rows::new(rows.to_vec(), count, device)?,
            places: Rows::new(places, rows.len(), device)?,
        })
    }

    /// The rows of `x`; the backward puts their gradients back by gathering too, where candle's adds them one after another.
    pub fn of(&self, x: &Tensor) -> Result<Tensor> {
        let value = self.rows.of(&x.detach())?;
        let places = self.places.clone();
        known("rows", &[x], value, move |g| Ok(vec![Some(places.of(g)?)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::tests::segments;

    /// The lengths of the segments of every group.
    fn lengths(of: &[usize], heads: usize) -> Vec<Vec<usize>> {
        let segments = segments(of);
        let groups = groups(&segments.iter().collect::<Vec<_>>(), heads);
        let lengths = |group: &Vec<&Segment>| group.iter().map(|s| s.rows.len()).collect();
        groups.iter().map(lengths).collect()
    }

    #[test]
    fn segments_of_like_lengths_go_together_until_their_scores_are_too_many() {
        assert_eq!(lengths(&[9, 3, 16, 4, 1], 4), [vec![1], vec![3, 4], vec![9, 16]]);
        // A sixteenth of what is held at one time each.
        assert_eq!(
            lengths(&[1024; 40], 4).iter().map(Vec::len).collect::<Vec<_>>(),
            [16, 16, 8]
        );
        // One that is too large by itself is alone.
        assert_eq!(lengths(&[8192, 8192], 4), [vec![8192], vec![8192]]);
    }
}
