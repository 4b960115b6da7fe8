#![allow(clippy::unwrap_used)]
use std::io::{self, ErrorKind, Read, Write};

use flate2::{Compress, Compression, FlushCompress, GzBuilder};
use proptest::prelude::*;

use super::*;

/// All that comes out, and what stopped it; through blocks of `size` bytes beside what a block must have.
fn decoded(reader: impl Read, size: usize) -> (Vec<u8>, io::Result<()>) {
    let mut decoder = Decoder::new(reader);
    let mut block = vec![0xaa; SMALLEST - 1 + size];
    let mut all = Vec::new();
    loop {
        let (range, result) = decoder.fill(&mut block);
        all.extend_from_slice(&block[range.clone()]);
        if result.is_err() || range.is_empty() {
            return (all, result);
        }
        // What stands in a block that is used again must be no matter.
        block.fill(0x55);
    }
}

/// The same by flate2. It may lose what it decoded just before damage, never more than that.
fn by_flate2(stored: &[u8]) -> (Vec<u8>, io::Result<()>) {
    let mut all = Vec::new();
    let mut byte = [0];
    let mut decoder = flate2::bufread::MultiGzDecoder::new(stored);
    loop {
        match decoder.read(&mut byte) {
            Ok(0) => return (all, Ok(())),
            Ok(_) => all.push(byte[0]),
            Err(error) => return (all, Err(error)),
        }
    }
}

/// One byte at a time, as a slow line gives them.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(&mut buffer[..1])
    }
}

fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A member around blocks that were written otherwise.
fn member(blocks: &[u8], content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    [
        &head,
        blocks,
        &crc.sum().to_le_bytes(),
        &crc.amount().to_le_bytes(),
    ]
    .concat()
}

/// Something like a log: words that come again and again, among numbers that do not.
fn log(lines: usize) -> Vec<u8> {
    let words = [
        "\"asin\": ",
        "the colour is ",
        "not what ",
        "it should be",
        "A",
        "é",
        "\\u20ac",
    ];
    let mut text = Vec::new();
    for line in 0..lines as u64 {
        let mut drawn = line.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for _ in 0..line % 13 {
            text.extend_from_slice(words[(drawn >> 59) as usize % words.len()].as_bytes());
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
        writeln!(text, "{}", drawn >> 30).unwrap();
    }
    text
}

/// Bytes without any order.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(next).collect()
}

/// Contents of many kinds: nothing, runs, repetitions from as far back as there can be, all bytes, few bytes.
fn contents() -> Vec<Vec<u8>> {
    let far = noise(32_768);
    let mut skewed = Vec::new();
    for byte in 0..17_u8 {
        // Each byte twice as often as the one before, for codes as long as there are.
        skewed.extend(std::iter::repeat_n(byte, 1 << byte));
    }
    let order = noise(skewed.len());
    let mut places: Vec<usize> = (0..skewed.len()).collect();
    places.sort_by_key(|&place| order[place]);
    let skewed = places.into_iter().map(|place| skewed[place]).collect();
    let mut periods = Vec::new();
    for period in 1..40 {
        let pattern = &far[period..2 * period];
        periods.extend(pattern.iter().cycle().take(period + 300));
    }
    vec![
        Vec::new(),
        b"x".to_vec(),
        log(30),
        log(20_000),
        vec![b'a'; 300_000],
        noise(200_000),
        [&far[..], &far[..], &far[..10]].concat(),
        (0..=255).cycle().take(3_000).collect(),
        skewed,
        periods,
    ]
}

#[test]
fn what_any_level_wrote_comes_out_again() {
    for (number, content) in contents().iter().enumerate() {
        for level in 0..=9 {
            let stored = gzip(content, level);
            for size in [1, 1_000, 100_000, 1 << 20] {
                if content.len() / size > 2_000 {
                    continue;
                }
                let (found, result) = decoded(stored.as_slice(), size);
                result.unwrap();
                assert!(
                    found == *content,
                    "content {number}, level {level}, blocks of {size}"
                );
            }
        }
        let (found, result) = decoded(Dripping(&gzip(content, 6)), 70_000);
        result.unwrap();
        assert!(found == *content, "content {number}, a byte at a time");
    }
}

