//! Vectors of items, written and read by the command.

use std::fs;
use std::path::Path;

use serde_json::Value;
use weaverec_bench::experiment::item_vectors::file;
use weaverec_pipeline::prepared::Prepared;

use super::{fail, weaverec};

/// Two prepared folders of generated logs.
fn prepared(at: &Path) {
    let synth = [
        "datasets",
        "synth",
        "--out",
        "raw",
        "--users",
        "300",
        "--items",
        "80",
        "--domain",
        "home=amazon2014",
        "--domain",
        "films=movielens-csv",
    ];
    super::succeed(at, &synth);
    for domain in ["home", "films"] {
        let raw = format!("raw/{domain}");
        let description = format!("{raw}/{domain}.toml");
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
        super::succeed(at, &prepare);
    }
}

/// Runs the command with a cache of its own.
fn vectors(at: &Path, arguments: &[&str]) -> Value {
    let output = weaverec(at)
        .args(["vectors", "prepared/home", "prepared/films"])
        .args(arguments)
        .env("WEAVEREC_CACHE", at.join("cache"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn vectors_are_written_for_other_programs_and_read_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepared(at);
    let said = vectors(at, &["--width", "8", "--out", "words.parquet"]);
    let of = |domain: &str| {
        let folder = Prepared::open(at.join("prepared").join(domain)).unwrap();
        let ids: Vec<String> = folder
            .items()
            .unwrap()
            .into_iter()
            .map(|item| item.item_id)
            .collect();
        (folder.manifest().name.clone(), ids)
    };
    let (home, films) = (of("home"), of("films"));
    assert_eq!(said["width"], 8);
    assert_eq!(said["domains"][0]["domain"], home.0.as_str());
    assert_eq!(said["domains"][1]["items"], films.1.len());
    let rows = file::read(&at.join("words.parquet")).unwrap();
    let expected: Vec<(&str, &str)> = [&home, &films]
        .into_iter()
        .flat_map(|(domain, ids)| ids.iter().map(|id| (domain.as_str(), id.as_str())))
        .collect();
    let found: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row.domain.as_deref().unwrap(), row.item.as_str()))
        .collect();
    assert_eq!(found, expected);
    assert!(rows.iter().all(|row| row.values.len() == 8));

    vectors(at, &["--by", "words.parquet", "--out", "again.parquet"]);
    assert_eq!(file::read(&at.join("again.parquet")).unwrap(), rows);

    // A sentence encoder, with which the second run reads nothing.
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/sentence");
    let encoder = encoder.to_str().unwrap();
    let said = vectors(at, &["--by", encoder, "--out", "sentences.parquet"]);
    assert_eq!(said["width"], 16);
    vectors(at, &["--by", encoder, "--out", "kept.parquet"]);
    assert_eq!(
        fs::read(at.join("kept.parquet")).unwrap(),
        fs::read(at.join("sentences.parquet")).unwrap()
    );

    let asked = |more: &[&str]| fail(at, &[&["vectors", "prepared/home"][..], more].concat());
    let error = asked(&["--out", "words.parquet"]);
    assert!(
        error.contains("words.parquet") && error.contains("--force"),
        "{error}"
    );
    let error = asked(&["--out", "vectors.csv"]);
    assert!(error.contains(".parquet"), "{error}");
    let error = asked(&["--by", "words.parquet", "--width", "3", "--out", "other.parquet"]);
    assert!(error.contains("--width is about TF-IDF"), "{error}");
    let error = asked(&["--by", "missing.parquet", "--out", "other.parquet"]);
    assert!(error.contains("missing.parquet"), "{error}");
    let error = asked(&["--by", "no-such-model", "--out", "other.parquet"]);
    assert!(error.contains("no-such-model"), "{error}");
    assert!(!at.join("other.parquet").exists());
    let shown = super::succeed(at, &["models", "show", encoder]);
    assert!(
        shown.contains("\"hidden_size\": 16") && shown.contains("cut to 12"),
        "{shown}"
    );
}
