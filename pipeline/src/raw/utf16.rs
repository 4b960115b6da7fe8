//! Text in UTF-16, as UTF-8.

use std::io::{self, ErrorKind, Read};

use encoding_rs::{Decoder, UTF_16BE, UTF_16LE};

use crate::magic::Utf16;

/// Bytes decoded at a time.
const PIECE: usize = 64 * 1024;

/// Reads UTF-16 as UTF-8; half characters become `U+FFFD`.
pub(super) struct Reader<R> {
    input: R,
    decoder: Decoder,
    /// Bytes that were read and not decoded yet.
    stored: Vec<u8>,
    text: Vec<u8>,
    given: usize,
    /// Whether the input has ended, and what ended it if that is an error.
    ended: bool,
    damage: Option<io::Error>,
}

impl<R: Read> Reader<R> {
    pub fn new(input: R, order: Utf16) -> Self {
        let encoding = match order {
            Utf16::Little => UTF_16LE,
            Utf16::Big => UTF_16BE,
        };
        Reader {
            input,
            decoder: encoding.new_decoder_with_bom_removal(),
            stored: vec![0; PIECE],
            text: Vec::with_capacity(2 * PIECE),
            given: 0,
            ended: false,
            damage: None,
        }
    }

    fn refill(&mut self) {
        let count = match self.input.read(&mut self.stored) {
            Ok(count) => {
                self.ended = count == 0;
                count
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => {
                (self.ended, self.damage) = (true, Some(error));
                0
            }
        };
        self.text.resize(2 * PIECE, 0);
        // The room is enough: of two bytes come three at most.
        let (_, _, written, _) =
            self.decoder
                .decode_to_utf8(&self.stored[..count], &mut self.text, self.ended);
        self.text.truncate(written);
        self.given = 0;
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() {
            if self.ended {
                return self.damage.take().map_or(Ok(0), Err);
            }
            self.refill();
        }
        let left = &self.text[self.given..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stored(text: &str, order: Utf16) -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| match order {
                Utf16::Little => unit.to_le_bytes(),
                Utf16::Big => unit.to_be_bytes(),
            })
            .collect()
    }

    #[test]
    fn both_orders_give_the_text_however_it_is_cut() {
        let text = "é長い🪑\r\n".repeat(40_000);
        for order in [Utf16::Little, Utf16::Big] {
            for mark in ["", "\u{feff}"] {
                let stored = stored(&format!("{mark}{text}"), order);
                let mut found = String::new();
                Reader::new(stored.as_slice(), order)
                    .read_to_string(&mut found)
                    .unwrap();
                assert!(found == text, "{order:?} {mark:?}");
            }
        }
    }

    #[test]
    fn half_a_character_is_replaced_and_an_error_comes_after_the_text() {
        let mut found = String::new();
        Reader::new(&b"a\0\x3d\xd8b\0c"[..], Utf16::Little)
            .read_to_string(&mut found)
            .unwrap();
        assert_eq!(found, "a\u{fffd}b\u{fffd}");

        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("broken here"));
                }
                buffer[..4].copy_from_slice(b"a\0b\0");
                Ok(4)
            }
        }
        let mut found = Vec::new();
        let error = Reader::new(Broken(false), Utf16::Little)
            .read_to_end(&mut found)
            .unwrap_err();
        assert_eq!(
            (found.as_slice(), error.to_string().as_str()),
            (&b"ab"[..], "broken here")
        );
    }
}
