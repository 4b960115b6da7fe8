//! Rows from outside: cases that go out, scores that come back.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::reproduce::PROFILE;
use super::{fail, run, succeed};

/// The target `a` of the tiny study, in the work folder of a run.
pub(super) const TARGET: [&str; 6] = ["--profile", "tiny.toml", "--work", "work", "--target", "a"];

/// A run of one unit, whose target is `a`.
fn ran(at: &Path) {
    fs::write(at.join("tiny.toml"), PROFILE).unwrap();
    let run = [
        "reproduce",
        "--profile",
        "tiny.toml",
        "--work",
        "work",
        "--out",
        "out",
        "--unit",
        "1/4",
    ];
    succeed(at, &run);
}

fn export(at: &Path, row: &str, file: &str, more: &[&str]) {
    let of = [
        "score",
        "export",
        "--records",
        "out/records",
        "--row",
        row,
        "--out",
        file,
    ];
    succeed(at, &[&of[..], &TARGET, more].concat());
}

pub(super) fn importing<'a>(file: &'a str, row: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let of = [
        "score", "import", file, "--row", row, "--label", row, "--out", "out",
    ];
    [&of[..], &TARGET, more].concat()
}

pub(super) fn import(at: &Path, file: &str, row: &str, more: &[&str]) -> Value {
    serde_json::from_str(&succeed(at, &importing(file, row, more))).unwrap()
}

/// The scenario of `results.json` after the report is made again.
fn reported(at: &Path) -> Value {
    let report = [
        "report",
        "--profile",
        "tiny.toml",
        "--work",
        "work",
        "--out",
        "out",
    ];
    succeed(at, &report);
    let results = fs::read(at.join("out/results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    results["studies"][0]["scenarios"][0].clone()
}

fn row<'a>(scenario: &'a Value, method: &str) -> &'a Value {
    let rows = scenario["rows"].as_array().unwrap();
    let found = rows.iter().find(|row| row["method"] == method);
    found.unwrap_or_else(|| panic!("there is no row {method}"))
}

