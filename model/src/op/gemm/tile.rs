//! The innermost loop of a matrix product: a tile of the result that lives in registers.

/// A vector register of `f32`, with what a product needs of it.
///
/// # Safety
/// The machine must have the instructions of the type whose functions are called, and pointers must be good for `LANES` values.
pub(super) trait Vector: Copy {
    /// Values a register holds.
    const LANES: usize;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn mul(self, other: Self) -> Self;
    /// `self · a + b`, rounded once.
    unsafe fn mul_add(self, a: Self, b: Self) -> Self;
}

/// How the left operand of a tile lies in memory.
#[derive(Clone, Copy)]
pub(super) enum Left {
    /// Rows so many values apart, each contiguous: as it is.
    Rows(usize),
    /// All of a tile's rows beside each other, for one inner index after another.
    Packed,
}

/// Where a tile's result goes: the first value, and the distances between rows and columns.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub first: *mut f32,
    pub row_stride: usize,
    pub col_stride: usize,
    pub keep: f32,
    pub alpha: f32,
}

impl Target {
    /// The target from a row and a column on.
    ///
    /// # Safety
    /// The place must be inside the target.
    pub unsafe fn at(self, row: usize, col: usize) -> Self {
        Target {
            // SAFETY: the caller's.
            first: unsafe { self.first.add(row * self.row_stride + col * self.col_stride) },
            ..self
        }
    }
}

/// `target = keep · target + alpha · left · right` for a tile of `rows × cols`, at most `M × (N · LANES)`.
///
/// `right` holds, for each of the `k` inner indices, `N · LANES` values side by side.
///
/// # Safety
/// As for [`Vector`]; `left` must hold `rows × k` values (packed: `M × k`) and the target `rows × cols`.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const M: usize, const N: usize>(
    k: usize,
    left: *const f32,
    layout: Left,
    right: *const f32,
    target: Target,
    (rows, cols): (usize, usize),
) {
    // SAFETY: the caller's. Rows beyond the last are computed from the last and dropped, so nothing outside is read or written.
    unsafe {
        let sums = match layout {
            Left::Packed => sums::<V, M, N, true>(k, [left; M], right),
            Left::Rows(stride) => {
                let starts = std::array::from_fn(|i| left.add(i.min(rows - 1) * stride));
                sums::<V, M, N, false>(k, starts, right)
            }
        };
        let alpha = V::splat(target.alpha);
        if rows == M && cols == N * V::LANES && target.col_stride == 1 {
            let keep = V::splat(target.keep);
            for (i, row) in sums.iter().enumerate() {
                for (j, sum) in row.iter().enumerate() {
                    let at = target.first.add(i * target.row_stride + j * V::LANES);
                    let scaled = sum.mul(alpha);
                    let value = match target.keep == 0.0 {
                        true => scaled,
                        false => V::load(at).mul_add(keep, scaled),
                    };
                    value.store(at);
                }
            }
            return;
        }
        let mut line = [0f32; LONGEST];
        for (i, row) in sums.iter().enumerate().take(rows) {
            for (j, sum) in row.iter().enumerate() {
                sum.mul(alpha).store(line.as_mut_ptr().add(j * V::LANES));
            }
            for (j, value) in line.iter().enumerate().take(cols) {
                let at = target.first.add(i * target.row_stride + j * target.col_stride);
                *at = match target.keep == 0.0 {
                    true => *value,
                    // Fused like the whole tiles', so that a value does not depend on where the tiles begin.
                    false => (*at).mul_add(target.keep, *value),
                };
            }
        }
    }
}

/// The most columns a tile may have.
pub(super) const LONGEST: usize = 48;

#[inline(always)]
unsafe fn sums<V: Vector, const M: usize, const N: usize, const PACKED: bool>(
    k: usize,
    left: [*const f32; M],
    right: *const f32,
) -> [[V; N]; M] {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[V::splat(0.0); N]; M];
        let mut right = right;
        for p in 0..k {
            let mut line = [V::splat(0.0); N];
            for (j, value) in line.iter_mut().enumerate() {
                *value = V::load(right.add(j * V::LANES));
            }
            for (i, row) in sums.iter_mut().enumerate() {
                let at = if PACKED {
                    left[0].add(p * M + i)
                } else {
                    left[i].add(p)
                };
                let value = V::splat(*at);
                for (sum, line) in row.iter_mut().zip(line) {
                    *sum = value.mul_add(line, *sum);
                }
            }
            right = right.add(N * V::LANES);
        }
        sums
    }
}
