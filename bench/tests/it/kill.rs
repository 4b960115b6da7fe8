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
pub(super) fn share(kill: u64) -> f64 {
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

/// Whether folders can change names in one step where the tests run.
fn can_exchange(folder: &Path) -> bool {
    let [one, other] = ["one", "other"].map(|name| folder.join(name));
    for (folder, text) in [(&one, "1"), (&other, "2")] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("text"), text).unwrap();
    }
    let program = "import ctypes, sys\n\
                   libc = ctypes.CDLL(None, use_errno=True)\n\
                   sys.exit(libc.renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2) != 0)";
    let asked = std::process::Command::new("python3")
        .args(["-c", program])
        .args([&one, &other])
        .status();
    for folder in [one, other] {
        fs::remove_dir_all(folder).unwrap();
    }
    asked.is_ok_and(|status| status.success())
}

#[test]
fn under_force_the_folder_is_there_at_every_moment_and_whole_though_runs_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    if !can_exchange(folder.path()) {
        eprintln!("skipped: two folders cannot change names in one step here");
        return;
    }
    generate(folder.path());
    let seeds = ["1", "2"];
    let whole = seeds.map(|seed| {
        let out = format!("whole-{seed}");
        let begin = Instant::now();
        succeed(folder.path(), &arguments(&out, &["--seed", seed]));
        (contents(&folder.path().join(&out).join("home")), begin.elapsed())
    });
    assert!(whole[0].0 != whole[1].0);
    succeed(folder.path(), &arguments("out", &["--seed", "1"]));
    let home = folder.path().join("out/home");
    let manifest = home.join("manifest.json");
    let (mut interrupted, mut finished, mut looks) = (0, 0, 0_u64);
    for kill in 0..KILLS {
        let seed = seeds[usize::from(kill % 2 == 0)];
        let mut child = start(folder.path(), &arguments("out", &["--seed", seed, "--force"]));
        // Up to a fifth longer than a run takes, so that some end, and many are killed near the end.
        let limit = whole[0].1.mul_f64(0.4 + 0.8 * share(kill));
        let begin = Instant::now();
        while begin.elapsed() < limit && child.try_wait().unwrap().is_none() {
            for _ in 0..200 {
                assert!(manifest.exists(), "kill {kill}: the folder was gone");
                looks += 1;
            }
        }
        let _ = child.kill();
        match child.wait().unwrap().signal() {
            Some(9) => interrupted += 1,
            _ => finished += 1,
        }
        assert!(manifest.exists(), "kill {kill}: the folder is gone");
        let now = contents(&home);
        assert!(
            whole.iter().any(|(whole, _)| *whole == now),
            "kill {kill}: the folder is neither the one nor the other"
        );
    }
    succeed(folder.path(), &arguments("out", &["--seed", "2", "--force"]));
    assert!(contents(&home) == whole[1].0);
    assert_eq!(
        names(&folder.path().join("out")),
        ["home"],
        "what the killed runs left is gone"
    );
    assert!(
        interrupted >= 3 && finished >= 1 && looks > 1000,
        "{interrupted} were killed and {finished} ended, {looks} looks: the test tests little"
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
    // behind, and those that want what is being made wait for it.
    let runs = [&[][..], &["--name", "other"], &[], &[]];
    let children = runs.map(|extra| start(folder.path(), &arguments("together", extra)));
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let together = folder.path().join("together");
    assert_eq!(names(&together), ["home", "other"]);
    assert_same(&contents(&together), &alone);
}