#[test]
fn a_row_of_ours_that_goes_out_and_comes_back_has_the_same_numbers_to_the_last_digit() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    ran(at);
    let candidates = ["--scope", "candidates"];
    for (ours, file, copy) in [
        ("weaverec", "weaverec.parquet", "copy-weaverec"),
        ("weaverec", "weaverec.csv", "copy-weaverec-csv"),
        ("popularity", "popularity.parquet", "copy-popularity"),
    ] {
        export(at, ours, file, &candidates);
        let said = import(at, file, copy, &candidates);
        assert_eq!(
            (&said["told"]["extent"], &said["told"]["short"]),
            (&"whole".into(), &0.into())
        );
    }
    let catalogue = ["--scope", "catalogue"];
    let kept = ["--scope", "catalogue", "--history", "kept"];
    for (ours, file, copy) in [
        ("random", "random.csv", "copy-random"),
        ("item-knn", "item-knn.parquet", "copy-item-knn"),
    ] {
        export(at, ours, file, &catalogue);
        import(at, file, copy, &kept);
    }
    // Of a row without ties its first ten are enough for what looks at ten.
    export(at, "random", "top.csv", &["--scope", "catalogue", "--top", "10"]);
    let excluded = [
        "--scope",
        "catalogue",
        "--history",
        "excluded",
        "--made-by",
        "this program, seed 7",
    ];
    let said = import(at, "top.csv", "best-of-random", &excluded);
    assert_eq!(said["told"]["extent"], "best");
    assert_eq!(said["told"]["made_by"], "this program, seed 7");

    let scenario = reported(at);
    let reading = scenario["reading"].as_str().unwrap();
    let scoring = reading.split('/').next().unwrap();
    for (ours, copy) in [
        ("weaverec", "copy-weaverec"),
        ("weaverec", "copy-weaverec-csv"),
        ("popularity", "copy-popularity"),
        ("random", "copy-random"),
        ("item-knn", "copy-item-knn"),
    ] {
        let (ours, theirs) = (row(&scenario, ours), row(&scenario, copy));
        assert_eq!(theirs["family"], "outside");
        // The hash of every user's place.
        assert_eq!(ours["runs"][0]["places"], theirs["runs"][0]["places"], "{copy}");
        let metrics = ours["metrics"].as_object().unwrap();
        for (metric, value) in metrics {
            assert_eq!(
                value["runs"], theirs["metrics"][metric]["runs"],
                "{copy}: {metric}"
            );
        }
        assert!(metrics.contains_key("mrr"));
        let readings = ours["readings"].as_object().unwrap();
        for (name, value) in readings.iter().filter(|(name, _)| name.starts_with(scoring)) {
            assert_eq!(value, &theirs["readings"][name], "{copy}: {name}");
        }
    }
    for (ours, copy) in [("random", "copy-random"), ("item-knn", "copy-item-knn")] {
        let (ours, theirs) = (row(&scenario, ours), row(&scenario, copy));
        assert!(ours["catalogue"]["hr@10"]["mean"].is_number());
        assert_eq!(ours["catalogue"], theirs["catalogue"], "{copy}");
    }
    assert!(row(&scenario, "copy-weaverec")["catalogue"].is_null());
    let lists = scenario["lists"].as_array().unwrap();
    assert_eq!(lists.len(), 1);
    assert_eq!(lists[0]["method"], "best-of-random");
    assert_eq!(lists[0]["catalogue"], row(&scenario, "random")["catalogue"]);
    let text = fs::read_to_string(at.join("out/report.md")).unwrap();
    let line = |label: &str| {
        text.lines()
            .filter(|line| line.contains(label))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert!(line("best-of-random").contains('–'), "{text}");
    assert!(line("copy-weaverec").contains("outside"), "{text}");
    // Each says where it comes from, and what made it where that is known.
    let command = "--target a --row best-of-random --label best-of-random --replicate 0 --history excluded --scope catalogue";
    let from = line(command);
    assert!(
        from.contains("`weaverec score import FILE --profile tiny.toml ")
            && from.contains("made by: this program, seed 7"),
        "{text}"
    );
    assert!(
        line("--row copy-random ").contains("what made it was not said"),
        "{text}"
    );
    // No claim is about a row from outside.
    let claims = fs::read_to_string(at.join("out/contrasts.csv")).unwrap();
    assert!(!claims.contains("copy-"), "{claims}");

    // The records are exported with those of the run, and are enough.
    let alone = [
        "report",
        "--profile",
        "tiny.toml",
        "--records",
        "out/records",
        "--out",
        "again",
    ];
    succeed(at, &alone);
    let same = |file: &str| {
        fs::read(at.join("out").join(file)).unwrap() == fs::read(at.join("again").join(file)).unwrap()
    };
    assert!(same("table.csv") && same("results.json"));
    // The same file again changes nothing; another file of the replicate is refused.
    import(at, "weaverec.parquet", "copy-weaverec", &candidates);
    let again = fail(at, &importing("popularity.parquet", "copy-weaverec", &candidates));
    assert!(again.contains("replicate 0 already"), "{again}");
    // Nor does another word on what made it, which is said.
    let another = ["--scope", "candidates", "--made-by", "another program"];
    let output = run(at, &importing("weaverec.parquet", "copy-weaverec", &another));
    let note = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && note.contains("says nothing of what made it"),
        "{note}"
    );

    lists_that_end(at);
}

/// Lists of a few candidates: what looks further is not told, and who is counted missed is said.
fn lists_that_end(at: &Path) {
    export(at, "popularity", "short.csv", &["--top", "3"]);
    let candidates = ["--scope", "candidates"];
    let short = fail(at, &importing("short.csv", "short", &candidates));
    assert!(
        short.contains("--allow-short") && short.contains("too few"),
        "{short}"
    );
    let allowed = ["--scope", "candidates", "--allow-short"];
    let said = import(at, "short.csv", "short", &allowed);
    assert_eq!(said["told"]["extent"], "listed");
    assert_eq!(said["told"]["short"], said["told"]["users"]);
    assert!(said["levels"]["uniform"]["ndcg@5"].is_number() && said["levels"]["uniform"]["mrr"].is_null());
    let scenario = reported(at);
    let short = row(&scenario, "short");
    assert!(short["metrics"]["ndcg@3"].is_object() && short["metrics"]["mrr"].is_null());
    // Among the first three nothing is lost but what ties would have given.
    let third = |row: &Value| row["metrics"]["hr@1"]["pessimistic"].as_f64().unwrap();
    assert!(third(short) >= third(row(&scenario, "popularity")));
    let text = fs::read_to_string(at.join("out/report.md")).unwrap();
    assert!(text.contains("count as missed"), "{text}");
}
