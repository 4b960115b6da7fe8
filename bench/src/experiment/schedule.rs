//! Runs the cells that are missing, several at a time, each on threads of its own.
//!
//! The longest come first, so that none of them is left for the end; threads that find nothing more to begin are given to the cells that
//! still run. Other processes may work on the same store: what one of them is at work on is left to it, and looked for again at the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use weaverec_model::device::DeviceName;
use weaverec_model::op::Workers;

use super::cell::{Cell, Choice, Ranking, Record, Training};
use super::cost::Account;
use super::environment::Environment;
use super::store::{Kept, Permit, Store};
use crate::progress::{duration, say};

/// Between two looks at what another process is at work on.
const PAUSE: Duration = Duration::from_millis(500);

/// Most threads of all cells that run side by side, those that wait for a cell to end included.
const MOST_THREADS: usize = 1024;

/// What came of a cell.
#[derive(Default)]
pub struct Finished<'a> {
    /// Of a backbone or an adapter.
    pub training: Option<Training>,
    /// Of a ranking.
    pub ranking: Option<Ranking>,
    /// What was chosen on the way.
    pub choices: Vec<Choice>,
    /// Of a study.
    pub study: Option<serde_json::Value>,
    /// Writes what else belongs to the cell into the folder it is given.
    pub artefacts: Option<Artefacts<'a>>,
}

/// Writes the files of a cell into a folder.
pub type Artefacts<'a> = Box<dyn FnOnce(&Path) -> Result<()> + Send + 'a>;

/// A cell and how it is run.
pub struct Task<'a> {
    cell: &'a Cell,
    estimate: f64,
    work: Box<dyn FnOnce() -> Result<Finished<'a>> + Send + 'a>,
}

impl<'a> Task<'a> {
    /// `estimate` is how long it takes beside the others, in whatever unit they have in common. `work` runs on the cell's own threads.
    pub fn new(
        cell: &'a Cell,
        estimate: f64,
        work: impl FnOnce() -> Result<Finished<'a>> + Send + 'a,
    ) -> Self {
        let estimate = if estimate.is_finite() {
            estimate.max(0.0)
        } else {
            0.0
        };
        Self {
            cell,
            estimate,
            work: Box::new(work),
        }
    }
}

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

/// How far the cells are, for people.
struct Progress<'a> {
    what: &'a str,
    missing: usize,
}

impl Progress<'_> {
    fn say(&self, state: &State) {
        let Self { what, missing } = self;
        let running: Vec<(f64, f64)> = state
            .running
            .iter()
            .flatten()
            .map(|cell| (cell.estimate, cell.begin.elapsed().as_secs_f64()))
            .collect();
        let waiting = state
            .waiting
            .iter()
            .chain(&state.elsewhere)
            .map(|task| task.estimate);
        let left = left(&state.finished, &running, waiting.collect(), state.running.len());
        let left = match left {
            Some(seconds) if state.done < *missing => format!(", about {} left", duration(seconds)),
            _ => String::new(),
        };
        say(format!("  {what} {}/{missing}{left}", state.done));
    }
}

