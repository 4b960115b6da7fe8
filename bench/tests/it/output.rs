//! Nothing is written over an input, over somebody's files, or by two runs at a time.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::folder::contents;
use super::{fail, succeed, weaverec};

const SYNTH: [&str; 13] = [
    "datasets",
    "synth",
    "--out",
    "raw",
    "--users",
    "40",
    "--items",
    "40",
    "--dirt",
    "0",
    "--domain",
    "home=amazon2014",
    "--seed",
];

fn synthesised(at: &Path, seed: &'static str) {
    succeed(at, &[SYNTH.as_slice(), &[seed]].concat());
}

const PREPARE: [&str; 8] = [
    "prepare",
    "raw/home/home.toml",
    "--raw",
    "raw/home",
    "--out",
    "prepared",
    "--candidates",
    "10",
];

fn file(at: &Path, name: &str, text: &str) {
    let path = at.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Raw logs, a prepared folder, and what looks like two adapters and a base.
fn furnished() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    synthesised(at, "1");
    succeed(at, &PREPARE);
    file(at, "base/config.json", "{}");
    file(at, "base/model.safetensors", "precious");
    for name in ["a", "b"] {
        file(at, &format!("{name}/adapter_config.json"), "{}");
        file(at, &format!("{name}/adapter_model.safetensors"), "precious");
    }
    file(at, "peft/adapter_config.json", "{}");
    file(at, "peft/README.md", "trained for a week elsewhere");
    file(at, "trained/adapter_config.json", "{}");
    file(at, "trained/training.jsonl", "");
    file(at, "trained/README.md", "what I found out about it");
    std::os::unix::fs::symlink(at.join("base"), at.join("link")).unwrap();
    folder
}

#[cfg(target_os = "linux")]
#[test]
fn a_mount_point_is_refused_before_anything_is_read() {
    if !weaverec_output::is_mount_point(Path::new("/proc")) {
        eprintln!("skipped: nothing is mounted at /proc");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        ["merge", "a", "b", "--out", "/proc"],
        ["train", "prepared/home", "--model", "base", "--out=/proc"],
    ] {
        let error = fail(folder.path(), &arguments);
        assert!(
            error.contains("/proc: is a mount point") && error.contains("/proc/result"),
            "{error}"
        );
    }
}

#[test]
fn no_command_writes_over_an_input_or_over_somebody_s_files() {
    let folder = furnished();
    let at = folder.path();
    let before = contents(at);
    let base = ["merge", "a", "--into-base", "base", "--out"];
    let over = |out: &'static str| [base.as_slice(), &[out]].concat();
    let train = |out: &'static str| vec!["train", "prepared/home", "--model", "base", "--out", out];
    let merge = |out: &'static str| vec!["merge", "a", "b", "--out", out];
    let export = |out: &'static str| vec!["export", "prepared/home", "--format", "jsonl", "--out", out];
    let reproduce = |work: &'static str, out: &'static str| vec!["reproduce", "--work", work, "--out", out];
    let synth = |out: &'static str| {
        let mut arguments = SYNTH.to_vec();
        arguments[3] = out;
        [arguments, vec!["2"]].concat()
    };
    let prepare = |out: &'static str, name: &'static str| {
        let mut arguments = PREPARE.to_vec();
        arguments[5] = out;
        [arguments, vec!["--name", name, "--force"]].concat()
    };
    for (arguments, words) in [
        // An input itself, however it is written.
        (over("base"), "is the base itself"),
        (over("./a/../base/"), "is the base itself"),
        (over("link"), "is the base itself"),
        (over("a"), "is an adapter that is merged itself"),
        (merge("a"), "is an adapter that is merged itself"),
        (train("base"), "is the base model itself"),
        (train("prepared/home"), "is a prepared folder itself"),
        (export("prepared"), "is the prepared folder itself"),
        (reproduce("work", "work"), "is the work folder itself"),
        // Within an input, and around one.
        (train("prepared/home/adapter"), "lies inside a prepared folder"),
        (train("link/adapter"), "lies inside the base model"),
        (export("prepared/home"), "lies inside the prepared folder"),
        (train("prepared"), "holds a prepared folder"),
        (prepare("raw", "home"), "holds a raw file"),
        // What another command wrote, or somebody else.
        (merge("prepared/home"), "a prepared folder is there"),
        (merge("base"), "a language model is there"),
        (train("a"), "an adapter is there"),
        (train("peft"), "an adapter is there"),
        (merge("peft"), "an adapter is there"),
        (train("trained"), "README.md: was written or changed by somebody"),
        (reproduce("prepared/home", "report"), "a prepared folder is there"),
        (reproduce("work", "prepared/home"), "a prepared folder is there"),
        (reproduce("work", "raw"), "a folder with `home` is there"),
        (synth("prepared"), "a prepared folder is there"),
        (prepare(".", "a"), "an adapter is there"),
        (prepare(".", "raw"), "holds a raw file"),
        (merge("raw/home/home.toml"), "is a file"),
    ] {
        let error = fail(at, &arguments);
        assert!(error.contains(words), "{arguments:?}: {error}");
        assert!(error.contains("name a"), "{arguments:?}: what to do? {error}");
        assert!(contents(at) == before, "{arguments:?} changed something");
    }
    assert!(
        !at.join("work").exists() && !at.join("report").exists(),
        "something was begun"
    );
}

