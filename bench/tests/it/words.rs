//! What the program says: no colours where nobody sees them, no backtraces, and which flag makes no sense.

use std::fs;
use std::process::Stdio;

use super::{fail, run, succeed, weaverec};

/// What a terminal takes for something other than text.
const ESCAPE: char = '\u{1b}';

#[test]
fn messages_have_no_colours_where_standard_error_is_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let debug = |arguments: &[&str]| {
        let output = weaverec(folder.path())
            .args(arguments)
            .env("RUST_LOG", "trace")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    };
    let synth = [
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
    ];
    let prepare = [
        "prepare",
        "raw/home/home.toml",
        "--raw",
        "raw/home",
        "--out",
        "prepared",
        "--candidates",
        "10",
    ];
    let wrong = ["prepare", "--colour"];
    let query = ["sql", "prepared", "SELECT * FROM nothing"];
    let mut logged = false;
    for arguments in [&synth[..], &prepare, &wrong, &query, &["--help"]] {
        let said = debug(arguments);
        logged |= said.contains("TRACE") || said.contains("DEBUG");
        assert!(
            !said.is_empty() && !said.contains(ESCAPE),
            "{arguments:?}: {said:?}"
        );
    }
    assert!(logged, "nothing was logged that could have had colours");
}

#[test]
fn an_error_is_one_message_whatever_the_variables_for_backtraces_say() {
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
    succeed(
        at,
        &[
            "prepare",
            "raw/home/home.toml",
            "--raw",
            "raw/home",
            "--out",
            "prepared",
            "--candidates",
            "10",
        ],
    );
    fs::write(at.join("model.gguf"), "GGUF and no more").unwrap();
    fs::create_dir(at.join("adapter")).unwrap();
    fs::write(at.join("adapter/adapter_config.json"), "{").unwrap();
    for arguments in [
        &["sql", "prepared", "SELECT nothing FROM items"][..],
        &["sql", "prepared/home", "SELECT 1 / 0"],
        &[
            "prepare",
            "raw/home/home.toml",
            "--raw",
            "nowhere",
            "--out",
            "out",
        ],
        &["inspect", "nowhere"],
        &["models", "show", "model.gguf"],
        &["merge", "adapter", "--out", "out"],
        &["reproduce", "--profile", "nowhere"],
    ] {
        let output = weaverec(at)
            .args(arguments)
            .env("RUST_BACKTRACE", "full")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.lines().count() <= 3, "{arguments:?}: {said}");
        for part in ["backtrace", "   0:", "rustc/", "src/main.rs"] {
            assert!(!said.to_lowercase().contains(part), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn a_wrong_query_is_called_one() {
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
    succeed(
        at,
        &[
            "prepare",
            "raw/home/home.toml",
            "--raw",
            "raw/home",
            "--out",
            "prepared",
            "--candidates",
            "10",
        ],
    );
    for query in [
        "SELECT nothing FROM items",
        "SELEC 1",
        "DROP TABLE items",
        "SELECT 1 / 0",
    ] {
        let error = fail(at, &["sql", "prepared/home", query]);
        assert!(error.contains("the query cannot be answered"), "{query}: {error}");
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused_with_their_flag_before_anything_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let prepare = ["prepare", "movielens-100k", "--raw", "raw", "--out", "out"];
    let train = ["train", "shop", "--out", "out"];
    let merge = ["merge", "a", "b", "--out", "out"];
    let rank = ["rank", "shop"];
    let cases: [(&[&str], &str, &[&str]); 30] = [
        (
            &prepare,
            "--memory-limit",
            &["0", "-1", "18446744073709551615", "much"],
        ),
        (&prepare, "--threads", &["0", "1000000000", "1.5"]),
        (&prepare, "--candidates", &["0", "1"]),
        (&prepare, "--max-history", &["0"]),
        (&prepare, "--max-title-chars", &["0", "7"]),
        (&prepare, "--max-reject-share", &["-0.1", "1.5", "nan"]),
        (&prepare, "--min-rating", &["nan", "inf"]),
        (&prepare, "--test-share", &["nan"]),
        (&train, "--rank", &["0"]),
        (&train, "--alpha", &["0", "nan", "inf"]),
        (&train, "--dropout", &["1", "-0.1", "nan"]),
        (&train, "--learning-rate", &["0", "-1", "nan"]),
        (&train, "--epochs", &["0"]),
        (&train, "--batch-size", &["0"]),
        (&train, "--activation-memory", &["18446744073709551615"]),
        (&train, "--cap", &["0"]),
        (&train, "--ratio", &["0", "inf"]),
        (&train, "--threads", &["0"]),
        (&merge, "--rank", &["0"]),
        (&merge, "--weights", &["0.5,nan", "inf,1"]),
        (&rank, "--users", &["0"]),
        (&rank, "--threads", &["0"]),
        (&["recommend"], "--top", &["0"]),
        (&["recommend"], "--threads", &["0"]),
        (&["sql", "shop", "SELECT 1"], "--threads", &["0"]),
        (&["reproduce"], "--threads", &["0"]),
        (&["scheduler"], "--workers", &["0"]),
        (&["scheduler"], "--port", &["65536", "-1"]),
        (&["worker"], "--cores", &["0"]),
        (&["worker"], "--memory", &["0"]),
    ];
    for (command, flag, values) in cases {
        for value in values {
            let given = format!("{flag}={value}");
            let error = fail(folder.path(), &[command, &[given.as_str()]].concat());
            assert!(error.contains(flag), "{command:?} {given}: {error}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
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
            "400",
            "--items",
            "40",
            "--dirt",
            "0",
            "--domain",
            "home=amazon2014",
        ],
    );
    succeed(
        at,
        &[
            "prepare",
            "raw/home/home.toml",
            "--raw",
            "raw/home",
            "--out",
            "prepared",
            "--candidates",
            "10",
        ],
    );
    for arguments in [
        &["--help"][..],
        &["datasets", "list"],
        &["completions", "bash"],
        &["inspect", "prepared/home", "--samples", "300"],
        &["audit", "prepared/home"],
        &[
            "sql",
            "prepared/home",
            "SELECT * FROM interactions",
            "--format",
            "csv",
        ],
        &[
            "sql",
            "prepared/home",
            "SELECT * FROM interactions",
            "--format",
            "json",
        ],
    ] {
        let mut child = weaverec(at)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !said.contains("error"),
            "{arguments:?}: {said}"
        );
    }
    assert!(run(at, &["inspect", "prepared/home"]).status.success());
}
