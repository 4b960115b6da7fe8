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
    /// Asks for what stands at an address, which need not be good, to be brought near.
    unsafe fn prefetch(at: *const f32);
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

/// A second, short product that is added to a tile.
#[derive(Clone, Copy)]
pub(super) struct More {
    pub k: usize,
    /// The first of the tile's rows of the left operand.
    pub left: *const f32,
    /// The distance between those, each contiguous.
    pub stride: usize,
    /// The right operand, packed as the tile's own and times the product's factor.
    pub right: *const f32,
}

/// `target = keep · target + alpha · left · right`, and `more`, for a tile of `rows × cols`, at most `M × (N · LANES)`.
///
/// `right` holds, for each of the `k` inner indices, `N · LANES` values side by side.
///
/// # Safety
/// As for [`Vector`]; `left` must hold `rows × k` values (packed: `M × k`), `more` its own, and the target `rows × cols`.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const M: usize, const N: usize>(
    k: usize,
    left: *const f32,
    layout: Left,
    right: *const f32,
    target: Target,
    (rows, cols): (usize, usize),
    more: Option<More>,
) {
    // SAFETY: the caller's. Rows beyond the last are computed from the last and dropped, so nothing outside is read or written.
    unsafe {
        if target.col_stride == 1 {
            for i in 0..rows.min(M) {
                let row = target.first.add(i * target.row_stride);
                V::prefetch(row);
                V::prefetch(row.add(cols - 1));
            }
        }
        let mut sums = [[V::splat(0.0); N]; M];
        match layout {
            Left::Packed => add::<V, M, N, true>(&mut sums, k, [left; M], right),
            Left::Rows(stride) => add::<V, M, N, false>(&mut sums, k, rows_of(left, stride, rows), right),
        }
        if target.alpha != 1.0 {
            let alpha = V::splat(target.alpha);
            sums.iter_mut().flatten().for_each(|sum| *sum = sum.mul(alpha));
        }
        if let Some(more) = more {
            let left = rows_of(more.left, more.stride, rows);
            add::<V, M, N, false>(&mut sums, more.k, left, more.right);
        }
        if rows == M && cols == N * V::LANES && target.col_stride == 1 {
            let keep = V::splat(target.keep);
            for (i, row) in sums.iter().enumerate() {
                for (j, sum) in row.iter().enumerate() {
                    let at = target.first.add(i * target.row_stride + j * V::LANES);
                    let value = match target.keep == 0.0 {
                        true => *sum,
                        false => V::load(at).mul_add(keep, *sum),
                    };
                    value.store(at);
                }
            }
            return;
        }
        let mut line = [0f32; LONGEST];
        for (i, row) in sums.iter().enumerate().take(rows) {
            for (j, sum) in row.iter().enumerate() {
                sum.store(line.as_mut_ptr().add(j * V::LANES));
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

/// Where a tile's rows begin; for rows beyond the last, the last.
#[inline(always)]
unsafe fn rows_of<const M: usize>(first: *const f32, stride: usize, rows: usize) -> [*const f32; M] {
    // SAFETY: the caller's.
    std::array::from_fn(|i| unsafe { first.add(i.min(rows - 1) * stride) })
}

/// The most columns a tile may have.
pub(super) const LONGEST: usize = 48;

/// `sums += left · right`, in registers all the while.
#[inline(always)]
unsafe fn add<V: Vector, const M: usize, const N: usize, const PACKED: bool>(
    sums: &mut [[V; N]; M],
    k: usize,
    left: [*const f32; M],
    right: *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let (mut held, mut right) = (*sums, right);
        for p in 0..k {
            let mut line = [V::splat(0.0); N];
            for (j, value) in line.iter_mut().enumerate() {
                *value = V::load(right.add(j * V::LANES));
            }
            for (i, row) in held.iter_mut().enumerate() {
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
        *sums = held;
    }
}
