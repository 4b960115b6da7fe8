//! A job array: several processes that fill one store come to the records of one.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::reproduce::PROFILE;
use super::store::{assert_same_records, finished};
use super::{succeed, weaverec};

/// How often jobs are started for one of them to be met at work.
const TRIES: usize = 10;

/// One process of an array, with an own folder for its report, as every job has one.
fn job(at: &Path, work: &str, number: usize, more: &[&str]) -> Child {
    let out = format!("{work}-{number}");
    let fixed = [
        "reproduce",
        "--profile",
        "tiny.toml",
        "--work",
        work,
        "--out",
        &out,
        "--threads",
        "1",
    ];
    let mut command = weaverec(at);
    let quiet = command.args(fixed).args(more);
    quiet.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn wait(jobs: impl IntoIterator<Item = Child>) {
    for mut job in jobs {
        assert!(job.wait().unwrap().success(), "a job has failed");
    }
}

/// Starts four jobs, kills the first when some cells are finished, and waits for the others. Where it was done before it could be killed
/// nothing was tried, and all of them start once more on nothing.
fn kill_the_first(at: &Path, work: &str, start: impl Fn(usize) -> Child) {
    for _ in 0..TRIES {
        let mut jobs = [0, 1, 2, 3].map(&start).into_iter();
        let mut killed = jobs.next().unwrap();
        while finished(&at.join(work)).len() < 6 && killed.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        // It may have ended since the last look.
        let _ = killed.kill();
        let ended = killed.wait().unwrap();
        wait(jobs);
        if ended.signal() == Some(9) {
            return;
        }
        assert!(
            ended.success(),
            "the job that was to be killed has failed: {ended}"
        );
        let reports = (0..4).map(|number| at.join(format!("{work}-{number}")));
        for folder in reports.chain([at.join(work)]).filter(|folder| folder.exists()) {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    panic!("{work}: of {TRIES} jobs none was met at work");
}

#[test]
fn four_jobs_on_one_store_come_to_the_records_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("tiny.toml"), PROFILE).unwrap();
    wait([job(at, "alone", 0, &[])]);
    let alone = at.join("alone");
    let compares = |work: &str| {
        let report = [
            "report",
            "--profile",
            "tiny.toml",
            "--work",
            work,
            "--out",
            &format!("report-{work}"),
        ];
        succeed(at, &report);
        let same = succeed(at, &["compare", "alone-0", &format!("report-{work}")]);
        assert!(same.contains("the same numbers"), "{work}: {same}");
    };
    let shards = ["1/4", "2/4", "3/4", "4/4"];

    // Each its share of the units; what these have in common is run once.
    let jobs = [0, 1, 2, 3].map(|number| job(at, "shared", number, &["--shard", shards[number]]));
    wait(jobs);
    assert_same_records(&alone, &at.join("shared"));
    compares("shared");

    // One is killed, and the scheduler starts it again.
    kill_the_first(at, "killed", |number| {
        job(at, "killed", number, &["--shard", shards[number]])
    });
    wait([job(at, "killed", 0, &["--shard", shards[0]])]);
    assert_same_records(&alone, &at.join("killed"));
    compares("killed");
}

#[test]
fn without_leases_four_jobs_lose_time_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("tiny.toml"), PROFILE).unwrap();
    wait([job(at, "alone", 0, &[])]);
    // All of them at everything, so that cells are run more than once; and one of them is killed.
    kill_the_first(at, "together", |number| {
        job(at, "together", number, &["--no-leases"])
    });
    assert!(
        !at.join("together/cells/leases").exists(),
        "leases were taken all the same"
    );
    wait([job(at, "together", 0, &["--no-leases"])]);
    assert_same_records(&at.join("alone"), &at.join("together"));
    for number in 0..4 {
        let same = succeed(at, &["compare", "alone-0", &format!("together-{number}")]);
        assert!(same.contains("the same numbers"), "{number}: {same}");
    }
}
