//! Fitted recommenders as rows of a study.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::super::folder::contents;
use super::super::{fail, succeed};
use super::read;

pub(in super::super) const PROFILE: &str = r#"
name = "fitted"
replicates = 2
report_on = "dev"
methods = ["popularity", "counting", "sasrec"]

[claims]
kinds = []

[backbone]
kind = "none"

[prepare]
seed = 1
format = "sequence"
user_core = 5
item_core = 0
max_history = 6
max_title_chars = 30
candidates = 10
users = 30
max_train = 1

[rank]
normalisation = "sum"
batch_tokens = 512
free_decoding_users = 0
free_decoding_tokens = 12

[[study]]
name = "generated"
title = "Generated logs"
source = "synthetic"
synthetic = { seed = 3, users = 150, items = 60, interactions_per_user = 10.0, shared = 0.6, contrary = 0.2, dirt = 0.004, domains = [{ name = "a", platform = "amazon-2014" }] }

[[study.domain]]
name = "a"
dataset = "a"

[[study.scenario]]
kind = "single-domain"
target = "a"
"#;

const RUN: [&str; 9] = [
    "reproduce",
    "--profile",
    "fitted.toml",
    "--work",
    "work",
    "--out",
    "out",
    "--threads",
    "2",
];

/// Names of the finished cells of a kind.
fn cells(at: &Path, kind: &str) -> Vec<String> {
    let entries = fs::read_dir(at.join("work/cells").join(kind))
        .into_iter()
        .flatten()
        .flatten();
    let whole = entries.filter(|entry| entry.path().join("record.json").exists());
    let mut names: Vec<String> = whole
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn row<'a>(scenario: &'a Value, method: &str) -> &'a Value {
    let rows = scenario["rows"].as_array().unwrap();
    rows.iter().find(|row| row["method"] == method).unwrap()
}

#[test]
fn a_study_fits_its_recommenders_once_a_replicate_and_reports_them_beside_the_floors() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("fitted.toml"), PROFILE).unwrap();
    // Two units, each of two floors, which they share, a recommender and its ranking.
    let dry = succeed(at, &[&RUN[..], &["--dry-run"]].concat());
    let lines: Vec<Vec<&str>> = dry
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[1][..3], ["1", "4", "4"], "{dry}");
    assert_eq!(lines[3][..3], ["all", "6", "6"], "{dry}");
    assert!(dry.contains("recommenders"), "{dry}");
    assert!(cells(at, "recommenders").is_empty());

    succeed(at, &RUN);
    let results = read(&at.join("out/results.json"));
    let scenario = &results["studies"][0]["scenarios"][0];
    let rows: Vec<&str> = scenario["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["method"].as_str().unwrap())
        .collect();
    assert_eq!(rows, ["popularity", "counting", "sasrec"]);
    let sasrec = row(scenario, "sasrec");
    assert_eq!(sasrec["family"], "sequence");
    assert_eq!(sasrec["deterministic"], false);
    let runs = sasrec["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for (run, cells) in runs.iter().zip(sasrec["cells"].as_array().unwrap()) {
        assert!(run["train_tokens"].as_u64().unwrap() > 0, "{run}");
        assert!(run["train_flops"].as_f64().unwrap() > 0.0, "{run}");
        let cells: Vec<&str> = cells
            .as_array()
            .unwrap()
            .iter()
            .map(|cell| cell.as_str().unwrap())
            .collect();
        assert!(
            cells[0].starts_with("rankings/") && cells[1].starts_with("recommenders/"),
            "{cells:?}"
        );
    }
    let report = fs::read_to_string(at.join("out/report.md")).unwrap();
    assert!(
        report.contains("SASRec (CE)") && report.contains("sequence model"),
        "{report}"
    );
    assert!(
        report.contains("sasrec on a"),
        "who chose the epoch is said: {report}"
    );

    // Weights stay here, records go out.
    let fitted = cells(at, "recommenders");
    assert_eq!(fitted.len(), 2);
    for key in &fitted {
        let own = at.join("work/cells/recommenders").join(key);
        assert!(own.join("recommender").is_dir() && own.join("training.jsonl").is_file());
        let record = read(&own.join("record.json"));
        assert_eq!(record["kind"], "recommender");
        assert!(record["training"]["outcome"]["steps"].as_u64().unwrap() > 0);
        assert_eq!(record["choices"][0]["what"], "epoch");
        assert_eq!(record["choices"][0]["cut"], "selection");
        let exported = at.join("out/records/recommenders").join(key);
        assert_eq!(contents(&exported).len(), 1);
    }
    again(at, &fitted);
}

