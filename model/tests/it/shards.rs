//! Model folders as downloads leave them: shards with and without an index, whole, in part and with other things in their places.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use weaverec_model::backbone::Weights;

use crate::common::{checkpoint, fixture};

const INDEX: &str = "model.safetensors.index.json";

/// The tied checkpoint in three shards and its index.
fn sharded() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tensors = candle_core::safetensors::load(fixture("tied/model.safetensors"), &Device::Cpu).unwrap();
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort();
    let mut map = serde_json::Map::new();
    for (number, part) in (1..).zip(names.chunks(names.len().div_ceil(3))) {
        let file = format!("model-{number:05}-of-00003.safetensors");
        let shard: HashMap<String, Tensor> = part
            .iter()
            .map(|name| (name.to_string(), tensors[*name].clone()))
            .collect();
        candle_core::safetensors::save(&shard, folder.path().join(&file)).unwrap();
        part.iter().for_each(|name| {
            map.insert(name.to_string(), file.clone().into());
        });
    }
    let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
    std::fs::write(folder.path().join(INDEX), index.to_string()).unwrap();
    std::fs::copy(fixture("tied/config.json"), folder.path().join("config.json")).unwrap();
    folder
}

fn error(folder: &Path) -> String {
    Weights::open(folder).unwrap_err().to_string()
}

#[test]
fn shards_are_one_model_with_an_index_and_without() {
    let folder = sharded();
    let expected = checkpoint("tied").0.fingerprint().unwrap();
    let read = || Weights::open(folder.path()).unwrap().0.fingerprint().unwrap();
    assert_eq!(read(), expected);
    std::fs::remove_file(folder.path().join(INDEX)).unwrap();
    assert_eq!(read(), expected);
}

#[test]
fn shards_that_are_missing_are_named() {
    let folder = sharded();
    let shard = |number: usize| {
        folder
            .path()
            .join(format!("model-0000{number}-of-00003.safetensors"))
    };
    std::fs::remove_file(shard(2)).unwrap();
    let said = error(folder.path());
    for part in [INDEX, "1 of the 3 files", "model-00002-of-00003.safetensors"] {
        assert!(said.contains(part), "{said}");
    }
    std::fs::remove_file(folder.path().join(INDEX)).unwrap();
    let said = error(folder.path());
    assert!(
        said.contains("1 of 3 shards") && said.contains("model-00002-of-00003.safetensors"),
        "{said}"
    );
    std::fs::copy(shard(1), shard(2)).unwrap();
    let said = error(folder.path());
    assert!(said.contains("another shard too"), "{said}");
    std::fs::copy(shard(1), folder.path().join("model-00001-of-00002.safetensors")).unwrap();
    let said = error(folder.path());
    assert!(said.contains("two sets"), "{said}");
}

#[test]
fn an_index_that_does_not_fit_the_files_is_refused() {
    let folder = sharded();
    let index = folder.path().join(INDEX);
    let text = std::fs::read_to_string(&index).unwrap();
    for (from, to, word) in [
        ("model.norm.weight", "model.gone.weight", "model.gone.weight"),
        ("model-00001", "../model-00001", "no file of this folder"),
        ("weight_map", "weights", "weight_map"),
        ("{", "<html>{", "HTML"),
    ] {
        std::fs::write(&index, text.replace(from, to)).unwrap();
        let said = error(folder.path());
        assert!(said.contains(word) && said.contains(INDEX), "{said}");
    }
}

#[test]
fn what_lies_in_the_place_of_weights_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("tied/config.json"), folder.path().join("config.json")).unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, word) in [
        ("model.onnx", "another tool"),
        ("pytorch_model.bin", "save_pretrained"),
        ("weights.safetensors", "name it model.safetensors"),
    ] {
        std::fs::write(path(name), "x").unwrap();
        let said = error(folder.path());
        assert!(said.contains(name) && said.contains(word), "{said}");
    }
    let whole = std::fs::read(fixture("tied/model.safetensors")).unwrap();
    for (bytes, word) in [
        (&b""[..], "empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "git lfs pull",
        ),
        (b"<!doctype html><title>401</title>", "HTML"),
        (b"Entry not found", "refusal"),
        (b"GGUF\x03\0\0\0\0\0", "GGUF"),
        (&whole[..whole.len() / 2], "cut off"),
        (&whole[..100], "cut off"),
    ] {
        std::fs::write(path("model.safetensors"), bytes).unwrap();
        let said = error(folder.path());
        assert!(
            said.contains(word) && said.contains("model.safetensors"),
            "{said}"
        );
        std::fs::write(path("x.gguf"), bytes).unwrap();
        let said = error(&path("x.gguf"));
        assert!(said.contains("x.gguf"), "{said}");
    }
    let mut tensors =
        candle_core::safetensors::load(fixture("tied/model.safetensors"), &Device::Cpu).unwrap();
    let empty = Tensor::zeros(0, candle_core::DType::F32, &Device::Cpu).unwrap();
    tensors.insert("model.norm.weight".into(), empty);
    candle_core::safetensors::save(&tensors, path("model.safetensors")).unwrap();
    let (weights, config) = Weights::open(folder.path()).unwrap();
    let decoder = weaverec_model::backbone::Decoder::new(&weights, &config, &Device::Cpu);
    let said = decoder.unwrap_err().to_string();
    assert!(
        said.contains("model.norm.weight") && said.contains("had not gathered"),
        "{said}"
    );
    let numbers = Tensor::zeros((2, 2), candle_core::DType::U8, &Device::Cpu).unwrap();
    tensors.insert("model.layers.0.mlp.up_proj.qweight".into(), numbers);
    candle_core::safetensors::save(&tensors, path("model.safetensors")).unwrap();
    let said = error(folder.path());
    assert!(said.contains("qweight") && said.contains("quantised"), "{said}");
}

#[test]
fn other_folders_and_other_models_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(error(folder.path()).contains("no files here"));
    let inner = path("snapshots/0123");
    std::fs::create_dir_all(&inner).unwrap();
    std::fs::write(inner.join("config.json"), "{}").unwrap();
    assert!(error(folder.path()).contains("snapshots/0123"));
    std::fs::write(path("README.md"), "x").unwrap();
    std::fs::remove_dir_all(path("snapshots")).unwrap();
    assert!(error(folder.path()).contains("no config.json"));
    std::fs::write(path("adapter_config.json"), "{}").unwrap();
    assert!(error(folder.path()).contains("an adapter's folder"));
    for (bytes, word) in [
        ("", "empty"),
        ("version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("<!DOCTYPE html>", "HTML"),
        (
            r#"{"model_type": "mamba"}"#,
            "\"mamba\" is not implemented; take a model of type llama",
        ),
        (
            r#"{"model_type": "llama", "quantization_config": {"quant_method": "awq"}}"#,
            "awq",
        ),
        (r#"{"model_type": "llama"}"#, "missing field"),
    ] {
        std::fs::write(path("config.json"), bytes).unwrap();
        let said = error(folder.path());
        assert!(said.contains(word) && said.contains("config.json"), "{said}");
        let said = Weights::config(folder.path()).unwrap_err().to_string();
        assert!(said.contains(word), "{said}");
    }
}
