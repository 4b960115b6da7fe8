//! What is written from file to file is what is folded in memory.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use half::bf16;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::shards::TensorFile;
use super::*;
use crate::backbone::{DecoderConfig, Weights};
use crate::lora::config::TargetModules;
use crate::lora::{Adapter, LoraConfig, LoraModule};
use crate::merge::align::{Aligned, Member};
use crate::merge::draw::Seeded;
use crate::merge::recipe::Recipe;
use crate::merge::rule::Rule;
use crate::merge::run::Run;

const Q: &str = "model.layers.0.self_attn.q_proj";
const UP: &str = "model.layers.1.mlp.up_proj";
const EMBEDDING: &str = "model.embed_tokens";
const HEAD: &str = "lm_head";
const NORM: &str = "model.norm";

fn shape(module: &str) -> Vec<usize> {
    match module {
        Q => vec![48, 48],
        UP => vec![100, 48],
        NORM => vec![48],
        _ => vec![40, 48],
    }
}

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// A tied base of two layers with these modules, each stored as it says.
fn write_base(folder: &Path, modules: &[(&str, Element)]) {
    std::fs::create_dir_all(folder).unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 40, "hidden_size": 48,
        "intermediate_size": 100, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 1,
        "max_position_embeddings": 64, "tie_word_embeddings": true, "of_another_tool": [1, 2],
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer.json"), "{}").unwrap();
    std::fs::write(folder.join("README.md"), "of the base").unwrap();
    let infos: Vec<TensorInfo> = modules
        .iter()
        .map(|(module, element)| TensorInfo {
            name: format!("{module}.weight"),
            element: *element,
            shape: shape(module),
        })
        .collect();
    let mut file = TensorFile::create(&folder.join("model.safetensors"), &infos).unwrap();
    for (seed, info) in (1..).zip(&infos) {
        file.begin(&info.name).unwrap();
        let values = numbers(seed, info.shape.iter().product());
        let mut bytes = Vec::new();
        info.element.of_f32(&values, &mut bytes);
        file.write(&bytes).unwrap();
    }
    file.finish().unwrap();
}

fn all(element: Element) -> [(&'static str, Element); 4] {
    [EMBEDDING, Q, UP, NORM].map(|module| (module, element))
}

fn adapter(seed: u64, rank: usize, modules: &[&str]) -> Adapter {
    let config = LoraConfig {
        target_modules: TargetModules::Names(modules.iter().map(|name| name.to_string()).collect()),
        ..LoraConfig::new(rank, 3.0)
    };
    let factor = |seed: u64, rows: usize, columns: usize| {
        Tensor::from_vec(numbers(seed, rows * columns), (rows, columns), &Device::Cpu).unwrap()
    };
    let module = |(place, name): (u64, &&str)| {
        let [out, input] = shape(name)[..] else {
            panic!("{name}")
        };
        let module = LoraModule {
            a: factor(100 * seed + place, rank, input),
            b: factor(200 * seed + place, out, rank),
            scale: config.scale_for(name),
        };
        (name.to_string(), module)
    };
    let modules = (1..).zip(modules).map(module).collect();
    Adapter::new(config.clone(), modules)
}

fn rule(name: &str, settings: Value) -> Rule {
    let Value::Object(settings) = settings else {
        panic!("{settings}")
    };
    Recipe::rule(name, settings).unwrap()
}

fn aligned<'a>(adapters: &'a [Adapter], weight: f64) -> Aligned<'a> {
    let members = adapters.iter().map(|adapter| Member::weighing(adapter, weight));
    Aligned::new(members.collect()).unwrap()
}

const DRAWS: Seeded = Seeded(3);

fn run(rule: &Rule) -> Run<'_> {
    Run {
        rule,
        rank: None,
        draws: &DRAWS,
    }
}

/// Folds into files of at most so many bytes, as the command does.
fn write(folding: &Folding, base: &BaseModel, out: &Path, most: u64) -> Folded {
    std::fs::create_dir_all(out).unwrap();
    let mut shards = Shards::new(out, folding.tensors(), most).unwrap();
    let folded = folding.write(&mut shards).unwrap();
    shards.finish().unwrap();
    assert!(base.copy_companions(out, folding.parts_head()).unwrap());
    folded
}

