//! The threads that operations may use.
//!
//! [`Workers`] are threads of one piece of work: whatever is started on them, of this crate or of others that share out their work by
//! rayon, stays on them. How many of them operations use may change while they work, so that trainings side by side take one thread each
//! and the last one that is left all of them. No operation sums over its shares, so results depend on neither.

use std::cell::{Cell, OnceCell};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Device;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::composed::composed_on;
use crate::{Error, Result};

thread_local! {
    /// Set on a thread of some [`Workers`]: how many of them operations may use at this moment.
    static ALLOWED: OnceCell<Arc<AtomicUsize>> = const { OnceCell::new() };
    /// Set while a thread works on a share: what is shared out once is not shared out again.
    static IN_SHARE: Cell<bool> = const { Cell::new(false) };
}

/// The number of threads that an operation started on this thread may use: what its [`Workers`] are allowed, or all of rayon's.
pub fn threads() -> usize {
    if IN_SHARE.get() {
        return 1;
    }
    ALLOWED.with(|allowed| match allowed.get() {
        Some(allowed) => allowed
            .load(Ordering::Relaxed)
            .clamp(1, rayon::current_num_threads()),
        None => rayon::current_num_threads(),
    })
}

/// Threads of one piece of work.
#[derive(Debug)]
pub struct Workers {
    pool: ThreadPool,
    allowed: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts `most` threads, all of which operations may use until [`allow`](Self::allow) says otherwise.
    ///
    /// # Errors
    /// Threads that cannot be started.
    pub fn new(most: usize) -> Result<Self> {
        let most = most.max(1);
        let allowed = Arc::new(AtomicUsize::new(most));
        let told = allowed.clone();
        let pool = ThreadPoolBuilder::new()
            .num_threads(most)
            .thread_name(|number| format!("worker {number}"))
            .start_handler(move |_| {
                // Set once: a thread starts once.
                let _ = ALLOWED.with(|allowed| allowed.set(told.clone()));
            })
            .build()
            .map_err(|error| {
                Error::Usage(format!(
                    "cannot start {most} threads ({error}): name fewer with --threads"
                ))
            })?;
        Ok(Self { pool, allowed })
    }

    /// How many threads there are.
    pub fn most(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Lets operations use `threads` of them, from the next one on; one at least, and all at most.
    pub fn allow(&self, threads: usize) {
        self.allowed
            .store(threads.clamp(1, self.most()), Ordering::Relaxed);
    }

    /// How many operations may use.
    pub fn allowed(&self) -> usize {
        self.allowed.load(Ordering::Relaxed)
    }

    /// Runs `f` on one of them, and waits for it.
    pub fn run<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        self.pool.install(f)
    }

    /// The processor time that they have taken so far, seconds; `None` where the system does not say. To be asked when they rest.
    pub fn cpu_seconds(&self) -> Option<f64> {
        self.cpu_seconds_each().into_iter().sum()
    }

    fn cpu_seconds_each(&self) -> Vec<Option<f64>> {
        self.pool.broadcast(|_| own_cpu_seconds())
    }
}

/// Nanoseconds on a processor are the first number of the scheduler's statistics.
fn own_cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds * 1e-9)
}

/// Runs `f` on `n` threads of its own (0: on this thread, and whatever threads rayon has).
///
/// # Panics
/// As `f` does.
pub fn with_threads<R: Send>(n: usize, f: impl FnOnce() -> R + Send) -> R {
    match (n, Workers::new(n)) {
        (0, _) => f(),
        (_, Ok(workers)) => workers.run(f),
        // Slower, and right.
        (_, Err(error)) => {
            tracing::warn!("{error}");
            alone(f)
        }
    }
}

/// Runs `f` with operations kept to this thread.
fn alone<R>(f: impl FnOnce() -> R) -> R {
    /// Also where `f` panics: the thread lives on.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            IN_SHARE.set(self.0);
        }
    }
    let _before = Before(IN_SHARE.replace(true));
    f()
}

/// Runs `f` on one of rayon's threads where operations on `device` share their work among several.
///
/// What they share out then starts there at once. From any other thread a rayon thread is woken first, and that thread at the end, some
/// thousand times a training step.
pub(crate) fn on_pool<R: Send>(device: &Device, f: impl FnOnce() -> R + Send) -> R {
    match threads() {
        n if n > 1 && !composed_on(device) => rayon::scope(|_| f()),
        _ => f(),
    }
}

/// Calls `f` with every number below `count`, on up to `threads` threads, each number on whichever is free.
pub(super) fn for_each(threads: usize, count: usize, f: impl Fn(usize) + Sync) {
    match threads.min(count) {
        0 | 1 => (0..count).for_each(f),
        shares => {
            let next = AtomicUsize::new(0);
            in_shares(shares, |_| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    f(index);
                }
            });
        }
    }
}

