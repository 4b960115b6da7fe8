//! A decoder for gzip files that goes forward block by block (RFC 1951 and 1952).
//!
//! ```text
//! reader ──► bits ──► member: header, blocks, checksum and length; then the next member or the end
//!                        │
//!                        ▼
//!                     inflate ── codes ── table, entry   what bits mean, by two tables a block
//!                        │
//!                        ▼
//!                      turns ── copy                  the loop: a few symbols a turn, two of them in one look where they fit
//!                        │
//!                        ▼
//!                      block ──► crc ── folding       while it is in the cache
//! ```
//!
//! It writes straight into the blocks that are handed over, which begin with a copy of the last 32 KiB, and stops only between symbols.
//! Where a turn begins there is room for all that it can read and write, so that within it nothing is asked but whether a repetition
//! reaches back too far. The last bytes of a file go another way, symbol by symbol with every bit counted.
//!
//! Members follow one another without anything between or behind them; what else comes is damage. All before the damage comes first.

mod bits;
mod codes;
mod copy;
mod crc;
mod damage;
mod entry;
#[cfg(target_arch = "x86_64")]
mod folding;
mod inflate;
mod member;
mod table;
#[cfg(test)]
mod tests;
mod turns;

use std::io::{self, Read};
use std::ops::Range;

use bits::Bits;
use crc::Crc;
use inflate::{Inflate, SLACK};

/// How far a repetition may reach back.
const WINDOW: usize = 32 * 1024;

/// Bytes that are decoded before their checksum is taken: few enough to be in the cache still.
const PIECE: usize = 64 * 1024;

/// The smallest block that can be filled.
pub(super) const SMALLEST: usize = WINDOW + SLACK + 1;

/// Decodes a gzip file.
pub(super) struct Decoder<R> {
    bits: Bits<R>,
    place: Place,
    inflate: Inflate,
    /// The end of what was written, of which the last `reach` bytes are of this member.
    window: Box<[u8]>,
    reach: usize,
    crc: Crc,
    /// Length of this member so far, of which gzip keeps 32 bits.
    length: u32,
}

/// Where in a file it stands.
#[derive(Clone, Copy)]
enum Place {
    /// Before the first member.
    Begin,
    Within,
    /// Behind a member.
    Between,
    /// Behind the last member, or behind damage.
    End,
}

impl<R: Read> Decoder<R> {
    pub fn new(reader: R) -> Self {
        Decoder {
            bits: Bits::new(reader),
            place: Place::Begin,
            inflate: Inflate::new(),
            window: vec![0; WINDOW].into_boxed_slice(),
            reach: 0,
            crc: Crc::default(),
            length: 0,
        }
    }

    /// Decodes into `block`, of at least [`SMALLEST`] bytes, until it is full or all is decoded: where in it the bytes are, none at the
    /// end, and what stopped it, if that is an error. What comes before an error is in the block.
    pub fn fill(&mut self, block: &mut [u8]) -> (Range<usize>, io::Result<()>) {
        block[..WINDOW].copy_from_slice(&self.window);
        let mut to = WINDOW;
        let result = self.decode(block, &mut to);
        if result.is_err() {
            self.place = Place::End;
        }
        self.window.copy_from_slice(&block[to - WINDOW..to]);
        (WINDOW..to, result)
    }

    fn decode(&mut self, block: &mut [u8], to: &mut usize) -> io::Result<()> {
        let full = block.len() - SLACK;
        while *to < full {
            match self.place {
                Place::End => return Ok(()),
                Place::Between if self.bits.bytes()?.is_empty() => self.place = Place::End,
                Place::Begin | Place::Between => {
                    member::header(&mut self.bits)?;
                    self.inflate.begin();
                    (self.crc, self.length, self.reach) = (Crc::default(), 0, 0);
                    self.place = Place::Within;
                }
                Place::Within => {
                    let (from, stop) = (*to, full.min(*to + PIECE));
                    let floor = from - self.reach;
                    let result = self.inflate.decode(&mut self.bits, block, to, stop, floor);
                    let piece = &block[from..*to];
                    self.crc.update(piece);
                    self.length = self.length.wrapping_add(piece.len() as u32);
                    self.reach = WINDOW.min(self.reach + piece.len());
                    if result? {
                        member::trailer(&mut self.bits, &self.crc, self.length)?;
                        self.place = Place::Between;
                    }
                }
            }
        }
        Ok(())
    }
}