fn values(weights: &Weights, module: &str) -> Vec<f32> {
    let tensor = weights.get(&format!("{module}.weight"), &shape(module)).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn place(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

#[test]
fn a_model_in_f32_has_the_same_numbers_as_one_that_is_folded_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "base");
    write_base(&path, &all(Element::F32));
    let base = BaseModel::open(&path).unwrap();
    let adapters = [adapter(1, 2, &[Q, UP]), adapter(2, 5, &[Q])];
    for (name, settings) in [
        ("cat", json!({})),
        ("tsv_m", json!({})),
        ("ties", json!({"density": 0.5})),
        ("dare_linear", json!({"density": 0.5})),
    ] {
        let rule = rule(name, settings);
        let members = aligned(&adapters, 0.7);
        let (mut weights, _) = Weights::open(&path).unwrap();
        let before = weights.fingerprint().unwrap();
        let reports = run(&rule).into_base(&members, &mut weights).unwrap();
        let folding = run(&rule).into_files(&members, &base).unwrap();
        let out = place(&folder, name);
        let folded = write(&folding, &base, &out, SHARD_BYTES);
        assert_eq!(folded.base, before);
        assert_eq!(folded.result, weights.fingerprint().unwrap(), "{name}");
        assert_eq!((folded.modules, folded.rounded), (reports, 0.0));
        let (again, _) = Weights::open(&out).unwrap();
        assert_eq!(again.fingerprint().unwrap(), folded.result);
        assert_eq!(
            BaseModel::open(&out).unwrap().fingerprint().unwrap(),
            folded.result
        );
        // In blocks of 16 rows the products are the same, up to their last bits.
        let folding = run(&rule)
            .into_files(&members, &base)
            .unwrap()
            .in_blocks_of(48 * 16);
        let out = place(&folder, "blocks");
        write(&folding, &base, &out, SHARD_BYTES);
        let (blocks, _) = Weights::open(&out).unwrap();
        for module in [EMBEDDING, Q, UP, NORM] {
            let (one, other) = (values(&blocks, module), values(&weights, module));
            let near = one
                .iter()
                .zip(&other)
                .all(|(one, other)| (one - other).abs() < 1e-5);
            assert!(near, "{name}: {module}");
        }
    }
}

#[test]
fn every_tensor_keeps_its_type_and_a_sum_is_rounded_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "base");
    write_base(
        &path,
        &[
            (EMBEDDING, Element::F16),
            (Q, Element::Bf16),
            (UP, Element::F64),
            (NORM, Element::F32),
        ],
    );
    let base = BaseModel::open(&path).unwrap();
    let adapters = [adapter(1, 2, &[Q, UP])];
    let cat = rule("cat", json!({}));
    let members = aligned(&adapters, 1.0);
    let out = place(&folder, "out");
    let folded = write(
        &run(&cat).into_files(&members, &base).unwrap(),
        &base,
        &out,
        SHARD_BYTES,
    );
    let result = BaseModel::open(&out).unwrap();
    for name in base.names() {
        assert_eq!(result.tensor(name), base.tensor(name));
    }
    let (mut weights, _) = Weights::open(&path).unwrap();
    let (was, _) = Weights::open(&path).unwrap();
    run(&cat).into_base(&members, &mut weights).unwrap();
    let (written, _) = Weights::open(&out).unwrap();
    let rounded: Vec<f32> = values(&weights, Q)
        .into_iter()
        .map(|sum| bf16::from_f32(sum).to_f32())
        .collect();
    assert_eq!(values(&written, Q), rounded);
    let changes = values(&weights, Q).into_iter().zip(&rounded);
    let off: f64 = changes
        .map(|(sum, rounded)| f64::from(sum - rounded).powi(2))
        .sum();
    assert!((folded.rounded / off.sqrt() - 1.0).abs() < 1e-6);
    assert_eq!(values(&written, EMBEDDING), values(&was, EMBEDDING));
    assert_eq!(values(&written, UP).len(), 4800);
    assert_ne!(values(&written, UP), values(&was, UP));
}

