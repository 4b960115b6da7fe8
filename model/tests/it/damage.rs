//! Bytes changed at seeded places, in everything that is read of a model or an adapter: an error that names the file, or a value, and no
//! panic.

use std::path::Path;

use weaverec_model::backbone::{Decoder, Weights};
use weaverec_model::lora::Adapter;

use crate::common::fixture;

/// A stream of numbers that is the same in every run (Marsaglia's xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Bytes with one to three changes: another value, a piece gone, a piece twice, a token that a format gives meaning to, an end too early.
fn damaged(whole: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const TOKENS: [&str; 12] = [
        "null",
        "-1",
        "1e999",
        "{}",
        "[]",
        "\"\"",
        "NaN",
        "18446744073709551616",
        "true",
        "\\ud800",
        "(",
        "\0",
    ];
    let mut bytes = whole.to_vec();
    for _ in 0..1 + numbers.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = numbers.below(bytes.len());
        let end = (at + 1 + numbers.below(40)).min(bytes.len());
        match numbers.below(5) {
            0 => bytes[at] = numbers.below(256) as u8,
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => drop(bytes.splice(at..end, TOKENS[numbers.below(TOKENS.len())].bytes())),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// Reads a copy of a folder over and over with one of its files damaged.
fn survives(folder: &str, file: &str, tries: usize, read: impl Fn(&Path) -> Result<(), String>) {
    let place = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture(folder)).unwrap() {
        let from = entry.unwrap().path();
        std::fs::copy(&from, place.path().join(from.file_name().unwrap())).unwrap();
    }
    let whole = std::fs::read(fixture(folder).join(file)).unwrap();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut refused = 0;
    for number in 0..tries {
        std::fs::write(place.path().join(file), damaged(&whole, &mut numbers)).unwrap();
        if let Err(error) = read(place.path()) {
            refused += 1;
            let named = error.contains(file) || error.contains(&*place.path().to_string_lossy());
            assert!(named, "try {number} of {folder}/{file}: {error}");
        }
    }
    assert!(
        refused > tries / 4,
        "{folder}/{file}: {refused} of {tries} were refused"
    );
}

fn adapter(folder: &Path) -> Result<(), String> {
    let adapter = Adapter::load(folder).map_err(|e| e.to_string())?;
    assert!(!adapter.modules.is_empty());
    Ok(())
}

fn model(folder: &Path) -> Result<(), String> {
    let (weights, config) = Weights::open(folder).map_err(|e| e.to_string())?;
    // Sizes that are believed must still be those of the tensors.
    if config.num_hidden_layers < 1000 {
        let _ = Decoder::new(&weights, &config, &candle_core::Device::Cpu);
    }
    Ok(())
}

#[test]
fn damaged_settings_of_adapters_are_errors_that_name_them() {
    for name in [
        "adapter",
        "adapter-patterns",
        "adapter-regex",
        "adapter-layers",
        "adapter-whole",
    ] {
        survives(name, "adapter_config.json", 300, adapter);
    }
}

#[test]
fn damaged_factors_are_errors_that_name_their_file() {
    for name in ["adapter", "adapter-whole"] {
        survives(name, "adapter_model.safetensors", 300, adapter);
    }
}

#[test]
fn damaged_configurations_of_models_are_errors_that_name_them() {
    for name in ["tied", "untied", "qwen2", "qwen3", "gemma3"] {
        survives(name, "config.json", 300, model);
    }
}

#[test]
fn damaged_weights_are_errors_that_name_their_file() {
    survives("tied", "model.safetensors", 200, model);
}
