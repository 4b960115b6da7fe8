//! What each compression's own tools write is read, damage is told, and all before it is given.
#![allow(clippy::unwrap_used)]

use std::io::Write;

use super::*;

fn stored(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstandard => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// Lines that compress a little.
fn text(lines: u64) -> Vec<u8> {
    (0..lines)
        .flat_map(|n| format!("line {}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes())
        .collect()
}

/// What can be read, and how it ends. The pieces are of uneven lengths.
fn read(compression: Compression, stored: &[u8]) -> (Vec<u8>, Option<io::Error>) {
    let mut reader = compression.reader(io::Cursor::new(stored.to_vec())).unwrap();
    let (mut all, mut buffer) = (Vec::new(), vec![0; 300_000]);
    loop {
        let room = 1 + all.len() * 7_919 % buffer.len();
        match reader.read(&mut buffer[..room]) {
            Ok(0) => return (all, None),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) => return (all, Some(error)),
        }
    }
}

#[test]
fn streams_one_after_another_are_one_file_and_zeros_behind_them_are_nothing() {
    let text = text(20_000);
    let (first, second) = text.split_at(text.len() / 3);
    for compression in Compression::ALL {
        let [first, second, empty] = [first, second, b""].map(|part| stored(compression, part));
        let zeros = [0; 512].as_slice();
        for parts in [
            vec![&first[..], &second],
            vec![&first, &empty, &second, &empty],
            vec![&first, &second, zeros],
            vec![&first, zeros, &second, &[0; 300_000]],
        ] {
            let (found, end) = read(compression, &parts.concat());
            assert!(end.is_none(), "{compression:?} {end:?}");
            assert!(found == text, "{compression:?}");
        }
    }
}

#[test]
fn a_file_that_ends_early_gives_what_there_is_and_says_so_wherever_it_is_cut() {
    let text = text(20_000);
    for compression in Compression::ALL {
        let whole = stored(compression, &text);
        let cuts = (0..20)
            .chain((1..20).map(|part| whole.len() * part / 20))
            .chain(whole.len() - 9..whole.len());
        for cut in cuts {
            let (found, end) = read(compression, &whole[..cut]);
            assert!(text.starts_with(&found), "{compression:?} cut at {cut}");
            assert_eq!(
                end.map(|error| error.kind()),
                Some(io::ErrorKind::UnexpectedEof),
                "{compression:?} cut at {cut} of {}",
                whole.len()
            );
        }
    }
}

#[test]
fn something_else_behind_the_end_is_damage_after_all_content() {
    let text = text(20_000);
    for compression in Compression::ALL {
        for rest in [&b"<html>moved</html>"[..], b"x", &[0xff; 40]] {
            let (found, end) = read(compression, &[&stored(compression, &text), rest].concat());
            assert!(found == text, "{compression:?}");
            let end = end.unwrap();
            let short = end.kind() == io::ErrorKind::UnexpectedEof && rest.len() < 4;
            assert!(
                short || end.to_string().contains("what follows the end"),
                "{compression:?} {end}"
            );
        }
    }
}

#[test]
fn damage_is_told_and_what_comes_before_it_is_given() {
    let text = text(20_000);
    for compression in Compression::ALL {
        let whole = stored(compression, &text);
        for part in 1..10 {
            let at = whole.len() * part / 10;
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            damaged[at + 1] ^= 0xff;
            let (found, end) = read(compression, &damaged);
            assert!(end.is_some(), "{compression:?} damaged at {at}");
            // Blocks of bzip2 are of 100 kB here, and those of the others smaller or a stream.
            let before = (text.len() * part / 10).saturating_sub(200_000);
            let same = found
                .iter()
                .zip(&text)
                .take_while(|(one, other)| one == other)
                .count();
            assert!(
                same >= before,
                "{compression:?} damaged at {at}: {same} bytes, {before} come before"
            );
        }
        // The last bytes hold the checksum, or part of what stands for the end.
        let mut damaged = whole.clone();
        let at = whole.len() - if compression == Compression::Bzip2 { 4 } else { 3 };
        damaged[at] ^= 0x55;
        assert!(
            read(compression, &damaged).1.is_some(),
            "{compression:?}: its end is damaged"
        );
    }
}

#[test]
fn zstandard_gives_every_block_before_a_damaged_one() {
    let text = text(60_000);
    let whole = stored(Compression::Zstandard, &text);
    // The blocks of a frame, by their heads (RFC 8878): 3 bytes, of which the upper 21 bits are the size.
    let mut at = 4 + 1 + 1;
    let mut blocks = 0;
    loop {
        let head = u32::from_le_bytes([whole[at], whole[at + 1], whole[at + 2], 0]);
        if head & 1 == 1 {
            break;
        }
        if blocks > 0 {
            let mut damaged = whole.clone();
            // A kind of block that there is not.
            damaged[at] |= 0b110;
            let (found, end) = read(Compression::Zstandard, &damaged);
            assert!(end.is_some());
            assert_eq!(found.len(), blocks * 128 * 1024, "{blocks} blocks come before");
            assert!(text.starts_with(&found));
        }
        blocks += 1;
        at += 3 + (head >> 3) as usize;
    }
    assert!(blocks > 5, "{blocks}");
}

#[test]
fn windows_of_two_gigabytes_and_frames_to_be_skipped_are_read() {
    let text = text(20_000);
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder
        .set_parameter(zstd::stream::raw::CParameter::WindowLog(27))
        .unwrap();
    encoder.write_all(&text).unwrap();
    let mut long = encoder.finish().unwrap();
    // The byte behind the magic and the descriptor is the window's: exponent 31 - 10, no mantissa. To write with it takes 2 GiB.
    assert_eq!(long[4] & 0x20, 0, "no frame of a single segment");
    long[5] = 21 << 3;
    let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"any"].concat();
    let (found, end) = read(Compression::Zstandard, &[&skipped[..], &long, &skipped].concat());
    assert!(end.is_none() && found == text, "{end:?}");
    long[5] = 22 << 3;
    let (_, end) = read(Compression::Zstandard, &long);
    assert!(end.unwrap().to_string().contains("too much memory"));
}

#[test]
fn endings_are_known_in_small_letters_and_capitals() {
    for (name, compression) in [
        ("a.csv.gz", Some((Compression::Gzip, "a.csv"))),
        ("A.CSV.GZ", Some((Compression::Gzip, "A.CSV"))),
        ("a.Csv.Bz2", Some((Compression::Bzip2, "a.Csv"))),
        ("a.xz", Some((Compression::Xz, "a"))),
        ("é.zst", Some((Compression::Zstandard, "é"))),
        ("gz", None),
        ("é", None),
        ("a.csv", None),
    ] {
        assert_eq!(Compression::of_name(name), compression, "{name}");
    }
}
