//! Fixtures, and comparing logits.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use weaverec_model::backbone::{Decoder, DecoderConfig, Weights};
use weaverec_model::device::DeviceName;
use weaverec_model::lora::Adapter;
use weaverec_model::merge::fold;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/fixtures")
        .join(name)
}

/// A text, and the token ids that another tool gave it.
#[derive(Deserialize)]
pub struct TextAndIds {
    pub text: String,
    pub ids: Vec<u32>,
}

impl TextAndIds {
    pub fn read(name: &str) -> Vec<Self> {
        serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
    }
}

/// A model's file: the one that `variable` names, or the one in the cache.
pub fn downloaded(file: &str, variable: &str, name: &str) -> Option<PathBuf> {
    let found = match std::env::var_os(variable) {
        Some(path) => Some(PathBuf::from(path)),
        None => cache().and_then(|cache| search(&cache, file)),
    };
    if found.is_none() {
        eprintln!("skipped: no {file}; fetch it with `weaverec models fetch {name}`, or set {variable}");
    }
    found
}

/// Where `weaverec models fetch` keeps what it fetched.
fn cache() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let caches = || folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    folder("WEAVEREC_CACHE").or_else(|| caches().map(|caches| caches.join("weaverec/data")))
}

fn search(folder: &Path, file: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find_map(|path| match path.is_dir() {
            true => search(&path, file),
            false => path.file_name().is_some_and(|name| name == file).then_some(path),
        })
}

pub fn adapter(name: &str) -> Adapter {
    Adapter::load(&fixture(name)).unwrap()
}

/// Adapters that PEFT wrote, with the checkpoint that each belongs to.
pub const ADAPTERS: [(&str, &str); 8] = [
    ("adapter", "tied"),
    ("adapter-patterns", "tied"),
    ("adapter-regex", "tied"),
    ("adapter-all-linear", "untied"),
    ("adapter-layers", "tied"),
    ("adapter-whole", "untied"),
    ("adapter-whole-embedding", "tied"),
    ("adapter-whole-head", "tied"),
];

pub fn base() -> (Weights, DecoderConfig) {
    checkpoint("tied")
}

pub fn checkpoint(name: &str) -> (Weights, DecoderConfig) {
    Weights::open(&fixture(name)).unwrap()
}

/// The checkpoint with an adapter folded in.
pub fn folded(checkpoint: &(Weights, DecoderConfig), adapter: &Adapter) -> (Weights, DecoderConfig) {
    let (mut weights, mut config) = checkpoint.clone();
    fold(&mut weights, adapter, 1.0).unwrap();
    config.tie_word_embeddings &= !adapter.parts_head_from_embedding();
    (weights, config)
}

/// The device that `WEAVEREC_TEST_DEVICE` names; the CPU without it.
fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let open = || {
        let name = std::env::var("WEAVEREC_TEST_DEVICE").unwrap_or_else(|_| "cpu".into());
        name.parse::<DeviceName>().unwrap().open().unwrap()
    };
    DEVICE.get_or_init(open).clone()
}

pub fn decoder((weights, config): &(Weights, DecoderConfig)) -> Decoder {
    Decoder::new(weights, config, &device()).unwrap()
}

/// Input ids and the logits that another tool gave for them.
pub fn reference(file: &Path) -> (Vec<u32>, Vec<Vec<f32>>) {
    let tensors = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    let ids = tensors["input_ids"]
        .to_dtype(DType::U32)
        .unwrap()
        .to_vec1()
        .unwrap();
    (ids, rows(&tensors["logits"]))
}

pub fn rows(logits: &Tensor) -> Vec<Vec<f32>> {
    logits.to_dtype(DType::F32).unwrap().to_vec2().unwrap()
}

pub fn logits(decoder: &Decoder, ids: &[u32]) -> Vec<Vec<f32>> {
    rows(&decoder.logits(ids).unwrap())
}

/// The largest difference of two tables of logits.
pub fn difference(x: &[Vec<f32>], y: &[Vec<f32>]) -> f32 {
    assert_eq!(x.len(), y.len());
    let mut largest = 0.0f32;
    for (x, y) in x.iter().zip(y) {
        assert_eq!(x.len(), y.len());
        for (x, y) in x.iter().zip(y) {
            assert!(x.is_finite() && y.is_finite());
            largest = largest.max((x - y).abs());
        }
    }
    largest
}

#[track_caller]
pub fn assert_close(x: &[Vec<f32>], y: &[Vec<f32>], tolerance: f32) {
    let difference = difference(x, y);
    assert!(difference < tolerance, "logits differ by {difference}");
}
