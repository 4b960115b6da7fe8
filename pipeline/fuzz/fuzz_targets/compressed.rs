//! What is stored compressed, in an archive or in UTF-16 and is not, or not whole: damage is an error, or what comes before it is kept. The
//! bytes are also compressed first and cut or changed then, or nothing but headers would be tried.
#![no_main]

use std::io::{Cursor, Write};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::{Part, Set};

/// The ways in which a file may be stored.
const NAMES: [&str; 6] = ["r.json.gz", "r.json.zst", "r.json.bz2", "r.json.xz", "r.json", "r.json.zip"];

static SETS: LazyLock<[Set; 6]> = LazyLock::new(|| {
    NAMES.map(|name| {
        Set::new(
            "amazon-2018",
            [(name, &b""[..]), ("m.json", b"")],
            Part::Interactions,
            "",
        )
    })
});

fn stored(way: usize, bytes: &[u8]) -> Vec<u8> {
    match way {
        0 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            let _ = encoder.write_all(bytes);
            encoder.finish().unwrap_or_default()
        }
        1 => zstd::stream::encode_all(bytes, 1).unwrap_or_default(),
        2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            let _ = encoder.write_all(bytes);
            encoder.finish().unwrap_or_default()
        }
        3 => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            let _ = encoder.write_all(bytes);
            encoder.finish().unwrap_or_default()
        }
        4 => {
            let text = String::from_utf8_lossy(bytes);
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
        }
        _ => {
            let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
            let _ = archive.start_file("a/r.json", zip::write::SimpleFileOptions::default());
            let _ = archive.write_all(bytes);
            archive.finish().map(Cursor::into_inner).unwrap_or_default()
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some(([way, kind, at, change], bytes)) = bytes.split_first_chunk() else {
        return;
    };
    let kind = usize::from(*kind) % SETS.len();
    let mut bytes = match way & 3 {
        0 => bytes.to_vec(),
        1 => stored(kind, bytes),
        // Two members, or a member and something else.
        2 => [stored(kind, bytes), stored(kind, bytes)].concat(),
        _ => [&stored(kind, bytes), bytes].concat(),
    };
    if way >> 2 & 1 == 1 {
        bytes.truncate(bytes.len() * usize::from(*at) / 256);
    } else if !bytes.is_empty() {
        let place = bytes.len() * usize::from(*at) / 256;
        bytes[place] ^= change;
    }
    SETS[kind].read(&bytes, way >> 3 & 1 == 1);
});
