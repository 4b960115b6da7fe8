//! The checksum by multiplication without carries, 64 or 128 bytes at a time.
//!
//! A piece of the message is worth its remainder times x to the power of the bits behind it, so that 128 bits may be replaced by what
//! they come to some way further on: their halves, each multiplied by a constant of 32 bits (Gopal et al., "Fast CRC Computation for
//! Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009). The last 128 bits that are left go through the tables.

use std::arch::x86_64::*;

use super::crc::{POLYNOMIAL, slow};

/// x to the power of `exponent` by the polynomial, lowest power in the highest bit, of 33 bits as the multiplication wants it.
const fn power(exponent: u32) -> i64 {
    let (mut value, mut at) = (1_u32 << 31, 0);
    while at < exponent {
        value = (value >> 1) ^ (POLYNOMIAL * (value & 1));
        at += 1;
    }
    (value as i64) << 1
}

/// What moves 128 bits by so many bits: for the half that comes first, and for the other.
const fn by(bits: u32) -> [i64; 2] {
    [power(bits + 32), power(bits - 32)]
}

/// The state after as many of `bytes` as go into whole steps, and the others.
pub(super) fn fold(state: u32, bytes: &[u8]) -> (u32, &[u8]) {
    if bytes.len() >= 128 && std::is_x86_feature_detected!("pclmulqdq") {
        if std::is_x86_feature_detected!("vpclmulqdq") && std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions.
            return unsafe { wide(state, bytes) };
        }
        // SAFETY: as above.
        return unsafe { narrow(state, bytes) };
    }
    (state, bytes)
}

#[target_feature(enable = "pclmulqdq")]
fn moved(value: __m128i, by: [i64; 2]) -> __m128i {
    let by = _mm_set_epi64x(by[1], by[0]);
    _mm_xor_si128(
        _mm_clmulepi64_si128(value, by, 0x00),
        _mm_clmulepi64_si128(value, by, 0x11),
    )
}

#[target_feature(enable = "pclmulqdq")]
pub(super) fn narrow(state: u32, bytes: &[u8]) -> (u32, &[u8]) {
    let (steps, rest) = bytes.as_chunks::<64>();
    let mut sums = [_mm_setzero_si128(); 4];
    sums[0] = _mm_cvtsi32_si128(state as i32);
    for (number, step) in steps.iter().enumerate() {
        for (at, sum) in sums.iter_mut().enumerate() {
            if number > 0 {
                *sum = moved(*sum, const { by(512) });
            }
            // SAFETY: four times 16 bytes are the 64 of a step.
            let next = unsafe { _mm_loadu_si128(step.as_ptr().add(16 * at).cast()) };
            *sum = _mm_xor_si128(*sum, next);
        }
    }
    let [first, others @ ..] = sums;
    let all = others.iter().fold(first, |all, &sum| {
        _mm_xor_si128(moved(all, const { by(128) }), sum)
    });
    (last(all), rest)
}

#[target_feature(enable = "avx2,pclmulqdq,vpclmulqdq")]
fn moved_pair(value: __m256i, by: [i64; 2]) -> __m256i {
    let by = _mm256_set_epi64x(by[1], by[0], by[1], by[0]);
    _mm256_xor_si256(
        _mm256_clmulepi64_epi128(value, by, 0x00),
        _mm256_clmulepi64_epi128(value, by, 0x11),
    )
}

#[target_feature(enable = "avx2,pclmulqdq,vpclmulqdq")]
fn wide(state: u32, bytes: &[u8]) -> (u32, &[u8]) {
    let (steps, rest) = bytes.as_chunks::<128>();
    let mut sums = [_mm256_setzero_si256(); 4];
    sums[0] = _mm256_zextsi128_si256(_mm_cvtsi32_si128(state as i32));
    for (number, step) in steps.iter().enumerate() {
        for (at, sum) in sums.iter_mut().enumerate() {
            if number > 0 {
                *sum = moved_pair(*sum, const { by(1024) });
            }
            // SAFETY: four times 32 bytes are the 128 of a step.
            let next = unsafe { _mm256_loadu_si256(step.as_ptr().add(32 * at).cast()) };
            *sum = _mm256_xor_si256(*sum, next);
        }
    }
    let [first, others @ ..] = sums;
    let all = others.iter().fold(first, |all, &sum| {
        _mm256_xor_si256(moved_pair(all, const { by(256) }), sum)
    });
    let (first, second) = (_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    (last(_mm_xor_si128(moved(first, const { by(128) }), second)), rest)
}

#[target_feature(enable = "sse2")]
fn last(value: __m128i) -> u32 {
    let mut bytes = [0; 16];
    // SAFETY: there is room for 16 bytes.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) };
    slow(0, &bytes)
}
