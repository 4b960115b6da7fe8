//! A study without sources and without a language model: rows that count, on one domain.

use std::fs;

use serde_json::Value;

use super::{fail, succeed};

const PROFILE: &str = r#"
name = "alone"
replicates = 2
report_on = "dev"
methods = ["random", "popularity", "counting"]

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

const RUN: [&str; 5] = ["reproduce", "--profile", "alone.toml", "--work", "work"];

#[test]
fn rows_that_count_need_no_model_no_source_and_no_claim() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("alone.toml"), PROFILE).unwrap();
    succeed(at, &[&RUN[..], &["--out", "out"]].concat());
    let results: Value = serde_json::from_slice(&fs::read(at.join("out/results.json")).unwrap()).unwrap();
    let scenario = &results["studies"][0]["scenarios"][0];
    assert_eq!(
        (&scenario["target"], &scenario["kind"]),
        (&"a".into(), &"single-domain".into())
    );
    assert_eq!(scenario["sources"], Value::Array(Vec::new()));
    let rows: Vec<&str> = scenario["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["method"].as_str().unwrap())
        .collect();
    assert_eq!(rows, ["random", "popularity", "counting"]);
    let report = fs::read_to_string(at.join("out/report.md")).unwrap();
    assert!(
        report.contains("Generated logs") && !report.contains(" → a"),
        "{report}"
    );
}

#[test]
fn rows_that_need_a_model_or_sources_are_named_where_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let with = |from: &str, to: &str| {
        fs::write(at.join("alone.toml"), PROFILE.replacen(from, to, 1)).unwrap();
        fail(at, &[&RUN[..], &["--out", "out"]].concat())
    };
    let error = with("\"counting\"", "\"counting\", \"zero-shot\"");
    assert!(
        error.contains("need a language model, where [backbone] kind is \"none\": zero-shot"),
        "{error}"
    );
    let error = with("target = \"a\"", "target = \"a\"\nsources = [\"a\"]");
    assert!(error.contains("single-domain"), "{error}");
    let error = with("single-domain", "single-source");
    assert!(error.contains("needs sources other than its target"), "{error}");
    let model = "kind = \"pretrained\"\nmodel = \"smollm2-135m\"";
    let text = PROFILE.replacen("kind = \"none\"", model, 1);
    let text = text.replacen("\"counting\"", "\"joint\"", 1);
    fs::write(at.join("alone.toml"), text).unwrap();
    let error = fail(at, &[&RUN[..], &["--out", "out"]].concat());
    assert!(error.contains("where the scenario has none: joint"), "{error}");
}