/// A ranking that is lost is made of the weights that are here, and weights that are lost are fitted again only if they are needed.
fn again(at: &Path, fitted: &[String]) {
    let before = read(&at.join("out/results.json"));
    let listed = |at: &Path| {
        let dry = succeed(at, &[&RUN[..], &["--dry-run"]].concat());
        let last = dry.lines().nth(3).unwrap().split_whitespace().nth(2);
        last.unwrap().to_owned()
    };
    assert_eq!(listed(at), "0");
    let weights = at
        .join("work/cells/recommenders")
        .join(&fitted[0])
        .join("recommender");
    fs::rename(&weights, at.join("aside")).unwrap();
    assert_eq!(listed(at), "0", "the records are enough");
    fs::rename(at.join("aside"), &weights).unwrap();
    let of_recommenders = |name: &String| {
        let record = read(&at.join("work/cells/rankings").join(name).join("record.json"));
        !record["configuration"]["recommender"].is_null()
    };
    let rankings: Vec<String> = cells(at, "rankings")
        .into_iter()
        .filter(of_recommenders)
        .collect();
    assert_eq!(rankings.len(), 2);
    for store in ["work/cells", "out/records"] {
        fs::remove_dir_all(at.join(store).join("rankings").join(&rankings[0])).unwrap();
    }
    assert_eq!(listed(at), "1");
    succeed(at, &RUN);
    let after = read(&at.join("out/results.json"));
    let metrics = |results: &Value| row(&results["studies"][0]["scenarios"][0], "sasrec")["metrics"].clone();
    assert_eq!(metrics(&before), metrics(&after));
    let status: Value = serde_json::from_str(&succeed(at, &["status", "--work", "work", "--json"])).unwrap();
    assert_eq!(status["cells"]["done"], status["cells"]["all"]);
    assert_eq!(status["cells"]["all"], 6);
}

#[test]
fn a_profile_that_claims_something_of_a_fitted_row_or_misspells_one_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let with = |from: &str, to: &str| {
        fs::write(at.join("fitted.toml"), PROFILE.replacen(from, to, 1)).unwrap();
        fail(at, &RUN)
    };
    let error = with("\"sasrec\"", "\"sasreck\"");
    assert!(
        error.contains("sasreck is no row") && error.contains("bert4rec"),
        "{error}"
    );
    let error = with("kinds = []", "woven = \"sasrec\"\nkinds = [\"D\"]");
    assert!(error.contains("woven is sasrec, a sequence model"), "{error}");
}

#[test]
fn a_row_over_codes_stands_beside_the_others_and_fitted_rows_go_out_and_come_back_with_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let profile = PROFILE
        .replacen("\"counting\", \"sasrec\"", "\"sasrec\", \"tiger\"", 1)
        .replacen("replicates = 2", "replicates = 1", 1)
        .replacen("users = 150", "users = 80", 1);
    fs::write(at.join("fitted.toml"), profile).unwrap();
    succeed(at, &RUN);
    let mut systems = Vec::new();
    for key in cells(at, "recommenders") {
        let place = at.join("work/cells/recommenders").join(key).join("record.json");
        let record = read(&place);
        let configuration = record["configuration"].clone();
        let kind = configuration["system"]["kind"].as_str().unwrap().to_owned();
        // Who reads titles says so in its key, with the domains that its vectors are of.
        assert_eq!(configuration["vectors"].is_null(), kind == "sasrec");
        assert_eq!(record["codes"]["levels"].is_array(), kind == "tiger", "{record}");
        if kind == "tiger" {
            let (all, own) = (&configuration["vectors"]["domains"], &configuration["domains"]);
            assert_eq!(all, own);
        }
        systems.push(kind);
    }
    systems.sort();
    assert_eq!(systems, ["sasrec", "tiger"]);
    let report = fs::read_to_string(at.join("out/report.md")).unwrap();
    assert!(report.contains("TIGER-like on a: codes of "), "{report}");

    let target = ["--profile", "fitted.toml", "--work", "work", "--target", "a"];
    let export = |row: &str, file: &str, more: &[&str]| {
        let of = [
            "score",
            "export",
            "--records",
            "out/records",
            "--scope",
            "catalogue",
        ];
        let what = ["--row", row, "--out", file];
        [&of[..], &target, &what, more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let run = |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        succeed(at, &arguments)
    };
    for row in ["sasrec", "tiger"] {
        let (file, copy) = (format!("{row}.parquet"), format!("copy-{row}"));
        run(export(row, &file, &[]));
        let import = [
            "score", "import", &file, "--row", &copy, "--label", &copy, "--out", "out",
        ];
        let told = ["--scope", "catalogue", "--history", "kept"];
        succeed(at, &[&import[..], &target, &told].concat());
    }
    succeed(
        at,
        &[
            "report",
            "--profile",
            "fitted.toml",
            "--work",
            "work",
            "--out",
            "out",
        ],
    );
    let results = read(&at.join("out/results.json"));
    let scenario = &results["studies"][0]["scenarios"][0];
    assert_eq!(row(scenario, "tiger")["family"], "semantic-ids");
    for name in ["sasrec", "tiger"] {
        let (ours, theirs) = (row(scenario, name), row(scenario, &format!("copy-{name}")));
        assert!(ours["catalogue"]["hr@10"]["mean"].is_number(), "{name}");
        assert_eq!(ours["catalogue"], theirs["catalogue"], "{name}");
    }

    let error = |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        fail(at, &arguments)
    };
    let said = error(export("sasrec", "none.csv", &["--replicate", "1"]));
    assert!(said.contains("no replicate 1"), "{said}");
    let said = error(export("gru4rec", "none.csv", &[]));
    assert!(said.contains("gru4rec is a row of no scenario"), "{said}");
    for key in cells(at, "recommenders") {
        fs::remove_dir_all(at.join("work/cells/recommenders").join(key).join("recommender")).unwrap();
    }
    let said = error(export("sasrec", "none.csv", &[]));
    assert!(said.contains("the weights of SASRec (CE) fitted to a"), "{said}");
    assert!(!at.join("none.csv").exists());
}

