//! Fixtures, and comparing logits.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use candle_core::{DType, Device, Tensor};
use weaverec_model::backbone::{Decoder, DecoderConfig, Weights};
use weaverec_model::device::DeviceName;
use weaverec_model::lora::Adapter;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/fixtures")
        .join(name)
}

pub fn adapter(name: &str) -> Adapter {
    Adapter::load(&fixture(name)).unwrap()
}

pub fn base() -> (Weights, DecoderConfig) {
    Weights::open(&fixture("tied")).unwrap()
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
