//! Work on rows, shared among the threads that an operation may use.

use rayon::prelude::*;

use super::threads::threads;

/// Below this many values a second thread costs more than it brings.
const WORTH_SHARING: usize = 1 << 15;

fn share(values: usize, width: usize) -> Option<usize> {
    let threads = threads();
    (threads > 1 && values >= WORTH_SHARING).then(|| (values / width).div_ceil(threads) * width)
}

/// Calls `f` with runs of whole rows of `out` and the position of each run's first value.
pub(super) fn write_rows(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    match share(out.len(), width) {
        None => f(0, out),
        Some(size) => out
            .par_chunks_mut(size)
            .enumerate()
            .for_each(|(i, run)| f(i * size, run)),
    }
}

/// Copies `from`, which is as long, to `to`.
pub(super) fn copy(from: &[f32], to: &mut [f32]) {
    write_rows(to, 1, |at, to| to.copy_from_slice(&from[at..at + to.len()]));
}

/// As [`write_rows`], for two matrices of the same shape.
pub(super) fn write_two(
    one: &mut [f32],
    two: &mut [f32],
    width: usize,
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    match share(one.len(), width) {
        None => f(0, one, two),
        Some(size) => one
            .par_chunks_mut(size)
            .zip(two.par_chunks_mut(size))
            .enumerate()
            .for_each(|(i, (one, two))| f(i * size, one, two)),
    }
}

/// Calls `f` with every row of `values` and its number; what it returns, in the rows' order.
pub(crate) fn map_rows<R: Send>(
    values: &mut [f32],
    width: usize,
    f: impl Fn(usize, &mut [f32]) -> R + Sync,
) -> Vec<R> {
    let rows = |first: usize, run: &mut [f32]| -> Vec<R> {
        let rows = run.chunks_exact_mut(width).enumerate();
        rows.map(|(i, row)| f(first + i, row)).collect()
    };
    match share(values.len(), width) {
        None => rows(0, values),
        Some(size) => {
            let runs = values.par_chunks_mut(size).enumerate();
            let found: Vec<Vec<R>> = runs.map(|(i, run)| rows(i * size / width, run)).collect();
            found.into_iter().flatten().collect()
        }
    }
}
