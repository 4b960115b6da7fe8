//! The paper's profile: its dry run as the documents print it, and its whole path with a tiny random Qwen2 on small generated logs.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use weaverec_bench::experiment::profile::Profile;
use weaverec_model::backbone::{Decoder, DecoderConfig, Tokenizer, Weights};

use super::{fail, succeed};

/// The document that prints dry runs.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/profiles.md");
/// With this in the environment the document is written anew.
const WRITE: &str = "WEAVEREC_WRITE_DOCS";
const BEGIN: &str = "<!-- output: ";
const END: &str = "<!-- end output -->";

/// What a command of a block prints; the last lines alone where it ends in `| tail -n N`.
fn printed(at: &Path, command: &str) -> String {
    let (command, tail) = match command.split_once(" | tail -n ") {
        Some((command, lines)) => (command, lines.trim().parse().unwrap()),
        None => (command, usize::MAX),
    };
    let arguments: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(arguments[0], "weaverec", "{command}");
    let text = succeed(at, &arguments[1..]);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(tail);
    lines[from..].join("\n")
}

#[test]
fn the_documents_print_what_the_program_does() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let mut written = String::new();
    let mut rest = text.as_str();
    let mut blocks = 0;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (command, after) = after.split_once(" -->").unwrap();
        let (_, after) = after
            .split_once(END)
            .unwrap_or_else(|| panic!("{command} is not ended by {END}"));
        let output = printed(folder.path(), command);
        written.push_str(&format!(
            "{before}{BEGIN}{command} -->\n```text\n{output}\n```\n{END}"
        ));
        rest = after;
        blocks += 1;
    }
    written.push_str(rest);
    assert!(blocks >= 2, "{blocks} blocks: the test tests little");
    // Nothing was needed for it, and nothing is left behind.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    if std::env::var_os(WRITE).is_some() {
        fs::write(DOCUMENT, written).unwrap();
        return;
    }
    let differ = text
        .lines()
        .zip(written.lines())
        .find(|(is, should)| is != should);
    assert!(
        text == written,
        "{DOCUMENT} does not print what the program does ({differ:?}); {WRITE}=1 writes it anew"
    );
}

#[test]
fn a_dry_run_needs_logs_where_they_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Not its estimate, but what is found in a folder that is named.
    let error = fail(
        at,
        &[
            "reproduce",
            "--profile",
            "paper",
            "--dry-run",
            "--data",
            "nowhere",
        ],
    );
    assert!(
        error.contains("nowhere") && error.contains("amazon-2014"),
        "{error}"
    );
    assert!(
        fail(
            at,
            &["reproduce", "--profile", "paper", "--dry-run", "--units", "81"]
        )
        .contains("has 80")
    );
    let listed = succeed(at, &["reproduce", "--profile", "paper", "--dry-run"]);
    for words in [
        "sports + clothing + grocery → beauty, replicate 4",
        "with neither logs nor a model at hand",
        "a stated rate of 100 TFLOP/s of the device",
        "Memory of cuda at the most, by formula: training",
    ] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
}

#[test]
fn the_papers_profile_asks_all_that_the_method_needs_in_every_scenario() {
    let paper = Profile::load("paper").unwrap();
    // The baselines that the paper's claim is about, and the weave by weights of every kind.
    let method = [
        "zero-shot",
        "source-only",
        "target-only",
        "joint",
        "naive-merge",
        "weaverec",
        "weaverec-grid",
        "weaverec-entropy",
        "weaverec-entropy-modules",
    ];
    // What an effect of weaving is to be told from: averaging, more steps, more of the target's prompts, more compute, a source's mere words.
    let controls = ["soup", "longer", "more-target", "joint-matched", "placebo"];
    for scenario in &paper.studies[0].scenarios {
        let rows: BTreeSet<&str> = scenario
            .rows(&paper)
            .unwrap()
            .iter()
            .map(|row| row.id())
            .collect();
        for row in method.iter().chain(&controls) {
            assert!(rows.contains(row), "{}: no row {row}", scenario.name());
        }
    }
    // The same weave times what a post-map comes to, chosen as its weights are, by as many calibration users as choose well.
    for scale in [0.5, 0.7, 1.0, 1.3, 1.6, 2.0] {
        assert!(paper.rank.scales.contains(&scale), "{scale}");
    }
    assert!(paper.rank.calibration >= 1000);
    // As many draws as a claim needs, and the paper's cutoff.
    assert_eq!((paper.replicates, paper.prepare.max_tokens), (5, 1200));
}

