//! The loop in which nearly all of the time goes: whole turns, while there is room before and behind.

use super::bits::Bits;
use super::codes::Codes;
use super::copy::{self, copy};
use super::damage::{Damage, Result};
use super::entry::{DISTANCE_EXTRA, Distance, Entry, LENGTH_EXTRA, LONGEST_LENGTH, NARROW, WIDE, low};
use super::table::LONGEST;

/// Bytes of input that a turn may look at: it fills up three times at most, by no more than 8 bytes each.
pub(super) const INPUT: usize = 3 * 8;

/// Bytes of output that a turn may write: four times two bytes, and the longest repetition with what is copied too much.
pub(super) const OUTPUT: usize = 4 * 2 + LONGEST_LENGTH as usize + copy::OVER;

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
    assert!(floor <= *to && *to <= stop && stop + OUTPUT <= out.len());
    let input = &bits.buffer[..bits.end];
    if bits.at + INPUT > input.len() {
        return Ok(false);
    }
    let ends = input.as_ptr_range();
    let begin = out.as_mut_ptr();
    // SAFETY: of the input INPUT bytes are ready at least, and `floor`, `to` and `stop` lie within the output.
    let mut turns = unsafe {
        Turns {
            held: bits.held,
            count: bits.count,
            next: ends.start.add(bits.at),
            last: ends.end.sub(INPUT),
            to: begin.add(*to),
            stop: begin.add(stop),
            floor: begin.add(floor),
        }
    };
    let result = turns.run(codes);
    bits.held = turns.held;
    bits.count = turns.count & 63;
    bits.at = turns.next.addr() - ends.start.addr();
    *to = turns.to.addr() - begin.addr();
    result
}

/// Bits that a refill leaves at least.
const FULL: usize = 56;

// A turn takes bytes, then fills up, or takes a length at once; then a distance; and the bits that are left are looked up for the next.
const _: () = assert!(FULL >= WIDE + LENGTH_EXTRA + LONGEST + DISTANCE_EXTRA + WIDE);
// Three times bytes, and the next look.
const _: () = assert!(FULL >= 4 * WIDE);

/// Where the loop stands. `next` to `last` and `to` to `stop` are where a turn may begin.
struct Turns {
    held: u64,
    /// How many bits are held, in the lowest byte; above it anything, so that whole entries can be subtracted.
    count: u32,
    next: *const u8,
    last: *const u8,
    to: *mut u8,
    stop: *const u8,
    floor: *const u8,
}

impl Turns {
    fn run(&mut self, codes: &Codes) -> Result<bool> {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi2") {
            // SAFETY: the processor has the instructions.
            return unsafe { self.run_avx2(codes) };
        }
        self.any(codes)
    }

    /// The same with wider copies, and shifts and masks of one instruction.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn run_avx2(&mut self, codes: &Codes) -> Result<bool> {
        self.any(codes)
    }

    #[inline(always)]
    fn any(&mut self, codes: &Codes) -> Result<bool> {
        // One of its own, which nobody else can see, is kept in registers.
        let mut turns = Turns { ..*self };
        let result = turns.all(codes);
        *self = turns;
        result
    }

    #[inline(always)]
    fn all(&mut self, codes: &Codes) -> Result<bool> {
        self.refill();
        // The next entry is looked up before the bits are filled up and the last repetition is copied, which need not be waited for.
        let mut entry = self.look(codes);
        while self.next <= self.last && self.to.cast_const() < self.stop {
            let mut before = self.take(entry);
            if !entry.repeats() {
                entry = self.look(codes);
                before = self.take(entry);
                if !entry.repeats() {
                    entry = self.look(codes);
                    before = self.take(entry);
                    if !entry.repeats() {
                        entry = self.look(codes);
                        self.refill();
                        continue;
                    }
                }
                self.refill();
            }
            if entry.is_other() {
                if let Some((place, width)) = entry.further() {
                    entry = Entry(codes.symbols[place + low(self.held, width) as usize]);
                    before = self.take(entry);
                    self.refill();
                    if !entry.repeats() {
                        entry = self.look(codes);
                        continue;
                    }
                }
                if entry.is_other() {
                    return if entry.is_end() {
                        Ok(true)
                    } else {
                        Err(Damage::Code)
                    };
                }
            }
            let length = entry.length(before);
            let distance = self.distance(codes)?;
            if distance > self.to.addr() - self.floor.addr() {
                return Err(Damage::Distance);
            }
            entry = self.look(codes);
            self.refill();
            // SAFETY: the distance was looked at just now; a turn began before `stop`, and OUTPUT counts what it writes.
            unsafe {
                copy(self.to, distance, length);
                self.to = self.to.add(length);
            }
        }
        Ok(false)
    }

    #[inline(always)]
    fn refill(&mut self) {
        // SAFETY: a turn begins at `last` or before, and INPUT counts how often it fills up.
        unsafe {
            let word = self.next.cast::<u64>().read_unaligned();
            self.held |= u64::from_le(word) << (self.count & 63);
            self.next = self.next.add(7 - (self.count >> 3 & 7) as usize);
        }
        self.count |= FULL as u32;
    }

    #[inline(always)]
    fn look(&self, codes: &Codes) -> Entry {
        Entry(codes.symbols[low(self.held, WIDE as u32) as usize])
    }

    #[inline(always)]
    fn pass(&mut self, entry: u32) {
        self.held >>= entry & 63;
        self.count = self.count.wrapping_sub(entry);
    }

    /// Passes over an entry and writes its bytes; the bits before.
    #[inline(always)]
    fn take(&mut self, entry: Entry) -> u64 {
        let before = self.held;
        self.pass(entry.0);
        // SAFETY: a turn begins before `stop`, behind which there are OUTPUT bytes. Both bytes are written, whether or not they count.
        unsafe {
            self.to.cast::<[u8; 2]>().write_unaligned(entry.bytes());
            self.to = self.to.add(entry.count());
        }
        before
    }

    #[inline(always)]
    fn distance(&mut self, codes: &Codes) -> Result<usize> {
        let mut entry = Distance(codes.distances[low(self.held, NARROW as u32) as usize]);
        if entry.is_other() {
            let (place, width) = entry.further().ok_or(Damage::Code)?;
            self.pass(NARROW as u32);
            entry = Distance(codes.distances[place + low(self.held, width) as usize]);
            if entry.is_other() {
                return Err(Damage::Code);
            }
        }
        let distance = entry.distance(self.held);
        self.pass(entry.0);
        Ok(distance)
    }
}
