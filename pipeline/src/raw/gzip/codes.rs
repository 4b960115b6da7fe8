//! The two codes of a block: one for bytes and lengths, one for distances; as tables, and as the file has them.

use std::io::{self, Read};

use super::bits::Bits;
use super::damage::{Damage, Result};
use super::entry::{self, Distance, END, Entry, NARROW, SHORTEST, WIDE};
use super::table::{Canonical, Decoded, SYMBOLS, fill};

/// The order in which the lengths of the code for lengths are written.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The codes of one block.
pub(super) struct Codes {
    /// Looked up by [`WIDE`] bits. A further table has four places a code at most: 2^k places need k + 1 codes or more, and k is at
    /// most 4.
    pub symbols: [u32; (1 << WIDE) + 4 * SYMBOLS],
    /// Looked up by [`NARROW`] bits. Here k is at most 7, so that 16 places a code are enough.
    pub distances: [u32; (1 << NARROW) + 16 * 32],
    symbol_code: Canonical,
    distance_code: Canonical,
    /// Whether the codes are those that every decoder knows.
    fixed: bool,
}

impl Codes {
    pub fn new() -> Box<Self> {
        Box::new(Codes {
            symbols: [Entry::NONE; _],
            distances: [Distance::NONE; _],
            symbol_code: Canonical::NONE,
            distance_code: Canonical::NONE,
            fixed: false,
        })
    }

    /// The codes of a block that brings none.
    pub fn set_fixed(&mut self) -> Result<()> {
        if self.fixed {
            return Ok(());
        }
        let mut lengths = [8; SYMBOLS];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        self.set(&lengths, &[5; 32])?;
        self.fixed = true;
        Ok(())
    }

    /// Reads the codes that stand before a block.
    pub fn read<R: Read>(&mut self, bits: &mut Bits<R>) -> io::Result<()> {
        let symbols = bits.take(5)? as usize + 257;
        let distances = bits.take(5)? as usize + 1;
        if symbols > 286 || distances > 30 {
            return Err(Damage::TooManyCodes.into());
        }
        let written = bits.take(4)? as usize + 4;
        let mut lengths = [0; 19];
        for &place in &ORDER[..written] {
            lengths[place] = bits.take(3)? as u8;
        }
        let mut code = Canonical::NONE;
        code.set(&lengths, "lengths of codes")?;
        let mut table = [0; 1 << 7];
        // The invalid code takes more bits than there are.
        fill(
            &mut table,
            7,
            &code,
            0xff,
            |symbol, length| u32::from(symbol) << 8 | length as u32,
            |_, _| 0xff,
        );

        let mut lengths = [0; 286 + 30];
        let all = symbols + distances;
        let mut at = 0;
        while at < all {
            bits.fill()?;
            let entry = table[(bits.held & 0x7f) as usize];
            if entry == 0xff {
                return Err(Damage::Code.into());
            }
            bits.drop(entry & 0xff)?;
            let (length, times) = match entry >> 8 {
                16 => {
                    let last = at.checked_sub(1).ok_or(Damage::Repeat)?;
                    (lengths[last], 3 + bits.take(2)?)
                }
                17 => (0, 3 + bits.take(3)?),
                18 => (0, 11 + bits.take(7)?),
                length => (length as u8, 1),
            };
            let to = at + times as usize;
            lengths
                .get_mut(at..to)
                .filter(|_| to <= all)
                .ok_or(Damage::Repeat)?
                .fill(length);
            at = to;
        }
        if lengths[usize::from(END)] == 0 {
            return Err(Damage::NoEnd.into());
        }
        self.fixed = false;
        self.set(&lengths[..symbols], &lengths[symbols..all])?;
        Ok(())
    }

    fn set(&mut self, symbols: &[u8], distances: &[u8]) -> Result<()> {
        self.symbol_code.set(symbols, "bytes and lengths")?;
        self.distance_code.set(distances, "distances")?;
        fill(
            &mut self.symbols,
            WIDE,
            &self.symbol_code,
            Entry::NONE,
            Entry::of,
            Entry::on,
        );
        fill(
            &mut self.distances,
            NARROW,
            &self.distance_code,
            Distance::NONE,
            Distance::of,
            Distance::on,
        );
        // Downwards, so that the entry that follows, which stands at a lower place, is still one of a single symbol.
        for place in (1..1 << WIDE).rev() {
            let entry = Entry(self.symbols[place]);
            let next = Entry(self.symbols[place >> entry.taken().min(WIDE as u32)]);
            self.symbols[place] = entry.with(next).0;
        }
        let first = Entry(self.symbols[0]);
        self.symbols[0] = first.with(first).0;
        Ok(())
    }

    /// The next symbol, bit by bit.
    pub fn symbol<R: Read>(&self, bits: &mut Bits<R>) -> io::Result<u16> {
        decode(&self.symbol_code, bits)
    }

    /// The length that a symbol above [`END`] stands for.
    pub fn length<R: Read>(&self, symbol: u16, bits: &mut Bits<R>) -> io::Result<usize> {
        let (base, extra) = entry::length(symbol).ok_or(Damage::Code)?;
        Ok((base + SHORTEST + bits.take(extra)?) as usize)
    }

    /// The next distance, bit by bit.
    pub fn distance<R: Read>(&self, bits: &mut Bits<R>) -> io::Result<usize> {
        let symbol = decode(&self.distance_code, bits)?;
        let (base, extra) = entry::distance(symbol).ok_or(Damage::Code)?;
        Ok((base + bits.take(extra)?) as usize)
    }
}

fn decode<R: Read>(code: &Canonical, bits: &mut Bits<R>) -> io::Result<u16> {
    bits.fill()?;
    match code.decode(bits.held, bits.count) {
        Decoded::Symbol(symbol, length) => {
            bits.drop(length)?;
            Ok(symbol)
        }
        Decoded::Short => Err(io::ErrorKind::UnexpectedEof.into()),
        Decoded::None => Err(Damage::Code.into()),
    }
}