#[test]
fn blocks_that_were_flushed_come_out_again() {
    let content = log(3_000);
    for flush in [FlushCompress::Sync, FlushCompress::Full, FlushCompress::Partial] {
        let mut encoder = Compress::new(Compression::best(), false);
        let mut blocks = Vec::with_capacity(content.len() + 100_000);
        for piece in content.chunks(700) {
            encoder.compress_vec(piece, &mut blocks, flush).unwrap();
        }
        encoder
            .compress_vec(&[], &mut blocks, FlushCompress::Finish)
            .unwrap();
        let (found, result) = decoded(member(&blocks, &content).as_slice(), 5_000);
        result.unwrap();
        assert!(found == content, "{flush:?}");
    }
}

/// Writes a part of a block.
type Part = fn(&mut Fixed);

/// Writes a block under the fixed codes, symbol by symbol.
#[derive(Default)]
struct Fixed {
    bytes: Vec<u8>,
    bits: u32,
}

impl Fixed {
    fn begin() -> Self {
        let mut fixed = Fixed::default();
        fixed.low(0b011, 3);
        fixed
    }

    fn low(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (self.bits % 8);
            self.bits += 1;
        }
    }

    fn code(&mut self, code: u32, count: u32) {
        self.low(code.reverse_bits() >> (32 - count), count);
    }

    fn symbol(&mut self, symbol: u32) {
        match symbol {
            0..144 => self.code(0x30 + symbol, 8),
            144..256 => self.code(0x190 + symbol - 144, 9),
            256..280 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    fn repeat(&mut self, symbol: u32, extra: (u32, u32), distance: u32, further: (u32, u32)) {
        self.symbol(symbol);
        self.low(extra.0, extra.1);
        self.code(distance, 5);
        self.low(further.0, further.1);
    }
}

#[test]
fn the_longest_repetition_is_found_in_both_its_forms_and_at_any_distance() {
    let far = noise(32_768);
    // 285 is 258 bytes; so is 284 with all its bits, which some encoders write. 29 with all bits is the farthest there is.
    for (symbol, extra) in [(285, (0, 0)), (284, (31, 5))] {
        for (distance, further, back) in [
            (29, (8_191, 13), 32_768),
            (0, (0, 0), 1),
            (4, (1, 1), 6),
            (7, (3, 2), 16),
        ] {
            let mut fixed = Fixed::begin();
            far.iter().for_each(|&byte| fixed.symbol(byte.into()));
            fixed.repeat(symbol, extra, distance, further);
            fixed.symbol(256);
            let mut content = far.clone();
            for _ in 0..258 {
                content.push(content[content.len() - back]);
            }
            for size in [1_000, 1 << 20] {
                let (found, result) = decoded(member(&fixed.bytes, &content).as_slice(), size);
                result.unwrap();
                assert!(found == content, "{symbol}, {back} back");
            }
        }
    }
}

#[test]
fn symbols_that_mean_nothing_and_repetitions_of_nothing_are_damage() {
    let cases: [(&str, Part); 4] = [
        ("before the beginning", |fixed| {
            fixed.repeat(257, (0, 0), 1, (0, 0))
        }),
        ("stands for nothing", |fixed| fixed.repeat(286, (0, 0), 0, (0, 0))),
        ("stands for nothing", |fixed| {
            fixed.repeat(257, (0, 0), 30, (0, 0))
        }),
        ("before the beginning", |fixed| {
            fixed.repeat(257, (0, 0), 29, (8_191, 13))
        }),
    ];
    for (what, write) in cases {
        for behind in [0, 100] {
            let mut fixed = Fixed::begin();
            fixed.symbol(b'a'.into());
            write(&mut fixed);
            // With bytes behind it the loop meets it, without them the careful way does.
            fixed.bytes.extend(std::iter::repeat_n(0, behind));
            // What was in the window of the member before is none of its own.
            let stored = [gzip(b"before", 6), member(&fixed.bytes, b"")].concat();
            let (found, result) = decoded(stored.as_slice(), 1_000);
            assert_eq!(found, b"beforea");
            let error = result.unwrap_err().to_string();
            assert!(error.contains(what), "{what}: {error}");
        }
    }
}

#[test]
fn members_follow_one_another_and_may_be_empty() {
    let log = log(4_000);
    let mut stored = Vec::new();
    let mut content = Vec::new();
    for (number, piece) in log.chunks(777).enumerate() {
        stored.extend(gzip(piece, number as u32 % 10));
        stored.extend(gzip(b"", 6));
        content.extend_from_slice(piece);
    }
    for size in [1, 1_000, 1 << 20] {
        let (found, result) = decoded(stored.as_slice(), size);
        result.unwrap();
        assert!(found == content);
    }
}

#[test]
fn the_fields_of_a_header_are_passed_over_and_its_checksum_is_looked_at() {
    let builder = GzBuilder::new()
        .extra(vec![7; 70_000 % 65_536])
        .filename("log.json")
        .comment("all of it");
    let mut encoder = builder.write(Vec::new(), Compression::fast());
    encoder.write_all(b"content").unwrap();
    let stored = encoder.finish().unwrap();
    assert_eq!(decoded(stored.as_slice(), 1_000).0, b"content");
    assert_eq!(decoded(Dripping(&stored), 1_000).0, b"content");

    // With a checksum behind the fields, right or wrong.
    let header = stored.len() - gzip(b"content", 1).len() + 10;
    let mut head = stored[..header].to_vec();
    head[3] |= 2;
    let mut crc = flate2::Crc::new();
    crc.update(&head);
    for wrong in [0, 1] {
        let noted = (crc.sum() as u16 ^ wrong).to_le_bytes();
        let (found, result) = decoded([&head, &noted[..], &stored[header..]].concat().as_slice(), 1_000);
        if wrong == 0 {
            result.unwrap();
            assert_eq!(found, b"content");
        } else {
            assert!(result.unwrap_err().to_string().contains("header that differs"));
        }
    }
}

#[test]
fn what_is_no_member_is_damage_after_all_before_it() {
    for behind in [
        &b"\0\0\0\0\0\0\0\0\0\0\0\0"[..],
        b"<",
        b"\x1f\x8b\x07\0\0\0\0\0\0\0\0",
        b"\x1f\x8b\x08\x20\0\0\0\0\0\0\0",
    ] {
        let (found, result) = decoded([&gzip(b"content", 6), behind].concat().as_slice(), 1_000);
        assert_eq!(found, b"content");
        assert!(result.unwrap_err().to_string().contains("no gzip header"));
    }
}

#[test]
fn a_wrong_checksum_and_a_wrong_length_are_told_apart() {
    let stored = gzip(b"content", 6);
    for (back, what) in [(8, "checksum"), (4, "length")] {
        let mut stored = stored.clone();
        let at = stored.len() - back;
        stored[at] ^= 1;
        let (found, result) = decoded(stored.as_slice(), 1_000);
        assert_eq!(found, b"content");
        let error = result.unwrap_err();
        assert!(
            error.kind() == ErrorKind::InvalidData && error.to_string().contains(what),
            "{error}"
        );
    }
}

#[test]
fn codes_that_no_encoder_writes_are_damage() {
    // A block under codes of its own: how many of each, and the lengths of the code for lengths in the order in which they stand.
    let block = |symbols: u32, distances: u32, lengths: &[u32], rest: &[(u32, u32)]| {
        let mut block = Fixed::default();
        block.low(0b101, 3);
        block.low(symbols - 257, 5);
        block.low(distances - 1, 5);
        block.low(lengths.len() as u32 - 4, 4);
        lengths.iter().for_each(|&length| block.low(length, 3));
        rest.iter().for_each(|&(code, count)| block.code(code, count));
        block.bytes.extend([0; 40]);
        member(&block.bytes, b"")
    };
    let two = [1, 0, 0, 1, 0, 0, 0, 0];
    let cases = [
        (block(287, 1, &two, &[]), "more codes than"),
        (block(257, 31, &two, &[]), "more codes than"),
        (
            block(257, 1, &[1, 1, 1, 0], &[]),
            "lengths of codes that stand for two",
        ),
        (
            block(257, 1, &[2, 2, 2, 0], &[]),
            "lengths of codes that stand for nothing",
        ),
        // 16 first: there is no length to repeat.
        (block(257, 1, &two, &[(1, 1), (0, 2)]), "to be repeated"),
        // 18 twice, each with all of its bits: 276 lengths of 258.
        (
            block(257, 1, &[0, 0, 1, 1], &[(1, 1), (127, 7), (1, 1), (127, 7)]),
            "to be repeated",
        ),
        (
            block(
                257,
                1,
                &[0, 0, 1, 1],
                &[(1, 1), (127, 7), (1, 1), (0b110_1101, 7)],
            ),
            "without a code for its end",
        ),
        (member(&[0b111], b""), "unknown kind"),
        (member(&[1, 1, 0, 0, 0], b""), "not repeated"),
    ];
    for (number, (stored, what)) in cases.iter().enumerate() {
        let (found, result) = decoded(stored.as_slice(), 1_000);
        let error = result.unwrap_err().to_string();
        assert!(found.is_empty() && error.contains(what), "{number}: {error}");
        assert!(by_flate2(stored).1.is_err(), "{number}");
    }
}

#[test]
fn every_beginning_of_a_file_ends_early_with_all_that_it_holds() {
    let content = log(40);
    for level in [0, 1, 6] {
        let stored = gzip(&content, level);
        for length in 0..stored.len() {
            let (found, result) = decoded(&stored[..length], 1_000);
            assert_eq!(result.unwrap_err().kind(), ErrorKind::UnexpectedEof, "{length}");
            let (expected, _) = by_flate2(&stored[..length]);
            assert!(
                content.starts_with(&found) && found.len() >= expected.len(),
                "{length}"
            );
        }
    }
}

#[test]
fn a_bit_that_changed_is_an_error_wherever_it_matters() {
    let content = log(25);
    for level in [0, 1, 9] {
        let stored = gzip(&content, level);
        for bit in 0..8 * stored.len() {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let (found, result) = decoded(damaged.as_slice(), 300);
            let (expected, other) = by_flate2(&damaged);
            assert_eq!(result.is_ok(), other.is_ok(), "bit {bit}");
            if result.is_ok() {
                // A time or a system in the header: nothing that is looked at.
                assert!(found == content && found == expected, "bit {bit}");
            } else {
                assert!(found.starts_with(&expected), "bit {bit}");
            }
        }
    }
}

#[test]
fn a_reader_that_fails_is_heard_after_the_bytes_before_it() {
    struct Fails<'a>(&'a [u8]);
    impl Read for Fails<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::new(ErrorKind::ConnectionReset, "cut")),
                count => Ok(count),
            }
        }
    }
    let content = log(5_000);
    let stored = gzip(&content, 6);
    let (found, result) = decoded(Fails(&stored[..stored.len() / 2]), 10_000);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(
        content.starts_with(&found) && found.len() > content.len() / 3,
        "{}",
        found.len()
    );
}

