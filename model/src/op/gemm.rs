//! Matrix products on plain slices, and the number of threads they may use.

use std::cell::Cell;
use std::ops::Range;

thread_local! {
    static THREADS: Cell<usize> = const { Cell::new(0) };
}

/// The number of threads that operations started on this thread may use: what [`with_threads`] set, or all of rayon's.
pub fn threads() -> usize {
    match THREADS.get() {
        0 => rayon::current_num_threads(),
        n => n,
    }
}

/// Runs `f` with operations on this thread limited to `n` threads (0: as many as rayon has).
///
/// Small models run fastest as several independent trainings of one thread each; large ones share all threads.
/// No product splits its inner dimension over threads, so results do not depend on `n`.
pub fn with_threads<R>(n: usize, f: impl FnOnce() -> R) -> R {
    let before = THREADS.replace(n);
    let result = f();
    THREADS.set(before);
    result
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
        debug_assert!(rows == 0 || cols == 0 || (rows - 1) * row_stride + cols <= values.len());
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
        debug_assert!(self.col_stride == 1 && range.end <= self.rows);
        View {
            values: &self.values[range.start * self.row_stride..],
            rows: range.len(),
            ..self
        }
    }

    /// Rows and columns.
    pub fn size(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    fn last(&self) -> usize {
        (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride
    }
}

/// `dst = keep · dst + alpha · a · b`, where `dst` is row-major with rows `dst_stride` apart.
///
/// With `keep` zero, `dst` is only written.
pub(crate) fn gemm(dst: &mut [f32], dst_stride: usize, keep: f32, alpha: f32, a: View, b: View) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "inner dimensions of a matrix product");
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        (m - 1) * dst_stride + n <= dst.len(),
        "destination of a matrix product"
    );
    assert!(
        k == 0 || (a.last() < a.values.len() && b.last() < b.values.len()),
        "operand of a matrix product"
    );
    // Below this much work a second thread costs more than it brings.
    let parallelism = match threads() {
        n_threads if n_threads > 1 && m * n * k > 1 << 18 => gemm::Parallelism::Rayon(n_threads),
        _ => gemm::Parallelism::None,
    };
    // SAFETY: the bounds of all three matrices were just checked, and `dst` is borrowed mutably, so it overlaps neither operand.
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

    #[test]
    fn thread_limits_nest_and_end() {
        let outer = threads();
        with_threads(1, || {
            assert_eq!(threads(), 1);
            with_threads(3, || assert_eq!(threads(), 3));
            assert_eq!(threads(), 1);
        });
        assert_eq!(threads(), outer);
    }
}
