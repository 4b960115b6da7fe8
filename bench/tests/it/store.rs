//! One store of records, whatever happens to those who fill it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use weaverec_bench::experiment::repeat::difference;

use super::folder::contents;
use super::kill::share;
use super::reproduce::PROFILE;
use super::{succeed, weaverec};

const KILLS: u64 = 20;

fn arguments<'a>(work: &'a str, out: &'a str) -> [&'a str; 9] {
    [
        "reproduce",
        "--profile",
        "tiny.toml",
        "--work",
        work,
        "--out",
        out,
        "--threads",
        "2",
    ]
}

fn start(at: &Path, work: &str, out: &str) -> Child {
    let mut command = weaverec(at);
    let quiet = command
        .args(arguments(work, out))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().unwrap()
}

/// Names of the finished cells, as `rankings/0123456789abcdef`.
pub(super) fn finished(work: &Path) -> BTreeSet<String> {
    let cells = work.join("cells");
    let mut found = BTreeSet::new();
    for kind in ["studies", "backbones", "adapters", "rankings"] {
        for cell in fs::read_dir(cells.join(kind)).into_iter().flatten().flatten() {
            if cell.path().join("record.json").exists() {
                found.insert(format!("{kind}/{}", cell.file_name().to_str().unwrap()));
            }
        }
    }
    found
}

/// Fails where two stores hold other cells or other numbers, or the second anything besides.
pub(super) fn assert_same_records(one: &Path, other: &Path) {
    let cells = finished(one);
    assert!(cells.len() > 20, "{cells:?}");
    assert_eq!(cells, finished(other));
    for cell in cells {
        let [one, other] = [one, other].map(|work| work.join("cells").join(&cell));
        assert_eq!(difference(&one, &other).unwrap(), None, "{cell}");
    }
    // Nothing else is there.
    for kind in ["leases", "checkpoints"] {
        assert_eq!(
            fs::read_dir(other.join("cells").join(kind))
                .into_iter()
                .flatten()
                .count(),
            0,
            "{kind}"
        );
    }
    for kind in ["backbones", "adapters", "rankings"] {
        let names = fs::read_dir(other.join("cells").join(kind)).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let hidden: Vec<String> = names.filter(|name| name.starts_with('.')).collect();
        assert_eq!(hidden, [""; 0], "{kind}");
    }
}

/// The calls that rename and that wait for the disk, of every thread in its order, as strace writes them; `None` where it cannot be had.
fn trace(at: &Path, arguments: &[&str]) -> Option<String> {
    let file = at.join("calls");
    let status = Command::new("strace")
        .args([
            "-f",
            "--seccomp-bpf",
            "-y",
            "-s",
            "4096",
            "-e",
            "trace=fsync,rename,renameat,renameat2",
            "-o",
        ])
        .arg(&file)
        .arg(weaverec(at).get_program())
        .args(arguments)
        .current_dir(at)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.ok().filter(ExitStatus::success)?;
    fs::read_to_string(&file).ok()
}

