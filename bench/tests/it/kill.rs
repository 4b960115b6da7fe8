//! A run that is killed leaves nothing that counts, and the next one finishes the work.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::folder::{assert_same, contents};
use super::{succeed, weaverec};

const KILLS: u64 = 20;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>());
    let entries = entries.unwrap_or_default();
    let mut names: Vec<String> = entries
        .iter()
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn generate(folder: &Path) {
    succeed(
        folder,
        &[
            "datasets",
            "synth",
            "--out",
            "raw",
            "--users",
            "600",
            "--items",
            "200",
            "--domain",
            "home=amazon2014",
        ],
    );
}

fn arguments<'a>(out: &'a str, extra: &[&'a str]) -> Vec<&'a str> {
    // Under a limit there is a spill folder to be left behind as well.
    let fixed = [
        "prepare",
        "raw/home/home.toml",
        "--raw",
        "raw/home",
        "--out",
        out,
        "--memory-limit",
        "64",
    ];
    [fixed.as_slice(), extra].concat()
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = weaverec(folder);
    let quiet = command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().unwrap()
}

/// A share below 1 that looks random and is the same every time.
fn share(kill: u64) -> f64 {
    let mut state = kill.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state >> 11) as f64 / (1_u64 << 53) as f64
}

#[test]
fn killed_at_any_moment_a_run_leaves_no_partial_output_and_the_next_writes_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path());
    let begin = Instant::now();
    succeed(folder.path(), &arguments("whole", &[]));
    let whole_run = begin.elapsed();
    let whole = contents(&folder.path().join("whole"));

    let (mut interrupted, mut left_behind) = (0, 0);
    for kill in 0..KILLS {
        let out = format!("killed-{kill}");
        let place = folder.path().join(&out);
        let mut child = start(folder.path(), &arguments(&out, &[]));
        std::thread::sleep(Duration::from_secs_f64(whole_run.as_secs_f64() * share(kill)));
        // It may have finished; then there is nothing to kill.
        let _ = child.kill();
        interrupted += u32::from(child.wait().unwrap().signal() == Some(9));

        let after = names(&place);
        let (hidden, shown): (Vec<&String>, Vec<&String>) =
            after.iter().partition(|name| name.starts_with(".weaverec-"));
        left_behind += u32::from(!hidden.is_empty());
        match shown.as_slice() {
            [] => {}
            [name] if *name == "home" => {
                let prefixed = contents(&place.join("home"));
                assert_eq!(prefixed.len(), whole.len(), "kill {kill}: a partial folder");
                for (path, bytes) in prefixed {
                    assert!(
                        whole[&Path::new("home").join(&path)] == bytes,
                        "kill {kill}: {path:?}"
                    );
                }
            }
            other => panic!("kill {kill}: {other:?}"),
        }

        succeed(folder.path(), &arguments(&out, &[]));
        assert_eq!(
            names(&place),
            ["home"],
            "kill {kill}: what the killed run left is gone"
        );
        assert!(contents(&place) == whole, "kill {kill}: other bytes");
    }
    assert!(
        interrupted >= 5 && left_behind >= 1,
        "of {KILLS} runs {interrupted} were interrupted and {left_behind} left something: the test tests little"
    );
}

#[test]
fn runs_in_one_place_at_the_same_time_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path());
    succeed(folder.path(), &arguments("alone", &[]));
    succeed(folder.path(), &arguments("alone", &["--name", "other"]));
    let alone = contents(&folder.path().join("alone"));
    // Three that want the same and one that wants something else; whoever comes later must not take the others' folders for left
    // behind, nor fail because it is not the first to finish.
    let runs = [&[][..], &["--name", "other"], &[], &[]];
    let children = runs.map(|extra| start(folder.path(), &arguments("together", extra)));
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let together = folder.path().join("together");
    assert_eq!(names(&together), ["home", "other"]);
    assert_same(&contents(&together), &alone);
}
