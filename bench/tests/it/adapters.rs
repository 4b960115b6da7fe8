//! Adapters and their bases: what is trained says what it was trained on, and what does not fit is refused or warned of wherever it is read.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use weaverec_model::backbone::{DecoderConfig, Tokenizer, Weights};

use super::{fail, run, succeed};

const DOMAIN: &str = "prepared/synth-films";

/// A model of two layers with a tokenizer, whose values `seed` chooses.
pub(super) fn write_model(folder: &Path, seed: usize) {
    let config: DecoderConfig = serde_json::from_str(
        r#"{"model_type": "llama", "vocab_size": 400, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 4096, "tie_word_embeddings": true}"#,
    )
    .unwrap();
    let mut tensors = HashMap::new();
    let mut add = |name: String, shape: &[usize]| {
        let number = tensors.len();
        let wave = |i: usize| ((seed * 7919 + number * 104_729 + i) as f32 * 1.7).sin();
        let values: Vec<f32> = match shape {
            [_] => vec![1.0; shape[0]],
            _ => (0..shape.iter().product()).map(|i| 0.2 * wave(i)).collect(),
        };
        tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    };
    add("model.embed_tokens.weight".into(), &[400, 16]);
    add("model.norm.weight".into(), &[16]);
    for layer in 0..2 {
        for (name, shape) in [
            ("input_layernorm", &[16][..]),
            ("post_attention_layernorm", &[16]),
            ("self_attn.q_proj", &[16, 16]),
            ("self_attn.k_proj", &[8, 16]),
            ("self_attn.v_proj", &[8, 16]),
            ("self_attn.o_proj", &[16, 16]),
            ("mlp.gate_proj", &[24, 16]),
            ("mlp.up_proj", &[24, 16]),
            ("mlp.down_proj", &[16, 24]),
        ] {
            add(format!("model.layers.{layer}.{name}.weight"), shape);
        }
    }
    Weights::from_tensors(tensors).save(folder, &config).unwrap();
    let titles = [
        "Oak chair",
        "Pine table",
        "Brass lamp",
        "The Third Man",
        "Solaris",
    ];
    Tokenizer::train_bpe(titles, 300).unwrap().save(folder).unwrap();
}

/// A prepared domain, the models `models/one` and `models/two`, and the adapter `shop` of the first.
fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    succeed(
        at,
        &[
            "datasets", "synth", "--out", "raw", "--users", "60", "--items", "60", "--dirt", "0",
        ],
    );
    let description = "raw/synth-films/synth-films.toml";
    let raw = [
        "--raw",
        "raw/synth-films",
        "--out",
        "prepared",
        "--max-train",
        "16",
        "--max-eval",
        "8",
    ];
    succeed(at, &[&["prepare", description][..], &raw].concat());
    write_model(&at.join("models/one"), 1);
    write_model(&at.join("models/two"), 2);
    train(at, "shop", "models/one");
    folder
}

pub(super) fn train(at: &Path, out: &str, model: &str) {
    let small = [
        "--rank",
        "2",
        "--epochs",
        "1",
        "--batch-size",
        "8",
        "--held-out",
        "4",
    ];
    succeed(
        at,
        &[&["train", DOMAIN, "--out", out, "--model", model][..], &small].concat(),
    );
}

/// What a command that must go well says beside its answer.
fn said(at: &Path, arguments: &[&str]) -> String {
    let output = run(at, arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// Everything that reads an adapter and a model, with more arguments.
fn readings<'a>(adapter: &'a str, model: &'a str, more: &[&'a str]) -> [Vec<&'a str>; 2] {
    let rank = [
        "rank",
        DOMAIN,
        "--users",
        "2",
        "--adapter",
        adapter,
        "--model",
        model,
    ];
    let recommend = [
        "recommend",
        "history.json",
        "--adapter",
        adapter,
        "--model",
        model,
    ];
    [[&rank[..], more].concat(), [&recommend[..], more].concat()]
}

fn write_history(at: &Path) {
    let question = r#"{"history": ["Solaris"], "candidates": ["Oak chair", "Brass lamp"]}"#;
    fs::write(at.join("history.json"), question).unwrap();
}

