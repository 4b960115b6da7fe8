//! Lines with their offsets, from plain and compressed files alike.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use super::ahead::{Ahead, Stored};
use super::{InputFile, Progress, fingerprint, open};
use crate::error::{Error, Result};
use crate::magic::Expected;
use crate::storage;

/// The longest line kept in memory. Real reviews end far below it; a file without line ends must not fill the memory.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// One line and where it stands.
pub(crate) struct Line<'a> {
    /// The bytes, without the line end.
    pub bytes: &'a [u8],
    /// Number in the file, from 1.
    pub number: u64,
    /// Offset of its first byte in the decompressed stream, of UTF-16 in the same as UTF-8.
    pub offset: u64,
    /// Whether the line is longer than may be kept; then `bytes` is only its beginning.
    pub too_long: bool,
}

/// Reads a file line by line.
pub(crate) struct LineReader<'p> {
    path: PathBuf,
    input: Ahead<'p>,
    /// The beginning of a line that goes on in the next block; other lines are not copied.
    begun: Vec<u8>,
    number: u64,
    /// Bytes of the decompressed stream that were read.
    offset: u64,
}

impl<'p> LineReader<'p> {
    /// Opens `path`, whose lines should hold what `expected` says. Bytes read from the disk go to `progress`; they are read and
    /// decompressed by a thread of their own.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be opened, [`Error::Format`] for one that is something else.
    pub fn open(path: &Path, expected: Expected, progress: &'p dyn Progress) -> Result<Self> {
        let bytes = Stored::default();
        let text = open::text(path, expected, &bytes)?;
        let input = Ahead::of(text, bytes, progress);
        Ok(LineReader {
            path: path.to_path_buf(),
            input,
            begun: Vec::new(),
            number: 0,
            offset: 0,
        })
    }

    /// The next line; `None` at the end of the file.
    ///
    /// # Errors
    /// [`Error::Format`] where the compressed stream ends early or fails its checksum, [`Error::Io`] where the disk fails.
    pub fn next(&mut self) -> Result<Option<Line<'_>>> {
        let offset = self.offset;
        self.begun.clear();
        let (mut too_long, mut last) = (false, 0);
        loop {
            let (block, end) = match self.input.fill_line() {
                Ok(found) => found,
                Err(error) => return Err(self.broken(error)),
            };
            if block.is_empty() {
                if self.offset == offset {
                    return Ok(None);
                }
                break;
            }
            let taken = end.map_or(block.len(), |at| at + 1);
            let content = end.unwrap_or(block.len());
            let whole = end.is_some() && self.begun.is_empty() && self.offset == offset;
            if whole {
                last = taken;
            } else {
                let room = MAX_LINE - self.begun.len();
                self.begun.extend_from_slice(&block[..content.min(room)]);
                too_long |= content > room;
            }
            self.input.consume(taken);
            self.offset += taken as u64;
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        let mut bytes = match last {
            0 => self.begun.as_slice(),
            taken => &self.input.consumed(taken)[..taken - 1],
        };
        // Programs that end lines for Windows do so twice where that was done before.
        while let Some(shorter) = bytes.strip_suffix(b"\r") {
            bytes = shorter;
        }
        let mut begin = offset;
        // A byte-order mark, as spreadsheet programs write it, is no part of the first column's name.
        if self.number == 1
            && let Some(marked) = bytes.strip_prefix(b"\xef\xbb\xbf")
        {
            bytes = marked;
            begin += 3;
        }
        Ok(Some(Line {
            bytes,
            number: self.number,
            offset: begin,
            too_long,
        }))
    }

    /// Reads to the end; how many bytes there are in all.
    pub fn skip_all(mut self) -> Result<u64> {
        loop {
            let count = match self.input.fill_buf() {
                Ok(block) => block.len(),
                Err(error) => return Err(self.broken(error)),
            };
            if count == 0 {
                return Ok(self.offset);
            }
            self.input.consume(count);
            self.offset += count as u64;
        }
    }

    /// Size and hash of the file as stored, of which what was not read yet is read now.
    pub fn fingerprint(&self) -> Result<InputFile> {
        if storage::stored(&self.path) != self.path {
            return fingerprint(&self.path);
        }
        let mut hasher = self.input.stored().hasher();
        if !self.input.ended() {
            let failed = |source| Error::io(&self.path, "read", source);
            let mut rest = storage::open(&self.path).map_err(failed)?;
            let read = io::copy(&mut rest.by_ref().take(hasher.count()), &mut io::sink());
            read.map_err(failed)?;
            hasher.update_reader(rest).map_err(failed)?;
        }
        Ok(InputFile {
            path: self.path.clone(),
            bytes: hasher.count(),
            blake3: hasher.finalize().to_hex().to_string(),
        })
    }

