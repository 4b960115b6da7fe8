//! The two codes of a block: one for bytes and lengths, one for distances; as tables that are looked up once a turn.

use std::io::{self, Read};

use super::bits::Bits;
use super::damage::{Damage, Result};
use super::table::{Canonical, Decoded, SYMBOLS, fill};

/// Bits by which bytes and lengths are looked up. Two bytes, or a byte and a length, often fit into them.
pub(super) const WIDE: usize = 11;
/// Bits by which distances are looked up.
pub(super) const NARROW: usize = 8;

/// The most bits that are added to a length, and to a distance.
pub(super) const LENGTH_EXTRA: usize = 5;
pub(super) const DISTANCE_EXTRA: usize = 13;

/// The symbol that ends a block.
pub(super) const END: u16 = 256;

/// The shortest repetition.
const SHORTEST: u32 = 3;

/// First length of the symbols from 257 on, less [`SHORTEST`], and how many bits are added to it.
const LENGTHS: [(u8, u8); 29] = [
    (0, 0),
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 1),
    (10, 1),
    (12, 1),
    (14, 1),
    (16, 2),
    (20, 2),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 3),
    (56, 3),
    (64, 4),
    (80, 4),
    (96, 4),
    (112, 4),
    (128, 5),
    (160, 5),
    (192, 5),
    (224, 5),
    (255, 0),
];

/// Symbols for distances that mean one.
const DISTANCES: u16 = 30;

/// First distance of a symbol, and how many bits are added to it.
fn distance(symbol: u16) -> (u32, u32) {
    let symbol = u32::from(symbol);
    if symbol < 4 {
        return (1 + symbol, 0);
    }
    let extra = symbol / 2 - 1;
    (1 + ((2 + symbol % 2) << extra), extra)
}

/// The order in which the lengths of the code for lengths are written.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// An entry of the table for bytes and lengths: up to two bytes, then a length if it is [`Entry::repeats`].
///
/// | bits | what |
/// |---|---|
/// | 0 to 7 | bits taken, those that are added to the length included |
/// | 8 to 15, 16 to 23 | the bytes |
/// | 16 to 23 | the first length of the symbol, less 3, if it repeats |
/// | 24, 25 | how many bytes |
/// | 26 to 29 | bits taken by codes alone, if it repeats |
/// | 30 | it is the end, no code, or goes on in a further table; bit 31 is set as well |
/// | 31 | it repeats |
#[derive(Clone, Copy)]
pub(super) struct Entry(pub u32);

impl Entry {
    const REPEATS: u32 = 1 << 31;
    const OTHER: u32 = 3 << 30;
    const FURTHER: u32 = Self::OTHER;
    const END: u32 = Self::OTHER | 1 << 28;
    const NONE: u32 = Self::OTHER | 2 << 28;

    fn of(symbol: u16, length: usize) -> u32 {
        let length = length as u32;
        match symbol {
            0..=255 => 1 << 24 | u32::from(symbol) << 8 | length,
            END => Self::END | length,
            _ => match LENGTHS.get(usize::from(symbol) - 257) {
                Some(&(base, extra)) => {
                    Self::REPEATS | length << 26 | u32::from(base) << 16 | (length + u32::from(extra))
                }
                None => Self::NONE | length,
            },
        }
    }

    /// A further table is at most 4 bits wide, and lies below 2¹³.
    fn on(place: usize, width: usize) -> u32 {
        Self::FURTHER | (width as u32) << 21 | (place as u32) << 8 | WIDE as u32
    }

    /// How many bits it takes.
    #[inline(always)]
    pub fn taken(self) -> u32 {
        self.0 & 0xff
    }

    #[inline(always)]
    pub fn bytes(self) -> [u8; 2] {
        ((self.0 >> 8) as u16).to_le_bytes()
    }

    /// How many of its bytes count.
    #[inline(always)]
    pub fn count(self) -> usize {
        (self.0 >> 24 & 3) as usize
    }

    /// Whether it is more than bytes.
    #[inline(always)]
    pub fn repeats(self) -> bool {
        self.0 & Self::REPEATS != 0
    }

