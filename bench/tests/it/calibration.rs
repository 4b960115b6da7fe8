//! `weaverec calibrate`, and rankings by what it chose.

use std::fs;
use std::path::Path;

use serde_json::Value;
use weaverec_bench::cut::Lot;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Prompt, Split};

use super::adapters::{train, write_model};
use super::{fail, run, succeed};

/// A domain with so many users, in a format.
pub(super) fn prepare(at: &Path, users: &str, format: &str, out: &str) {
    let raw = format!("raw-{users}");
    if !at.join(&raw).exists() {
        succeed(
            at,
            &[
                "datasets", "synth", "--out", &raw, "--users", users, "--items", "60", "--dirt", "0",
            ],
        );
    }
    let (description, logs) = (
        format!("{raw}/synth-films/synth-films.toml"),
        format!("{raw}/synth-films"),
    );
    succeed(
        at,
        &[
            "prepare",
            &description,
            "--raw",
            &logs,
            "--out",
            out,
            "--format",
            format,
            "--candidates",
            "4",
            "--max-history",
            "3",
            "--max-train",
            "16",
        ],
    );
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Users who choose are not reported, nor by whichever candidates they choose.
fn reported(at: &Path, domain: &str, some: &Value, all: &Value) {
    let folder = Prepared::open(at.join(domain)).unwrap();
    let manifest = folder.manifest();
    let key = manifest.parameters.domain_name(&manifest.dataset);
    let test = folder.prompts(Split::Test).unwrap();
    let is_reported = |prompt: &&Prompt| Lot::of(0, &key, &prompt.user_id).cut().is_reported();
    let reported = test.iter().filter(is_reported).count();
    assert!(reported < test.len());
    assert_eq!(all["users"], reported);
    assert_eq!(all["left_out"], test.len() - reported);
    assert_eq!(some["users"], 200);
    assert_eq!(some["left_out"], all["left_out"]);
    assert_eq!(some["binned"]["candidates"], 4);
    let metrics = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(metrics(&some["binned"]["metrics"]), metrics(&some["metrics"]));
    assert_ne!(some["binned"]["metrics"], some["metrics"]);
}

#[test]
fn users_that_are_not_reported_choose_and_rankings_take_what_they_chose() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepare(at, "1900", "sequence", "prepared");
    let domain = "prepared/synth-films";
    write_model(&at.join("models/one"), 1);
    write_model(&at.join("models/two"), 2);
    train(at, "shop", "models/one");
    let with = ["--model", "models/one", "--adapter", "shop"];
    let calibrate = |more: &[&str]| run(at, &[&["calibrate", domain][..], &with, more].concat());

    let made = calibrate(&["--users", "320", "--scales", "1,2", "--neutral", "2"]);
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(made.status.success(), "{said}");
    // Of two scales either is an end.
    assert!(
        said.contains("the scale lies at the end of what was tried, 1 to 2"),
        "{said}"
    );
    let calibration = json(&String::from_utf8(made.stdout).unwrap());
    assert_eq!(calibration["chosen"], true);
    assert_eq!(calibration["users"], 320);
    assert_eq!(calibration["histories"].as_array().unwrap().len(), 2);
    assert!([1.0, 2.0].contains(&calibration["scale"].as_f64().unwrap()));
    assert_eq!(
        json(&fs::read_to_string(at.join("shop/calibration.json")).unwrap()),
        calibration
    );
    let again = calibrate(&[]);
    assert!(String::from_utf8(again.stderr).unwrap().contains("--force"));

    // What is stored is what ranks: α 0 and scale 1 is the plain likelihood, another α is not.
    let rank_some = |users: &str, more: &[&str]| {
        json(&succeed(
            at,
            &[&["rank", domain, "--users", users][..], &with, more].concat(),
        ))
    };
    let rank = |more: &[&str]| rank_some("200", more);
    let plain = rank(&[]);
    reported(at, domain, &plain, &rank_some("100000", &[]));
    let with_alpha = |alpha: f64| {
        let mut changed = calibration.clone();
        changed["alpha"] = alpha.into();
        changed["scale"] = 1.0.into();
        fs::write(at.join("shop/calibration.json"), changed.to_string()).unwrap();
    };
    with_alpha(0.0);
    assert_eq!(rank(&["--calibration"])["metrics"], plain["metrics"]);
    with_alpha(1.0);
    let calibrated = rank(&["--calibration"]);
    assert_ne!(calibrated["metrics"], plain["metrics"]);
    assert_eq!(calibrated["calibration"]["alpha"], 1.0);
    assert_eq!(rank(&["--calibration", "shop/calibration.json"]), calibrated);
    let other_cut = ["--calibration", "--cut-seed", "3"];
    let error = fail(at, &[&["rank", domain][..], &with, &other_cut].concat());
    assert!(error.contains("--cut-seed 0 cuts them"), "{error}");

    fs::write(
        at.join("asked.json"),
        r#"{"history": ["Oak chair"], "candidates": ["Pine table", "Brass lamp", "Solaris"]}"#,
    )
    .unwrap();
    let recommend = |more: &[&str]| {
        json(&succeed(
            at,
            &[&["recommend", "asked.json"][..], &with, more].concat(),
        ))
    };
    let scores = |answer: &Value| -> Vec<f64> {
        answer["ranking"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ranked| ranked["score"].as_f64().unwrap())
            .collect()
    };
    let (own, content) = (scores(&recommend(&[])), scores(&recommend(&["--calibration"])));
    assert!(content.is_sorted_by(|one, next| one >= next) && content.len() == 3);
    assert!(
        own.iter().sum::<f64>() < content.iter().sum::<f64>(),
        "{own:?} {content:?}"
    );

    // A domain whose users did not choose is said; it is no error.
    prepare(at, "100", "sequence", "elsewhere");
    let warned = |domain: &str| {
        let asked = ["recommend", "asked.json", "--calibration", "--domain", domain];
        let output = run(at, &[&asked[..], &with].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said.contains("the calibration was chosen by users of")
    };
    assert!(!warned(domain));
    assert!(warned("elsewhere/synth-films"));

    // Another adapter, another model, no adapter, no file.
    train(at, "other", "models/one");
    fs::copy(
        at.join("shop/calibration.json"),
        at.join("other/calibration.json"),
    )
    .unwrap();
    let refused =
        |arguments: &[&str]| fail(at, &[&["rank", domain, "--calibration"][..], arguments].concat());
    fs::write(at.join("other/adapter_config.json"), {
        let text = fs::read_to_string(at.join("other/adapter_config.json")).unwrap();
        text.replace("\"lora_alpha\": ", "\"lora_alpha\": 1")
    })
    .unwrap();
    assert!(refused(&["--model", "models/one", "--adapter", "other"]).contains("another adapter"));
    assert!(refused(&["--model", "models/two", "--adapter", "shop"]).contains("another language model"));
    assert!(refused(&["--model", "models/one"]).contains("name its file"));
    fs::remove_file(at.join("shop/calibration.json")).unwrap();
    assert!(refused(&["--model", "models/one", "--adapter", "shop"]).contains("weaverec calibrate"));
}

#[test]
fn too_few_users_choose_nothing_and_listed_candidates_cannot_be_calibrated() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepare(at, "100", "sequence", "prepared");
    prepare(at, "100", "top-5", "listed");
    write_model(&at.join("models/one"), 1);
    let made = run(
        at,
        &[
            "calibrate",
            "prepared/synth-films",
            "--model",
            "models/one",
            "--out",
            "plain.json",
        ],
    );
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(
        made.status.success() && said.contains("fewer than 300 choose nothing"),
        "{said}"
    );
    let calibration = json(&fs::read_to_string(at.join("plain.json")).unwrap());
    assert_eq!(
        (calibration["alpha"].as_f64(), calibration["scale"].as_f64()),
        (Some(1.0), Some(1.0))
    );
    assert_eq!(calibration["chosen"], false);
    let ranked = succeed(
        at,
        &[
            "rank",
            "prepared/synth-films",
            "--model",
            "models/one",
            "--calibration",
            "plain.json",
        ],
    );
    assert_eq!(json(&ranked)["calibration"]["alpha"], 1.0);
    let error = fail(
        at,
        &[
            "calibrate",
            "listed/synth-films",
            "--model",
            "models/one",
            "--out",
            "listed.json",
        ],
    );
    assert!(error.contains("--format sequence"), "{error}");
    assert!(!at.join("listed.json").exists());
}

#[test]
fn every_row_is_listed_with_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let listed = succeed(folder.path(), &["methods"]);
    for line in ["weaverec ", "soup ", "item-knn ", "joint-matched "] {
        assert!(
            listed.lines().any(|own| own.starts_with(line)),
            "{line}: {listed}"
        );
    }
    let rows = json(&succeed(folder.path(), &["methods", "--json"]));
    let soup = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["id"] == "soup")
        .unwrap();
    assert_eq!(soup["family"], "control");
    assert!(soup["needs"].as_str().unwrap().contains("adapters"));
}
