//! Runs the cells that are missing, several at a time, each on threads of its own.
//!
//! The longest come first, so that none of them is left for the end; threads that find nothing more to begin are given to the cells that
//! still run. Other processes may work on the same store: what one of them is at work on is left to it, and looked for again at the end.

mod progress;
mod task;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use weaverec_model::device::DeviceName;
use weaverec_model::op::Workers;

pub use self::task::{Artefacts, Finished, Task};

use self::progress::Progress;
use super::cell::Record;
use super::cost::Account;
use super::environment::Environment;
use super::store::{Kept, Permit, Store};
use crate::progress::say;

/// Between two looks at what another process is at work on.
const PAUSE: Duration = Duration::from_millis(500);

/// Most threads of all cells that run side by side, those that wait for a cell to end included.
const MOST_THREADS: usize = 1024;

/// Where cells are kept, and what they may use.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    /// The finished ones.
    pub store: &'a Store,
    /// What records say of the machine and the program.
    pub environment: &'a Environment,
    /// Threads of all cells together.
    pub threads: usize,
    /// Cells at a time.
    pub jobs: usize,
}

/// How many cells run at a time: on the processor as many as there are threads, since small products gain little from a second one; on a
/// GPU, which one cell can fill, one after another; what was `asked` for otherwise, but never more than one a thread on the processor.
pub fn jobs(device: DeviceName, threads: usize, asked: Option<usize>) -> usize {
    let jobs = match device {
        DeviceName::Cpu => asked.unwrap_or(threads).min(threads),
        _ => asked.unwrap_or(1),
    };
    jobs.max(1)
}

/// A cell under way.
struct Running {
    workers: Arc<Workers>,
    estimate: f64,
    begin: Instant,
}

/// What the threads that run cells share.
#[derive(Default)]
struct State<'a> {
    /// Not begun, the longest first.
    waiting: Vec<Task<'a>>,
    /// Another process was at work on them when they were looked at last.
    elsewhere: Vec<Task<'a>>,
    /// By the number of the thread that runs it.
    running: Vec<Option<Running>>,
    /// Estimate and seconds of those that were finished here.
    finished: Vec<(f64, f64)>,
    /// Finished, here or elsewhere.
    done: usize,
    failure: Option<anyhow::Error>,
    told: bool,
}