#[test]
fn the_checksum_is_that_of_any_length_and_in_any_pieces() {
    let bytes = noise(3_000);
    for length in (0..700).chain([1_000, 2_999]) {
        let mut expected = flate2::Crc::new();
        expected.update(&bytes[..length]);
        for cut in [0, length.min(1), length / 2, length] {
            let mut crc = Crc::default();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..length]);
            assert_eq!(crc.value(), expected.sum(), "{length}, cut at {cut}");
        }
        assert_eq!(!crc::slow(!0, &bytes[..length]), expected.sum(), "{length}");
        #[cfg(target_arch = "x86_64")]
        if length >= 64 && std::is_x86_feature_detected!("pclmulqdq") {
            // SAFETY: the processor has the instructions.
            let (state, rest) = unsafe { folding::narrow(!0, &bytes[..length]) };
            assert_eq!(!crc::slow(state, rest), expected.sum(), "{length}");
        }
    }
}

proptest! {
    #[test]
    fn what_was_compressed_in_any_way_comes_out(
        words in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..20),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 1..30_usize), 0..300),
        level in 0..10_u32,
        cut in any::<prop::sample::Index>(),
        size in 1..3_000_usize,
    ) {
        let mut content = Vec::new();
        for (pick, times) in picks {
            (0..times).for_each(|_| content.extend_from_slice(pick.get::<Vec<u8>>(&words)));
        }
        let (first, second) = content.split_at(cut.index(content.len() + 1));
        let stored = [gzip(first, level), gzip(second, 9 - level)].concat();
        let (found, result) = decoded(stored.as_slice(), size);
        prop_assert!(result.is_ok());
        prop_assert!(found == content);
    }

    #[test]
    fn damage_is_met_as_flate2_meets_it(
        lines in 0..60_usize,
        level in 0..10_u32,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut stored = gzip(&log(lines), level);
        for (at, byte) in changes {
            let at = at.index(stored.len());
            stored[at] = byte;
        }
        if let Some(cut) = cut {
            stored.truncate(cut.index(stored.len()));
        }
        let (found, result) = decoded(stored.as_slice(), 2_000);
        let (expected, other) = by_flate2(&stored);
        prop_assert_eq!(result.is_ok(), other.is_ok());
        prop_assert!(found.starts_with(&expected));
        prop_assert!(result.is_err() || found == expected);
    }
}
