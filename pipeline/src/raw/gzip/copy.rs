//! Copies of what was written before.

/// Bytes that [`copy`] may write behind what it copies.
pub(super) const OVER: usize = 64;

/// Copies `length` bytes to `target`, from `distance` before; a copy may go on into itself.
///
/// # Safety
/// There are `distance` bytes before `target`, at least one, and behind it `length` and [`OVER`].
#[inline(always)]
pub(super) unsafe fn copy(target: *mut u8, distance: usize, length: usize) {
    // SAFETY: all that is read lies from `target - distance` on and before what is written, the end of which is OVER behind at most.
    unsafe {
        if distance < 32 {
            return near(target, distance, length);
        }
        let (mut target, mut source) = (target, target.sub(distance).cast_const());
        step::<32>(source, target);
        step::<32>(source.add(32), target.add(32));
        if length > 64 {
            let end = target.add(length);
            loop {
                source = source.add(64);
                target = target.add(64);
                step::<32>(source, target);
                step::<32>(source.add(32), target.add(32));
                if target.add(64) >= end {
                    break;
                }
            }
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn near(mut target: *mut u8, distance: usize, length: usize) {
    // SAFETY: the caller's.
    unsafe {
        let end = target.add(length);
        let mut source = target.sub(distance).cast_const();
        if distance >= 16 {
            while target < end {
                step::<16>(source, target);
                source = source.add(16);
                target = target.add(16);
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
                let bytes = source.cast::<u64>().read_unaligned();
                target.cast::<u64>().write_unaligned(bytes);
                source = source.add(stride);
                target = target.add(stride);
            }
        }
    }
}

/// # Safety
/// N bytes can be read and written, and they do not overlap.
#[inline(always)]
unsafe fn step<const N: usize>(source: *const u8, target: *mut u8) {
    // SAFETY: the caller's.
    unsafe { target.copy_from_nonoverlapping(source, N) };
}
