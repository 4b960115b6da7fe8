//! The bits of a compressed stream: bytes from a reader, and up to 64 bits taken from them ahead of need.

use std::io::{self, ErrorKind, Read};

/// Bytes asked of the reader at once.
const BUFFER: usize = 128 * 1024;

/// Bytes kept before the place of reading, so that those that were taken ahead can be given back.
const KEPT: usize = 8;

/// A stream of bits, lowest bit of each byte first.
pub(super) struct Bits<R> {
    reader: R,
    /// Bytes as they were read; those from `at` to `end` were not taken yet.
    pub buffer: Box<[u8]>,
    pub at: usize,
    pub end: usize,
    ended: bool,
    /// The next `count` bits, lowest first. What stands above them is nothing, or the bits that follow.
    pub held: u64,
    pub count: u32,
}

impl<R: Read> Bits<R> {
    pub fn new(reader: R) -> Self {
        Bits {
            reader,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            at: 0,
            end: 0,
            ended: false,
            held: 0,
            count: 0,
        }
    }

    /// Reads until at least `wanted` bytes lie ready, or all that there are.
    pub fn read_ahead(&mut self, wanted: usize) -> io::Result<()> {
        while self.end - self.at < wanted && !self.ended {
            let from = self.at.saturating_sub(KEPT);
            self.buffer.copy_within(from..self.end, 0);
            (self.at, self.end) = (self.at - from, self.end - from);
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes whole bytes until at least 56 bits are held, or all that there are.
    pub fn fill(&mut self) -> io::Result<()> {
        self.read_ahead(8)?;
        while self.count < 56 && self.at < self.end {
            self.held |= u64::from(self.buffer[self.at]) << self.count;
            self.at += 1;
            self.count += 8;
        }
        Ok(())
    }

    /// The next `count` bits, at most 32.
    pub fn take(&mut self, count: u32) -> io::Result<u32> {
        if self.count < count {
            self.fill()?;
        }
        let bits = self.held & ((1 << count) - 1);
        self.drop(count)?;
        Ok(bits as u32)
    }

    /// Passes over `count` of the bits that are held.
    pub fn drop(&mut self, count: u32) -> io::Result<()> {
        if self.count < count {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.held >>= count;
        self.count -= count;
        Ok(())
    }

    /// Passes over the rest of a byte, and gives back the whole bytes after it.
    pub fn align(&mut self) {
        self.at -= self.count as usize / 8;
        (self.held, self.count) = (0, 0);
    }

    /// Some of the bytes that come next, after [`Bits::align`]; none at the end.
    pub fn bytes(&mut self) -> io::Result<&[u8]> {
        self.read_ahead(1)?;
        Ok(&self.buffer[self.at..self.end])
    }

    /// The next byte, after [`Bits::align`].
    pub fn byte(&mut self) -> io::Result<u8> {
        let byte = self.bytes()?.first().copied();
        let byte = byte.ok_or(ErrorKind::UnexpectedEof)?;
        self.at += 1;
        Ok(byte)
    }
}
