//! What symbols mean, and the entries of the tables in which that is looked up.

/// Bits by which bytes and lengths are looked up. Two bytes, or a byte and a length, often fit into them.
pub(super) const WIDE: usize = 11;
/// Bits by which distances are looked up.
pub(super) const NARROW: usize = 8;

/// The most bits that are added to a length, and to a distance.
pub(super) const LENGTH_EXTRA: usize = 5;
pub(super) const DISTANCE_EXTRA: usize = 13;

/// The symbol that ends a block.
pub(super) const END: u16 = 256;

/// The shortest repetition, and the longest.
pub(super) const SHORTEST: u32 = 3;
pub(super) const LONGEST_LENGTH: u32 = 258;

/// First length of the symbols from 257 on, less [`SHORTEST`], and how many bits are added to it; nothing for those that mean none.
pub(super) fn length(symbol: u16) -> Option<(u32, u32)> {
    match u32::from(symbol).checked_sub(257)? {
        number @ 0..8 => Some((number, 0)),
        number @ 8..28 => {
            let extra = number / 4 - 1;
            Some(((4 + number % 4) << extra, extra))
        }
        28 => Some((LONGEST_LENGTH - SHORTEST, 0)),
        _ => None,
    }
}

/// First distance of a symbol, and how many bits are added to it; nothing for those that mean none.
pub(super) fn distance(symbol: u16) -> Option<(u32, u32)> {
    match u32::from(symbol) {
        symbol @ 0..4 => Some((1 + symbol, 0)),
        symbol @ 4..30 => {
            let extra = symbol / 2 - 1;
            Some((1 + ((2 + symbol % 2) << extra), extra))
        }
        _ => None,
    }
}

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
    const FURTHER: u32 = 3 << 30;
    const END: u32 = 3 << 30 | 1 << 28;
    pub const NONE: u32 = 3 << 30 | 2 << 28;

    pub fn of(symbol: u16, length: usize) -> u32 {
        let length = length as u32;
        match symbol {
            0..=255 => 1 << 24 | u32::from(symbol) << 8 | length,
            END => Self::END | length,
            _ => match self::length(symbol) {
                Some((base, extra)) => Self::REPEATS | length << 26 | base << 16 | (length + extra),
                None => Self::NONE | length,
            },
        }
    }

    /// A further table is at most 4 bits wide, and lies below 2¹³.
    pub fn on(place: usize, width: usize) -> u32 {
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
    pub fn with(self, next: Entry) -> Entry {
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
    pub const NONE: u32 = 1 << 13;

    pub fn of(symbol: u16, length: usize) -> u32 {
        let length = length as u32;
        match distance(symbol) {
            Some((base, extra)) => base << 16 | length << 8 | (length + extra),
            None => Self::NONE | length,
        }
    }

    pub fn on(place: usize, width: usize) -> u32 {
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
