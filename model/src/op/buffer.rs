//! Working memory that is used again: a training step asks for the same few sizes thousands of times, and fresh pages from the
//! operating system cost more than the arithmetic done in them.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

/// Free memory by capacity.
static FREE: Mutex<BTreeMap<usize, Vec<Vec<f32>>>> = Mutex::new(BTreeMap::new());

fn free() -> MutexGuard<'static, BTreeMap<usize, Vec<Vec<f32>>>> {
    FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A run of values whose memory goes back to be used again when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    values: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// `len` values left from an earlier use: for results that are written before they are read.
    pub fn stale(len: usize) -> Self {
        let mut free = free();
        // Up to twice the size wanted, so that batches of varying length share memory and small requests do not eat large blocks.
        let capacity = free.range(len..=2 * len).next().map(|(capacity, _)| *capacity);
        let values = capacity.and_then(|capacity| {
            let blocks = free.get_mut(&capacity)?;
            let block = blocks.pop();
            if blocks.is_empty() {
                free.remove(&capacity);
            }
            block
        });
        drop(free);
        Buffer {
            values: values.unwrap_or_else(|| vec![0.0; len]),
            len,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if !values.is_empty() {
            free().entry(values.len()).or_default().push(values);
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A size that no other test asks for, since all tests share the free memory.
    const SIZE: usize = 1_234_567;

    #[test]
    fn memory_returns_and_serves_smaller_requests() {
        let mut first = Buffer::stale(SIZE);
        let place = first.as_ptr();
        first[0] = 7.0;
        drop(first);
        let second = Buffer::stale(SIZE - 1000);
        assert_eq!(
            (second.as_ptr(), second.len(), second[0]),
            (place, SIZE - 1000, 7.0)
        );
    }
}
