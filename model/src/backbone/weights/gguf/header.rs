//! What stands before the tensors of a GGUF file: metadata, and where each tensor is and in which format.
//!
//! candle reads the metadata. The table of tensors is read here, because candle gives a whole file up for one tensor in a format that
//! it does not know.

use std::collections::{BTreeMap, HashMap};
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};

use candle_core::quantized::gguf_file::{Content, DEFAULT_ALIGNMENT, Value, VersionedMagic};

/// The most dimensions a tensor may have, as in ggml.
const MOST_DIMENSIONS: u32 = 4;
/// The longest name of a tensor that is believed; ggml's own are below 64.
const LONGEST_NAME: u64 = 1 << 12;

/// Metadata and the table of tensors.
pub(super) struct Header {
    pub metadata: HashMap<String, Value>,
    pub tensors: BTreeMap<String, Place>,
    /// Where the first tensor begins.
    pub data: u64,
}

/// A tensor as the table has it.
pub(super) struct Place {
    /// Rows first.
    pub dims: Vec<usize>,
    /// ggml's number of its format.
    pub format: u32,
    /// Bytes after the first tensor's first.
    pub offset: u64,
}

impl Header {
    /// Reads the header of a file that stands at its beginning.
    pub fn read(reader: impl Read + Seek) -> candle_core::Result<Self> {
        let mut reader = Guarded::new(reader)?;
        // Told that there are none, candle stops where the table begins.
        let count = reader.hide_count()?;
        let content = Content::read(&mut reader)?;
        let sizes_are_short = matches!(content.magic, VersionedMagic::GgufV1);
        let mut tensors = BTreeMap::new();
        for _ in 0..count {
            let (name, place) = reader.place(sizes_are_short)?;
            if tensors.insert(name.clone(), place).is_some() {
                return Err(invalid(format!("two tensors {name}")).into());
            }
        }
        let alignment = match content.metadata.get("general.alignment") {
            Some(value) => super::whole(value).unwrap_or(0),
            None => DEFAULT_ALIGNMENT,
        };
        if alignment == 0 {
            return Err(invalid("an alignment that is no positive number".into()).into());
        }
        Ok(Header {
            metadata: content.metadata,
            tensors,
            data: reader.at.next_multiple_of(alignment),
        })
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

/// A reader that knows where it stands without asking the system, and that reads some bytes as zeros.
struct Guarded<R> {
    inner: R,
    at: u64,
    zeros: std::ops::Range<u64>,
}

impl<R: Read + Seek> Guarded<R> {
    fn new(mut inner: R) -> Result<Self> {
        inner.seek(SeekFrom::Start(0))?;
        Ok(Guarded {
            inner,
            at: 0,
            zeros: 0..0,
        })
    }

    /// The number of tensors, which stands after the four letters and the version; it reads as zero from here on.
    fn hide_count(&mut self) -> Result<u64> {
        let (_, version) = (self.u32()?, self.u32()?);
        let begin = self.at;
        let count = self.size(version == 1)?;
        self.zeros = begin..self.at;
        self.seek(SeekFrom::Start(0))?;
        Ok(count)
    }

    fn u32(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        self.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// A length or a size, of four bytes in the format's first version and of eight in the others.
    fn size(&mut self, short: bool) -> Result<u64> {
        if short {
            return Ok(self.u32()?.into());
        }
        let mut bytes = [0; 8];
        self.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn place(&mut self, short: bool) -> Result<(String, Place)> {
        let length = self.size(short)?;
        if length > LONGEST_NAME {
            return Err(invalid(format!("a tensor's name of {length} bytes")));
        }
        let mut name = vec![0; length as usize];
        self.read_exact(&mut name)?;
        let name = String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
        let count = self.u32()?;
        if count > MOST_DIMENSIONS {
            return Err(invalid(format!("tensor {name} has {count} dimensions")));
        }
        let mut dims = Vec::with_capacity(count as usize);
        for _ in 0..count {
            dims.push(self.size(short)? as usize);
        }
        dims.reverse();
        if dims
            .iter()
            .try_fold(1usize, |n, dim| n.checked_mul(*dim))
            .is_none()
        {
            return Err(invalid(format!("tensor {name} has the shape {dims:?}")));
        }
        let format = self.u32()?;
        // Of eight bytes in every version.
        let offset = self.size(false)?;
        Ok((name, Place { dims, format, offset }))
    }
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let count = self.inner.read(out)?;
        if self.at < self.zeros.end {
            for (at, byte) in (self.at..).zip(&mut out[..count]) {
                if self.zeros.contains(&at) {
                    *byte = 0;
                }
            }
        }
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: Seek> Seek for Guarded<R> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        if to != SeekFrom::Current(0) {
            self.at = self.inner.seek(to)?;
        }
        Ok(self.at)
    }
}