/// Takes the factors of the second layer away.
fn halve(adapter: &Path) {
    let file = adapter.join("adapter_model.safetensors");
    let whole = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    let half: HashMap<String, Tensor> = whole
        .into_iter()
        .filter(|(key, _)| key.contains("layers.0."))
        .collect();
    candle_core::safetensors::save(&half, &file).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn name_base(adapter: &Path, name: &str) {
    let path = adapter.join("adapter_config.json");
    let mut settings: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    settings["base_model_name_or_path"] = name.into();
    fs::write(&path, settings.to_string()).unwrap();
}

#[test]
fn an_adapter_knows_its_base_in_every_folder_and_another_base_is_warned_of() {
    let folder = workplace();
    let at = folder.path();
    let settings = fs::read_to_string(at.join("shop/adapter_config.json")).unwrap();
    let absolute = at.join("models/one").canonicalize().unwrap();
    assert!(settings.contains(&*absolute.to_string_lossy()), "{settings}");
    // Another working folder, and the base's files at another path: still the same base.
    let inner = at.join("elsewhere");
    fs::create_dir(&inner).unwrap();
    copy(&at.join("models/one"), &inner.join("moved"));
    copy(&at.join("models/two"), &inner.join("another"));
    write_history(&inner);
    std::os::unix::fs::symlink(at.join("prepared"), inner.join("prepared")).unwrap();
    let warning = "trained on another base";
    for arguments in readings("../shop", "moved", &[]) {
        let said = said(&inner, &arguments);
        assert!(!said.contains("base"), "{said}");
    }
    // In fewer bits it is too.
    for arguments in readings("../shop", "moved", &["--precision", "bf16"]) {
        let said = said(&inner, &arguments);
        assert!(!said.contains(warning), "{said}");
    }
    for arguments in readings("../shop", "another", &[]) {
        let said = said(&inner, &arguments);
        for part in [warning, "../shop", "models/one", "elsewhere/another"] {
            assert!(said.contains(part), "no `{part}` in {said}");
        }
    }
    // PEFT's adapters have a name alone.
    fs::remove_file(at.join("shop/base.json")).unwrap();
    for (name, warned) in [
        (&*absolute.to_string_lossy(), false),
        ("owner/One", false),
        ("models/one", false),
        ("owner/three", true),
    ] {
        name_base(&at.join("shop"), name);
        write_history(at);
        for arguments in readings("shop", "models/one", &[]) {
            let said = said(at, &arguments);
            assert_eq!(said.contains("as its base"), warned, "{name}: {said}");
        }
    }
}

#[test]
fn half_an_adapter_is_refused_wherever_it_is_read_unless_it_counts_as_zero() {
    let folder = workplace();
    let at = folder.path();
    write_history(at);
    copy(&at.join("shop"), &at.join("half"));
    halve(&at.join("half"));
    let counted = "7 of 14 targeted modules have no factors";
    for arguments in readings("half", "models/one", &[]) {
        let error = fail(at, &arguments);
        assert!(
            error.contains(counted) && error.contains("half/adapter_model.safetensors"),
            "{error}"
        );
    }
    for arguments in readings("half", "models/one", &["--partial"]) {
        succeed(at, &arguments);
    }
    // The adapter's own record, its base by name, or the base that is named: each says how many layers there are.
    let alone = ["merge", "half", "--out", "merged"];
    assert!(fail(at, &alone).contains(counted));
    fs::remove_file(at.join("half/base.json")).unwrap();
    assert!(fail(at, &alone).contains(counted));
    name_base(&at.join("half"), "owner/unknown");
    for more in [&["--base", "models/one"], &["--into-base", "models/one"]] {
        assert!(fail(at, &[&alone[..], more].concat()).contains(counted));
    }
    assert!(fail(at, &["merge", "half", "shop", "--out", "merged"]).contains(counted));
    assert!(!at.join("merged").exists());
    succeed(at, &["merge", "half", "shop", "--partial", "--out", "merged"]);
    succeed(at, &["merge", "half", "--partial", "--out", "first-layer"]);
    for adapter in ["merged", "first-layer"] {
        for arguments in readings(adapter, "models/one", &[]) {
            succeed(at, &arguments);
        }
    }
}

#[test]
fn layers_that_the_base_lacks_may_be_named_where_an_adapter_is_used_and_where_it_is_merged() {
    let folder = workplace();
    let at = folder.path();
    write_history(at);
    copy(&at.join("shop"), &at.join("named"));
    let path = at.join("named/adapter_config.json");
    let mut settings: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let all = [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    ];
    settings["target_modules"] = all.as_slice().into();
    settings["layers_to_transform"] = [0, 1, 9].as_slice().into();
    fs::write(&path, settings.to_string()).unwrap();
    let answers = |adapter: &str| {
        let ways = readings(adapter, "models/one", &[]);
        ways.map(|arguments| {
            let output = run(at, &arguments);
            assert!(output.status.success(), "{arguments:?}");
            String::from_utf8(output.stdout).unwrap()
        })
    };
    assert_eq!(answers("named"), answers("shop"));
    // By its own record of the base, by the name of the base, and by the base that is said.
    succeed(at, &["merge", "named", "--out", "by-record"]);
    fs::remove_file(at.join("named/base.json")).unwrap();
    succeed(at, &["merge", "named", "--out", "by-name"]);
    name_base(&at.join("named"), "owner/unknown");
    let error = fail(at, &["merge", "named", "--out", "by-nothing"]);
    assert!(
        error.contains("model.layers.9.") && error.contains("(--base)"),
        "{error}"
    );
    succeed(
        at,
        &["merge", "named", "--base", "models/one", "--out", "by-word"],
    );
    for merged in ["by-record", "by-name", "by-word"] {
        assert_eq!(answers(merged)[0], answers("shop")[0], "{merged}");
    }
}

#[test]
fn adapters_of_different_bases_are_not_merged_unless_that_is_asked_for() {
    let folder = workplace();
    let at = folder.path();
    train(at, "films", "models/two");
    let error = fail(at, &["merge", "shop", "films", "--out", "merged"]);
    assert!(
        error.contains("models/one") && error.contains("models/two"),
        "{error}"
    );
    let error = fail(
        at,
        &["merge", "shop", "--into-base", "models/two", "--out", "model"],
    );
    assert!(
        error.contains("another base") && error.contains("--other-base"),
        "{error}"
    );
    assert!(!at.join("merged").exists() && !at.join("model").exists());
    succeed(at, &["merge", "shop", "films", "--other-base", "--out", "merged"]);
    assert!(!at.join("merged/base.json").exists());
    succeed(
        at,
        &[
            "merge",
            "shop",
            "--into-base",
            "models/two",
            "--other-base",
            "--out",
            "model",
        ],
    );
    succeed(
        at,
        &[
            "merge",
            "shop",
            "shop",
            "--into-base",
            "models/one",
            "--out",
            "woven",
        ],
    );
    succeed(at, &["merge", "shop", "shop", "--out", "mean"]);
    assert_eq!(
        fs::read(at.join("mean/base.json")).unwrap(),
        fs::read(at.join("shop/base.json")).unwrap()
    );
}