#[test]
fn a_model_of_several_files_has_an_index_and_is_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "base");
    write_base(&path, &all(Element::Bf16));
    let base = BaseModel::open(&path).unwrap();
    let adapters = [adapter(1, 2, &[Q, UP])];
    let cat = rule("cat", json!({}));
    let members = aligned(&adapters, 1.0);
    let folding = run(&cat).into_files(&members, &base).unwrap();
    let (one, several) = (place(&folder, "one"), place(&folder, "several"));
    let whole = write(&folding, &base, &one, SHARD_BYTES);
    // The embedding has 3840 bytes, Q 4608, UP 9600 and the norm 96.
    let parts = write(&folding, &base, &several, 9_000);
    assert_eq!(whole.result, parts.result);
    assert!(one.join("model.safetensors").is_file() && !one.join("model.safetensors.index.json").exists());
    let index: Value =
        serde_json::from_slice(&std::fs::read(several.join("model.safetensors.index.json")).unwrap())
            .unwrap();
    let map: BTreeMap<String, String> = serde_json::from_value(index["weight_map"].clone()).unwrap();
    let file = |number: usize| format!("model-{number:05}-of-00003.safetensors");
    let expected = [(EMBEDDING, 1), (Q, 1), (UP, 2), (NORM, 3)];
    let expected = expected.map(|(module, number)| (format!("{module}.weight"), file(number)));
    assert_eq!(map, expected.into());
    assert_eq!(index["metadata"]["total_size"], 3840 + 4608 + 9600 + 96);
    assert_eq!(
        index["metadata"]["total_parameters"],
        (3840 + 4608 + 9600 + 96) / 2
    );
    for out in [&one, &several] {
        let (weights, config) = Weights::open(out).unwrap();
        assert_eq!(weights.fingerprint().unwrap(), whole.result);
        assert!(config.tie_word_embeddings);
        assert!(out.join("tokenizer.json").is_file() && !out.join("README.md").exists());
        let bytes = |folder: &Path| std::fs::read(folder.join("config.json")).unwrap();
        assert_eq!(bytes(out), bytes(&path), "nothing of the configuration changes");
        let names = std::fs::read_dir(out).unwrap();
        for name in names {
            assert!(companions::is_part(name.unwrap().file_name().to_str().unwrap()));
        }
    }
}

#[test]
fn a_tied_head_that_is_changed_alone_becomes_a_tensor_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let cat = rule("cat", json!({}));
    let adapters = [adapter(1, 2, &[Q, HEAD])];
    let members = aligned(&adapters, 1.0);
    // A head in the file of a tied base is read by nobody, and nothing of it may come into the result.
    let stale = [&all(Element::F32)[..], &[(HEAD, Element::F32)]].concat();
    for (name, modules) in [("plain", &all(Element::F32)[..]), ("stale", &stale)] {
        let path = place(&folder, name);
        write_base(&path, modules);
        let base = BaseModel::open(&path).unwrap();
        let (mut weights, _) = Weights::open(&path).unwrap();
        let before = weights.fingerprint().unwrap();
        let embedding = weights
            .get(&format!("{EMBEDDING}.weight"), &shape(EMBEDDING))
            .unwrap();
        if name == "stale" {
            weights.replace("lm_head.weight", embedding).unwrap();
        }
        run(&cat).into_base(&members, &mut weights).unwrap();
        let folding = run(&cat).into_files(&members, &base).unwrap();
        assert!(folding.parts_head());
        let out = place(&folder, &format!("{name}-out"));
        let folded = write(&folding, &base, &out, SHARD_BYTES);
        assert_eq!(
            (folded.base, folded.result),
            (before, weights.fingerprint().unwrap()),
            "{name}"
        );
        let config = Weights::config(&out).unwrap();
        assert!(!config.tie_word_embeddings);
        let written: Value =
            serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
        assert_eq!(written["of_another_tool"], json!([1, 2]));
    }
}

#[test]
fn modules_stored_whole_take_the_base_s_place_and_part_the_head_from_the_embedding() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "base");
    write_base(&path, &all(Element::F32));
    let base = BaseModel::open(&path).unwrap();
    let adapters = [1, 2].map(|seed| {
        let mut adapter = adapter(seed, 2, &[Q]);
        let whole = Tensor::from_vec(numbers(70 + seed, 40 * 48), (40, 48), &Device::Cpu).unwrap();
        adapter.saved.insert(EMBEDDING.into(), whole);
        adapter.config.modules_to_save = Some(vec!["embed_tokens".into()]);
        adapter
    });
    let members = aligned(&adapters, 0.5);
    let (cat, ties) = (rule("cat", json!({})), rule("ties", json!({})));
    let (mut weights, _) = Weights::open(&path).unwrap();
    run(&cat).into_base(&members, &mut weights).unwrap();
    let out = place(&folder, "out");
    let folded = write(
        &run(&cat).into_files(&members, &base).unwrap(),
        &base,
        &out,
        SHARD_BYTES,
    );
    assert_eq!(folded.result, weights.fingerprint().unwrap());
    let (written, config) = Weights::open(&out).unwrap();
    let (was, _) = Weights::open(&path).unwrap();
    assert!(!config.tie_word_embeddings);
    assert_eq!(values(&written, HEAD), values(&was, EMBEDDING));
    assert_ne!(values(&written, EMBEDDING), values(&was, EMBEDDING));
    let error = run(&ties).into_files(&members, &base).unwrap_err().to_string();
    assert!(error.contains("stored whole"), "{error}");
}

