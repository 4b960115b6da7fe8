//! What is stored as gzip or Zstandard and is not, or not whole: damage is an error, or what comes before it is kept. The bytes are
//! also compressed first and cut or changed then, or nothing but headers would be tried.
#![no_main]

use std::io::Write;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::{Part, Set};

static SETS: LazyLock<[Set; 2]> = LazyLock::new(|| {
    let set = |name| {
        Set::new(
            "amazon-2018",
            [(name, &b""[..]), ("m.json", b"")],
            Part::Interactions,
            "",
        )
    };
    [set("r.json.gz"), set("r.json.zst")]
});

fn stored(zstd: bool, bytes: &[u8]) -> Vec<u8> {
    if zstd {
        return zstd::stream::encode_all(bytes, 1).unwrap_or_default();
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fuzz_target!(|bytes: &[u8]| {
    let Some(([way, at, change], bytes)) = bytes.split_first_chunk() else {
        return;
    };
    let zstd = way & 1 == 1;
    let mut bytes = match way >> 2 & 3 {
        0 => bytes.to_vec(),
        1 => stored(zstd, bytes),
        // Two members, or a member and something else.
        2 => [stored(zstd, bytes), stored(zstd, bytes)].concat(),
        _ => [&stored(zstd, bytes), bytes].concat(),
    };
    if way >> 4 & 1 == 1 {
        bytes.truncate(bytes.len() * usize::from(*at) / 256);
    } else if !bytes.is_empty() {
        let place = bytes.len() * usize::from(*at) / 256;
        bytes[place] ^= change;
    }
    SETS[usize::from(zstd)].read(&bytes, way & 2 == 2);
});
