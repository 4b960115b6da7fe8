//! The tiles of each kind of machine.

use super::tile::{LONGEST, Left, More, Target, Vector, tile};

/// Computes one tile; see [`tile`].
pub(super) type Tile = unsafe fn(usize, *const f32, Left, *const f32, Target, (usize, usize), Option<More>);

/// What a machine multiplies with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    /// What records call it: its instructions and its tile.
    pub name: &'static str,
    /// Most rows of a tile.
    pub rows: usize,
    /// Most columns of a tile; a multiple of eight.
    pub cols: usize,
    pub tile: Tile,
}

impl Kernel {
    /// The best one for this machine; none where it has no vectors that we know.
    pub fn best() -> Option<Self> {
        Self::all().pop()
    }

    /// Those that this machine can run, the best last.
    pub fn all() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(x86::AVX2);
            }
            if is_x86_feature_detected!("avx512f") {
                found.push(x86::AVX512);
            }
        }
        found
    }

    /// A kernel of plain arithmetic with the longest vectors, to check everything around the vectors on any machine.
    #[cfg(test)]
    pub fn plain() -> Self {
        unsafe fn plain(
            k: usize,
            l: *const f32,
            layout: Left,
            r: *const f32,
            t: Target,
            size: (usize, usize),
            more: Option<More>,
        ) {
            // SAFETY: the caller's.
            unsafe { tile::<[f32; 16], 8, 3>(k, l, layout, r, t, size, more) }
        }
        Kernel {
            name: "plain",
            rows: 8,
            cols: 48,
            tile: plain,
        }
    }
}

const _: () = assert!(LONGEST == 48);

#[cfg(test)]
impl Vector for [f32; 16] {
    const LANES: usize = 16;

    unsafe fn splat(value: f32) -> Self {
        [value; 16]
    }

    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { from.cast::<Self>().read_unaligned() }
    }

    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }

    unsafe fn mul(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] * other[i])
    }

    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|i| self[i].mul_add(a[i], b[i]))
    }

    unsafe fn prefetch(_: *const f32) {}
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _MM_HINT_T0, _mm_prefetch, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_mul_ps,
        _mm256_set1_ps, _mm256_storeu_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps,
        _mm512_storeu_ps,
    };

    use super::{Kernel, Left, More, Target, Vector, tile};

    macro_rules! vector {
        ($type:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $mul:ident, $mul_add:ident) => {
            impl Vector for $type {
                const LANES: usize = $lanes;

                #[inline(always)]
                unsafe fn splat(value: f32) -> Self {
                    // SAFETY: the caller has the instructions.
                    unsafe { $splat(value) }
                }

                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    // SAFETY: the caller has the instructions and the memory.
                    unsafe { $load(from) }
                }

                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: the caller has the instructions and the memory.
                    unsafe { $store(to, self) }
                }

                #[inline(always)]
                unsafe fn mul(self, other: Self) -> Self {
                    // SAFETY: the caller has the instructions.
                    unsafe { $mul(self, other) }
                }

                #[inline(always)]
                unsafe fn mul_add(self, a: Self, b: Self) -> Self {
                    // SAFETY: the caller has the instructions.
                    unsafe { $mul_add(self, a, b) }
                }

                #[inline(always)]
                unsafe fn prefetch(at: *const f32) {
                    // SAFETY: every machine with these vectors has the instruction, which takes any address.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
                }
            }
        };
    }

    vector!(
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_mul_ps,
        _mm256_fmadd_ps
    );
    vector!(
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_mul_ps,
        _mm512_fmadd_ps
    );

    /// Twelve of the sixteen registers hold sums.
    pub const AVX2: Kernel = Kernel {
        name: "avx2, 6x16",
        rows: 6,
        cols: 16,
        tile: avx2,
    };

    /// Twenty-four of the thirty-two registers hold sums.
    pub const AVX512: Kernel = Kernel {
        name: "avx512, 8x48",
        rows: 8,
        cols: 48,
        tile: avx512,
    };

    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(
        k: usize,
        l: *const f32,
        layout: Left,
        r: *const f32,
        t: Target,
        size: (usize, usize),
        more: Option<More>,
    ) {
        // SAFETY: the caller's.
        unsafe { tile::<__m256, 6, 2>(k, l, layout, r, t, size, more) }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn avx512(
        k: usize,
        l: *const f32,
        layout: Left,
        r: *const f32,
        t: Target,
        size: (usize, usize),
        more: Option<More>,
    ) {
        // SAFETY: the caller's.
        unsafe { tile::<__m512, 8, 3>(k, l, layout, r, t, size, more) }
    }
}