/// As [`for_each`]; what `f` returns, in the order of the numbers.
pub(super) fn map<R: Send>(threads: usize, count: usize, f: impl Fn(usize) -> R + Sync) -> Vec<R> {
    match threads.min(count) {
        0 | 1 => (0..count).map(f).collect(),
        shares => {
            let next = AtomicUsize::new(0);
            let found = in_shares(shares, |_| {
                let mut found = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return found;
                    }
                    found.push((index, f(index)));
                }
            });
            let mut found: Vec<(usize, R)> = found.into_iter().flatten().collect();
            found.sort_unstable_by_key(|(index, _)| *index);
            found.into_iter().map(|(_, result)| result).collect()
        }
    }
}

/// Calls `f` once a share, each on a thread of its own if one is free: never on more threads than there are shares.
pub(super) fn in_shares<R: Send>(shares: usize, f: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let shares = (0..shares).into_par_iter().with_max_len(1);
    shares.map(|share| alone(|| f(share))).collect()
}

/// One of `parts` runs of `whole` that differ by one at most in length.
pub(super) fn part(whole: usize, parts: usize, index: usize) -> Range<usize> {
    whole * index / parts..whole * (index + 1) / parts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::op::gemm::{View, gemm};

    /// The most calls of `f` that are under way at a time while `f` is given room to meet others.
    fn meetings(shared_out: impl FnOnce(&(dyn Fn(usize) + Sync))) -> usize {
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        shared_out(&|_| {
            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(5));
            inside.fetch_sub(1, Ordering::SeqCst);
        });
        most.into_inner()
    }

    #[test]
    fn work_is_shared_among_as_many_as_are_allowed_at_the_moment_and_in_order() {
        let workers = Workers::new(4).unwrap();
        for allowed in [1, 2, 3, 4, 9] {
            workers.allow(allowed);
            workers.run(|| {
                let allowed = allowed.min(4);
                assert_eq!(threads(), allowed);
                let met = meetings(|f| for_each(threads(), 24, f));
                assert!(met <= allowed && (met > 1 || allowed == 1), "{met} of {allowed}");
                let squares = map(threads(), 100, |i| i * i);
                assert_eq!(squares, (0..100).map(|i| i * i).collect::<Vec<_>>());
                in_shares(allowed, |_| assert_eq!(threads(), 1, "a share is not shared out"));
                assert_eq!(threads(), allowed);
            });
        }
    }

    #[test]
    fn a_limit_holds_for_whatever_uses_rayon() {
        assert_eq!(with_threads(3, rayon::current_num_threads), 3);
        let met = with_threads(2, || {
            meetings(|f| (0..24).into_par_iter().with_max_len(1).for_each(f))
        });
        assert!(met <= 2, "{met}");
        with_threads(1, || {
            assert_eq!(threads(), 1);
            with_threads(3, || assert_eq!(threads(), 3));
            assert_eq!(threads(), 1);
        });
    }

    #[test]
    fn a_share_that_panics_leaves_its_thread_usable() {
        let workers = Workers::new(2).unwrap();
        let run = || workers.run(|| for_each(2, 2, |i| assert!(i == 0, "one")));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
        assert_eq!(workers.run(threads), 2);
        assert!(workers.pool.broadcast(|_| IN_SHARE.get()).iter().all(|set| !set));
    }

    /// Products keep to what they are allowed: of four threads, those that are not take no time.
    #[test]
    fn products_on_fewer_threads_than_there_are_leave_the_others_idle() {
        const N: usize = 512;
        const SECONDS: f64 = 0.3;
        let workers = Workers::new(4).unwrap();
        let a: Vec<f32> = (0..N * N).map(|i| (i % 17) as f32).collect();
        // What each thread takes, the idlest first.
        let busy = |allowed: usize| -> Option<Vec<f64>> {
            workers.allow(allowed);
            let before = workers.cpu_seconds_each();
            workers.run(|| {
                let mut out = vec![0.0; N * N];
                let started = std::time::Instant::now();
                while started.elapsed().as_secs_f64() < SECONDS {
                    // One of ours, and one by the crate: too few rows for ours.
                    let few = View::new(&a[..5 * N], 5, N);
                    gemm(&mut out, N, 0.0, 1.0, View::new(&a, N, N), View::new(&a, N, N));
                    gemm(&mut out, N, 0.0, 1.0, few, View::new(&a, N, N));
                }
            });
            let after = workers.cpu_seconds_each();
            let mut taken: Vec<f64> = after
                .into_iter()
                .zip(before)
                .map(|(after, before)| Some(after? - before?))
                .collect::<Option<_>>()?;
            taken.sort_by(f64::total_cmp);
            Some(taken)
        };
        let Some(one) = busy(1) else {
            eprintln!("skipped: the system does not say what threads take");
            return;
        };
        assert!(one[2] < 0.1 * one[3], "one thread is allowed: {one:?}");
        // Which two may change from product to product, so their sum is what counts.
        let two: f64 = busy(2).unwrap().iter().sum();
        assert!(two < 2.7 * SECONDS, "two threads are allowed: {two}");
    }
}
