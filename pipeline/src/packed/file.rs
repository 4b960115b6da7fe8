//! Packed rows on disk, in files without a name.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::Row;
use crate::error::{Error, Result};

/// Bytes of a row.
const BYTES: usize = 32;

/// Bytes on their way to a file or from it.
const BUFFER: usize = 32 * 1024;

/// Rows one after another in a file, which goes when this does.
#[derive(Debug)]
pub struct RowFile {
    writer: BufWriter<File>,
    rows: usize,
}

impl RowFile {
    /// An empty file in the folder `place`.
    pub fn new(place: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(place).map_err(|source| Error::io(place, "write into", source))?;
        Ok(Self {
            writer: BufWriter::with_capacity(BUFFER, file),
            rows: 0,
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a row.
    pub fn push(&mut self, row: &Row) -> Result<()> {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&row.time.to_le_bytes());
        bytes[8..16].copy_from_slice(&row.rating.to_bits().to_le_bytes());
        bytes[16..24].copy_from_slice(&row.place.to_le_bytes());
        bytes[24..28].copy_from_slice(&row.user.to_le_bytes());
        bytes[28..].copy_from_slice(&row.item.to_le_bytes());
        self.rows += 1;
        self.writer.write_all(&bytes).map_err(failed)
    }

    /// Hands over the rows in the order in which they came.
    pub fn each(&mut self, mut visit: impl FnMut(&Row) -> Result<()>) -> Result<()> {
        self.writer.flush().map_err(failed)?;
        self.writer.get_mut().seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut input = BufReader::with_capacity(BUFFER, self.writer.get_ref());
        let mut bytes = [0; BYTES];
        for _ in 0..self.rows {
            input.read_exact(&mut bytes).map_err(failed)?;
            visit(&row(&bytes))?;
        }
        Ok(())
    }
}

fn row(bytes: &[u8; BYTES]) -> Row {
    let (words, _) = bytes.as_chunks::<8>();
    let number = |at: usize| u64::from_le_bytes(words[at]);
    Row {
        time: number(0) as i64,
        rating: f64::from_bits(number(1)),
        place: number(2) as i64,
        user: number(3) as u32,
        item: (number(3) >> 32) as u32,
    }
}

fn failed(source: io::Error) -> Error {
    Error::io("rows beyond the memory limit", "keep on disk", source)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_as_often_as_they_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = RowFile::new(folder.path()).unwrap();
        let rows: Vec<Row> = (0..5_000_u32)
            .map(|at| Row {
                time: i64::from(at) - 7,
                rating: f64::from(at) / 3.0,
                place: i64::from(at) << 33,
                user: at.wrapping_mul(2_654_435_761),
                item: u32::MAX - at,
            })
            .collect();
        rows.iter().for_each(|row| file.push(row).unwrap());
        for _ in 0..2 {
            let mut found = Vec::new();
            file.each(|row| {
                found.push(*row);
                Ok(())
            })
            .unwrap();
            assert_eq!(found, rows);
        }
        assert_eq!(file.len(), rows.len());
    }
}
