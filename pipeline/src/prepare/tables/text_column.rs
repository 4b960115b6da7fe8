//! A column of texts that are gathered from a buffer.

use std::ops::Range;

use datafusion::arrow::array::StringArray;
use datafusion::arrow::buffer::OffsetBuffer;

use crate::error::{Error, Result};

/// As many bytes as most ids have at the most. To copy so many, whatever is needed of them, is a few instructions without a branch.
const SHORT: usize = 32;

/// Grows a column of texts.
pub struct TextColumn {
    bytes: Vec<u8>,
    /// Where each text begins, and where the last one ends.
    bounds: Vec<i32>,
}

impl TextColumn {
    /// With room for so many texts and for so many bytes of them.
    pub fn new(texts: usize, bytes: usize) -> Self {
        let mut bounds = Vec::with_capacity(texts + 1);
        bounds.push(0);
        Self {
            bytes: Vec::with_capacity(bytes + SHORT),
            bounds,
        }
    }

    /// Adds the texts that lie in `buffer` where `spans` says.
    pub fn gather(&mut self, buffer: &str, spans: &[Range<usize>]) {
        let buffer = buffer.as_bytes();
        for span in spans {
            let end = self.bytes.len() + span.len();
            match buffer[span.start..].first_chunk::<SHORT>() {
                Some(chunk) if span.len() <= SHORT => {
                    self.bytes.extend_from_slice(chunk);
                    self.bytes.truncate(end);
                }
                _ => self.bytes.extend_from_slice(&buffer[span.clone()]),
            }
            // Beyond 2 GiB this wraps, and `finish` refuses.
            self.bounds.push(end as i32);
        }
    }

    /// The column.
    ///
    /// # Errors
    /// More bytes than a column's offsets reach.
    pub fn finish(self) -> Result<StringArray> {
        if i32::try_from(self.bytes.len()).is_err() {
            return Err(Error::Usage(format!(
                "{} ids of {} bytes are more than a column of Parquet takes at a time: are these ids?",
                self.bounds.len() - 1,
                self.bytes.len()
            )));
        }
        let bounds = OffsetBuffer::new(self.bounds.into());
        Ok(StringArray::try_new(bounds, self.bytes.into(), None)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_short_and_long_are_copied_whole() {
        let long = "0123456789".repeat(10);
        let texts = ["a", "", "żółw", &long[..32], &long[..33], &long, "end"];
        let buffer = texts.concat();
        let mut start = 0;
        let spans = texts.map(|text| {
            start += text.len();
            start - text.len()..start
        });
        let mut column = TextColumn::new(0, 0);
        column.gather(&buffer, &spans);
        column.gather(&buffer, &spans[2..3]);
        let found = column.finish().unwrap();
        let found: Vec<&str> = found.iter().map(Option::unwrap).collect();
        assert_eq!(found[..7], texts);
        assert_eq!(found[7..], ["żółw"]);
    }
}