    #[inline(always)]
    pub fn is_other(self) -> bool {
        self.0 & 1 << 30 != 0
    }

    /// The length, for which `bits` are those that the entry was looked up by.
    #[inline(always)]
    pub fn length(self, bits: u64) -> usize {
        let base = (self.0 >> 16 & 0xff) + SHORTEST;
        base as usize + (low(bits, self.taken()) >> (self.0 >> 26 & 15)) as usize
    }

    /// The place and the width of the table for the rest of the code, if it goes on.
    pub fn further(self) -> Option<(usize, u32)> {
        (self.0 >> 28 == Self::FURTHER >> 28).then_some(((self.0 >> 8 & 0x1fff) as usize, self.0 >> 21 & 7))
    }

    pub fn is_end(self) -> bool {
        self.0 >> 28 == Self::END >> 28
    }

    /// This entry and then `next`, if they fit together into one.
    #[inline(always)]
    fn with(self, next: Entry) -> Entry {
        // Bytes take no bits beside their code.
        let codes = self.0 & 0xff;
        let alone = self.0 >> 24 == 1;
        let length = next.0 >> 30 == 2;
        let byte = next.0 >> 24 == 1;
        let next_codes = if length { next.0 >> 26 & 15 } else { next.0 & 0xff };
        if !alone || !(length || byte) || codes + next_codes > WIDE as u32 {
            return self;
        }
        if length {
            Entry((next.0 + codes + (codes << 26)) | self.0 & 0xff00 | 1 << 24)
        } else {
            Entry(2 << 24 | (next.0 & 0xff00) << 8 | self.0 & 0xff00 | (codes + next_codes))
        }
    }
}

/// An entry of the table for distances.
///
/// | bits | what |
/// |---|---|
/// | 0 to 7 | bits taken, those that are added included |
/// | 8 to 11 | bits of the code alone; of a further table: its width |
/// | 12, 13 | the code goes on; it stands for nothing |
/// | 16 to 31 | the first distance; of a further table: its place |
#[derive(Clone, Copy)]
pub(super) struct Distance(pub u32);

impl Distance {
    const FURTHER: u32 = 1 << 12;
    const NONE: u32 = 1 << 13;

    fn of(symbol: u16, length: usize) -> u32 {
        let length = length as u32;
        if symbol >= DISTANCES {
            return Self::NONE | length;
        }
        let (base, extra) = distance(symbol);
        base << 16 | length << 8 | (length + extra)
    }

    fn on(place: usize, width: usize) -> u32 {
        Self::FURTHER | (place as u32) << 16 | (width as u32) << 8 | NARROW as u32
    }

    #[inline(always)]
    pub fn taken(self) -> u32 {
        self.0 & 0xff
    }

    #[inline(always)]
    pub fn is_other(self) -> bool {
        self.0 & (Self::FURTHER | Self::NONE) != 0
    }

    /// The place and the width of the table for the rest of the code; nothing if it stands for nothing.
    pub fn further(self) -> Option<(usize, u32)> {
        (self.0 & Self::FURTHER != 0).then_some(((self.0 >> 16) as usize, self.0 >> 8 & 15))
    }

    /// The distance, for which `bits` are those that the entry was looked up by.
    #[inline(always)]
    pub fn distance(self, bits: u64) -> usize {
        (self.0 >> 16) as usize + (low(bits, self.taken()) >> (self.0 >> 8 & 15)) as usize
    }
}

/// The lowest `count` bits.
#[inline(always)]
pub(super) fn low(bits: u64, count: u32) -> u64 {
    bits & !(u64::MAX << (count & 63))
}

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
        let &(base, extra) = LENGTHS.get(usize::from(symbol - END - 1)).ok_or(Damage::Code)?;
        Ok((u32::from(base) + SHORTEST + bits.take(extra.into())?) as usize)
    }

    /// The next distance, bit by bit.
    pub fn distance<R: Read>(&self, bits: &mut Bits<R>) -> io::Result<usize> {
        let symbol = decode(&self.distance_code, bits)?;
        if symbol >= DISTANCES {
            return Err(Damage::Code.into());
        }
        let (base, extra) = distance(symbol);
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
