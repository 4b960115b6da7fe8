//! Machines that share no folder of work but a store of finished cells; here the store is a folder. `tests/object_store.rs` has it in a bucket.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use super::reproduce::PROFILE;
use super::store::{assert_same_records, finished};
use super::{fail, succeed, weaverec};

/// A job with folders of its own.
fn job<'a>(number: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let own = [
        "reproduce",
        "--profile",
        "tiny.toml",
        "--threads",
        "1",
        "--work",
        number,
    ];
    [&own[..], more].concat()
}

fn start(at: &Path, arguments: &[&str]) -> Child {
    let mut command = weaverec(at);
    let quiet = command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().unwrap()
}

/// Names of the cells in the store, as `rankings/0123456789abcdef`.
fn shared(store: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for kind in fs::read_dir(store).unwrap().flatten() {
        for cell in fs::read_dir(kind.path()).unwrap().flatten() {
            let name = cell.file_name().into_string().unwrap();
            let key = name.strip_suffix(".zip").expect("nothing else is left there");
            found.insert(format!("{}/{key}", kind.file_name().to_str().unwrap()));
        }
    }
    found
}

#[test]
fn jobs_that_share_finished_cells_alone_come_to_the_records_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("tiny.toml"), PROFILE).unwrap();
    succeed(at, &job("alone", &["--out", "report-alone"]));
    let all = finished(&at.join("alone"));

    let jobs = ["1/2", "2/2"].map(|share| {
        let number = &share[..1];
        let own = ["--store", "store", "--shard", share, "--out"];
        let out = format!("report-{number}");
        start(at, &job(number, &[&own[..], &[out.as_str()]].concat()))
    });
    for mut job in jobs {
        assert!(job.wait().unwrap().success(), "a job has failed");
    }
    assert_eq!(shared(&at.join("store")), all);

    // A third machine finds everything done, weights too.
    let third = job("third", &["--store", "store", "--out", "report-third"]);
    succeed(at, &third);
    assert_same_records(&at.join("alone"), &at.join("third"));
    // A fourth has neither data nor work, and reports.
    let report = ["report", "--profile", "tiny.toml", "--work", "fourth"];
    succeed(
        at,
        &[&report[..], &["--store", "store", "--out", "report-fourth"]].concat(),
    );
    for report in ["report-third", "report-fourth"] {
        let same = succeed(at, &["compare", "report-alone", report]);
        assert!(same.contains("the same numbers"), "{report}: {same}");
    }

    // What is finished here alone is put there by the next run: here, before there was a store.
    succeed(at, &job("alone", &["--store", "late", "--out", "report-alone"]));
    assert_eq!(shared(&at.join("late")), all);
}

#[test]
fn a_work_folder_is_no_url_and_a_url_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("tiny.toml"), PROFILE).unwrap();
    let said = fail(at, &job("s3://bucket/work", &[]));
    assert!(
        said.contains("--work s3://bucket/work") && said.contains("--store"),
        "{said}"
    );
    let said = fail(at, &job("work", &["--out", "s3://bucket/report"]));
    assert!(
        said.contains("s3://bucket/report") && said.contains("is a URL"),
        "{said}"
    );
    assert!(!at.join("s3:").exists());
}
