//! What a cell took, and nothing that another one took.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use weaverec_model::device::{peak_memory_of_gpus, reset_peak_memory_of_gpus};
use weaverec_model::op::Workers;

/// What a cell took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// From its begin to its end, seconds.
    pub wall_seconds: f64,
    /// Of processor time, on all of its threads, seconds; nothing where the system does not say.
    #[serde(default)]
    pub cpu_seconds: Option<f64>,
    /// The highest resident memory of the process while it ran, bytes: with what the run had loaded before. Nothing where another cell
    /// ran beside it for some of that time, or the system cannot begin to count anew.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
    /// The most that tensors took of a GPU's memory while it ran, bytes, with what the run had put there before, by the driver's count.
    /// Nothing without a GPU, or where another cell ran beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_gpu_memory_bytes: Option<u64>,
}

/// Measures the cells of a run, and knows which of them had the process for themselves.
#[derive(Debug, Default)]
pub struct Account {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    started: u64,
}

/// The measuring of one cell.
#[derive(Debug)]
pub struct Entry<'a> {
    account: &'a Account,
    begin: Instant,
    /// How many cells had been started when it was, itself included, if none was running.
    alone: Option<u64>,
    /// Whether the count of main memory began anew with it.
    forgotten: bool,
}

impl Account {
    /// A cell begins.
    pub fn begin(&self) -> Entry<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running += 1;
        state.started += 1;
        let alone = state.running == 1;
        if alone {
            reset_peak_memory_of_gpus();
        }
        Entry {
            account: self,
            begin: Instant::now(),
            alone: alone.then_some(state.started),
            forgotten: alone && forget_peak(),
        }
    }
}

impl Entry<'_> {
    /// Seconds since it began.
    pub fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// The cell has ended, on threads that were its own.
    pub fn end(self, workers: &Workers) -> Cost {
        let wall_seconds = self.seconds();
        let state = self.account.state.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = self.alone == Some(state.started);
        Cost {
            wall_seconds,
            cpu_seconds: workers.cpu_seconds(),
            peak_memory_bytes: (alone && self.forgotten).then(peak_memory_bytes).flatten(),
            peak_gpu_memory_bytes: alone.then(peak_memory_of_gpus).flatten(),
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut state = self.account.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running -= 1;
    }
}

/// Lets the system count the highest resident memory of this process from now on; false where it cannot, or may not.
fn forget_peak() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The highest resident memory of this process since it began, or since [`forget_peak`].
fn peak_memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::time::Duration;

    use super::*;

    fn spin(seconds: f64) {
        let begin = Instant::now();
        while begin.elapsed().as_secs_f64() < seconds {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn the_time_of_a_cell_is_that_of_its_own_threads() {
        let account = Account::default();
        let workers = Workers::new(2).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Somebody else's.
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            let entry = account.begin();
            workers.run(|| spin(0.1));
            std::thread::sleep(Duration::from_millis(300));
            let cost = entry.end(&workers);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(cost.wall_seconds > 0.39);
            if let Some(seconds) = cost.cpu_seconds {
                assert!(seconds > 0.01 && seconds < 0.3, "{seconds}");
            }
        });
    }

    #[test]
    fn memory_is_told_of_cells_that_had_the_process_for_themselves() {
        if !cfg!(target_os = "linux") || !forget_peak() {
            eprintln!("skipped: the system does not begin to count anew");
            return;
        }
        // The count is the process', so that other tests beside this one would be in it: it runs in a process of its own.
        const ALONE: &str = "WEAVEREC_TEST_ALONE";
        if std::env::var_os(ALONE).is_none() {
            let this = "experiment::cost::tests::memory_is_told_of_cells_that_had_the_process_for_themselves";
            let alone = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", this, "--nocapture"])
                .env(ALONE, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&alone.stdout);
            assert!(
                alone.status.success() && said.contains("1 passed"),
                "{said}{}",
                String::from_utf8_lossy(&alone.stderr)
            );
            return;
        }
        let account = Account::default();
        let workers = Workers::new(1).unwrap();
        // Of the system's allocator, which gives back at once what is as large as this.
        let touched = |size: usize| {
            let layout = Layout::array::<u8>(size).unwrap();
            // SAFETY: the size is not zero, and only what was allocated is written and freed.
            unsafe {
                let at = System.alloc(layout);
                assert!(!at.is_null());
                at.write_bytes(1, size);
                // The whole of it is seen from outside, so that none of the writing is left out.
                let at = std::hint::black_box(at);
                System.dealloc(at, layout);
            }
            size as u64
        };
        let entry = account.begin();
        let big = touched(400 << 20);
        let large = entry.end(&workers).peak_memory_bytes.unwrap();
        assert!(large >= big, "{large}, where {big} were touched");
        // What is gone does not count for the next one.
        let entry = account.begin();
        let small = entry.end(&workers).peak_memory_bytes.unwrap();
        assert!(small + big / 2 < large, "{small} after {large}");
        // Beside another one nobody can say whose it is: neither for the one that was first nor for the one that was last.
        let (one, two) = (account.begin(), account.begin());
        assert_eq!(one.end(&workers).peak_memory_bytes, None);
        assert_eq!(two.end(&workers).peak_memory_bytes, None);
        let alone = account.begin().end(&workers);
        assert!(alone.peak_memory_bytes.is_some());
    }
}