#[test]
fn a_profile_says_how_its_rows_are_fitted_and_its_report_says_so_too() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let fitted =
        "[fitted]\nschedule = { epochs = 2, patience = 1 }\n\n[fitted.rows.sasrec]\nwidth = 16\n\n[rank]";
    let profile = PROFILE
        .replacen("\"counting\", \"sasrec\"", "\"sasrec\", \"gru4rec\"", 1)
        .replacen("replicates = 2", "replicates = 1", 1)
        .replacen("[rank]", fitted, 1);
    fs::write(at.join("fitted.toml"), &profile).unwrap();
    succeed(at, &RUN);
    let mut widths = Vec::new();
    for key in cells(at, "recommenders") {
        let place = at.join("work/cells/recommenders").join(key).join("record.json");
        let record = read(&place);
        let system = &record["configuration"]["system"];
        assert_eq!(
            (&system["schedule"]["epochs"], &system["schedule"]["patience"]),
            (&Value::from(2), &Value::from(1))
        );
        assert!(
            record["training"]["epochs"]["all"].as_u64().unwrap() <= 2,
            "{record}"
        );
        widths.push((
            system["kind"].as_str().unwrap().to_owned(),
            system["width"].as_u64().unwrap(),
        ));
    }
    widths.sort();
    assert_eq!(widths, [("gru4rec".to_owned(), 64), ("sasrec".to_owned(), 16)]);
    let report = fs::read_to_string(at.join("out/report.md")).unwrap();
    assert!(
        report.contains("fitted rows: at most 2 epochs, patience 1"),
        "{report}"
    );
    assert!(report.contains("SASRec (CE), fitted: width 16"), "{report}");
    fs::write(
        at.join("fitted.toml"),
        profile.replacen("width = 16", "widht = 16", 1),
    )
    .unwrap();
    let error = fail(at, &RUN);
    assert!(
        error.contains("rows.sasrec") && error.contains("nearest is width"),
        "{error}"
    );
}

#[test]
fn text_knn_goes_by_the_vectors_of_a_profile_and_goes_out_and_comes_back_with_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let of = |vectors: &str| {
        let profile = PROFILE
            .replacen("\"counting\", \"sasrec\"", "\"text-knn\"", 1)
            .replacen("replicates = 2", "replicates = 1", 1)
            .replacen("[rank]", &format!("{vectors}\n[rank]"), 1);
        fs::write(at.join("fitted.toml"), profile).unwrap();
        let _ = fs::remove_dir_all(at.join("out"));
        succeed(at, &RUN);
        read(&at.join("out/results.json"))["studies"][0]["scenarios"][0].clone()
    };
    let words = row(&of(""), "text-knn").clone();
    let rankings = cells(at, "rankings");
    let vectors = row(
        &of("[vectors]\nkind = \"tf-idf\"\nwidth = 4\ncentre = true\n"),
        "text-knn",
    )
    .clone();
    assert_ne!(words["metrics"], vectors["metrics"]);
    // Popularity is the ranking that it was.
    assert_eq!(cells(at, "rankings").len(), rankings.len() + 1);
    let target = ["--profile", "fitted.toml", "--work", "work", "--target", "a"];
    let export = [
        "score",
        "export",
        "--records",
        "out/records",
        "--scope",
        "catalogue",
    ];
    let what = ["--row", "text-knn", "--out", "knn.parquet"];
    succeed(at, &[&export[..], &target, &what].concat());
    let import = [
        "score",
        "import",
        "knn.parquet",
        "--row",
        "copy",
        "--label",
        "copy",
        "--out",
        "out",
        "--deterministic",
    ];
    let told = ["--scope", "catalogue", "--history", "kept"];
    succeed(at, &[&import[..], &target, &told].concat());
    let report = [
        "report",
        "--profile",
        "fitted.toml",
        "--work",
        "work",
        "--out",
        "out",
    ];
    succeed(at, &report);
    let results = read(&at.join("out/results.json"));
    let scenario = &results["studies"][0]["scenarios"][0];
    let copy = row(scenario, "copy");
    assert!(copy["catalogue"]["hr@10"]["mean"].is_number(), "{copy}");
    assert_eq!(row(scenario, "text-knn")["catalogue"], copy["catalogue"]);
}