/// The paper's profile with everything small: this is how anybody makes a profile of it for other logs and another model.
const TWIN: &str = r#"
extends = "paper"
name = "tiny-paper"
replicates = 1

[backbone]
model = "tiny-qwen2"

[compute]
device = "cpu"
arithmetic = "f32"

[prepare]
max_history = 3
max_title_chars = 30
candidates = 6
users = 8
max_train = 40

[adapter]
prompts_per_domain = 8
held_out = 3
train = { epochs = 1, batch_size = 4, checkpoint_every = 1 }

[rank]
free_decoding_users = 1
free_decoding_tokens = 12
contamination = 4

[[study]]
name = "amazon-2014"
source = "local"

[[study.domain]]
name = "beauty"
dataset = "logs/beauty/beauty.toml"
raw = "beauty"

[[study.domain]]
name = "sports"
dataset = "logs/sports/sports.toml"
raw = "sports"

[[study.domain]]
name = "clothing"
dataset = "logs/clothing/clothing.toml"
raw = "clothing"

[[study.domain]]
name = "grocery"
dataset = "logs/grocery/grocery.toml"
raw = "grocery"
"#;

/// Numbers that look random and are the same every time.
fn noise(name: &str, count: usize) -> Vec<f32> {
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u32 << 24) as f32 - 0.5
    };
    (0..count).map(|_| 0.2 * next()).collect()
}

