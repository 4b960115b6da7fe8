//! What the heads gave, put back into packed rows.

use crate::op::rows::write_rows;

/// A dense block `(rows, width)` of each head of each item; items are runs of rows that follow one another.
pub(super) struct Joined<'a> {
    /// The first row of each item.
    pub firsts: Vec<usize>,
    /// Item after item, head after head.
    pub blocks: Vec<&'a [f32]>,
    pub heads: usize,
    pub width: usize,
}

impl Joined<'_> {
    /// Writes the blocks into their columns of `out`; as many neighbouring heads as have one place there are summed.
    pub fn write(&self, out: &mut [f32], sharing: usize) {
        let width = self.width;
        let stride = self.heads / sharing * width;
        write_rows(out, stride, |at, out| {
            for (row, to) in (at / stride..).zip(out.chunks_exact_mut(stride)) {
                let item = self.firsts.partition_point(|first| *first <= row) - 1;
                let at = (row - self.firsts[item]) * width;
                let blocks = &self.blocks[item * self.heads..];
                for (to, blocks) in to.chunks_exact_mut(width).zip(blocks.chunks_exact(sharing)) {
                    to.copy_from_slice(&blocks[0][at..at + width]);
                    for block in &blocks[1..] {
                        let from = &block[at..at + width];
                        to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                    }
                }
            }
        });
    }
}
