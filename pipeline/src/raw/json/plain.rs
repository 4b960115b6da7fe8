//! Where the plain bytes of a string end.

/// How many bytes come before the first that may end a string or must not stand in one: a quote, a backslash or a control character.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn plain_bytes(bytes: &[u8]) -> usize {
    words(bytes)
}

#[cfg(target_arch = "x86_64")]
pub(super) use vectors::plain_bytes;

/// Eight bytes at a time.
fn words(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let found = words
        .iter()
        .enumerate()
        .find_map(|(number, word)| special_byte(*word).map(|within| number * 8 + within));
    found.unwrap_or_else(|| {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
    })
}

/// The first special byte of eight.
#[inline(always)]
fn special_byte(word: [u8; 8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(word);
    // A byte below the subtrahend borrows, which shows in its highest bit; only a byte above it can be marked in error.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let marked = (equal(b'"') | equal(b'\\') | below(word, 0x20)) & HIGH;
    (marked != 0).then(|| marked.trailing_zeros() as usize / 8)
}

#[cfg(target_arch = "x86_64")]
mod vectors {
    use std::arch::x86_64::*;

    use super::words;

    /// Ids and other short values end in these: looked at without a call.
    const SHORT: usize = 32;

    #[inline]
    pub fn plain_bytes(bytes: &[u8]) -> usize {
        let blocks = bytes.as_chunks::<16>().0.iter().take(SHORT / 16);
        for (number, block) in blocks.enumerate() {
            // SAFETY: every x86-64 has SSE2.
            let marked = unsafe { special_of_16(block) };
            if marked != 0 {
                return number * 16 + marked.trailing_zeros() as usize;
            }
        }
        let at = SHORT.min(bytes.len() / 16 * 16);
        let rest = &bytes[at..];
        if rest.len() >= 32 && std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions.
            return at + unsafe { long(rest) };
        }
        at + words(rest)
    }

    /// Bits of special bytes.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn special_of_16(block: &[u8; 16]) -> i32 {
        // SAFETY: a block has the 16 bytes.
        let bytes = unsafe { _mm_loadu_si128(block.as_ptr().cast()) };
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control))
    }

    #[target_feature(enable = "avx2")]
    fn long(bytes: &[u8]) -> usize {
        let (blocks, rest) = bytes.as_chunks::<32>();
        for (number, block) in blocks.iter().enumerate() {
            // SAFETY: a block has the 32 bytes.
            let bytes = unsafe { _mm256_loadu_si256(block.as_ptr().cast()) };
            let quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8));
            let backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\' as i8));
            let control = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
            let marked = _mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(quote, backslash), control));
            if marked != 0 {
                return number * 32 + marked.trailing_zeros() as usize;
            }
        }
        bytes.len() - rest.len() + words(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for length in 0..200 {
            let plain: Vec<u8> = (0..length)
                .map(|at| [b'a', b' ', 0x7f, 0x80, 0xff, b'!', b'#', b'[', b']'][at % 9])
                .collect();
            assert_eq!((plain_bytes(&plain), words(&plain)), (length, length));
            for at in 0..length {
                for special in [b'"', b'\\', 0, b'\n', 0x1f] {
                    let mut bytes = plain.clone();
                    bytes[at] = special;
                    // What comes after it does not count.
                    if let Some(last) = bytes[at + 1..].last_mut() {
                        *last = b'"';
                    }
                    assert_eq!((plain_bytes(&bytes), words(&bytes)), (at, at));
                }
            }
        }
    }
}
