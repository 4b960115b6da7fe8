//! `merge --into-base` by the real program: what it takes of memory, what it writes, and what it refuses.

use std::fs::{self, OpenOptions};
use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use weaverec_model::backbone::Weights;
use weaverec_model::lora::config::TargetModules;
use weaverec_model::lora::{Adapter, LoraConfig, LoraModule};
use weaverec_model::merge::base::shards::TensorFile;
use weaverec_model::merge::base::{Element, TensorInfo};

use super::memory::peak;
use super::{fail, succeed, weaverec};

const HIDDEN: usize = 1024;
const WIDE: usize = 4096;
const VOCABULARY: usize = 16384;

/// A made-up model in bf16, 34 MB for the embedding and as much for each layer: zeros, which take no place on the disk.
fn write_base(folder: &Path, layers: usize) -> u64 {
    fs::create_dir_all(folder).unwrap();
    let config = json!({
        "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": WIDE,
        "num_hidden_layers": layers, "num_attention_heads": 8, "num_key_value_heads": 8,
        "max_position_embeddings": 64, "tie_word_embeddings": true,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let info = |name: String, shape: &[usize]| TensorInfo {
        name: format!("{name}.weight"),
        element: Element::Bf16,
        shape: shape.to_vec(),
    };
    let mut infos = vec![
        info("model.embed_tokens".into(), &[VOCABULARY, HIDDEN]),
        info("model.norm".into(), &[HIDDEN]),
    ];
    for layer in 0..layers {
        for (name, shape) in [
            ("input_layernorm", &[HIDDEN][..]),
            ("post_attention_layernorm", &[HIDDEN]),
            ("self_attn.q_proj", &[HIDDEN, HIDDEN]),
            ("self_attn.k_proj", &[HIDDEN, HIDDEN]),
            ("self_attn.v_proj", &[HIDDEN, HIDDEN]),
            ("self_attn.o_proj", &[HIDDEN, HIDDEN]),
            ("mlp.gate_proj", &[WIDE, HIDDEN]),
            ("mlp.up_proj", &[WIDE, HIDDEN]),
            ("mlp.down_proj", &[HIDDEN, WIDE]),
        ] {
            infos.push(info(format!("model.layers.{layer}.{name}"), shape));
        }
    }
    let path = folder.join("model.safetensors");
    drop(TensorFile::create(&path, &infos).unwrap());
    let bytes: u64 = infos.iter().map(TensorInfo::bytes).sum();
    let header = fs::metadata(&path).unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(header + bytes)
        .unwrap();
    bytes
}

/// An adapter of rank 2 on two kinds of modules in every layer, all of whose values are this one.
fn write_adapter(folder: &Path, layers: usize, value: f32) {
    let config = LoraConfig {
        target_modules: TargetModules::Names(vec!["q_proj".into(), "down_proj".into()]),
        ..LoraConfig::new(2, 2.0)
    };
    let mut modules = std::collections::BTreeMap::new();
    for layer in 0..layers {
        for (name, input) in [("self_attn.q_proj", HIDDEN), ("mlp.down_proj", WIDE)] {
            let path = format!("model.layers.{layer}.{name}");
            let filled = |rows: usize, columns: usize| {
                Tensor::full(value, (rows, columns), &Device::Cpu)
                    .unwrap()
                    .contiguous()
                    .unwrap()
            };
            let module = LoraModule {
                a: filled(2, input),
                b: filled(HIDDEN, 2),
                scale: config.scale_for(&path),
            };
            modules.insert(path, module);
        }
    }
    Adapter::new(config, modules).save(folder).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_a_merge_into_a_base_does_not_grow_with_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let program = weaverec(at).get_program().to_str().unwrap().to_owned();
    let measured = [2, 8].map(|layers| {
        let place = |name: &str| at.join(format!("{name}-{layers}")).to_str().unwrap().to_owned();
        let (base, one, other, out) = (place("base"), place("one"), place("other"), place("out"));
        let bytes = write_base(Path::new(&base), layers);
        write_adapter(Path::new(&one), layers, 0.5);
        write_adapter(Path::new(&other), layers, 1.0);
        let merge = [
            &program,
            "merge",
            &one,
            &other,
            "--into-base",
            &base,
            "--shard-size",
            "60MB",
            "--out",
            &out,
        ];
        let peak = peak(&merge);
        let index: Value =
            serde_json::from_slice(&fs::read(Path::new(&out).join("model.safetensors.index.json")).unwrap())
                .unwrap();
        assert_eq!(index["metadata"]["total_size"], bytes);
        fs::remove_dir_all(&out).unwrap();
        (bytes, peak)
    });
    let [(_, small), (bytes, large)] = measured;
    let tensor = (VOCABULARY * HIDDEN * 2) as u64;
    assert!(
        large < tensor + (64 << 20),
        "{} MiB at the peak for {} MiB of weights",
        large >> 20,
        bytes >> 20
    );
    assert!(
        large < small + (16 << 20),
        "{} MiB at the peak, and {} MiB for a third of the weights",
        large >> 20,
        small >> 20
    );
}

#[test]
fn a_model_that_was_merged_into_is_verified_replaced_and_refused_when_it_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_base(&at.join("base"), 1);
    write_adapter(&at.join("one"), 1, 0.5);
    write_adapter(&at.join("other"), 1, 1.0);
    let merge = [
        "merge",
        "one",
        "other",
        "--into-base",
        "base",
        "--out",
        "model",
        "--shard-size",
    ];
    succeed(at, &[&merge[..], &["20MB"]].concat());
    assert!(at.join("model/model-00001-of-00003.safetensors").is_file());
    succeed(at, &["merge", "verify", "model"]);
    let (weights, _) = Weights::open(&at.join("model")).unwrap();
    let shape = [HIDDEN, HIDDEN];
    let q = weights
        .get("model.layers.0.self_attn.q_proj.weight", &shape)
        .unwrap();
    // Half of 2 · 0.5 · 0.5 and half of 2 · 1 · 1.
    assert_eq!(
        q.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        vec![1.25; HIDDEN * HIDDEN]
    );
    let k = weights
        .get("model.layers.0.self_attn.k_proj.weight", &shape)
        .unwrap();
    assert_eq!(
        k.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        vec![0.0; HIDDEN * HIDDEN]
    );

    // As one file in the place of several, of which none stays.
    succeed(at, &[&merge[..], &["5GB"]].concat());
    let names = fs::read_dir(at.join("model")).unwrap();
    let mut names: Vec<String> = names
        .map(|name| name.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["config.json", "merge.json", "model.safetensors"]);
    succeed(at, &["merge", "verify", "model"]);

    let error = fail(at, &[&merge[..], &["little"]].concat());
    assert!(error.contains("5GB"), "{error}");
    let plain = ["merge", "one", "other", "--out", "adapter", "--shard-size", "5GB"];
    assert!(fail(at, &plain).contains("--into-base"));

    let path = at.join("model/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] = 0x3f;
    fs::write(&path, bytes).unwrap();
    let error = fail(at, &["merge", "verify", "model"]);
    assert!(error.contains("was changed after it was merged"), "{error}");
}

#[test]
fn adapters_that_tie_what_they_train_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_base(&at.join("base"), 1);
    write_adapter(&at.join("one"), 1, 0.5);
    let path = at.join("one/adapter_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["ensure_weight_tying"] = true.into();
    config["modules_to_save"] = json!(["embed_tokens"]);
    fs::write(&path, config.to_string()).unwrap();
    let error = fail(at, &["merge", "one", "--into-base", "base", "--out", "model"]);
    assert!(
        error.contains("ensure_weight_tying") && !at.join("model").exists(),
        "{error}"
    );
}

#[test]
fn how_alike_adapters_are_is_told_as_a_table_as_json_and_as_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_adapter(&at.join("one"), 2, 0.5);
    write_adapter(&at.join("other"), 2, -1.0);
    let table = succeed(at, &["merge", "inspect", "one", "other", "--html", "alike.html"]);
    for part in ["one and other", "q_proj", "down_proj", "layer 1", "1.0000"] {
        assert!(table.contains(part), "{table}");
    }
    assert!(
        fs::read_to_string(at.join("alike.html"))
            .unwrap()
            .contains("down_proj")
    );
    let told = succeed(at, &["merge", "inspect", "one", "other", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["adapters"], json!(["one", "other"]));
    assert_eq!(told["modules"].as_array().unwrap().len(), 4);
    // All values of an update are the same: one direction, which is the other's too, since −1 · −1 is 1.
    let module = &told["modules"][0];
    assert_eq!(
        (&module["ranks"], &module["true_ranks"]),
        (&json!([2, 2]), &json!([1, 1]))
    );
    let pair = &module["pairs"][0];
    assert!((pair["cosine"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(pair["signs"]["opposite"], 0);
    let error = fail(at, &["merge", "inspect", "one", "nowhere"]);
    assert!(error.contains("nowhere"), "{error}");
    let error = fail(
        at,
        &[
            "merge",
            "inspect",
            "one",
            "other",
            "--html",
            "one/adapter_config.json",
        ],
    );
    assert!(error.contains("no page"), "{error}");
}
