//! Any path will do.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{fail, succeed, weaverec};

/// Patterns, escapes, a fragment and a query as a URL has them, blanks, letters beyond ASCII, quotes.
pub const STRANGE: &str = "a [b]*?#%20 é {c} ~'\"";

/// Prepares in `at`, and does everything with the folder that goes without a model.
fn every_command_in(at: &Path) {
    let synth = [
        "datasets",
        "synth",
        "--out",
        "raw",
        "--users",
        "60",
        "--items",
        "60",
        "--dirt",
        "0",
        "--domain",
        "home=amazon2014",
        "--domain",
        "films=movielens-csv",
    ];
    succeed(at, &synth);
    for (domain, more) in [("home", &[][..]), ("films", &["--memory-limit", "64"])] {
        let (description, raw) = (format!("raw/{domain}/{domain}.toml"), format!("raw/{domain}"));
        let prepare = [
            "prepare",
            &description,
            "--raw",
            &raw,
            "--out",
            "prepared",
            "--candidates",
            "10",
        ];
        succeed(at, &[&prepare[..], more].concat());
    }
    let home = "prepared/home";
    assert!(succeed(at, &["inspect", home, "prepared/films"]).contains("share"));
    assert!(succeed(at, &["audit", home]).contains("no leak"));
    let counted = succeed(
        at,
        &[
            "sql",
            "prepared",
            "SELECT count(*) AS users FROM films.sequences",
            "--format",
            "csv",
        ],
    );
    assert_eq!(counted, "users\n60\n");
    let prompts = succeed(
        at,
        &[
            "sql",
            home,
            "SELECT count(*) > 0 AS some FROM train",
            "--format",
            "csv",
        ],
    );
    assert_eq!(prompts, "some\ntrue\n");
    succeed(at, &["export", home, "--format", "recbole", "--out", "atomic"]);
    let verify = [
        "datasets",
        "verify",
        "atomic/home/home.toml",
        "--raw",
        "atomic/home",
    ];
    assert!(succeed(at, &verify).ends_with("as described\n"));
}

#[test]
fn a_folder_may_be_called_what_its_owner_likes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join(STRANGE);
    fs::create_dir(&at).unwrap();
    every_command_in(&at);
    // As an absolute path too, and as the name of each folder.
    let strange = at.join(STRANGE);
    let (raw, out) = (at.join("raw"), strange.join("out"));
    fs::create_dir(&strange).unwrap();
    fs::rename(&raw, strange.join("raw [0-9]")).unwrap();
    let raw = strange.join("raw [0-9]/home");
    let description = raw.join("home.toml");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    succeed(
        folder.path(),
        &[
            "prepare",
            &text(&description),
            "--raw",
            &text(&raw),
            "--out",
            &text(&out),
            "--candidates",
            "10",
            "--name",
            "[x]*",
        ],
    );
    succeed(
        folder.path(),
        &["sql", &text(&out.join("[x]*")), "SELECT count(*) FROM items"],
    );
}

#[test]
fn a_path_need_be_no_unicode() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join(OsStr::from_bytes(b"no unicode \xff [a]\n"));
    if fs::create_dir(&at).is_err() {
        eprintln!("skipped: this file system has Unicode names only");
        return;
    }
    every_command_in(&at);
}

#[test]
fn folders_beside_the_one_asked_for_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    succeed(
        at,
        &[
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
        ],
    );
    // A pattern would take the neighbours for its own.
    for name in ["shop?", "shop1"] {
        let prepare = [
            "prepare",
            "raw/home/home.toml",
            "--raw",
            "raw/home",
            "--out",
            "prepared",
            "--candidates",
            "10",
            "--name",
            name,
        ];
        succeed(at, &prepare);
    }
    fs::write(at.join("prepared/shop1/items.parquet"), "damaged").unwrap();
    succeed(at, &["sql", "prepared/shop?", "SELECT count(*) FROM items"]);
    assert!(fail(at, &["sql", "prepared/shop*", "SELECT 1"]).contains("shop*"));
    let output = weaverec(at).args(["inspect", "prepared/shop1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