/// Whether before every rename its thread had what was renamed written to the disk, to the last file, and after it the folder that it is
/// in then. Returns how many there were.
fn assert_durable_renames(trace: &str) -> usize {
    let mut synced: HashMap<&str, HashSet<&str>> = HashMap::new();
    let mut open: HashMap<&str, &Path> = HashMap::new();
    let mut count = 0;
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        let synced = synced.entry(thread).or_default();
        if let Some(rest) = call.strip_prefix("fsync(") {
            let path = rest
                .split_once('<')
                .and_then(|(_, rest)| rest.split_once('>'))
                .unwrap()
                .0;
            synced.insert(path);
            if open.get(thread) == Some(&Path::new(path)) {
                open.remove(thread);
            }
        } else if call.starts_with("rename") {
            assert_eq!(
                open.get(thread),
                None,
                "before the folder of this thread's last rename was written: {line}"
            );
            let names: Vec<&str> = call.split('"').skip(1).step_by(2).collect();
            let [from, to] = names[..] else { panic!("{line}") };
            let absolute = Path::new(from).is_absolute() && Path::new(to).is_absolute();
            assert!(
                absolute && !from.contains('\\'),
                "a name that this test does not read: {line}"
            );
            assert!(synced.contains(from), "renamed before it was on the disk: {line}");
            let folder = Path::new(to).parent().unwrap();
            // A folder with everything below it: by what it has become.
            if Path::new(to).is_dir() {
                for file in contents(Path::new(to)).keys() {
                    let file = Path::new(from).join(file);
                    assert!(
                        synced.contains(file.to_str().unwrap()),
                        "{} was not on the disk: {line}",
                        file.display()
                    );
                }
            }
            open.insert(thread, folder);
            count += 1;
        }
    }
    assert!(
        open.is_empty(),
        "folders that were not written after a rename: {open:?}"
    );
    count
}

#[test]
fn killed_at_twenty_moments_and_run_by_several_at_a_time_the_records_are_those_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("tiny.toml"), PROFILE).unwrap();
    let begin = Instant::now();
    succeed(at, &arguments("whole", "report-whole"));
    let whole_run = begin.elapsed().as_secs_f64();
    match trace(at, &arguments("traced", "report-traced")) {
        None => eprintln!(
            "not looked at: what the system is told before a rename (there is no strace, or it may not trace)"
        ),
        Some(trace) => {
            // Two files of each cell at least, its folder, and the report.
            let count = assert_durable_renames(&trace);
            assert!(count > finished(&at.join("traced")).len() * 2, "{count} renames");
            assert_same_records(&at.join("whole"), &at.join("traced"));
        }
    }

    let (mut interrupted, mut stages) = (0, BTreeSet::new());
    // Longer where nothing was finished, so that there are moments of every kind of cell among them.
    let mut longest = whole_run * 0.2;
    // Another store, and another report, which keeps records too, where one was filled before the kill came: every kill is to meet
    // somebody at work.
    let mut filled = 0;
    for kill in 0..KILLS {
        let work = format!("killed-{filled}");
        let before = finished(&at.join(&work)).len();
        let mut child = start(at, &work, &format!("report-{work}"));
        std::thread::sleep(Duration::from_secs_f64(longest * share(kill)));
        let _ = child.kill();
        let whole = child.wait().unwrap().success();
        interrupted += u64::from(!whole);
        let after = finished(&at.join(&work)).len();
        stages.insert(after);
        if after == before {
            longest *= 1.2;
        }
        if whole {
            assert_same_records(&at.join("whole"), &at.join(&work));
            filled += 1;
        }
    }
    let work = format!("killed-{filled}");
    succeed(at, &arguments(&work, &format!("report-{work}")));
    assert_same_records(&at.join("whole"), &at.join(&work));
    assert!(
        interrupted >= 8 && stages.len() >= 3,
        "{interrupted} of {KILLS} were interrupted, when {stages:?} cells were finished: the test tests little"
    );

    // Three at a time, one of which is killed when some cells are finished.
    let mut children = ["one", "two", "three"].map(|out| start(at, "together", out));
    while finished(&at.join("together")).len() < 6 {
        for child in &mut children {
            assert!(
                child.try_wait().unwrap().is_none_or(|status| status.success()),
                "one has failed"
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let [killed, others @ ..] = &mut children;
    let _ = killed.kill();
    killed.wait().unwrap();
    for child in others {
        assert!(child.wait().unwrap().success());
    }
    // The killed one's lease holds nobody up; whoever comes next takes it away.
    succeed(at, &arguments("together", "four"));
    assert_same_records(&at.join("whole"), &at.join("together"));
    for out in ["two", "three", "four"] {
        assert!(succeed(at, &["compare", "report-whole", out]).contains("the same numbers"));
    }
}
