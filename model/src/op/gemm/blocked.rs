//! A product in blocks that fit the caches, on several threads.
//!
//! The right operand is packed once; blocks of the result are then computed one beside another. What each value of the result is
//! summed from, and in which order, depends on the inner dimension alone: not on the blocks, and not on threads.

use super::kernel::Kernel;
use super::pack::{ABREAST, Operand, pack_strips};
use super::tile::{Left, More, Target};
use crate::op::buffer::Buffer;
use crate::op::threads::{for_each, part};

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

/// A second product of the same rows and columns that is added to the first, `alpha · a · b`, with a short inner dimension and rows of
/// `a` that are contiguous: added to every tile's sums, while they are in registers.
#[derive(Clone, Copy)]
pub(super) struct Addend {
    pub k: usize,
    pub alpha: f32,
    pub a: Operand,
    pub b: Operand,
}

#[derive(Clone, Copy)]
struct Shared<T>(T);
// SAFETY: the threads of a product write to different places of its result.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

/// Whether the operands of a product had better change places.
pub(super) fn swaps(size: Size, a: Operand, b: Operand) -> bool {
    // What needs no packing on the left and is the longer one belongs there; what needs it there belongs on the right, where longer
    // pieces are copied.
    size.k >= WORTH_SCATTERING
        && (size.n > 2 * size.m && b.row_stride == 1 || size.m > 2 * size.n && a.row_stride == 1)
}

