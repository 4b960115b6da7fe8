//! A study whose language model reads items as codes: the whole table, in whole catalogues.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::reproduce::PROFILE;
use super::{fail, succeed};

/// The tiny profile with codes in the place of words.
fn profile() -> String {
    let (before, rest) = PROFILE.split_once("[backbone]").unwrap();
    let (_, after) = rest.split_once("[prepare]").unwrap();
    let backbone = r#"[backbone]
kind = "codes"
decoder = { width = 32, inner = 64, layers = 2, heads = 2, key_value_heads = 1 }
pretrain = { learning_rate = 1e-2, epochs = 2, batch_size = 16, evaluate_every = 10 }
vectors = { width = 16 }
codes = { size = 8 }

[prepare]"#;
    let text = format!("{before}{backbone}{after}");
    let text = text.replacen("[rank]\n", "[rank]\ncatalogue = 1000\nneutral_histories = 2\n", 1);
    text.replacen(
        "sources = [\"b\"]\n",
        "sources = [\"b\"]\nalso = [\"soup\", \"longer\", \"placebo\"]\n",
        1,
    )
}

/// The rows of the first scenario, by method: what they come to in the whole catalogue.
fn catalogue(at: &Path, work: &str, threads: &str) -> Vec<(String, Value)> {
    let out = format!("{work}-out");
    let run = [
        "reproduce",
        "--profile",
        "tiny.toml",
        "--work",
        work,
        "--out",
        &out,
        "--threads",
        threads,
    ];
    succeed(at, &run);
    let results: Value =
        serde_json::from_slice(&fs::read(at.join(&out).join("results.json")).unwrap()).unwrap();
    let rows = results["studies"][0]["scenarios"][0]["rows"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            (
                row["method"].as_str().unwrap().to_owned(),
                row["catalogue"].clone(),
            )
        })
        .collect()
}

/// The first folder in a folder.
pub(super) fn only(folder: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found.swap_remove(0)
}

#[test]
fn a_model_that_reads_codes_goes_the_whole_path_and_ranks_whole_catalogues() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("tiny.toml"), profile()).unwrap();
    let rows = catalogue(at, "one", "1");
    for method in [
        "popularity",
        "zero-shot",
        "target-only",
        "joint",
        "naive-merge",
        "weaverec",
        "soup",
        "longer",
        "placebo",
    ] {
        let found = rows.iter().find(|(name, _)| name == method);
        let (_, catalogue) = found.unwrap_or_else(|| panic!("{method} is missing"));
        assert!(catalogue.is_object(), "{method}: {catalogue}");
    }
    assert_eq!(rows, catalogue(at, "two", "2"), "whatever the number of threads");

    let backbone = only(&at.join("one/cells/backbones"));
    let codes: Value = serde_json::from_slice(&fs::read(backbone.join("codes.json")).unwrap()).unwrap();
    // What they came to stands in the record as well, and in the report.
    let record: Value = serde_json::from_slice(&fs::read(backbone.join("record.json")).unwrap()).unwrap();
    assert!(codes["report"]["levels"].is_array());
    assert_eq!(record["codes"], codes["report"]);
    let report = fs::read_to_string(at.join("one-out/report.md")).unwrap();
    assert!(report.contains("the backbone: codes of "), "{report}");
    let domains: Vec<&String> = codes["domains"].as_object().unwrap().keys().collect();
    assert_eq!(domains, ["a", "b", "c"]);
    let prepared = only(&only(&at.join("one/prepared")));
    let (prepared, backbone) = (prepared.to_str().unwrap(), backbone.to_str().unwrap());
    let error = fail(at, &["rank", prepared, "--model", backbone, "--users", "2"]);
    assert!(error.contains("the codes of one study"), "{error}");
}

#[test]
fn codes_are_made_of_whatever_makes_the_studys_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/sentence");
    let by_sentences = format!(
        "[vectors]\nkind = \"minilm\"\nfolder = {:?}\n\n[rank]",
        encoder.to_str().unwrap()
    );
    let rows = |text: &str| {
        let few = "replicates = 1\nmethods = [\"random\", \"zero-shot\", \"target-only\"]\nclaims = { kinds = [], woven = \"target-only\" }";
        let text = text.replacen("replicates = 2", few, 1);
        text.replacen("also = [\"soup\", \"longer\", \"placebo\"]\n", "", 1)
    };
    let codes = |text: &str, work: &str| {
        fs::write(at.join("tiny.toml"), text).unwrap();
        catalogue(at, work, "2");
        fs::read(only(&at.join(work).join("cells/backbones")).join("codes.json")).unwrap()
    };
    let words = rows(&profile());
    let with = words.replacen("vectors = { width = 16 }\n", "text = \"vectors\"\n", 1);
    let sentences = with.replacen("[rank]", &by_sentences, 1);
    assert!(codes(&words, "words") != codes(&sentences, "sentences"));
    // Settings of words beside vectors that are made otherwise would change nothing.
    let both = words.replacen(
        "vectors = { width = 16 }\n",
        "text = \"vectors\"\nvectors = { width = 16 }\n",
        1,
    );
    fs::write(at.join("tiny.toml"), both).unwrap();
    let error = fail(
        at,
        &[
            "reproduce",
            "--profile",
            "tiny.toml",
            "--work",
            "both",
            "--out",
            "both-out",
        ],
    );
    assert!(error.contains("[backbone] vectors has no effect"), "{error}");
}
