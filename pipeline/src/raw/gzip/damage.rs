//! What is wrong with a gzip file.

use std::io;

/// Bytes that no compressor writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("no gzip header where one must be")]
    Header,
    #[error("a gzip header that differs from its checksum")]
    HeaderChecksum,
    #[error("a block of unknown kind")]
    Block,
    #[error("a stored block whose length is not repeated")]
    StoredLength,
    #[error("more codes than there are symbols")]
    TooManyCodes,
    #[error("a length of a code to be repeated before there is one, or more often than there are codes")]
    Repeat,
    #[error("a block without a code for its end")]
    NoEnd,
    #[error("codes for {0} that stand for two things")]
    Ambiguous(&'static str),
    #[error("codes for {0} that stand for nothing")]
    Incomplete(&'static str),
    #[error("a code that stands for nothing")]
    Code,
    #[error("a repetition of what is before the beginning")]
    Distance,
    #[error("content that differs from its checksum")]
    Checksum,
    #[error("content of another length than noted")]
    Length,
}

pub(super) type Result<T, E = Damage> = std::result::Result<T, E>;

impl From<Damage> for io::Error {
    fn from(damage: Damage) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, damage)
    }
}
