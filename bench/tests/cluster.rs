//! A cluster of real processes on this machine: the same bytes as without it, and with a worker killed on the way.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "it/folder.rs"]
mod folder;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use folder::{assert_same, contents};

/// How long anything may take to happen before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(180);

fn weaverec(arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("weaverec"));
    command.env_remove("RUST_LOG").args(arguments);
    command
}

fn succeeded(output: &Output) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
}

/// Asks until the answer is yes.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether there is any file below a folder, which others write in at the same time.
fn has_file(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.any(|path| if path.is_dir() { has_file(&path) } else { true })
}

/// A process that does not outlive the test.
struct Process(Child);

impl Process {
    /// Starts the program; what it says goes to a file.
    fn start(mut command: Command, log: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        Self(command.spawn().unwrap())
    }

    fn assert_runs(&mut self, log: &Path) {
        let ended = self.0.try_wait().unwrap();
        assert!(ended.is_none(), "{}", fs::read_to_string(log).unwrap());
    }

    /// As a machine dies: without a word.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A cluster has the machine to itself: with several at a time none would be quick enough to notice who is gone.
static ONE: Mutex<()> = Mutex::new(());

/// A scheduler and two workers.
struct Cluster {
    url: String,
    workers: Vec<(Process, PathBuf)>,
    _scheduler: Process,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    fn start(folder: &Path) -> Self {
        // A test that failed before has left nothing behind.
        let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let log = folder.join("scheduler.log");
        let command = weaverec(&["scheduler", "--port", "0", "--workers", "2", "--timeout", "5"]);
        let mut scheduler = Process::start(command, &log);
        let mut address = None;
        until("the scheduler says where it is", || {
            scheduler.assert_runs(&log);
            let said = fs::read_to_string(&log).unwrap();
            let place = said
                .strip_prefix("scheduler at ")
                .and_then(|said| said.split_once(';'));
            address = place.map(|(place, _)| place.to_owned());
            address.is_some()
        });
        let address = address.unwrap();
        let mut workers = ["one", "two"].map(|name| {
            let (work, log) = (folder.join(name), folder.join(format!("{name}.log")));
            let mut command = weaverec(&[
                "worker",
                "--scheduler",
                &address,
                "--port",
                "0",
                "--task-port",
                "0",
            ]);
            command
                .args(["--cores", "2", "--heartbeat", "1", "--work"])
                .arg(&work);
            (Process::start(command, &log), work)
        });
        until("both workers are there", || {
            for ((worker, _), name) in workers.iter_mut().zip(["one", "two"]) {
                worker.assert_runs(&folder.join(format!("{name}.log")));
            }
            ready(&address).is_some_and(|answer| answer.contains(" 200 "))
        });
        Self {
            url: format!("df://{address}"),
            workers: Vec::from(workers),
            _scheduler: scheduler,
            _alone: alone,
        }
    }
}

fn ready(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Generated logs of a shop and of films, with faulty lines.
fn generate(folder: &Path, users: &str) {
    let mut command = weaverec(&[
        "datasets", "synth", "--users", users, "--items", "300", "--dirt", "0.004",
    ]);
    succeeded(&command.arg("--out").arg(folder.join("raw")).output().unwrap());
}

/// Preparing one of the domains into `out`, every stage asked for.
fn prepare(folder: &Path, domain: &str, out: &str, more: &[&str]) -> Command {
    let raw = folder.join("raw").join(domain);
    let mut command = weaverec(&["prepare"]);
    command
        .arg(raw.join(format!("{domain}.toml")))
        .arg("--raw")
        .arg(raw);
    // A URL is a place of its own.
    let out = if out.contains("://") {
        PathBuf::from(out)
    } else {
        folder.join(out)
    };
    command.arg("--out").arg(out);
    command.args([
        "--user-core",
        "3",
        "--item-core",
        "3",
        "--candidates",
        "10",
        "--threads",
        "4",
    ]);
    command.args(more);
    command
}

const SHOP: &[&str] = &["--dedup", "last", "--min-rating", "2", "--max-train", "9000"];

const FILMS: &[&str] = &[
    "--negatives",
    "popularity",
    "--recipe",
    "paper",
    "--split",
    "global-time",
    "--format",
    "sequence",
    "--from",
    "1990-01-01",
];

#[test]
fn a_cluster_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path(), "400");
    let cluster = Cluster::start(folder.path());
    for (domain, more) in [("synth-home", SHOP), ("synth-films", FILMS)] {
        succeeded(&prepare(folder.path(), domain, "here", more).output().unwrap());
        let mut command = prepare(folder.path(), domain, "there", more);
        succeeded(&command.args(["--cluster", &cluster.url]).output().unwrap());
    }
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    assert_same(&contents(&here), &contents(&there));
    for (_, work) in &cluster.workers {
        assert!(has_file(work), "a worker had nothing to do");
    }
}

/// Kills a worker as soon as `begun` says so, which must be before the end.
fn killed_once(begun: impl Fn(&Path, &Cluster) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path(), "2000");
    succeeded(
        &prepare(folder.path(), "synth-home", "here", SHOP)
            .output()
            .unwrap(),
    );
    let mut cluster = Cluster::start(folder.path());
    let mut command = prepare(folder.path(), "synth-home", "there", SHOP);
    command.args(["--cluster", &cluster.url]);
    let mut driver = Process::start(command, &folder.path().join("driver.log"));
    let said = || fs::read_to_string(folder.path().join("driver.log")).unwrap();
    until("the moment to kill a worker", || {
        let ended = driver.0.try_wait().unwrap();
        assert!(ended.is_none(), "the driver ended before that: {}", said());
        begun(folder.path(), &cluster)
    });
    cluster.workers[0].0.kill();
    let ended = driver.0.try_wait().unwrap();
    assert!(ended.is_none(), "the worker was killed too late: {}", said());
    until("the end without the worker", || {
        driver.0.try_wait().unwrap().is_some()
    });
    assert!(driver.0.wait().unwrap().success(), "{}", said());
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    assert_same(&contents(&here), &contents(&there));
}

#[test]
fn a_worker_killed_while_tables_are_made_is_done_without() {
    killed_once(|_, cluster| has_file(&cluster.workers[0].1));
}

#[test]
fn a_worker_killed_while_prompts_are_made_is_done_without() {
    killed_once(|folder, _| {
        // The driver has made the folder of the prompts, so the items are complete and prompts are being worded.
        let entries = fs::read_dir(folder.join("there")).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path().join("prompts"))
            .any(|prompts| prompts.is_dir())
    });
}

#[test]
fn a_cluster_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path(), "60");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("df://127.0.0.1:{port}");
    let with = |out: &str, url: &str| {
        let mut command = prepare(folder.path(), "synth-home", out, &["--cluster", url]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let error = with("there", &url);
    assert!(
        error.contains(&url) && error.contains("weaverec scheduler"),
        "{error}"
    );
    let error = with("there", "localhost:50050");
    assert!(error.contains("df://host:port"), "{error}");
    let error = with("s3://bucket/there", &url);
    assert!(error.contains("--staging"), "{error}");
    let left = fs::read_dir(folder.path().join("there")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "something was left behind");
}
