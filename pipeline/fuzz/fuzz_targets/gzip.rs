//! Our gzip decoder beside flate2: the same bytes, or damage for both. What is fuzzed is a whole file; or the blocks of a member, whose
//! checksum is then made to fit, or no change would get past it; or what is compressed first.
#![no_main]

use std::io::{Read, Write};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::gunzip;

fn member(blocks: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let mut decoder = DeflateDecoder::new(blocks);
    let _ = decoder.by_ref().take(1 << 18).read_to_end(&mut content);
    let taken = decoder.total_in() as usize;
    let mut crc = flate2::Crc::new();
    crc.update(&content);
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let end = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
    [&head, &blocks[..taken], &end, &blocks[taken..]].concat()
}

fn compressed(bytes: &[u8], level: u8) -> Vec<u8> {
    let level = flate2::Compression::new(u32::from(level % 10));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fuzz_target!(|bytes: &[u8]| {
    let Some(([way, size], bytes)) = bytes.split_first_chunk() else {
        return;
    };
    let stored = match way % 4 {
        0 => bytes.to_vec(),
        1 | 2 => member(bytes),
        _ => [compressed(bytes, way >> 2), compressed(bytes, way >> 4)].concat(),
    };
    let (found, result) = gunzip(&stored, 256 << (size % 8));

    // A few bytes at a time, since what flate2 decoded in the read that meets damage is lost.
    let mut decoder = MultiGzDecoder::new(stored.as_slice());
    let (mut expected, mut bytes) = (Vec::new(), [0; 16]);
    let other = loop {
        match decoder.read(&mut bytes) {
            Ok(0) => break Ok(()),
            Ok(count) => expected.extend_from_slice(&bytes[..count]),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(result.is_ok(), other.is_ok(), "{result:?} {other:?}");
    assert!(found.starts_with(&expected), "{} of {} bytes", found.len(), expected.len());
    assert!(result.is_err() || found.len() == expected.len());
});
