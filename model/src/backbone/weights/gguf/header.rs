//! What stands before the tensors of a GGUF file: metadata, and where each tensor is and in which format.
//!
//! Read here and not by candle, which gives a whole file up for one tensor in a format that it does not know.

use std::collections::{BTreeMap, HashMap};
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};

use candle_core::quantized::gguf_file::{DEFAULT_ALIGNMENT, Value};

/// The first four bytes.
const MAGIC: [u8; 4] = *b"GGUF";
/// The newest version of the format.
const NEWEST: u32 = 3;
/// The most dimensions a tensor may have, as in ggml.
const MOST_DIMENSIONS: u32 = 4;
/// The longest list that is believed; a vocabulary has some hundred thousand words.
const LONGEST_LIST: u64 = 1 << 24;
/// How deep lists may stand in lists; files have lists of texts and of numbers.
const DEEPEST_LIST: u32 = 4;

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
    /// Reads the header of a file, from its beginning.
    pub fn read(reader: impl Read + Seek) -> Result<Self> {
        let mut reader = Bytes::new(reader)?;
        let (tensor_count, value_count) = (reader.size()?, reader.size()?);
        let mut metadata = HashMap::new();
        for _ in 0..value_count {
            let (key, kind) = (reader.text()?, reader.u32()?);
            let value = reader.value(kind, 0);
            let value = value.map_err(|e| Error::new(e.kind(), format!("{key}: {e}")))?;
            metadata.insert(key, value);
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..tensor_count {
            let (name, place) = reader.place()?;
            if tensors.insert(name.clone(), place).is_some() {
                return Err(invalid(format!("two tensors {name}")));
            }
        }
        let alignment = match metadata.get("general.alignment") {
            Some(value) => super::whole(value).filter(|alignment| *alignment > 0),
            None => Some(DEFAULT_ALIGNMENT),
        };
        let data = alignment.and_then(|alignment| reader.at.checked_next_multiple_of(alignment));
        Ok(Header {
            metadata,
            tensors,
            data: data.ok_or_else(|| invalid("general.alignment is no positive number".into()))?,
        })
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

/// The header's values one after another.
struct Bytes<R> {
    inner: R,
    at: u64,
    /// Bytes of the whole file.
    end: u64,
    /// Lengths take four bytes, as in the format's first version, and not eight.
    short: bool,
}

impl<R: Read + Seek> Bytes<R> {
    /// Stands after the letters and the version.
    fn new(mut inner: R) -> Result<Self> {
        let end = inner.seek(SeekFrom::End(0))?;
        inner.seek(SeekFrom::Start(0))?;
        let mut bytes = Bytes {
            inner,
            at: 0,
            end,
            short: false,
        };
        let magic: [u8; 4] = bytes.take()?;
        if magic != MAGIC {
            return Err(invalid(format!("it begins with {magic:?} instead of GGUF")));
        }
        match bytes.u32()? {
            1 => bytes.short = true,
            2..=NEWEST => {}
            version if (1..=NEWEST).contains(&version.swap_bytes()) => {
                return Err(invalid("its numbers have their highest byte first".into()));
            }
            version => return Err(invalid(format!("version {version} instead of 1 to {NEWEST}"))),
        }
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// A length, a size or a number of things.
    fn size(&mut self) -> Result<u64> {
        match self.short {
            true => Ok(self.u32()?.into()),
            false => self.u64(),
        }
    }

    fn text(&mut self) -> Result<String> {
        let length = self.size()?;
        let left = self.end.saturating_sub(self.at);
        if length > left {
            return Err(invalid(format!(
                "a text of {length} bytes, with {left} bytes left in the file"
            )));
        }
        let mut text = vec![0; length as usize];
        self.inner.read_exact(&mut text)?;
        self.at += length;
        // Some programs write the zero byte that ends a text in C.
        Ok(String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned())
    }

    /// A value of the metadata, by the format's number of its kind; `depth` counts the lists that it stands in.
    fn value(&mut self, kind: u32, depth: u32) -> Result<Value> {
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.take()?)),
            1 => Value::I8(i8::from_le_bytes(self.take()?)),
            2 => Value::U16(u16::from_le_bytes(self.take()?)),
            3 => Value::I16(i16::from_le_bytes(self.take()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.take()?)),
            6 => Value::F32(f32::from_le_bytes(self.take()?)),
            7 => match self.take()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [byte] => return Err(invalid(format!("yes or no as {byte}"))),
            },
            8 => Value::String(self.text()?),
            9 if depth < DEEPEST_LIST => {
                let (kind, length) = (self.u32()?, self.size()?);
                if length > LONGEST_LIST {
                    return Err(invalid(format!("a list of {length} values")));
                }
                let mut values = Vec::new();
                for _ in 0..length {
                    values.push(self.value(kind, depth + 1)?);
                }
                Value::Array(values)
            }
            9 => return Err(invalid("lists in lists in lists".into())),
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.take()?)),
            12 => Value::F64(f64::from_le_bytes(self.take()?)),
            kind => return Err(invalid(format!("a value of the unknown kind {kind}"))),
        })
    }

    fn place(&mut self) -> Result<(String, Place)> {
        let name = self.text()?;
        let count = self.u32()?;
        if count > MOST_DIMENSIONS {
            return Err(invalid(format!("tensor {name} has {count} dimensions")));
        }
        let mut dims = Vec::with_capacity(count as usize);
        for _ in 0..count {
            dims.push(self.size()? as usize);
        }
        dims.reverse();
        let values = dims.iter().try_fold(1usize, |n, dim| n.checked_mul(*dim));
        if values.is_none_or(|values| values == 0) {
            return Err(invalid(format!("tensor {name} has the shape {dims:?}")));
        }
        let format = self.u32()?;
        let offset = self.u64()?;
        Ok((name, Place { dims, format, offset }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Cursor;

    use super::*;

    const LIST: u32 = 9;

    fn text(text: &str, short: bool) -> Vec<u8> {
        let length = match short {
            true => (text.len() as u32).to_le_bytes().to_vec(),
            false => (text.len() as u64).to_le_bytes().to_vec(),
        };
        [length, text.as_bytes().to_vec()].concat()
    }

    /// A file with one key and one tensor of 3 × 2 in the format 8, whose data begin 64 bytes after the first's.
    fn file(version: u32, key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        let short = version == 1;
        let sizes = |sizes: &[u32]| -> Vec<u8> {
            let bytes = |size: &u32| match short {
                true => size.to_le_bytes().to_vec(),
                false => u64::from(*size).to_le_bytes().to_vec(),
            };
            sizes.iter().flat_map(bytes).collect()
        };
        [
            MAGIC.to_vec(),
            version.to_le_bytes().to_vec(),
            sizes(&[1, 1]),
            text(key, short),
            kind.to_le_bytes().to_vec(),
            value.to_vec(),
            text("blk.0.attn_q.weight", short),
            2u32.to_le_bytes().to_vec(),
            sizes(&[2, 3]),
            8u32.to_le_bytes().to_vec(),
            64u64.to_le_bytes().to_vec(),
        ]
        .concat()
    }

    fn error(file: Vec<u8>) -> String {
        let read = Header::read(Cursor::new(file));
        read.err().unwrap().to_string()
    }

    #[test]
    fn every_version_reads_the_same() {
        for version in 1..=NEWEST {
            let bytes = file(version, "general.alignment", 4, &16u32.to_le_bytes());
            let length = bytes.len() as u64;
            let header = Header::read(Cursor::new(bytes)).unwrap();
            assert!(matches!(header.metadata["general.alignment"], Value::U32(16)));
            let place = &header.tensors["blk.0.attn_q.weight"];
            assert_eq!(
                (place.dims.as_slice(), place.format, place.offset),
                ([3, 2].as_slice(), 8, 64)
            );
            assert_eq!(header.data, length.next_multiple_of(16));
        }
    }

    #[test]
    fn what_no_program_writes_is_refused_with_its_reason() {
        let aligned = |to: u32| file(3, "general.alignment", 4, &to.to_le_bytes());
        assert!(error(aligned(0)).contains("general.alignment"));
        let mut turned = aligned(32);
        turned[4..8].reverse();
        assert!(error(turned).contains("highest byte first"));
        assert!(error(file(4, "a", 0, &[0])).contains("version 4"));
        assert!(error(b"PK\x03\x04 and more".to_vec()).contains("instead of GGUF"));
        assert!(error(file(3, "a", 7, &[2])).contains("a: yes or no as 2"));
        assert!(error(file(3, "a", 13, &[])).contains("a: a value of the unknown kind 13"));
        assert!(error(file(3, "a", 8, &u64::MAX.to_le_bytes())).contains("bytes left in the file"));
        let list = [LIST.to_le_bytes().to_vec(), 1u64.to_le_bytes().to_vec()].concat();
        assert!(error(file(3, "a", LIST, &list.repeat(100))).contains("lists in lists"));
        let endless = [0u32.to_le_bytes().to_vec(), u64::MAX.to_le_bytes().to_vec()].concat();
        assert!(error(file(3, "a", LIST, &endless)).contains("a: a list of 18446744073709551615 values"));
        let mut empty = aligned(32);
        let dims = empty.len() - 8 - 4 - 8;
        empty[dims] = 0;
        assert!(error(empty).contains("blk.0.attn_q.weight has the shape [0, 2]"));
    }
}
