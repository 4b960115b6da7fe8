//! How far a profile is, asked from another process.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::reproduce::PROFILE;
use super::{fail, succeed, weaverec};

/// Most runs that are killed until one of them is met at work.
const TRIES: usize = 20;

fn arguments(work: &str) -> [&str; 9] {
    [
        "reproduce",
        "--profile",
        "tiny.toml",
        "--work",
        work,
        "--out",
        "out",
        "--threads",
        "2",
    ]
}

fn start(at: &Path) -> Child {
    let mut command = weaverec(at);
    let quiet = command.args(arguments("work"));
    quiet.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn status(at: &Path) -> Value {
    serde_json::from_str(&succeed(at, &["status", "--work", "work", "--json"])).unwrap()
}

fn count(status: &Value, key: &str) -> u64 {
    status["cells"][key].as_u64().unwrap()
}

/// Waits until the run has a cell under way; none where it ended before it was met.
fn met_at_work(at: &Path, run: &mut Child) -> Option<Value> {
    while run.try_wait().unwrap().is_none() {
        if at.join("work/cells").is_dir() {
            let status = status(at);
            let parts = ["done", "running", "to_do"].map(|key| count(&status, key));
            assert_eq!(parts.iter().sum::<u64>(), count(&status, "all"), "{status}");
            if count(&status, "running") > 0 {
                return Some(status);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

#[test]
fn a_run_is_seen_at_work_then_killed_then_finished() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("tiny.toml"), PROFILE).unwrap();
    let nothing = fail(at, &["status", "--profile", "tiny.toml"]);
    assert!(
        nothing.contains("runs/tiny") && nothing.contains("has no store"),
        "{nothing}"
    );
    assert!(!at.join("runs").exists(), "looking has made something");

    // Somebody may have ended a cell at the very moment: then the next run is killed.
    let mut killed = None;
    for _ in 0..TRIES {
        let mut run = start(at);
        let at_work = met_at_work(at, &mut run);
        let _ = run.kill();
        run.wait().unwrap();
        let at_work = at_work.expect("it ended before it was met");
        let running = at_work["running"].as_array().unwrap();
        assert!(!running.is_empty(), "{at_work}");
        let process = run.id().to_string();
        assert!(
            running
                .iter()
                .any(|one| one["process"] == process.as_str() && one["stale"] == false),
            "{process}: {at_work}"
        );
        assert_eq!(at_work["processes"], 1);
        assert!(at_work["seconds_left"].as_f64().unwrap() > 0.0);
        let after = status(at);
        assert_eq!(
            (count(&after, "running"), &after["processes"]),
            (0, &Value::from(0))
        );
        if !after["running"].as_array().unwrap().is_empty() {
            killed = Some(after);
            break;
        }
    }
    let killed = killed.expect("no run was killed at work");
    assert!(
        killed["running"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["stale"] == true),
        "{killed}"
    );
    let text = succeed(at, &["status", "--work", "work"]);
    assert!(
        text.contains("stale: ") && text.contains("the next process takes it up"),
        "{text}"
    );
    assert!(text.contains("nobody is at work"), "{text}");

    succeed(at, &arguments("work"));
    let done = status(at);
    let all = count(&done, "all");
    assert!(all > 20, "{done}");
    assert_eq!(
        (count(&done, "done"), done["running"].as_array().unwrap().len()),
        (all, 0)
    );
    assert_eq!(done["seconds_left"], 0.0);
    // Two directions, two replicates.
    let units = done["studies"][0]["units"].as_array().unwrap();
    assert_eq!(units.len(), 4);
    assert!(
        units
            .iter()
            .all(|unit| unit["cells"]["done"] == unit["cells"]["all"])
    );
    assert!(!done["rates"].as_array().unwrap().is_empty());
    let text = succeed(at, &["status", "--profile", "tiny.toml", "--work", "work"]);
    assert!(
        text.starts_with(&format!("work: {all} of {all} cells done, 0 running, 0 to do\n")),
        "{text}"
    );
    // Of a profile that was never run here nothing is told.
    fs::write(
        at.join("other.toml"),
        PROFILE.replacen("replicates = 2", "replicates = 3", 1),
    )
    .unwrap();
    let text = succeed(at, &["status", "--profile", "other.toml", "--work", "work"]);
    assert!(text.contains("no study of profile tiny as it is now"), "{text}");
}