#[test]
fn a_base_that_does_not_fit_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "base");
    let cat = rule("cat", json!({}));
    write_base(
        &path,
        &[(EMBEDDING, Element::F32), (Q, Element::F32), (NORM, Element::F32)],
    );
    let base = BaseModel::open(&path).unwrap();
    let adapters = [adapter(1, 2, &[Q, UP])];
    let members = aligned(&adapters, 1.0);
    let error = run(&cat).into_files(&members, &base).unwrap_err().to_string();
    assert!(error.contains(UP) && error.contains("another base"), "{error}");
    let mut wide = adapter(1, 2, &[Q]);
    wide.saved.insert(
        EMBEDDING.into(),
        Tensor::from_vec(numbers(1, 41 * 48), (41, 48), &Device::Cpu).unwrap(),
    );
    wide.config.modules_to_save = Some(vec!["embed_tokens".into()]);
    let wide = [wide];
    let members = aligned(&wide, 1.0);
    let error = run(&cat).into_files(&members, &base).unwrap_err().to_string();
    assert!(
        error.contains("[40, 48]") && error.contains("[41, 48]"),
        "{error}"
    );
    let mut copied = adapter(1, 2, &[Q]);
    let copy = Tensor::from_vec(numbers(9, 40 * 48), (40, 48), &Device::Cpu).unwrap();
    copied.copies.insert(EMBEDDING.into(), copy);
    let copied = [copied];
    let members = aligned(&copied, 1.0);
    let error = run(&cat).into_files(&members, &base).unwrap_err().to_string();
    assert!(error.contains("others than the base's"), "{error}");
}

#[test]
fn a_sum_that_f16_cannot_hold_is_an_error_and_no_infinity() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "base");
    write_base(&path, &all(Element::F16));
    let base = BaseModel::open(&path).unwrap();
    let adapters = [adapter(1, 2, &[Q])];
    let cat = rule("cat", json!({}));
    let members = aligned(&adapters, 1e6);
    let folding = run(&cat).into_files(&members, &base).unwrap();
    let error = folding.write(&mut Nowhere).unwrap_err().to_string();
    assert!(error.contains(Q) && error.contains("f16"), "{error}");
}

#[test]
fn what_is_known_of_a_base_is_what_its_weights_in_memory_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder, "base");
    write_base(&path, &all(Element::Bf16));
    let base = BaseModel::open(&path).unwrap();
    let (weights, _): (Weights, DecoderConfig) = Weights::open(&path).unwrap();
    let precision = crate::backbone::Precision::F32;
    assert_eq!(base.identity("x").unwrap(), weights.base("x", precision).unwrap());
}

#[test]
fn a_file_is_whole_only_with_every_byte_of_every_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let info = |name: &str, element, shape: &[usize]| TensorInfo {
        name: name.into(),
        element,
        shape: shape.to_vec(),
    };
    // An odd number of narrow values: wider ones would begin where they may not, were they behind it.
    let infos = [info("a", Element::Bf16, &[3]), info("b", Element::F32, &[2])];
    let path = folder.path().join("x.safetensors");
    let mut file = TensorFile::create(&path, &infos).unwrap();
    file.begin("a").unwrap();
    file.write(&[1, 2, 3, 4]).unwrap();
    assert!(
        file.finish()
            .unwrap_err()
            .to_string()
            .contains("4 of the 6 bytes of a")
    );
    let mut file = TensorFile::create(&path, &infos).unwrap();
    file.begin("b").unwrap();
    assert!(
        file.write(&[0; 9])
            .unwrap_err()
            .to_string()
            .contains("more bytes than b")
    );
    assert!(file.begin("d").is_err());
    file.begin("a").unwrap();
    file.write(&[0x80, 0x3f, 0, 0]).unwrap();
    file.begin("b").unwrap();
    file.write(&[1.5f32.to_le_bytes(), 2.5f32.to_le_bytes()].concat())
        .unwrap();
    // The rest of the first, after another.
    file.begin("a").unwrap();
    file.write(&[0x80, 0xbf]).unwrap();
    file.finish().unwrap();
    let read: HashMap<String, Tensor> = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let values = |name: &str| {
        let tensor = read[name].to_dtype(candle_core::DType::F32).unwrap();
        tensor.to_vec1::<f32>().unwrap()
    };
    assert_eq!((values("a"), values("b")), (vec![1.0, 0.0, -1.0], vec![1.5, 2.5]));
    let bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert_eq!(header % 8, 0);
    let header: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    assert_eq!(header["b"]["data_offsets"], json!([0, 8]));
    assert_eq!(header["a"]["data_offsets"], json!([8, 14]));
    let mut shards = Shards::new(folder.path(), infos.to_vec(), 6).unwrap();
    assert_eq!(shards.files().count(), 2);
    shards.begin("a").unwrap();
    shards.write(&[0; 6]).unwrap();
    assert!(shards.finish().unwrap_err().to_string().contains("00002"));
}
