//! Compressed files, read as they are decompressed. The decoders are those of well-known libraries; what is ours is that streams stand
//! one after another and what is said of damage.
//!
//! | ending | library | a file may be |
//! |---|---|---|
//! | `.gz` | zlib-rs, crc32fast | members one after another |
//! | `.zst` | Zstandard | frames one after another, skippable ones among them, windows up to 2 GiB (`zstd --long=31`) |
//! | `.bz2` | bzip2 | streams one after another |
//! | `.xz` | liblzma | streams one after another, dictionaries up to 2 GiB |
//!
//! Zeros behind a stream, as tapes and block devices leave them, are passed over. Anything else that is no further stream is damage. All
//! that comes before damage is read.

mod codec;
mod gzip;
mod stream;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

pub(crate) use stream::Decoder;

/// Memory that a decoder may ask for, in bytes and as a power of two: windows are as large as the writer of a file wanted them.
const MOST_MEMORY: u64 = 1 << MOST_MEMORY_LOG;
const MOST_MEMORY_LOG: u32 = 31;

/// The endings of compressed files, in words.
pub(crate) const ENDINGS: &str = ".gz, .zst, .bz2 or .xz";

/// A way to compress a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstandard,
    Bzip2,
    Xz,
}

impl Compression {
    /// All that are read.
    pub const ALL: [Self; 4] = [Self::Gzip, Self::Zstandard, Self::Bzip2, Self::Xz];

    /// What file names end in, in small letters.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstandard => ".zst",
            Self::Bzip2 => ".bz2",
            Self::Xz => ".xz",
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstandard => "Zstandard",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }

    /// The command that undoes it.
    pub fn command(self) -> &'static str {
        match self {
            Self::Gzip => "gunzip",
            Self::Zstandard => "unzstd",
            Self::Bzip2 => "bunzip2",
            Self::Xz => "unxz",
        }
    }

    /// The compression that a file name tells by its ending, in small letters or capitals, and the name without it.
    pub fn of_name(name: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|compression| {
            let at = name.len().checked_sub(compression.ending().len())?;
            let (stem, ending) = name.split_at_checked(at)?;
            ending
                .eq_ignore_ascii_case(compression.ending())
                .then_some((compression, stem))
        })
    }

    /// Whether a file begins so. The beginning may be cut off: what there is of it counts.
    pub fn begins(self, head: &[u8]) -> bool {
        let magic: &[u8] = match self {
            Self::Gzip => &[0x1f, 0x8b],
            Self::Bzip2 => b"BZh",
            Self::Xz => b"\xfd7zXZ\0",
            // A frame, or one to be skipped.
            Self::Zstandard => {
                let skipped = head.first().is_some_and(|byte| byte & 0xf0 == 0x50);
                let rest: &[u8] = if skipped {
                    &[0x2a, 0x4d, 0x18]
                } else {
                    &[0xb5, 0x2f, 0xfd]
                };
                return match head {
                    [] => true,
                    [first, more @ ..] => (skipped || *first == 0x28) && common(more, rest),
                };
            }
        };
        common(head, magic)
    }

    /// A reader of what `input` holds.
    pub fn reader<R: Read + Send + 'static>(self, input: R) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Gzip => Box::new(Decoder::<_, gzip::Gzip>::new(input)?),
            Self::Zstandard => Box::new(Decoder::<_, codec::Zstandard>::new(input)?),
            Self::Bzip2 => Box::new(Decoder::<_, codec::Bzip2>::new(input)?),
            Self::Xz => Box::new(Decoder::<_, codec::Xz>::new(input)?),
        })
    }
}

/// A reader of deflate without anything around it, as zip archives hold it.
pub(crate) fn deflate<R: Read + Send>(input: R) -> io::Result<impl Read + Send> {
    Decoder::<_, codec::Deflate>::new(input)
}

/// Whether two texts are the same as far as both go.
fn common(one: &[u8], other: &[u8]) -> bool {
    one.iter().zip(other).all(|(one, other)| one == other)
}
