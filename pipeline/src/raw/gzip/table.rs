//! Prefix codes: what a run of bits means, from the lengths of the codes alone.

use super::damage::{Damage, Result};

/// The longest code there is.
pub(super) const LONGEST: usize = 15;

/// Symbols of the larger of the two alphabets.
pub(super) const SYMBOLS: usize = 288;

/// A code in canonical form: how many codes of each length there are, and their symbols in order of code.
pub(super) struct Canonical {
    pub counts: [u16; LONGEST + 1],
    pub symbols: [u16; SYMBOLS],
}

impl Canonical {
    pub const NONE: Canonical = Canonical {
        counts: [0; LONGEST + 1],
        symbols: [0; SYMBOLS],
    };

    /// The code whose symbol `i` has `lengths[i]` bits, or no code where that is 0.
    ///
    /// # Errors
    /// Where bits may mean two things, or nothing. That a single symbol has a code of one bit is allowed, and so is no code at all:
    /// an encoder writes these where there is nothing to choose.
    pub fn set(&mut self, lengths: &[u8], name: &'static str) -> Result<()> {
        self.counts = [0; LONGEST + 1];
        for &length in lengths {
            self.counts[usize::from(length)] += 1;
        }
        self.counts[0] = 0;
        let mut free = 1_i32;
        let (mut first, mut next) = (0, [0_u16; LONGEST + 1]);
        let mut longest = 0;
        for (length, (next, &count)) in next.iter_mut().zip(&self.counts).enumerate().skip(1) {
            free = (free << 1) - i32::from(count);
            if free < 0 {
                return Err(Damage::Ambiguous(name));
            }
            *next = first;
            first += count;
            if count > 0 {
                longest = length;
            }
        }
        if free > 0 && longest > 1 {
            return Err(Damage::Incomplete(name));
        }
        for (symbol, &length) in lengths.iter().enumerate() {
            if length > 0 {
                let place = &mut next[usize::from(length)];
                self.symbols[usize::from(*place)] = symbol as u16;
                *place += 1;
            }
        }
        Ok(())
    }

    /// The symbol that `bits` begin with and how long its code is, bit by bit; of `count` bits.
    pub fn decode(&self, bits: u64, count: u32) -> Decoded {
        let (mut code, mut first, mut index) = (0_i32, 0_i32, 0_i32);
        for length in 1..=LONGEST {
            if length as u32 > count {
                return Decoded::Short;
            }
            code |= (bits >> (length - 1) & 1) as i32;
            let codes = i32::from(self.counts[length]);
            if code - codes < first {
                let symbol = self.symbols[(index + code - first) as usize];
                return Decoded::Symbol(symbol, length as u32);
            }
            index += codes;
            first = (first + codes) << 1;
            code <<= 1;
        }
        Decoded::None
    }
}

/// What bits begin with.
pub(super) enum Decoded {
    /// A symbol, and how many bits it takes.
    Symbol(u16, u32),
    /// A code that goes on after the bits that there are.
    Short,
    /// No code.
    None,
}

/// Fills a table that is looked up by the next `bits` bits. `entry` says what stands for a symbol; the lowest byte of an entry is how
/// many bits it takes, to which the length of the code is added (in a table of a longer code: what is left of it). Longer codes begin
/// with an entry that `further` makes of the place and the width of the table that goes on. Returns how much of the table is used.
pub(super) fn fill(
    table: &mut [u32],
    bits: usize,
    code: &Canonical,
    invalid: u32,
    entry: impl Fn(u16, usize) -> u32,
    further: impl Fn(usize, usize) -> u32,
) {
    // Entries are placed code after code at half-filled tables of growing width: the upper half of a wider one is the same again.
    table[0] = invalid;
    table[1] = invalid;
    let (mut at, mut reversed, mut width) = (0, 0_usize, 1);
    for length in 1..=LONGEST.min(bits) {
        while width < length {
            table.copy_within(..1 << width, 1 << width);
            width += 1;
        }
        for _ in 0..code.counts[length] {
            table[reversed] = entry(code.symbols[at], length);
            at += 1;
            reversed = next(reversed, length);
        }
    }
    while width < bits {
        table.copy_within(..1 << width, 1 << width);
        width += 1;
    }
    if bits >= LONGEST {
        return;
    }
    let mut left = code.counts;
    let (mut length, mut used) = (bits + 1, 1 << bits);
    loop {
        while length <= LONGEST && left[length] == 0 {
            length += 1;
        }
        if length > LONGEST {
            return;
        }
        // The codes that begin with the same bits: as wide a table as they fill.
        let prefix = reversed & ((1 << bits) - 1);
        let mut width = length - bits;
        let mut filled = usize::from(left[length]);
        while filled < 1 << width && bits + width < LONGEST {
            width += 1;
            filled = (filled << 1) + usize::from(left[bits + width]);
        }
        table[prefix] = further(used, width);
        while length <= LONGEST && reversed & ((1 << bits) - 1) == prefix {
            if left[length] == 0 {
                length += 1;
                continue;
            }
            let rest = length - bits;
            let meaning = entry(code.symbols[at], rest);
            let mut place = reversed >> bits;
            while place < 1 << width {
                table[used + place] = meaning;
                place += 1 << rest;
            }
            at += 1;
            left[length] -= 1;
            reversed = next(reversed, length);
            if reversed == 0 {
                return;
            }
        }
        used += 1 << width;
    }
}

/// The code after this one, first bit lowest; 0 after the last one. Longer codes follow with zeros added at the end, which this form
/// has for nothing.
fn next(reversed: usize, length: usize) -> usize {
    let mut bit = 1 << (length - 1);
    while reversed & bit != 0 {
        bit >>= 1;
    }
    if bit == 0 {
        return 0;
    }
    reversed & (bit - 1) | bit
}
