//! Copies of what was written before.

/// Bytes that [`copy`] may write behind what it copies.
pub(super) const OVER: usize = 32;

/// Copies `length` bytes to `to` in `out`, from `distance` before; a copy may go on into itself.
///
/// # Safety
/// `distance` is at least 1 and at most `to`, and behind `to` there are `length` and [`OVER`] bytes.
#[inline(always)]
pub(super) unsafe fn copy(out: &mut [u8], to: usize, distance: usize, length: usize) {
    debug_assert!(distance >= 1 && distance <= to && to + length + OVER <= out.len());
    // SAFETY: all that is read lies from `to - distance` on and before what is written, the end of which is OVER behind at most.
    unsafe {
        let mut target = out.as_mut_ptr().add(to);
        let mut source = target.sub(distance).cast_const();
        let end = target.add(length);
        if distance >= 16 {
            step::<16>(source, target);
            step::<16>(source.add(16), target.add(16));
            if length > 32 {
                loop {
                    source = source.add(32);
                    target = target.add(32);
                    step::<16>(source, target);
                    step::<16>(source.add(16), target.add(16));
                    if target.add(32) >= end {
                        break;
                    }
                }
            }
        } else if distance == 1 {
            let byte = [*source; 16];
            while target < end {
                target.cast::<[u8; 16]>().write_unaligned(byte);
                target = target.add(16);
            }
        } else {
            // Every step writes `distance` right bytes, and what is wrong behind them is written again.
            let stride = distance.min(8);
            while target < end {
                step::<8>(source, target);
                source = source.add(stride);
                target = target.add(stride);
            }
        }
    }
}

#[inline(always)]
unsafe fn step<const N: usize>(source: *const u8, target: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        let bytes = source.cast::<[u8; N]>().read_unaligned();
        target.cast::<[u8; N]>().write_unaligned(bytes);
    }
}