#[test]
fn an_earlier_result_is_replaced_but_nothing_that_was_put_into_it() {
    let folder = furnished();
    let at = folder.path();
    file(at, "prepared/home/notes.txt", "mine");
    succeed(at, &PREPARE);
    let other = [PREPARE.as_slice(), &["--seed", "2"]].concat();
    let error = fail(at, &other);
    assert!(error.contains("--force"), "{error}");
    let forced = [other.as_slice(), &["--force"]].concat();
    let error = fail(at, &forced);
    assert!(
        error.contains("`notes.txt`") && error.contains("would be lost"),
        "{error}"
    );
    fs::rename(at.join("prepared/home/notes.txt"), at.join("notes.txt")).unwrap();
    succeed(at, &forced);

    file(at, "raw/home/notes.txt", "mine");
    let error = fail(at, &[SYNTH.as_slice(), &["2"]].concat());
    assert!(error.contains("`notes.txt`"), "{error}");
    fs::remove_file(at.join("raw/home/notes.txt")).unwrap();
    synthesised(at, "2");
}

#[test]
fn a_link_to_a_folder_stays_and_what_is_behind_it_is_replaced() {
    let folder = furnished();
    let at = folder.path();
    fs::create_dir(at.join("disk")).unwrap();
    fs::rename(at.join("prepared/home"), at.join("disk/home")).unwrap();
    std::os::unix::fs::symlink(at.join("disk/home"), at.join("prepared/home")).unwrap();
    let before = contents(&at.join("disk/home"));
    succeed(at, &[PREPARE.as_slice(), &["--seed", "2", "--force"]].concat());
    assert!(at.join("prepared/home").is_symlink());
    assert!(contents(&at.join("disk/home")) != before);
    assert_eq!(fs::read_dir(at.join("disk")).unwrap().count(), 1);
    fs::remove_dir_all(at.join("disk")).unwrap();
    let error = fail(at, &PREPARE);
    assert!(error.contains("link to nothing"), "{error}");
}

/// What another run would hold.
fn held(at: &Path, place: &str) -> File {
    let lock = File::create(at.join(format!(".weaverec-lock-{place}"))).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn a_place_that_another_run_writes_is_refused_or_waited_for() {
    let folder = furnished();
    let at = folder.path();
    for (place, arguments) in [
        ("out", vec!["train", "prepared/home", "--out", "out"]),
        ("out", vec!["merge", "a", "b", "--out", "out"]),
        ("work", vec!["reproduce", "--work", "work", "--out", "out"]),
        ("out", vec!["report", "--work", "work", "--out", "out"]),
    ] {
        let other = held(at, place);
        let error = fail(at, &arguments);
        assert!(
            error.contains("another run writes there"),
            "{arguments:?}: {error}"
        );
        drop(other);
        fs::remove_file(at.join(format!(".weaverec-lock-{place}"))).unwrap();
    }

    fs::remove_dir_all(at.join("prepared")).unwrap();
    fs::create_dir(at.join("prepared")).unwrap();
    let other = held(&at.join("prepared"), "home");
    let mut waiting = weaverec(at)
        .args(PREPARE)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(waiting.try_wait().unwrap().is_none(), "it waits");
    assert!(!at.join("prepared/home").exists());
    drop(other);
    assert!(waiting.wait().unwrap().success());
    let names = fs::read_dir(at.join("prepared")).unwrap().count();
    assert_eq!(names, 1, "the lock went with its last owner");
}

#[test]
fn a_lock_that_a_killed_run_left_is_in_nobody_s_way() {
    let folder = furnished();
    let at = folder.path();
    fs::write(at.join("prepared/.weaverec-lock-home"), "").unwrap();
    let begin = Instant::now();
    succeed(at, &PREPARE);
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert!(!at.join("prepared/.weaverec-lock-home").exists());
}
