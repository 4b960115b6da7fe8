//! Operands laid out as tiles read them: what a step of the innermost loop takes stands side by side.

/// An operand in memory: its first value, and the distances between rows and columns.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub first: *const f32,
    pub row_stride: usize,
    pub col_stride: usize,
}

// SAFETY: read only, through pointers that are good for as long as the product runs.
unsafe impl Send for Operand {}
// SAFETY: as above.
unsafe impl Sync for Operand {}

impl Operand {
    pub fn t(self) -> Self {
        Operand {
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// The operand from a row and a column on.
    ///
    /// # Safety
    /// The place must be inside the operand.
    pub unsafe fn from(self, row: usize, col: usize) -> Self {
        Operand {
            // SAFETY: the caller's.
            first: unsafe { self.at(row, col) },
            ..self
        }
    }

    /// # Safety
    /// The place must be inside the operand.
    pub unsafe fn at(self, row: usize, col: usize) -> *const f32 {
        // SAFETY: the caller's.
        unsafe { self.first.add(row * self.row_stride + col * self.col_stride) }
    }
}

/// Writes `k × width` values of an operand with `k` rows to `out`, row after row; columns beyond `cols` become zero.
///
/// # Safety
/// The operand must have `k` rows and `cols` columns from its first value on, and `out` room for `k · width` values.
pub(super) unsafe fn pack(from: Operand, k: usize, cols: usize, width: usize, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        if cols < width {
            out.write_bytes(0, k * width);
        }
        let mut done = 0;
        if from.col_stride == 1 {
            for p in 0..k {
                copy(from.at(p, 0), out.add(p * width), cols);
            }
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if from.row_stride == 1
            && cols == width
            && width.is_multiple_of(8)
            && is_x86_feature_detected!("avx2")
        {
            done = k / 8 * 8;
            for p in (0..done).step_by(8) {
                for j in (0..width).step_by(8) {
                    transpose(from.at(p, j), from.col_stride, out.add(p * width + j), width);
                }
            }
        }
        for p in done..k {
            for j in 0..cols {
                *out.add(p * width + j) = *from.at(p, j);
            }
        }
    }
}

/// Strips that are packed at one time: lines of memory are read whole, and the places written to do not push one another out of
/// the first cache.
pub(super) const ABREAST: usize = 4;

/// As [`pack`], for as many strips of `width` columns as `cols` takes, one after another in `out`.
///
/// # Safety
/// As for [`pack`], with room for whole strips.
pub(super) unsafe fn pack_strips(from: Operand, k: usize, cols: usize, width: usize, out: *mut f32) {
    let mut first = 0;
    // SAFETY: the caller's.
    unsafe {
        while from.col_stride == 1 && cols - first >= ABREAST * width {
            let (from, out) = (from.from(0, first), out.add(first * k));
            for p in 0..k {
                for strip in 0..ABREAST {
                    let (source, target) = (from.at(p, strip * width), out.add((strip * k + p) * width));
                    copy(source, target, width);
                }
            }
            first += ABREAST * width;
        }
        while first < cols {
            pack(
                from.from(0, first),
                k,
                width.min(cols - first),
                width,
                out.add(first * k),
            );
            first += width;
        }
    }
}

/// Copies some values; as a few moves of vectors where they are as many as a tile is wide.
#[inline(always)]
unsafe fn copy(source: *const f32, target: *mut f32, count: usize) {
    macro_rules! moves {
        ($($width:literal),*) => {
            match count {
                $($width => target
                    .cast::<[f32; $width]>()
                    .write_unaligned(source.cast::<[f32; $width]>().read_unaligned()),)*
                _ => target.copy_from_nonoverlapping(source, count),
            }
        };
    }
    // SAFETY: the caller's.
    unsafe { moves!(6, 8, 16, 48) }
}

/// Transposes eight times eight values between matrices with rows so far apart.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    use std::arch::x86_64::*;
    // SAFETY: the caller's.
    unsafe {
        let rows: [__m256; 8] = std::array::from_fn(|i| _mm256_loadu_ps(from.add(i * from_stride)));
        // Pairs, then fours within the halves of the registers, then the halves.
        let pairs: [__m256; 8] = std::array::from_fn(|i| {
            let (a, b) = (rows[i / 2 * 2], rows[i / 2 * 2 + 1]);
            if i % 2 == 0 {
                _mm256_unpacklo_ps(a, b)
            } else {
                _mm256_unpackhi_ps(a, b)
            }
        });
        let fours: [__m256; 8] = std::array::from_fn(|i| {
            let (a, b) = (pairs[i / 4 * 4 + i % 4 / 2], pairs[i / 4 * 4 + i % 4 / 2 + 2]);
            if i % 2 == 0 {
                _mm256_shuffle_ps::<0x44>(a, b)
            } else {
                _mm256_shuffle_ps::<0xEE>(a, b)
            }
        });
        for i in 0..4 {
            let (a, b) = (fours[i], fours[i + 4]);
            _mm256_storeu_ps(to.add(i * to_stride), _mm256_permute2f128_ps::<0x20>(a, b));
            _mm256_storeu_ps(to.add((i + 4) * to_stride), _mm256_permute2f128_ps::<0x31>(a, b));
        }
    }
}