impl Schedule<'_> {
    /// Runs those of the cells that are not finished; `what` they are is for people. A cell that fails lets those end that are under way,
    /// and no other begins.
    ///
    /// # Errors
    /// The first failure, with the cell's name.
    pub fn run(&self, what: &str, tasks: Vec<Task>) -> Result<()> {
        let all = tasks.len();
        let mut waiting: Vec<Task> = tasks
            .into_iter()
            .filter(|task| !self.store.has(task.cell))
            .collect();
        let missing = waiting.len();
        if all == 0 {
            return Ok(());
        }
        say(format!(
            "  {what}: {missing} to do, {} kept from earlier runs",
            all - missing
        ));
        if missing == 0 {
            return Ok(());
        }
        waiting.sort_by(|one, other| other.estimate.total_cmp(&one.estimate));
        let jobs = self.jobs.clamp(1, missing);
        let state = Mutex::new(State {
            waiting,
            running: (0..jobs).map(|_| None).collect(),
            ..State::default()
        });
        let account = Account::default();
        let progress = Progress { what, missing };
        std::thread::scope(|scope| {
            for number in 0..jobs {
                let (state, account, progress) = (&state, &account, &progress);
                scope.spawn(move || self.work(number, state, account, progress));
            }
        });
        match state.into_inner().unwrap_or_else(PoisonError::into_inner).failure {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Takes one cell after another.
    fn work(&self, number: usize, state: &Mutex<State>, account: &Account, progress: &Progress) {
        loop {
            let task = {
                let mut state = lock(state);
                if state.failure.is_some() {
                    return;
                }
                let next = match state.waiting.is_empty() {
                    false => Some(state.waiting.remove(0)),
                    true => state.elsewhere.pop(),
                };
                match next {
                    Some(task) => task,
                    None => return,
                }
            };
            let label = task.cell.label.clone();
            if let Err(error) = self.take(number, task, state, account, progress) {
                let error = error.context(format!("{}: {label}", progress.what));
                let mut state = lock(state);
                let others = state.running.iter().flatten().count();
                if state.failure.is_none() {
                    if others > 0 {
                        say(format!(
                            "  {error:#}; stopping when {others} under way have ended"
                        ));
                    }
                    state.failure = Some(error);
                }
                return;
            }
        }
    }

    /// Runs a cell, or leaves it to whoever is at work on it.
    fn take<'a>(
        &self,
        number: usize,
        task: Task<'a>,
        state: &Mutex<State<'a>>,
        account: &Account,
        progress: &Progress,
    ) -> Result<()> {
        let permit = match self.store.permit(task.cell)? {
            Permit::Ours(permit) => permit,
            Permit::Finished => {
                lock(state).done += 1;
                return Ok(());
            }
            Permit::Held(who) => {
                let wait = {
                    let mut state = lock(state);
                    state.elsewhere.insert(0, task);
                    let wait = state.waiting.is_empty();
                    if wait && !state.told {
                        state.told = true;
                        let count = state.elsewhere.len();
                        say(format!("  {} {count} left to others, as {who}", progress.what));
                    }
                    wait
                };
                if wait {
                    std::thread::sleep(PAUSE);
                }
                return Ok(());
            }
        };
        let Task { cell, estimate, work } = task;
        let workers = Arc::new(Workers::new(self.most())?);
        let entry = account.begin();
        {
            let mut state = lock(state);
            state.running[number] = Some(Running {
                workers: workers.clone(),
                estimate,
                begin: Instant::now(),
            });
            self.share_out(&state);
        }
        let made = catch_unwind(AssertUnwindSafe(|| workers.run(work)));
        let seconds = entry.seconds();
        let cost = entry.end(&workers);
        {
            let mut state = lock(state);
            state.running[number] = None;
            self.share_out(&state);
        }
        let made = made.unwrap_or_else(|panic| Err(anyhow!("a bug: {}", told(&*panic))))?;
        let record = Record {
            training: made.training,
            ranking: made.ranking,
            choices: made.choices,
            study: made.study,
            weights: made.weights,
            codes: made.codes,
            ..Record::new(cell, self.environment.clone(), cost)
        };
        let artefacts = made.artefacts.unwrap_or_else(|| Box::new(|_| Ok(())));
        let kept = self.store.keep(cell, &record, artefacts)?;
        if let Kept::Again { note: Some(note) } = kept {
            say(format!("  {note}"));
        }
        drop(permit);
        let mut state = lock(state);
        state.done += 1;
        state.finished.push((estimate, seconds));
        progress.say(&state);
        Ok(())
    }

    /// Threads that a cell is given to have, most of which may rest.
    fn most(&self) -> usize {
        let share = self.threads / self.jobs.max(1);
        self.threads
            .min((MOST_THREADS / self.jobs.max(1)).max(share))
            .max(1)
    }

    /// Gives every cell under way its share of the threads: all there are, but for those that a cell will be begun on.
    fn share_out(&self, state: &State) {
        let running: Vec<&Running> = state.running.iter().flatten().collect();
        let places = match state.waiting.is_empty() {
            false => state.running.len(),
            true => running.len(),
        };
        let mut order = running;
        // What is left over goes to the longest.
        order.sort_by(|one, other| other.estimate.total_cmp(&one.estimate));
        for (place, cell) in order.into_iter().enumerate() {
            let left_over = usize::from(place < self.threads % places.max(1));
            cell.workers.allow(self.threads / places.max(1) + left_over);
        }
    }
}

fn lock<'a, 'b>(state: &'a Mutex<State<'b>>) -> MutexGuard<'a, State<'b>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a panic says.
fn told(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic").to_string()
}

#[cfg(test)]
mod tests;
