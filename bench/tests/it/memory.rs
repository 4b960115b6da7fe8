//! The memory that the real program takes, as the system counts it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::weaverec;

/// Peak memory, in bytes, of a command that must succeed. Python asks the system about its child; nothing of its own is counted.
pub(super) fn peak(command: &[&str]) -> u64 {
    let ask = "import resource, subprocess, sys\n\
               subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n\
               print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let output = Command::new("python3")
        .args(["-c", ask])
        .args(command)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told = String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse::<u64>()
        .unwrap();
    // Linux counts in KiB, macOS in bytes.
    if cfg!(target_os = "macos") {
        told
    } else {
        told << 10
    }
}

const ROWS: usize = 4_000_000;

/// Ratings whose rows take far more memory, however they are packed, than the limit allows; every user has forty of them.
fn write_ratings(folder: &Path) {
    let mut text = String::from("userId,movieId,rating,timestamp\n");
    for row in 0..ROWS {
        let (user, film) = (row * 7_919 % (ROWS / 40) + 1, row * row % 9_973 + 1);
        writeln!(text, "{user},{film},4.5,{}", 1_000_000_000 + row).unwrap();
    }
    std::fs::write(folder.join("ratings.csv"), text).unwrap();
    std::fs::write(
        folder.join("films.toml"),
        "name = \"films\"\ntitle = \"Films\"\nplatform = \"p\"\nformat = \"movielens-csv\"\nlicence = \"none\"\n\
         interactions = [\"ratings.csv\"]\n",
    )
    .unwrap();
}

#[test]
fn a_memory_limit_bounds_the_peak_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    write_ratings(folder.path());
    let program = weaverec(folder.path()).get_program().to_str().unwrap().to_owned();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (description, raw, out) = (path("films.toml"), path(""), path("out"));
    let prepare = [
        program.as_str(),
        "prepare",
        description.as_str(),
        "--raw",
        raw.as_str(),
        "--out",
        out.as_str(),
    ];
    let limit = ["--user-core", "5", "--no-prompts", "--memory-limit", "48"];
    let limited = peak(&[prepare.as_slice(), &limit].concat());
    // The rows alone take 128 MB as densely as they are packed, and as much again as texts.
    let bound = 120 << 20;
    assert!(limited < bound, "{} MiB at the peak", limited >> 20);
}
