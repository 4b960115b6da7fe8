//! One command after another: what it prints, what it leaves, how it fails.

use std::fs;

use super::{fail, run, succeed};

fn generated(folder: &std::path::Path) {
    succeed(
        folder,
        &[
            "datasets", "synth", "--out", "raw", "--users", "60", "--items", "60", "--dirt", "0.005",
        ],
    );
}

#[test]
fn help_names_every_command_and_shows_examples_of_each() {
    let folder = tempfile::tempdir().unwrap();
    let help = succeed(folder.path(), &["--help"]);
    for command in [
        "prepare",
        "inspect",
        "export",
        "audit",
        "sql",
        "datasets",
        "scheduler",
        "worker",
        "models",
        "train",
        "merge",
        "rank",
        "recommend",
        "reproduce",
        "report",
        "compare",
        "power",
        "gate",
        "readme",
        "completions",
    ] {
        assert!(help.contains(command), "{command} is not in the help");
        let own = succeed(folder.path(), &[command, "--help"]);
        let (_, examples) = own.split_once("Examples:").unwrap();
        assert!(examples.contains(&format!("weaverec {command}")), "{own}");
    }
    assert!(succeed(folder.path(), &["completions", "bash"]).contains("weaverec"));
}

#[test]
fn a_device_that_is_not_there_is_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["rank", "nowhere"][..],
        &["train", "nowhere", "--out", "x"],
        &["reproduce"],
    ] {
        let error = fail(folder.path(), &[command, &["--device", "cuda:99"]].concat());
        assert!(error.contains("device cuda:99"), "{error}");
        let error = fail(folder.path(), &[command, &["--device", "gpu"]].concat());
        assert!(error.contains("cpu, cuda, cuda:1"), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
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
    for part in [
        "split: leave-one-out of new items, ties by hash (tie seed 0)",
        "k-core before the split",
        "ties: ",
        "repeats: ",
    ] {
        assert!(summary.contains(part), "no `{part}` in {summary}");
    }
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
    let output = run(folder.path(), &arguments);
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

#[test]
fn a_folder_is_audited_and_a_tampered_one_fails_the_gate() {
    let folder = tempfile::tempdir().unwrap();
    generated(folder.path());
    let prepare = |extra: &[&str]| {
        let arguments = [
            "prepare",
            "raw/synth-home/synth-home.toml",
            "--raw",
            "raw/synth-home",
            "--out",
            "prepared",
            "--candidates",
            "10",
        ];
        succeed(folder.path(), &[arguments.as_slice(), extra].concat())
    };
    prepare(&[]);
    let clean = succeed(folder.path(), &["audit", "prepared/synth-home"]);
    assert!(
        clean.contains("no leak") && clean.contains("leave-one-out trains on the future"),
        "{clean}"
    );
    assert!(clean.contains("negatives bear a touched item's title"), "{clean}");
    prepare(&["--name", "later", "--split", "global-time", "--test-share", "0.2"]);
    let later = succeed(folder.path(), &["audit", "prepared/later", "prepared/synth-home"]);
    assert!(later.contains("share 60 users"), "{later}");
    for part in [
        "synth-home trains on",
        "are later than their test",
        "first seen after the cut",
    ] {
        assert!(later.contains(part), "no `{part}` in {later}");
    }
    let cut = |cut: &str| {
        let folders = ["inspect", "--cut", cut, "prepared/later", "prepared/synth-home"];
        run(folder.path(), &folders)
    };
    let moments = String::from_utf8(cut("0.8").stdout).unwrap();
    let moments: Vec<&str> = moments.split_whitespace().collect();
    assert_eq!((moments[0], moments[2]), ("--validation-from", "--test-from"));
    assert!(moments[1] < moments[3], "{moments:?}");
    prepare(
        &[
            &["--name", "together", "--split", "global-time"],
            moments.as_slice(),
        ]
        .concat(),
    );
    prepare(&["--name", "at", "--split", "global-time", "--cut", moments[3]]);
    let refused = String::from_utf8(cut(moments[3]).stderr).unwrap();
    assert!(refused.contains("is a share"), "{refused}");

    let prompts = folder.path().join("prepared/later/prompts");
    let shard = |split: &str| prompts.join(format!("{split}-00000-of-00001.parquet"));
    fs::copy(shard("test"), shard("train")).unwrap();
    let output = run(folder.path(), &["audit", "prepared/later"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["was changed", "LEAKS", "belongs to another split"] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let missing = fail(folder.path(), &["audit", "raw"]);
    assert!(missing.contains("manifest.json"), "{missing}");
}

#[test]
fn stages_are_asked_for_by_name_and_nonsense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    generated(folder.path());
    let arguments = [
        "prepare",
        "raw/synth-films/synth-films.toml",
        "--raw",
        "raw/synth-films",
        "--out",
        "prepared",
    ];
    let with = |extra: &[&'static str]| [arguments.as_slice(), extra].concat();
    let chosen = with(&[
        "--min-rating",
        "2",
        "--from",
        "1990-01-01",
        "--dedup",
        "last",
        "--ties",
        "line",
        "--tie-window",
        "90s",
        "--repeats",
        "keep",
        "--user-core",
        "3",
        "--format",
        "letter",
        "--negatives",
        "popularity",
        "--recipe",
        "paper",
        "--candidates",
        "8",
        "--memory-limit",
        "32",
    ]);
    succeed(folder.path(), &chosen);
    let manifest = fs::read_to_string(folder.path().join("prepared/synth-films/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let parameters = &manifest["parameters"];
    for (key, value) in [
        ("dedup", "last"),
        ("ties", "line"),
        ("repeats", "keep"),
        ("format", "letter"),
        ("negatives", "popularity"),
        ("recipe", "paper"),
    ] {
        assert_eq!(parameters[key], value);
    }
    assert_eq!(parameters["window"]["from"], 631_152_000_000_i64);
    assert_eq!(parameters["tie_window_ms"], 90_000);
    for (extra, part) in [
        (&["--test-share", "0.1"][..], "--split global-time"),
        (&["--split", "global-time", "--test-share", "1.5"], "below 1"),
        (&["--cut", "0.9"], "--split global-time"),
        (
            &["--split", "global-time", "--cut", "1.5"],
            "neither a moment nor a share",
        ),
        (
            &["--split", "global-time", "--cut", "0.9", "--test-share", "0.1"],
            "--test-share",
        ),
        (&["--tie-window", "60"], "60s"),
        (&["--repeats", "drop"], "novel"),
        (&["--from", "soon"], "soon"),
        (&["--from", "2020-01-01", "--until", "2019-01-01"], "until"),
        (&["--wording", "none.toml"], "none.toml"),
        (&["--format", "letters"], "target-only"),
        (&["--ties", "line", "--tie-seed", "3"], "tie_seed is 3"),
        (&["--ties", "id"], "hash"),
    ] {
        let error = fail(folder.path(), &with(extra));
        assert!(error.contains(part), "no `{part}` in {error}");
    }
}

#[test]
fn prepared_folders_are_queried() {
    let folder = tempfile::tempdir().unwrap();
    generated(folder.path());
    for domain in ["synth-home", "synth-films"] {
        let description = format!("raw/{domain}/{domain}.toml");
        let raw = format!("raw/{domain}");
        succeed(
            folder.path(),
            &["prepare", &description, "--raw", &raw, "--out", "prepared"],
        );
    }
    let count = "SELECT count(*) AS users FROM synth_home.sequences";
    let answer = |format| succeed(folder.path(), &["sql", "prepared", count, "--format", format]);
    assert_eq!(answer("csv"), "users\n60\n");
    assert_eq!(answer("json"), "{\"users\":60}\n");
    assert!(answer("table").contains("| 60    |"), "{}", answer("table"));
    let error = fail(folder.path(), &["sql", "prepared", "SELECT * FROM sequences"]);
    assert!(error.contains("sequences"), "{error}");
}

#[cfg(not(feature = "object-store"))]
#[test]
fn what_needs_another_build_says_which() {
    let folder = tempfile::tempdir().unwrap();
    generated(folder.path());
    let prepare = |raw: &str, out: &str, more: &[&str]| {
        let description = "raw/synth-home/synth-home.toml";
        let arguments = ["prepare", description, "--raw", raw, "--out", out];
        fail(folder.path(), &[&arguments[..], more].concat())
    };
    let raw = "raw/synth-home";
    for (error, feature) in [
        (
            prepare(raw, "out", &["--cluster", "df://localhost:50050"]),
            "cluster",
        ),
        (fail(folder.path(), &["scheduler"]), "cluster"),
        (fail(folder.path(), &["worker"]), "cluster"),
        (prepare("s3://bucket/logs", "out", &[]), "object-store"),
        (prepare(raw, "gs://bucket/out", &[]), "object-store"),
        (
            fail(folder.path(), &["inspect", "s3://bucket/out/x"]),
            "object-store",
        ),
        (
            fail(folder.path(), &["sql", "s3://bucket/out/x", "SELECT 1"]),
            "object-store",
        ),
    ] {
        assert!(error.contains(&format!("--features {feature}")), "{error}");
    }
    assert!(!folder.path().join("out").exists(), "something was begun");
}