/// A Qwen2 of two layers with random weights, and a tokenizer that was trained on the words of a profile.
fn tiny_qwen2(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let words = include_str!("../../profiles/paper.toml").lines();
    let tokenizer = Tokenizer::train_bpe(words.collect::<Vec<_>>(), 400).unwrap();
    tokenizer.save(folder).unwrap();
    let config: DecoderConfig = serde_json::from_value(json!({
        "model_type": "qwen2",
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": false,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }))
    .unwrap();
    let parameters = RefCell::new(HashMap::new());
    Decoder::from_parameters(&config, |name, shape| {
        let count = shape.iter().product();
        let values = match name.ends_with("norm.weight") {
            true => vec![1.0; count],
            false => noise(name, count),
        };
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
        parameters.borrow_mut().insert(name.to_owned(), tensor.clone());
        Ok(tensor)
    })
    .unwrap();
    let parameters = parameters.into_inner();
    assert!(parameters.contains_key("model.layers.1.self_attn.k_proj.bias"));
    Weights::from_tensors(parameters).save(folder, &config).unwrap();
}

#[test]
fn a_tiny_twin_goes_the_papers_whole_path() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut synth = vec![
        "datasets", "synth", "--out", "logs", "--users", "120", "--items", "60",
    ];
    for domain in [
        "beauty=amazon2014",
        "sports=amazon2014",
        "clothing=amazon2014",
        "grocery=amazon2014",
    ] {
        synth.extend(["--domain", domain]);
    }
    succeed(at, &synth);
    tiny_qwen2(&at.join("tiny-qwen2"));
    fs::write(at.join("twin.toml"), TWIN).unwrap();

    // It is the paper's but for its sizes: rows, scenarios, format, and how adapters are made.
    let (paper, twin) = (
        Profile::load("paper").unwrap(),
        Profile::load(at.join("twin.toml").to_str().unwrap()).unwrap(),
    );
    let shape = |profile: &Profile| {
        let scenarios = profile.studies[0].scenarios.iter();
        let scenarios = scenarios.map(|scenario| (scenario.name(), scenario.also.clone()));
        json!([
            profile.methods,
            scenarios.collect::<Vec<_>>(),
            profile.claims,
            profile.prepare.format,
            profile.prepare.max_tokens,
            profile.prepare.recipe,
            profile.adapter.rank,
            profile.adapter.alpha,
            profile.adapter.dropout,
            profile.adapter.train.learning_rate,
            profile.rank.normalisation,
            profile.rank.calibration,
            profile.rank.scales
        ])
    };
    assert_eq!(shape(&paper), shape(&twin));

    let of = |more: &[&'static str]| {
        let fixed = [
            "reproduce",
            "--profile",
            "twin.toml",
            "--data",
            "logs",
            "--work",
            "work",
            "--out",
            "out",
            "--threads",
            "2",
        ];
        succeed(at, &[&fixed[..], more].concat())
    };
    // Measured, since the logs and the model are there.
    let listed = of(&["--dry-run"]);
    assert!(
        listed.contains("Memory of cpu") && !listed.contains("profile states"),
        "{listed}"
    );
    let shown = of(&[]);
    for row in [
        "zero-shot",
        "joint training",
        "naive merge",
        "WeaveRec",
        "soup",
        "longer training",
        "placebo weave",
    ] {
        assert!(shown.contains(row), "the tables have no row {row}:\n{shown}");
    }
    let results: Value = serde_json::from_slice(&fs::read(at.join("out/results.json")).unwrap()).unwrap();
    let reported = results["studies"][0]["scenarios"].as_array().unwrap();
    assert_eq!(reported.len(), 16);
    for (scenario, planned) in reported.iter().zip(&paper.studies[0].scenarios) {
        assert_eq!(scenario["name"], planned.name().as_str());
        let rows: BTreeSet<&str> = scenario["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["method"].as_str().unwrap())
            .collect();
        for row in paper.methods.iter().chain(&planned.also) {
            assert!(rows.contains(row.as_str()), "{}: no row {row}", planned.name());
        }
    }
    // Free decoding was tried, and its invalid answers counted; the untuned model was asked for titles of training sequences, though the
    // prompts of this format are none.
    let rankings = fs::read_dir(at.join("work/cells/rankings")).unwrap();
    let rankings: Vec<Value> = rankings
        .map(|cell| {
            let record = fs::read(cell.unwrap().path().join("record.json")).unwrap();
            let record: Value = serde_json::from_slice(&record).unwrap();
            record["ranking"].clone()
        })
        .collect();
    let rates = rankings
        .iter()
        .filter_map(|ranking| ranking["invalid_output_rate"].as_f64());
    assert!(rates.filter(|rate| (0.0..=1.0).contains(rate)).count() > 20);
    let recalls: Vec<&Value> = rankings
        .iter()
        .map(|ranking| &ranking["recall"])
        .filter(|recall| recall.is_object())
        .collect();
    assert_eq!(recalls.len(), 4, "the untuned model in each of four domains");
    for recall in recalls {
        assert_eq!(recall["asked"], 4);
        assert!(recall["recalled"].as_u64().unwrap() <= 4, "{recall}");
    }
    for scenario in reported {
        assert_eq!(scenario["contamination"]["asked"], 4, "{}", scenario["name"]);
    }
    let report = fs::read_to_string(at.join("out/report.md")).unwrap();
    assert!(
        report.contains("of 4 next titles of training sequences"),
        "no line about contamination"
    );
    assert!(
        report.contains("prompts have 1200 tokens at the most"),
        "no line about shortened prompts"
    );
    // Nothing is left to do.
    let status: Value = serde_json::from_str(&succeed(
        at,
        &["status", "--profile", "twin.toml", "--work", "work", "--json"],
    ))
    .unwrap();
    assert_eq!(status["cells"]["done"], status["cells"]["all"]);
    assert_eq!(status["studies"][0]["units"].as_array().unwrap().len(), 16);
}
