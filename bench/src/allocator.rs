//! The allocator of the program.

use std::ffi::{c_int, c_long};

/// Training allocates and frees many activations of the same sizes, which this allocator reuses without asking the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// mimalloc's, which the allocator above links in.
    fn mi_option_set(option: c_int, value: c_long);
}

/// `mi_option_purge_delay` in mimalloc.h, versions 2 and 3: milliseconds for which freed memory is kept.
const PURGE_DELAY: c_int = 15;

/// From now on, memory that is freed goes back to the system at once: a little slower, and far less at the peak where one large
/// thing is done after another.
pub fn return_memory_at_once() {
    return_memory_after(0);
}

/// From now on, memory that is freed is kept for a while: what comes next frees and takes the same sizes over and over.
pub fn keep_memory() {
    return_memory_after(1_000);
}

/// From now on, memory that is freed goes back to the system after so many milliseconds without use.
pub fn return_memory_after(milliseconds: u16) {
    // SAFETY: sets an integer in a table of the allocator, at any time and from any thread; numbers it does not know are ignored.
    unsafe { mi_option_set(PURGE_DELAY, milliseconds.into()) }
}

/// From now on, memory comes in small pages: tables are gone through once, so that large ones cost more to clear than they save, and
/// a page of which a part is used counts as a whole.
#[cfg(target_os = "linux")]
pub fn use_small_pages() {
    unsafe extern "C" {
        fn prctl(option: c_int, ...) -> c_int;
    }
    /// `PR_SET_THP_DISABLE` in linux/prctl.h.
    const SET_THP_DISABLE: c_int = 41;
    let (yes, unused): (std::ffi::c_ulong, std::ffi::c_ulong) = (1, 0);
    // SAFETY: changes how the kernel serves this process' memory, nothing of what is in it; where it refuses, nothing happens.
    unsafe { prctl(SET_THP_DISABLE, yes, unused, unused, unused) };
}

/// Other systems have no such choice.
#[cfg(not(target_os = "linux"))]
pub fn use_small_pages() {}