/// `target = keep · target + alpha · a · b`, and the addend, for operands that do not change places.
///
/// # Safety
/// Operands and target must have the sizes given, and the target overlap no operand.
pub(super) unsafe fn product(
    kernel: Kernel,
    size: Size,
    target: Target,
    [a, b]: [Operand; 2],
    addend: Option<Addend>,
    threads: usize,
) {
    let (size, target, a, b) = match addend.is_none() && swaps(size, a, b) {
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
    if size.m <= ROWS && addend.is_none() {
        // SAFETY: the caller's.
        return unsafe { flat(kernel, size, target, a, b, threads) };
    }
    let strips = (PACKED / (size.k * kernel.cols)).max(threads);
    for first in (0..size.n).step_by(strips * kernel.cols) {
        let n = (strips * kernel.cols).min(size.n - first);
        // SAFETY: the caller's; these are some of the columns.
        unsafe {
            let target = target.at(0, first);
            let addend = addend.map(|addend| Addend {
                b: addend.b.from(0, first),
                ..addend
            });
            let b = b.from(0, first);
            columns(kernel, Size { n, ..size }, target, [a, b], addend, threads);
        }
    }
}

/// Rows of the left operand: as they lie, or packed for one run of the inner dimension.
struct Block {
    kernel: Kernel,
    a: Operand,
    rows: usize,
    packed: Option<Buffer>,
}

impl Block {
    /// The first `rows` rows of `a`, for runs up to `run`.
    fn new(kernel: Kernel, a: Operand, rows: usize, run: usize) -> Self {
        let room = rows.next_multiple_of(kernel.rows) * run;
        Block {
            kernel,
            a,
            rows,
            packed: (a.col_stride != 1).then(|| Buffer::stale(room)),
        }
    }

    /// Makes the run of `length` from `p` ready.
    ///
    /// # Safety
    /// The run must be inside the operand.
    unsafe fn turn_to(&mut self, p: usize, length: usize) {
        if let Some(packed) = &mut self.packed {
            let out = packed.as_mut_ptr();
            // SAFETY: the caller's.
            unsafe { pack_strips(self.a.from(0, p).t(), length, self.rows, self.kernel.rows, out) };
        }
    }

    /// Multiplies the run with a packed strip of `cols` columns, and adds to every tile the strip `right` of an addend where there is one.
    ///
    /// # Safety
    /// The run must be the one turned to, `right` hold it, and the target have room.
    unsafe fn times(
        &self,
        (p, length): (usize, usize),
        right: *const f32,
        target: Target,
        cols: usize,
        addend: Option<(Addend, *const f32)>,
    ) {
        let tile = self.kernel.tile;
        for row in (0..self.rows).step_by(self.kernel.rows) {
            let size = (self.kernel.rows.min(self.rows - row), cols);
            // SAFETY: the caller's; tiles are inside the block.
            unsafe {
                let (left, layout) = match &self.packed {
                    Some(packed) => (packed.as_ptr().add(row * length), Left::Packed),
                    None => (self.a.at(row, p), Left::Rows(self.a.row_stride)),
                };
                let more = addend.map(|(Addend { k, a, .. }, right)| More {
                    k,
                    left: a.at(row, 0),
                    stride: a.row_stride,
                    right,
                });
                tile(length, left, layout, right, target.at(row, 0), size, more);
            }
        }
    }
}

/// A product of few rows: every strip of the right operand is packed where and when it is used, once.
unsafe fn flat(kernel: Kernel, size: Size, target: Target, a: Operand, b: Operand, threads: usize) {
    let Size { m, n, k } = size;
    let run = k.div_ceil(k.div_ceil(INNER));
    let width = ABREAST * kernel.cols;
    let groups = n.div_ceil(width);
    let across = match threads {
        1 => 1,
        threads => (2 * threads).min(groups),
    };
    let shared = Shared((target, a, b));
    for_each(threads, across, |index| {
        let Shared((target, a, b)) = { shared };
        let mut block = Block::new(kernel, a, m, run);
        let mut packed = Buffer::stale(width * run);
        for p in (0..k).step_by(run) {
            let length = run.min(k - p);
            let target = Target {
                keep: if p == 0 { target.keep } else { 1.0 },
                ..target
            };
            // SAFETY: the columns are inside the operand and the target, and no two calls share a column.
            unsafe {
                block.turn_to(p, length);
                for group in part(groups, across, index) {
                    let first = group * width;
                    let cols = width.min(n - first);
                    pack_strips(b.from(p, first), length, cols, kernel.cols, packed.as_mut_ptr());
                    for col in (0..cols).step_by(kernel.cols) {
                        let right = packed.as_ptr().add(col * length);
                        let cols = kernel.cols.min(cols - col);
                        block.times((p, length), right, target.at(0, first + col), cols, None);
                    }
                }
            }
        }
    });
}

/// A product whose right operand is packed at once, for all blocks of rows.
unsafe fn columns(
    kernel: Kernel,
    size: Size,
    target: Target,
    [a, b]: [Operand; 2],
    addend: Option<Addend>,
    threads: usize,
) {
    let Size { m, n, k } = size;
    let run = k.div_ceil(k.div_ceil(INNER));
    let strips = n.div_ceil(kernel.cols);
    let more = addend.map_or(0, |addend| addend.k);
    let mut packed = Buffer::stale(strips * kernel.cols * (k + more));
    let place = Shared((packed.as_mut_ptr(), b, addend, a, target));
    // The runs of the inner dimension one after another, the addend's last; in each, the strips.
    let strip_of = |p: usize, length: usize, strip: usize| (p * strips + strip * length) * kernel.cols;
    // Few strips are shared out one by one, so that no thread packs many more than another.
    let abreast = if strips >= 4 * ABREAST * threads {
        ABREAST
    } else {
        1
    };
    for_each(threads, strips.div_ceil(abreast), |group| {
        let Shared((place, b, addend, ..)) = { place };
        let strip = group * abreast;
        let first = strip * kernel.cols;
        let cols = (abreast * kernel.cols).min(n - first);
        let pack_run = |b: Operand, row: usize, p: usize, length: usize| {
            // SAFETY: the strips are inside the operand, and nobody else touches their place before all are packed.
            unsafe {
                let out = place.add(strip_of(p, length, strip));
                pack_strips(b.from(row, first), length, cols, kernel.cols, out);
                std::slice::from_raw_parts_mut(out, cols.next_multiple_of(kernel.cols) * length)
            }
        };
        for p in (0..k).step_by(run) {
            pack_run(b, p, p, run.min(k - p));
        }
        if let Some(addend) = addend {
            let values = pack_run(addend.b, 0, k, more);
            values.iter_mut().for_each(|value| *value *= addend.alpha);
        }
    });
    let tiles = m.div_ceil(kernel.rows);
    // As many blocks for one thread as for another, and some more, so that no thread waits long for one that was held up; not many
    // more where each packs its rows.
    let enough = if a.col_stride == 1 { 16 } else { 2 } * threads;
    let fewest = tiles.div_ceil(ROWS / kernel.rows);
    let down = match tiles >= 8 * threads {
        true => fewest.next_multiple_of(threads),
        false => fewest,
    };
    let across = match threads {
        1 => 1,
        _ => enough.div_ceil(down).min(strips),
    };
    for_each(threads, down * across, |index| {
        let Shared((place, _, addend, a, target)) = { place };
        let tiles_of = part(tiles, down, index / across);
        let top = tiles_of.start * kernel.rows;
        let rows = (tiles_of.end * kernel.rows).min(m) - top;
        // SAFETY: blocks are inside the operands and the target, and no two share a value of the target.
        unsafe {
            let mut block = Block::new(kernel, a.from(top, 0), rows, run);
            let addend = addend.map(|addend| Addend {
                a: addend.a.from(top, 0),
                ..addend
            });
            for p in (0..k).step_by(run) {
                let length = run.min(k - p);
                let target = Target {
                    keep: if p == 0 { target.keep } else { 1.0 },
                    ..target
                };
                let addend = addend.filter(|_| p + length == k);
                block.turn_to(p, length);
                for strip in part(strips, across, index % across) {
                    let right = place.add(strip_of(p, length, strip)).cast_const();
                    let col = strip * kernel.cols;
                    let cols = kernel.cols.min(n - col);
                    let addend =
                        addend.map(|addend| (addend, place.add(strip_of(k, more, strip)).cast_const()));
                    block.times((p, length), right, target.at(top, col), cols, addend);
                }
            }
        }
    });
}