/// Seconds until everything is done, if cells take as long beside their estimates as those that are `finished` did (estimate, seconds):
/// those that are `running` (estimate, seconds so far) go on, and the `waiting` begin, the longest first, wherever a place is free first.
fn left(finished: &[(f64, f64)], running: &[(f64, f64)], waiting: Vec<f64>, places: usize) -> Option<f64> {
    let (estimated, took) = finished
        .iter()
        .fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    // Estimates that say nothing: every cell is as long as another.
    let even = estimated <= 0.0;
    if finished.is_empty() {
        return None;
    }
    let seconds = |estimate: f64| match even {
        true => took / finished.len() as f64,
        false => estimate * took / estimated,
    };
    let mut busy: Vec<f64> = running
        .iter()
        .map(|(estimate, so_far)| (seconds(*estimate) - so_far).max(0.0))
        .collect();
    busy.resize(places.max(1).max(busy.len()), 0.0);
    let mut waiting = waiting;
    waiting.sort_by(|one, other| other.total_cmp(one));
    for estimate in waiting {
        if let Some(first) = busy.iter_mut().min_by(|one, other| one.total_cmp(other)) {
            *first += seconds(estimate);
        }
    }
    busy.into_iter().max_by(f64::total_cmp)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use weaverec_model::device::Compute;
    use weaverec_model::op::threads;

    use super::super::cell::Kind;
    use super::*;

    fn cells(count: usize) -> Vec<Cell> {
        let cell = |i| Cell::new(Kind::Study, format!("cell {i}"), json!({ "x": i }));
        (0..count).map(cell).collect()
    }

    /// Runs on a store in a folder, with what every cell does by its place.
    fn run<'a>(
        root: &Path,
        cells: &'a [Cell],
        (threads, jobs): (usize, usize),
        estimate: impl Fn(usize) -> f64,
        work: impl Fn(usize) -> Result<Finished<'a>> + Sync + Send + Clone + 'a,
    ) -> Result<()> {
        let store = Store::open(root).unwrap();
        let environment = Environment::here(threads, Compute::default());
        let schedule = Schedule {
            store: &store,
            environment: &environment,
            threads,
            jobs,
        };
        let tasks = cells.iter().enumerate().map(|(i, cell)| {
            let work = work.clone();
            Task::new(cell, estimate(i), move || work(i))
        });
        schedule.run("cells", tasks.collect())
    }

    fn finished<'a>(what: usize) -> Result<Finished<'a>> {
        Ok(Finished {
            study: Some(json!(what)),
            ..Finished::default()
        })
    }

    #[test]
    fn the_longest_comes_first_and_what_is_finished_never_again() {
        let root = tempfile::tempdir().unwrap();
        let cells = cells(5);
        let order = Arc::new(Mutex::new(Vec::new()));
        let estimates = [2.0, 9.0, f64::NAN, 4.0, 9.0];
        for _ in 0..2 {
            let order = order.clone();
            let work = move |i| {
                order.lock().unwrap().push(i);
                finished(i)
            };
            run(root.path(), &cells, (1, 1), |i| estimates[i], work).unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [1, 4, 3, 0, 2]);
        let store = Store::open(root.path()).unwrap();
        for (i, cell) in cells.iter().enumerate() {
            let record = store.load(cell).unwrap();
            assert_eq!(record.study, Some(json!(i)));
            assert!(record.cost.wall_seconds < 5.0);
        }
    }

    #[test]
    fn threads_are_divided_and_the_last_cell_has_them_all() {
        let root = tempfile::tempdir().unwrap();
        let cells = cells(5);
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let until = |what: &str, condition: &dyn Fn() -> bool| {
            let begin = Instant::now();
            while !condition() {
                assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let work = move |i| {
            // One has a place for itself, and the others come one after another: a thread each.
            begun.fetch_add(1, Ordering::SeqCst);
            until("two at a time", &|| begun.load(Ordering::SeqCst) >= 2);
            if i > 0 {
                assert_eq!(threads(), 1);
                ended.fetch_add(1, Ordering::SeqCst);
                return finished(i);
            }
            until("the other thread", &|| threads() == 2);
            assert_eq!(ended.load(Ordering::SeqCst), 4, "others were still to come");
            finished(i)
        };
        run(root.path(), &cells, (2, 2), |i| 10.0 - i as f64, work).unwrap();
    }

    #[test]
    fn a_failure_ends_what_is_under_way_and_begins_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let cells = cells(6);
        for panics in [false, true] {
            let work = move |i| match i {
                0 if panics => panic!("out of {}", "luck"),
                0 => Err(anyhow!("out of luck")),
                1 => {
                    std::thread::sleep(Duration::from_millis(300));
                    finished(1)
                }
                _ => finished(i),
            };
            // Both are begun before the first of them fails, and the others are shorter.
            let error = format!(
                "{:#}",
                run(root.path(), &cells[..2], (2, 2), |_| 1.0, work).unwrap_err()
            );
            assert!(
                error.contains("cells: cell 0") && error.contains("out of luck"),
                "{error}"
            );
        }
        let store = Store::open(root.path()).unwrap();
        assert!(!store.has(&cells[0]));
        let work = |i| if i == 0 { Err(anyhow!("no")) } else { finished(i) };
        assert!(
            run(
                root.path(),
                &cells,
                (1, 1),
                |i| if i == 0 { 2.0 } else { 1.0 },
                work
            )
            .is_err()
        );
        assert!(
            cells[2..].iter().all(|cell| !store.has(cell)),
            "something was begun after the failure"
        );
    }

    #[test]
    fn two_that_share_a_store_run_each_cell_once() {
        let root = tempfile::tempdir().unwrap();
        let cells = cells(12);
        let runs: Arc<Vec<AtomicUsize>> = Arc::new((0..12).map(|_| AtomicUsize::new(0)).collect());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let runs = runs.clone();
                    let work = move |i: usize| {
                        runs[i].fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(if i == 0 { 300 } else { 30 }));
                        finished(i)
                    };
                    run(root.path(), &cells, (1, 1), |i| 20.0 - i as f64, work).unwrap();
                    // Neither ends before everything is there.
                    let store = Store::open(root.path()).unwrap();
                    assert!(cells.iter().all(|cell| store.has(cell)));
                });
            }
        });
        assert!(
            runs.iter().all(|runs| runs.load(Ordering::SeqCst) == 1),
            "{runs:?}"
        );
    }

    #[test]
    fn what_is_left_is_what_the_fullest_place_has_to_do() {
        assert_eq!(left(&[], &[], vec![1.0], 1), None);
        // Twice as slow as estimated: 8 s and 6 s on two places, of which one is busy for another 2 s.
        let of = |places| left(&[(1.0, 2.0), (3.0, 6.0)], &[(2.0, 2.0)], vec![3.0, 4.0], places);
        assert_eq!((of(1), of(2), of(3)), (Some(16.0), Some(8.0), Some(8.0)));
        assert_eq!(left(&[(0.0, 3.0)], &[], vec![0.0, 0.0], 1), Some(6.0));
        // One that is over its time is about to end.
        assert_eq!(left(&[(1.0, 1.0)], &[(1.0, 5.0)], Vec::new(), 2), Some(0.0));
    }

    #[test]
    fn a_gpu_takes_cells_in_turn_unless_told_otherwise() {
        assert_eq!(jobs(DeviceName::Cpu, 8, None), 8);
        assert_eq!(jobs(DeviceName::Cpu, 8, Some(3)), 3);
        assert_eq!(jobs(DeviceName::Cpu, 8, Some(20)), 8);
        assert_eq!(jobs(DeviceName::Cuda(0), 8, None), 1);
        assert_eq!(jobs(DeviceName::Cuda(0), 1, Some(4)), 4);
    }
}
