//! One command after another: what it prints, what it leaves, how it fails.

use std::fs;

use super::{fail, succeed};

fn generated(folder: &std::path::Path) {
    succeed(
        folder,
        &[
            "datasets", "synth", "--out", "raw", "--users", "60", "--items", "60", "--dirt", "0.005",
        ],
    );
}

#[test]
fn help_and_completions_name_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let help = succeed(folder.path(), &["--help"]);
    for command in [
        "prepare",
        "inspect",
        "export",
        "datasets",
        "models",
        "train",
        "merge",
        "rank",
        "reproduce",
        "report",
        "compare",
    ] {
        assert!(help.contains(command), "{command} is not in the help");
    }
    assert!(succeed(folder.path(), &["completions", "bash"]).contains("weaverec"));
}

#[test]
fn generated_logs_are_prepared_and_inspected() {
    let folder = tempfile::tempdir().unwrap();
    generated(folder.path());
    let prepare = |domain: &str| {
        let description = format!("raw/{domain}/{domain}.toml");
        let raw = format!("raw/{domain}");
        succeed(
            folder.path(),
            &[
                "prepare",
                &description,
                "--raw",
                &raw,
                "--out",
                "prepared",
                "--candidates",
                "10",
            ],
        )
    };
    let summary = prepare("synth-home");
    assert!(summary.contains("60"), "{summary}");
    prepare("synth-films");
    let shown = succeed(
        folder.path(),
        &["inspect", "prepared/synth-home", "prepared/synth-films"],
    );
    assert!(shown.contains("share 0 users and 0 items"), "{shown}");
    assert!(shown.contains("||"), "a sample prompt is shown: {shown}");
    let again = prepare("synth-home");
    assert_eq!(again, summary, "preparing twice keeps the folder");
}

#[test]
fn errors_name_the_file_or_the_choice_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = fail(
        folder.path(),
        &["prepare", "amazon-2077", "--raw", ".", "--out", "prepared"],
    );
    assert!(unknown.contains("amazon-2077"), "{unknown}");
    let missing = fail(
        folder.path(),
        &["prepare", "amazon-2014-beauty", "--raw", ".", "--out", "prepared"],
    );
    assert!(missing.contains("reviews_Beauty_5.json"), "{missing}");
    assert!(!folder.path().join("prepared/amazon-2014-beauty").exists());
    let profile = fail(folder.path(), &["reproduce", "--profile", "huge"]);
    assert!(profile.contains("huge") && profile.contains("quick"), "{profile}");
    let model = fail(folder.path(), &["models", "show", "no-such-model"]);
    assert!(model.contains("no-such-model"), "{model}");
    let report = fail(folder.path(), &["compare", "a", "b"]);
    assert!(report.contains("no complete report"), "{report}");
    let usage = fail(folder.path(), &["prepare"]);
    assert!(usage.contains("--raw"), "{usage}");
}

#[test]
fn a_truncated_log_is_an_error_with_its_offset_and_salvage_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    generated(folder.path());
    let raw = folder.path().join("raw/synth-home");
    let reviews = fs::read_dir(&raw)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.file_name().unwrap().to_string_lossy().starts_with("reviews_"))
        .unwrap();
    let bytes = fs::read(&reviews).unwrap();
    fs::write(&reviews, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let arguments = [
        "prepare",
        "raw/synth-home/synth-home.toml",
        "--raw",
        "raw/synth-home",
        "--out",
        "prepared",
    ];
    let error = fail(folder.path(), &arguments);
    assert!(
        error.contains("reviews_") && error.contains("--salvage"),
        "{error}"
    );
    assert!(!folder.path().join("prepared/synth-home").exists());
    succeed(folder.path(), &[arguments.as_slice(), &["--salvage"]].concat());
    assert!(folder.path().join("prepared/synth-home/manifest.json").exists());
}

#[test]
fn data_sets_are_listed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let list = succeed(folder.path(), &["datasets", "list"]);
    for name in [
        "amazon-2014-beauty",
        "amazon-2018-all-beauty",
        "movielens-100k",
        "movielens-latest-small",
        "amazon-2023:<member>",
        "Toys_and_Games",
    ] {
        assert!(list.contains(name), "{name} is not listed");
    }
    assert!(succeed(folder.path(), &["datasets", "show", "movielens-100k"]).contains("recbole"));
    let member = succeed(folder.path(), &["datasets", "show", "amazon-2023:Toys_and_Games"]);
    assert!(
        member.contains("Toys_and_Games.csv") && !member.contains("{member}"),
        "{member}"
    );
    let family = fail(folder.path(), &["datasets", "show", "amazon-2023"]);
    assert!(family.contains("amazon-2023:All_Beauty"), "{family}");
}

#[test]
fn raw_files_are_verified_against_their_description() {
    let folder = tempfile::tempdir().unwrap();
    generated(folder.path());
    let arguments = [
        "datasets",
        "verify",
        "raw/synth-films/synth-films.toml",
        "--raw",
        "raw/synth-films",
    ];
    let said = succeed(folder.path(), &arguments);
    assert!(
        said.contains("ratings.csv") && said.ends_with("as described\n"),
        "{said}"
    );

    let path = folder.path().join("raw/synth-films/synth-films.toml");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("users = 60", "users = 61");
    fs::write(&path, text).unwrap();
    let output = super::run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("differs: 60 users, 61 are known"), "{said}");

    fs::remove_file(folder.path().join("raw/synth-films/movies.csv")).unwrap();
    assert!(fail(folder.path(), &arguments).contains("movies.csv"));
}

#[test]
fn a_prepared_folder_is_exported_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    generated(folder.path());
    let raw = "raw/synth-films";
    let description = format!("{raw}/synth-films.toml");
    let sizes = ["--out", "prepared", "--candidates", "10"];
    succeed(
        folder.path(),
        &[&["prepare", &description, "--raw", raw], sizes.as_slice()].concat(),
    );
    let export = |format: &str, out: &str| {
        succeed(
            folder.path(),
            &["export", "prepared/synth-films", "--format", format, "--out", out],
        )
    };
    assert_eq!(export("jsonl", "json"), "json/synth-films\n");
    assert!(folder.path().join("json/synth-films/train.jsonl").is_file());
    export("recbole", "atomic");
    let atomic = [
        "datasets",
        "verify",
        "atomic/synth-films/synth-films.toml",
        "--raw",
        "atomic/synth-films",
    ];
    assert!(succeed(folder.path(), &atomic).ends_with("as described\n"));
    let again = fail(
        folder.path(),
        &[
            "export",
            "prepared/synth-films",
            "--format",
            "jsonl",
            "--out",
            "json",
        ],
    );
    assert!(again.contains("is there already"), "{again}");
}
