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

/// From now on, memory that is freed goes back to the system at once: slower, but what a memory limit is about.
pub fn return_memory_at_once() {
    // SAFETY: sets an integer in a table of the allocator, at any time and from any thread; numbers it does not know are ignored.
    unsafe { mi_option_set(PURGE_DELAY, 0) }
}
