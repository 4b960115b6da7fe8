//! The loop in which nearly all of the time goes: whole turns, while there is room before and behind.

use super::bits::Bits;
use super::codes::{Codes, Entry, Distance, Other, WIDE, NARROW};
use super::copy::{self, copy};
use super::damage::{Damage, Result};

/// Bytes of input that a turn may look at: three refills of at most 8 bytes.
pub(super) const INPUT: usize = 3 * 8;

/// Bytes of output that a turn may write: three times two bytes, and the longest repetition with what is copied too much.
pub(super) const OUTPUT: usize = 3 * 2 + 258 + copy::OVER;

/// Decodes symbols into `out` from `*to` on, until that is `stop` or more, or fewer than [`INPUT`] bytes are ready, or the block ends
/// (then it is true). Repetitions reach back to `floor`. Behind `stop` there must be [`OUTPUT`] bytes.
pub(super) fn turns<R>(
    bits: &mut Bits<R>,
    codes: &Codes,
    out: &mut [u8],
    to: &mut usize,
    stop: usize,
    floor: usize,
) -> Result<bool> {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has the instructions.
        return unsafe { turns_bmi2(bits, codes, out, to, stop, floor) };
    }
    any(bits, codes, out, to, stop, floor)
}

/// The same with shifts by a variable that take one step, and one instruction for the lowest bits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
fn turns_bmi2<R>(
    bits: &mut Bits<R>,
    codes: &Codes,
    out: &mut [u8],
    to: &mut usize,
    stop: usize,
    floor: usize,
) -> Result<bool> {
    any(bits, codes, out, to, stop, floor)
}

#[inline(always)]
fn any<R>(
    bits: &mut Bits<R>,
    codes: &Codes,
    out: &mut [u8],
    to: &mut usize,
    stop: usize,
    floor: usize,
) -> Result<bool> {
    let mut cursor = Cursor {
        held: bits.held,
        count: bits.count,
        at: bits.at,
        input: &bits.buffer[..bits.end],
    };
    let mut at = *to;
    let result = run(&mut cursor, codes, out, &mut at, stop, floor);
    (bits.held, bits.count, bits.at) = (cursor.held, cursor.count, cursor.at);
    *to = at;
    result
}

struct Cursor<'a> {
    held: u64,
    count: u32,
    at: usize,
    input: &'a [u8],
}

impl Cursor<'_> {
    #[inline(always)]
    fn refill(&mut self) {
        debug_assert!(self.at + 8 <= self.input.len());
        // SAFETY: a turn begins where INPUT bytes are ready and refills three times at most, by no more than 8 bytes each.
        let word = unsafe { self.input.as_ptr().add(self.at).cast::<u64>().read_unaligned() };
        self.held |= u64::from_le(word) << self.count;
        self.at += (63 - self.count as usize) >> 3;
        self.count |= 56;
    }

    #[inline(always)]
    fn pass(&mut self, count: u32) {
        self.held >>= count & 63;
        self.count = self.count.wrapping_sub(count);
    }
}

#[inline(always)]
fn run(
    bits: &mut Cursor,
    codes: &Codes,
    out: &mut [u8],
    to: &mut usize,
    stop: usize,
    floor: usize,
) -> Result<bool> {
    assert!(stop + OUTPUT <= out.len() && floor <= *to);
    while bits.at + INPUT <= bits.input.len() && *to < stop {
        bits.refill();
        let mut before = bits.held;
        let mut entry = Entry(codes.symbols[(bits.held & ((1 << WIDE) - 1)) as usize]);
        bits.pass(entry.taken());
        put(out, *to, entry.bytes());
        *to += entry.count();
        if !entry.repeats() {
            before = bits.held;
            entry = Entry(codes.symbols[(bits.held & ((1 << WIDE) - 1)) as usize]);
            bits.pass(entry.taken());
            put(out, *to, entry.bytes());
            *to += entry.count();
            if !entry.repeats() {
                before = bits.held;
                entry = Entry(codes.symbols[(bits.held & ((1 << WIDE) - 1)) as usize]);
                bits.pass(entry.taken());
                put(out, *to, entry.bytes());
                *to += entry.count();
                if !entry.repeats() {
                    continue;
                }
            }
            bits.refill();
        }
        if entry.is_other() {
            match entry.other() {
                Other::Further(place, width) => {
                    before = bits.held;
                    entry = Entry(codes.symbols[place + (bits.held & ((1 << width) - 1)) as usize]);
                    bits.pass(entry.taken());
                    put(out, *to, entry.bytes());
                    *to += entry.count();
                    if !entry.repeats() {
                        continue;
                    }
                    if entry.is_other() {
                        match entry.other() {
                            Other::End => return Ok(true),
                            _ => return Err(Damage::Code),
                        }
                    }
                }
                Other::End => return Ok(true),
                Other::None => return Err(Damage::Code),
            }
        }
        let length = entry.length(before);
        let mut further = Distance(codes.distances[(bits.held & ((1 << NARROW) - 1)) as usize]);
        if further.is_other() {
            let (place, width) = further.rest().ok_or(Damage::Code)?;
            bits.pass(NARROW as u32);
            further = Distance(codes.distances[place + (bits.held & ((1 << width) - 1)) as usize]);
            if further.is_other() {
                return Err(Damage::Code);
            }
        }
        let distance = further.distance(bits.held);
        bits.pass(further.taken());
        if distance > *to - floor {
            return Err(Damage::Distance);
        }
        // SAFETY: the distance was checked just now; before `stop` a turn began, and OUTPUT counts what it writes.
        unsafe { copy(out, *to, distance, length) };
        *to += length;
    }
    Ok(false)
}

/// Writes both bytes, whether or not they count.
#[inline(always)]
fn put(out: &mut [u8], at: usize, bytes: [u8; 2]) {
    debug_assert!(at + 2 <= out.len());
    // SAFETY: a turn begins before `stop`, behind which there are OUTPUT bytes, in which these are counted.
    unsafe { out.as_mut_ptr().add(at).cast::<[u8; 2]>().write_unaligned(bytes) };
}
