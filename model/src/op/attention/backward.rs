//! Attention backward: from the gradient of its output to those of queries, keys and values.

use candle_core::{Result, bail};

use super::join::Joined;
use super::{Attention, Heads, Probabilities, Work, blocks, probabilities};
use crate::op::buffer::Buffer;
use crate::op::gemm::{View, gemm};
use crate::op::math::{dot, vectorised};

impl Attention {
    /// Writes the gradients of queries, keys and values, given that of the output, and the probabilities where they were kept.
    pub fn backward(
        &self,
        qkv: [&[f32]; 3],
        g: &[f32],
        kept: Option<&Probabilities>,
        gradients: [&mut [f32]; 3],
    ) -> Result<()> {
        if self.segments.iter().any(|s| s.seen() > 0) {
            bail!("attention: there is no gradient to what several segments see");
        }
        let Heads {
            query,
            key_value,
            width,
        } = self.heads;
        let q_stride = query * width;
        let [q, k, v] = qkv;
        let blocks = self.for_each_head(&self.segments, |nth, segment, head| {
            let work = self.work(segment, head, (q, k, v), None);
            let at = segment.rows.start * q_stride + head * width;
            let d_out = View::strided(&g[at..], work.rows, width, q_stride);
            self.gradients(&work, d_out, kept.map(|kept| &*kept[nth]))
        });
        let sharing = query / key_value;
        for (which, (gradient, sharing)) in gradients.into_iter().zip([1, sharing, sharing]).enumerate() {
            let joined = Joined {
                firsts: self.segments.iter().map(|segment| segment.rows.start).collect(),
                blocks: blocks.iter().map(|of_head| &*of_head[which]).collect(),
                heads: query,
                width,
            };
            joined.write(gradient, sharing);
        }
        Ok(())
    }

    /// Gradients of one head's queries, keys and values on one segment, `(rows, width)` each; from its probabilities, where they
    /// were kept.
    fn gradients(&self, work: &Work, d_out: View, kept: Option<&[f32]>) -> [Buffer; 3] {
        let (rows, width) = (work.rows, self.heads.width);
        let [mut d_q, mut d_k, mut d_v] = [(); 3].map(|()| Buffer::stale(rows * width));
        // From the last block, which reaches every row and so writes all of d_k and d_v before the others add to them.
        for block in blocks(rows).rev() {
            let keep = if block.end == rows { 0.0 } else { 1.0 };
            let (count, end) = (block.len(), block.end);
            let d_out = d_out.rows(block.clone());
            let again = kept.is_none().then(|| {
                let mut p = Buffer::stale(count * end);
                self.probabilities(work, &block, &mut p);
                p
            });
            let p = match (kept, &again) {
                (Some(kept), _) => &kept[probabilities(block.start, 0)..],
                (None, again) => again.as_deref().unwrap_or_default(),
            };
            gemm(&mut d_v, width, keep, 1.0, View::new(p, count, end).t(), d_out);
            let mut d_scores = Buffer::stale(count * end);
            gemm(&mut d_scores, end, 0.0, 1.0, d_out, work.v.rows(0..end).t());
            vectorised(
                #[inline(always)]
                || {
                    for (p, d) in p.chunks_exact(end).zip(d_scores.chunks_exact_mut(end)) {
                        let along = dot(p, d);
                        for (d, p) in d.iter_mut().zip(p) {
                            *d = p * (*d - along);
                        }
                    }
                },
            );
            let d_scores = View::new(&d_scores, count, end);
            let d_q = &mut d_q[block.start * width..end * width];
            gemm(d_q, width, 0.0, self.scale, d_scores, work.k.rows(0..end));
            let q = work.q.rows(block);
            gemm(&mut d_k, width, keep, self.scale, d_scores.t(), q);
        }
        [d_q, d_k, d_v]
    }
}