    /// What a failed read means.
    fn broken(&self, error: io::Error) -> Error {
        if storage::is_transport(&error) {
            return Error::io(&self.path, "read", error);
        }
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the compressed file ends early".to_string(),
            _ => format!("the compressed file is damaged ({error})"),
        };
        Error::Format {
            path: self.path.clone(),
            offset: self.offset,
            message: format!("{what}; fetch it again, or keep what comes before with --salvage"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::io::Write;

    use super::super::NoProgress;
    use super::*;

    const TEXT: &[u8] = b"first\r\n\nthird \xc3\xa9\nlast without end";

    fn all(path: &Path) -> Result<Vec<(Vec<u8>, u64, u64)>> {
        let mut reader = LineReader::open(path, Expected::Text, &NoProgress)?;
        let mut found = Vec::new();
        while let Some(line) = reader.next()? {
            found.push((line.bytes.to_vec(), line.number, line.offset));
        }
        Ok(found)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_and_offsets_are_the_same_whatever_the_compression() {
        let folder = tempfile::tempdir().unwrap();
        let expected: Vec<(Vec<u8>, u64, u64)> = vec![
            (b"first".to_vec(), 1, 0),
            (b"".to_vec(), 2, 7),
            (b"third \xc3\xa9".to_vec(), 3, 8),
            (b"last without end".to_vec(), 4, 17),
        ];
        // Two gzip members one after another are one stream, as `cat a.gz b.gz` makes them.
        let members = [gzip(&TEXT[..9]), gzip(&TEXT[9..])].concat();
        let zstd = zstd::stream::encode_all(TEXT, 3).unwrap();
        for (name, bytes) in [
            ("a", TEXT.to_vec()),
            ("b.gz", gzip(TEXT)),
            ("c.gz", members),
            ("d.zst", zstd),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(all(&path).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn the_fingerprint_is_that_of_the_whole_file_wherever_reading_stops() {
        let folder = tempfile::tempdir().unwrap();
        let text: Vec<u8> = (0..100_000)
            .flat_map(|n| format!("line {}\n", n * 7_919 % 10_007).into_bytes())
            .collect();
        let zstd = zstd::stream::encode_all(text.as_slice(), 3).unwrap();
        for (name, bytes) in [("a", text.clone()), ("b.gz", gzip(&text)), ("c.zst", zstd)] {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes).unwrap();
            for lines in [1, usize::MAX] {
                let mut reader = LineReader::open(&path, Expected::Text, &NoProgress).unwrap();
                for _ in 0..lines {
                    if reader.next().unwrap().is_none() {
                        break;
                    }
                }
                let found = reader.fingerprint().unwrap();
                assert_eq!(found.blake3, blake3::hash(&bytes).to_hex().to_string(), "{name}");
                assert_eq!(found.bytes, bytes.len() as u64);
            }
        }
    }

    #[test]
    fn a_compressed_file_that_ends_early_is_named_with_the_offset() {
        let folder = tempfile::tempdir().unwrap();
        let text: Vec<u8> = (0..20_000)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        let zstd = zstd::stream::encode_all(text.as_slice(), 3).unwrap();
        for (name, bytes) in [("a.gz", gzip(&text)), ("b.zst", zstd), ("c.gz", Vec::new())] {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            match all(&path) {
                Err(Error::Format {
                    path: named,
                    offset,
                    message,
                }) => {
                    assert_eq!(named, path);
                    assert!(
                        offset < text.len() as u64 && message.contains("ends early"),
                        "{offset} {message}"
                    );
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_checksum_that_does_not_match_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gz");
        let mut bytes = gzip(TEXT);
        let at = bytes.len() - 6;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = all(&path).unwrap_err().to_string();
        assert!(error.contains("a.gz") && error.contains("damaged"), "{error}");
    }

    #[test]
    fn an_endless_line_is_cut_and_the_next_one_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let long = MAX_LINE + 5;
        let mut text = vec![b'x'; long];
        text.extend_from_slice(b"\nnext\n");
        std::fs::write(&path, text).unwrap();
        let mut reader = LineReader::open(&path, Expected::Text, &NoProgress).unwrap();
        assert!(reader.next().unwrap().unwrap().too_long);
        let next = reader.next().unwrap().unwrap();
        assert_eq!(
            (next.bytes, next.number, next.offset),
            (&b"next"[..], 2, long as u64 + 1)
        );
    }
}
