//! Vectors of items, written and read by the command.

use std::fs;
use std::path::Path;

use serde_json::Value;
use weaverec_bench::experiment::item_vectors::file;
use weaverec_pipeline::prepared::Prepared;

use super::codes::only;
use super::fit::prepared;
use super::fit::study::PROFILE;
use super::{fail, succeed, weaverec};

/// Runs a command with a cache of its own; what it prints.
fn with_cache(at: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = weaverec(at)
        .args(arguments)
        .env("WEAVEREC_CACHE", at.join("cache"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    output.stdout
}

/// What `vectors` says of the vectors of both folders.
fn vectors(at: &Path, arguments: &[&str]) -> Value {
    let both = ["vectors", "prepared/home", "prepared/films"];
    serde_json::from_slice(&with_cache(at, &[&both[..], arguments].concat())).unwrap()
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
    let encoder = &encoder();
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
    let shown = succeed(at, &["models", "show", encoder]);
    assert!(
        shown.contains("\"hidden_size\": 16") && shown.contains("cut to 12"),
        "{shown}"
    );
}

/// A tiny encoder of sentences.
fn encoder() -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures");
    fixtures.join("sentence").to_str().unwrap().to_owned()
}

#[test]
fn a_row_that_reads_vectors_is_fitted_to_those_of_whatever_makes_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepared(at);
    succeed(at, &["vectors", "prepared/home", "--out", "words.parquet"]);
    let fit = |by: &str, out: &str| {
        let how = ["--method", "sasrec-text", "--epochs", "2", "--vectors", by];
        with_cache(at, &[&["fit", "prepared/home", "--out", out][..], &how].concat());
        let about: Value =
            serde_json::from_slice(&fs::read(at.join(out).join("fitted.json")).unwrap()).unwrap();
        let weights = fs::read(at.join(out).join("recommender/model.safetensors")).unwrap();
        (about["vectors"]["kind"].clone(), weights)
    };
    let (kind, words) = fit("tf-idf", "plain");
    assert_eq!(kind, "tf-idf");
    // The file holds what is made without it.
    let (kind, given) = fit("words.parquet", "given");
    assert_eq!(kind, "file");
    assert!(given == words);
    let (kind, sentences) = fit(&encoder(), "sentences");
    assert_eq!(kind, "minilm");
    assert!(sentences != words);

    let refused = |more: &[&str]| {
        fail(
            at,
            &[&["fit", "prepared/home", "--out", "other"][..], more].concat(),
        )
    };
    let error = refused(&["--method", "sasrec", "--vectors", "words.parquet"]);
    assert!(error.contains("sasrec reads no vectors"), "{error}");
    let error = refused(&["--method", "sasrec-text", "--vectors", "missing.parquet"]);
    assert!(error.contains("missing.parquet"), "{error}");
    assert!(!at.join("other").exists());
}

#[test]
fn a_profile_says_what_makes_the_vectors_and_a_study_of_others_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let profile = |vectors: &str| {
        let text = PROFILE
            .replacen("\"sasrec\"", "\"sasrec-text\"", 1)
            .replacen("replicates = 2", "replicates = 1", 1)
            .replacen("[rank]", &format!("{vectors}\n[rank]"), 1);
        fs::write(at.join("fitted.toml"), text).unwrap();
    };
    let run = [
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
    profile("");
    with_cache(at, &run);
    let fitted = || fs::read_dir(at.join("work/cells/recommenders")).unwrap().count();
    assert_eq!(fitted(), 1);
    let prepared = only(&only(&at.join("work/prepared")));
    let write = |width: &str| {
        let vectors = [
            "vectors",
            prepared.to_str().unwrap(),
            "--width",
            width,
            "--out",
            "own.parquet",
            "--force",
        ];
        succeed(at, &vectors);
    };
    write("16");
    profile("[vectors]\nkind = \"file\"\npath = \"own.parquet\"\n");
    fs::remove_dir_all(at.join("out")).unwrap();
    with_cache(at, &run);
    assert_eq!(fitted(), 2, "other vectors, another fit");
    let report: Value = serde_json::from_slice(&fs::read(at.join("out/results.json")).unwrap()).unwrap();
    let rows = report["studies"][0]["scenarios"][0]["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["method"] == "sasrec-text"));
    // Under the same name something else: its numbers are not those of the record.
    write("8");
    fs::remove_dir_all(at.join("work/cells/rankings")).unwrap();
    fs::remove_dir_all(at.join("out/records")).unwrap();
    let error = fail(at, &run);
    assert!(
        error.contains("[vectors]") && error.contains("records of the two must not meet"),
        "{error}"
    );

    let without =
        fs::read_to_string(at.join("fitted.toml"))
            .unwrap()
            .replacen("\"sasrec-text\"", "\"sasrec\"", 1);
    fs::write(at.join("fitted.toml"), without).unwrap();
    let error = fail(at, &run);
    assert!(
        error.contains("[vectors] has no effect") && error.contains("sasrec-text"),
        "{error}"
    );
}
