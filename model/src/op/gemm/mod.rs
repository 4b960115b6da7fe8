//! Matrix products on plain slices.
//!
//! On machines whose vectors we know, products of some size are [ours](blocked): on two threads they come nearer to the machine's
//! limit than the `gemm` crate, which does all others.

mod blocked;
mod kernel;
mod pack;
mod tile;

use std::ops::Range;
use std::sync::LazyLock;

use self::blocked::{Addend, Size, product, swaps};
use self::kernel::Kernel;
use self::pack::Operand;
use self::tile::Target;
use super::threads::threads;

/// What this machine multiplies with.
static KERNEL: LazyLock<Option<Kernel>> = LazyLock::new(Kernel::best);

/// The fewest rows for which packing the other operand pays.
const FEWEST_ROWS: usize = 6;

/// The longest inner dimension with which a product is added tile by tile to another.
const LONGEST_ADDEND: usize = 256;

/// What this machine's processor multiplies matrices with, for records: the name of our kernel, or of the crate that takes its place.
///
/// Two machines with different ones come to numbers that differ in their last digits.
pub fn kernel() -> &'static str {
    KERNEL.map_or("gemm crate", |kernel| kernel.name)
}

/// A matrix on a slice: `rows × cols` with the distance between neighbouring rows and columns.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    values: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> View<'a> {
    /// A dense row-major matrix.
    pub fn new(values: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(values, rows, cols, cols)
    }

    /// A row-major matrix whose rows are `row_stride` values apart, as a head's columns are in packed heads.
    pub fn strided(values: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(rows == 0 || cols == 0 || (rows - 1) * row_stride + cols <= values.len());
        View {
            values,
            rows,
            cols,
            row_stride,
            col_stride: 1,
        }
    }

    /// The transpose, without moving a value.
    pub fn t(self) -> Self {
        View {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Some of the rows of a matrix that is not transposed.
    pub fn rows(self, range: Range<usize>) -> Self {
        assert!(self.col_stride == 1 && range.end <= self.rows);
        View {
            values: &self.values[range.start * self.row_stride..],
            rows: range.len(),
            ..self
        }
    }

    /// The same with so many rows: with rows of the slice below its own, too.
    pub fn reaching(self, rows: usize) -> Self {
        assert!(self.col_stride == 1);
        View { rows, ..self }
    }

    /// Rows and columns.
    pub fn size(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    fn operand(&self) -> Operand {
        Operand {
            first: self.values.as_ptr(),
            row_stride: self.row_stride,
            col_stride: self.col_stride,
        }
    }

    fn last(&self) -> usize {
        (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride
    }
}

/// `dst = keep · dst + alpha · a · b`, where `dst` is row-major with rows `dst_stride` apart.
///
/// With `keep` zero, `dst` is only written.
pub(crate) fn gemm(dst: &mut [f32], dst_stride: usize, keep: f32, alpha: f32, a: View, b: View) {
    gemm_and(dst, dst_stride, keep, (alpha, a, b), None);
}

/// As [`gemm`], with a second product of the same size added, `(alpha, a, b)` too: but for rounding the values of two calls, in less time
/// where the second one's inner dimension is short.
pub(crate) fn gemm_and(
    dst: &mut [f32],
    dst_stride: usize,
    keep: f32,
    (alpha, a, b): (f32, View, View),
    addend: Option<(f32, View, View)>,
) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        (m - 1) * dst_stride + n <= dst.len(),
        "destination of a matrix product"
    );
    check(a, b);
    if let Some((_, a2, b2)) = addend {
        assert_eq!((a2.rows, b2.cols), (m, n), "sizes of two matrix products in one");
        check(a2, b2);
    }
    // Below this much work a second thread costs more than it brings.
    let threads = if m * n * k > 1 << 18 { threads() } else { 1 };
    let size = Size { m, n, k };
    let (at_once, afterwards) = match addend {
        Some((alpha, a2, b2)) if addend_fits(size, [a, b], a2) => {
            let addend = Addend {
                k: a2.cols,
                alpha,
                a: a2.operand(),
                b: b2.operand(),
            };
            (Some(addend), None)
        }
        other => (None, other),
    };
    if let Some(kernel) = *KERNEL
        && m.min(n) >= FEWEST_ROWS
        && k > 0
    {
        let target = Target {
            first: dst.as_mut_ptr(),
            row_stride: dst_stride,
            col_stride: 1,
            keep,
            alpha,
        };
        let operands = [a.operand(), b.operand()];
        // SAFETY: the bounds of all matrices were just checked, and `dst` is borrowed mutably, so it overlaps no operand.
        unsafe { product(kernel, size, target, operands, at_once, threads) };
    } else {
        by_crate(dst, dst_stride, keep, (alpha, a, b), threads);
    }
    if let Some((alpha, a, b)) = afterwards {
        gemm(dst, dst_stride, 1.0, alpha, a, b);
    }
}

/// Whether a second product with the left operand `a2` can be added tile by tile.
fn addend_fits(size: Size, [a, b]: [View; 2], a2: View) -> bool {
    KERNEL.is_some()
        && size.m.min(size.n) >= FEWEST_ROWS
        && size.k > 0
        && !swaps(size, a.operand(), b.operand())
        && (1..=LONGEST_ADDEND).contains(&a2.cols)
        && a2.col_stride == 1
}

fn check(a: View, b: View) {
    assert_eq!(a.cols, b.rows, "inner dimensions of a matrix product");
    assert!(
        a.cols == 0 || (a.last() < a.values.len() && b.last() < b.values.len()),
        "operand of a matrix product"
    );
}

/// A product by the `gemm` crate, of operands and a destination whose bounds were checked.
fn by_crate(dst: &mut [f32], dst_stride: usize, keep: f32, (alpha, a, b): (f32, View, View), threads: usize) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    let parallelism = match threads {
        1 => gemm::Parallelism::None,
        threads => gemm::Parallelism::Rayon(threads),
    };
    // SAFETY: the caller checked the bounds, and `dst` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            dst_stride as isize,
            keep != 0.0,
            a.values.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            keep,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::with_threads;

    #[test]
    fn agrees_with_the_definition_for_transposed_and_strided_operands() {
        let a: Vec<f32> = (0..12).map(|i| i as f32).collect(); // 3 × 4
        let b: Vec<f32> = (0..10).map(|i| (i as f32).sin()).collect(); // 2 × 4, rows 5 apart
        let mut dst = vec![1.0; 6];
        let (va, vb) = (View::new(&a, 3, 4), View::strided(&b, 2, 4, 5));
        gemm(&mut dst, 2, 0.5, 2.0, va, vb.t());
        for i in 0..3 {
            for j in 0..2 {
                let dot: f32 = (0..4).map(|k| a[i * 4 + k] * b[j * 5 + k]).sum();
                assert!((dst[i * 2 + j] - (0.5 + 2.0 * dot)).abs() < 1e-5);
            }
        }
    }

    /// The definition, with enough digits that its own rounding does not count.
    fn by_definition(dst: &[f32], stride: usize, keep: f32, alpha: f32, a: View, b: View) -> Vec<f32> {
        let value = |v: &View, i: usize, j: usize| f64::from(v.values[i * v.row_stride + j * v.col_stride]);
        let mut result = dst.to_vec();
        for i in 0..a.rows {
            for j in 0..b.cols {
                let dot: f64 = (0..a.cols).map(|p| value(&a, i, p) * value(&b, p, j)).sum();
                let at = &mut result[i * stride + j];
                let before = if keep == 0.0 { 0.0 } else { f64::from(keep * *at) };
                *at = (before + f64::from(alpha) * dot) as f32;
            }
        }
        result
    }

    /// Every layout of the operands, sizes around those of tiles, blocks and runs, with and without what was there before.
    #[test]
    fn every_kernel_agrees_with_the_definition() {
        let noise = |count: usize, key: u64| -> Vec<f32> {
            let bits = (0..count as u64).map(|i| crate::op::math::mix(i ^ key << 32) >> 40);
            bits.map(|bits| bits as f32 / (1 << 23) as f32 - 1.0).collect()
        };
        let sizes = [
            (6, 16, 1),
            (7, 17, 9),
            (8, 48, 16),
            (97, 50, 31),
            (6, 200, 40),
            (13, 9, 1030),
            (200, 96, 64),
        ];
        for kernel in Kernel::all().into_iter().chain([Kernel::plain()]) {
            for ((m, n, k), layout) in sizes.into_iter().flat_map(|size| (0..4).map(move |l| (size, l))) {
                let extra = 3;
                let (va, vb) = (
                    noise(m.max(k) * (m.max(k) + extra), 1),
                    noise(n.max(k) * (n.max(k) + extra), 2),
                );
                let a = match layout & 1 {
                    0 => View::strided(&va, m, k, k + extra),
                    _ => View::strided(&va, k, m, m + extra).t(),
                };
                let b = match layout & 2 {
                    0 => View::strided(&vb, k, n, n + extra),
                    _ => View::strided(&vb, n, k, k + extra).t(),
                };
                for (keep, threads) in [(0.0, 1), (0.0, 3), (0.5, 1)] {
                    let before = noise(m * (n + extra), 3);
                    let expected = by_definition(&before, n + extra, keep, 1.5, a, b);
                    let mut found = before.clone();
                    let target = Target {
                        first: found.as_mut_ptr(),
                        row_stride: n + extra,
                        col_stride: 1,
                        keep,
                        alpha: 1.5,
                    };
                    // SAFETY: the operands and the target were made with these sizes.
                    unsafe {
                        product(
                            kernel,
                            Size { m, n, k },
                            target,
                            [a.operand(), b.operand()],
                            None,
                            threads,
                        )
                    };
                    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let tolerance = 1e-6 * (k as f32).sqrt() + 1e-6;
                        assert!(
                            (found - expected).abs() <= tolerance,
                            "{kernel:?} {m}x{n}x{k}, layout {layout}, keep {keep}, at {i}: {found}, not {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn an_addend_is_a_second_call_but_for_rounding_whatever_the_threads() {
        let noise = |count: usize, key: u64| -> Vec<f32> {
            (0..count as u64)
                .map(|i| (crate::op::math::mix(i ^ key << 32) >> 40) as f32)
                .collect()
        };
        // Long and short, above and below what is added at once, and one whose operands change places.
        for (m, n, k, k2) in [
            (130, 70, 40, 16),
            (7, 9, 1100, 3),
            (300, 40, 30, 300),
            (20, 50, 300, 5),
        ] {
            let (a, b, a2, b2) = (
                noise(m * k, 1),
                noise(n * k, 2),
                noise(m * (k2 + 2), 3),
                noise(n * k2, 4),
            );
            let (a, b) = (View::new(&a, m, k), View::new(&b, n, k).t());
            let (a2, b2) = (View::strided(&a2, m, k2, k2 + 2), View::new(&b2, n, k2).t());
            let before = noise(m * n, 5);
            let mut expected = before.clone();
            gemm(&mut expected, n, 0.5, 2.0, a, b);
            gemm(&mut expected, n, 1.0, 0.3, a2, b2);
            let [one, three] = [1, 3].map(|threads| {
                let mut found = before.clone();
                with_threads(threads, || {
                    gemm_and(&mut found, n, 0.5, (2.0, a, b), Some((0.3, a2, b2)))
                });
                found
            });
            assert!(one == three, "{m}x{n}x{k}+{k2}: other values on other threads");
            for (found, expected) in one.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() <= 1e-6 * expected.abs(),
                    "{m}x{n}x{k}+{k2}: {found}, not {expected}"
                );
            }
        }
    }
}
