//! The same work on many files at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What `work` makes of each job, in the order of the jobs, done by `threads` threads. Each takes the next job when it is free, so that
/// a large file beside many small ones holds up nobody.
pub(crate) fn in_order<J: Sync, R: Send>(
    jobs: &[J],
    threads: usize,
    work: impl Fn(&J) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return };
            let result = work(job);
            // Nothing panics while the lock is held; a vector that was only pushed to is whole in any case.
            done.lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push((at, result));
        }
    };
    std::thread::scope(|scope| {
        // This thread works as well.
        for _ in 1..threads.min(jobs.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs_whoever_does_them() {
        let jobs: Vec<u64> = (0..50).collect();
        let expected: Vec<u64> = jobs.iter().map(|job| job * 2).collect();
        for threads in [0, 1, 3, 100] {
            let slow_first = |job: &u64| {
                std::thread::sleep(std::time::Duration::from_millis(if *job < 2 { 20 } else { 0 }));
                job * 2
            };
            assert_eq!(in_order(&jobs, threads, slow_first), expected);
        }
        assert!(in_order(&[], 2, |job: &u64| *job).is_empty());
    }

    #[test]
    fn jobs_are_done_at_the_same_time() {
        // Each of the two waits for the other; one after another they would wait forever.
        let barrier = std::sync::Barrier::new(2);
        in_order(&[0, 1], 2, |_| barrier.wait());
    }
}
