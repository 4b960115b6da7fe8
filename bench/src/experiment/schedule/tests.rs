#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use weaverec_model::device::Compute;
use weaverec_model::op::threads;

use super::super::cell::{Cell, Kind};
use super::progress::left;
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
