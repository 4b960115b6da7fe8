//! A product in blocks that fit the caches, on several threads.
//!
//! The right operand is packed once; blocks of the result are then computed one beside another. What each value of the result is
//! summed from, and in which order, depends on the inner dimension alone: not on the blocks, and not on threads.

use std::ops::Range;

use rayon::prelude::*;

use super::kernel::Kernel;
use super::pack::{ABREAST, Operand, pack_strips};
use super::tile::{Left, Target};
use crate::op::buffer::Buffer;

/// The longest run of the inner dimension that is summed in registers: a strip of the right operand of that length stays in the
/// second cache.
const INNER: usize = 1024;
/// Most rows of a block: with that many inner values they stay in the second cache too.
const ROWS: usize = 96;
/// Packed values of the right operand at a time, 4 MB.
const PACKED: usize = 1 << 20;

/// The inner dimension from which on it costs little to write a tile's values one by one.
const WORTH_SCATTERING: usize = 256;

/// Sizes of a product: rows and columns of the result, and the inner dimension.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

#[derive(Clone, Copy)]
struct Shared<T>(T);
// SAFETY: the threads of a product write to different places of its result.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

/// `target = keep · target + alpha · a · b`.
///
/// # Safety
/// Operands and target must have the sizes given, and the target overlap neither operand.
pub(super) unsafe fn product(
    kernel: Kernel,
    size: Size,
    target: Target,
    a: Operand,
    b: Operand,
    threads: usize,
) {
    // What needs no packing on the left and is the longer one belongs there; what needs it there belongs on the right, where longer
    // pieces are copied.
    let swap = size.k >= WORTH_SCATTERING
        && (size.n > 2 * size.m && b.row_stride == 1 || size.m > 2 * size.n && a.row_stride == 1);
    let (size, target, a, b) = match swap {
        false => (size, target, a, b),
        true => (
            Size {
                m: size.n,
                n: size.m,
                ..size
            },
            Target {
                row_stride: target.col_stride,
                col_stride: target.row_stride,
                ..target
            },
            b.t(),
            a.t(),
        ),
    };
    let strips = (PACKED / (size.k * kernel.cols)).max(threads);
    for first in (0..size.n).step_by(strips * kernel.cols) {
        let n = (strips * kernel.cols).min(size.n - first);
        // SAFETY: the caller's; these are some of the columns.
        unsafe {
            let target = Target {
                first: target.first.add(first * target.col_stride),
                ..target
            };
            let b = Operand {
                first: b.at(0, first),
                ..b
            };
            columns(kernel, Size { n, ..size }, target, a, b, threads);
        }
    }
}

/// One of `parts` runs of `whole` that differ by one at most in length.
fn part(whole: usize, parts: usize, index: usize) -> Range<usize> {
    whole * index / parts..whole * (index + 1) / parts
}

/// A product whose right operand is packed at once.
unsafe fn columns(kernel: Kernel, size: Size, target: Target, a: Operand, b: Operand, threads: usize) {
    let Size { m, n, k } = size;
    let run = k.div_ceil(k.div_ceil(INNER));
    let strips = n.div_ceil(kernel.cols);
    let mut packed = Buffer::stale(strips * kernel.cols * k);
    let place = Shared(packed.as_mut_ptr());
    // The runs of the inner dimension one after another; in each, the strips.
    let strip_of = |p: usize, length: usize, strip: usize| (p * strips + strip * length) * kernel.cols;
    let fill = |group: usize| {
        let Shared(place) = { place };
        let strip = group * ABREAST;
        let first = strip * kernel.cols;
        let cols = (ABREAST * kernel.cols).min(n - first);
        for p in (0..k).step_by(run) {
            let length = run.min(k - p);
            // SAFETY: the strips are inside the operand, and nobody else writes to their place.
            unsafe {
                let from = Operand {
                    first: b.at(p, first),
                    ..b
                };
                pack_strips(
                    from,
                    length,
                    cols,
                    kernel.cols,
                    place.add(strip_of(p, length, strip)),
                );
            }
        }
    };
    let tiles = m.div_ceil(kernel.rows);
    // As many blocks for one thread as for another, and two at least, so that no thread waits long for another.
    let fewest = tiles.div_ceil(ROWS / kernel.rows);
    let down = match tiles >= 8 * threads {
        true => fewest.next_multiple_of(threads),
        false => fewest,
    };
    let across = match threads {
        1 => 1,
        threads => (2 * threads).div_ceil(down).min(strips),
    };
    let target = Shared(target);
    let block = |index: usize| {
        let (Shared(target), Shared(place)) = ({ target }, { place });
        let (down_of, across_of) = (
            part(tiles, down, index / across),
            part(strips, across, index % across),
        );
        let top = down_of.start * kernel.rows;
        let rows = (down_of.end * kernel.rows).min(m) - top;
        let tiles = down_of.len();
        let mut packed_rows = match a.col_stride {
            1 => None,
            _ => Some(Buffer::stale(tiles * kernel.rows * run)),
        };
        for p in (0..k).step_by(run) {
            let length = run.min(k - p);
            let keep = if p == 0 { target.keep } else { 1.0 };
            // SAFETY: blocks are inside the operands and the target, and no two share a value of the target.
            unsafe {
                if let Some(packed) = &mut packed_rows {
                    let from = Operand {
                        first: a.at(top, p),
                        ..a
                    };
                    pack_strips(from.t(), length, rows, kernel.rows, packed.as_mut_ptr());
                }
                for strip in across_of.clone() {
                    let right = place.add(strip_of(p, length, strip)).cast_const();
                    let col = strip * kernel.cols;
                    for tile in 0..tiles {
                        let row = tile * kernel.rows;
                        let (source, layout) = match &packed_rows {
                            Some(packed) => (packed.as_ptr().add(row * length), Left::Packed),
                            None => (a.at(top + row, p), Left::Rows(a.row_stride)),
                        };
                        let part = Target {
                            first: target
                                .first
                                .add((top + row) * target.row_stride + col * target.col_stride),
                            keep,
                            ..target
                        };
                        let size = (kernel.rows.min(rows - row), kernel.cols.min(n - col));
                        (kernel.tile)(length, source, layout, right, part, size);
                    }
                }
            }
        }
    };
    if threads == 1 {
        (0..strips.div_ceil(ABREAST)).for_each(fill);
        (0..down * across).for_each(block);
    } else {
        (0..strips.div_ceil(ABREAST)).into_par_iter().for_each(fill);
        (0..down * across).into_par_iter().with_max_len(1).for_each(block);
    }
}
