//! A tiny decoder for tests, and what packing, caching and refusing come to on it.
#![allow(clippy::unwrap_used)]

use super::*;
use std::collections::HashMap;

use crate::backbone::{Family, Gemma3};
use crate::op::composed::tests::{on_every_device, test_device};
use crate::op::mix;

/// A decoder of two layers with values far from those of training, so that nothing is accidentally small; where the tests run.
pub(crate) fn tiny() -> Decoder {
    tiny_on(&test_device())
}

/// The same on a device.
pub(crate) fn tiny_on(device: &Device) -> Decoder {
    tiny_of(Family::Llama, device)
}

pub(crate) fn tiny_of(family: Family, device: &Device) -> Decoder {
    let config = config_of(family);
    Decoder::from_parameters(&config, |name, shape| {
        Ok(random(name, shape, 0.35).to_device(device)?)
    })
    .unwrap()
}

pub(crate) fn config_of(family: Family) -> DecoderConfig {
    DecoderConfig {
        family,
        vocab_size: 13,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: None,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
        bos_token_id: None,
        eos_token_ids: vec![0],
        gemma3: (family == Family::Gemma3).then(|| Gemma3 {
            query_pre_attn_scalar: 6,
            sliding_window: 3,
            full_attention: vec![false, true],
            local_rope_theta: 100.0,
        }),
    }
}

/// Weights of a Llama whose rows hold two and three blocks of 32 values.
pub(crate) fn weights_of_whole_blocks() -> (Weights, DecoderConfig) {
    let config = DecoderConfig {
        hidden_size: 64,
        intermediate_size: 96,
        ..config_of(Family::Llama)
    };
    let tensors = std::cell::RefCell::new(HashMap::new());
    Decoder::from_parameters(&config, |name, shape| {
        let tensor = random(name, shape, 0.2);
        tensors.borrow_mut().insert(name.to_string(), tensor.clone());
        Ok(tensor)
    })
    .unwrap();
    (Weights::from_tensors(tensors.into_inner()), config)
}

pub(crate) fn random(name: &str, shape: &[usize], size: f32) -> Tensor {
    let key = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    let count: usize = shape.iter().product();
    let unit = |i| (mix(key ^ mix(i as u64)) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let around = if shape.len() == 1 { 1.0 } else { 0.0 };
    let values: Vec<f32> = (0..count).map(|i| around + size * unit(i)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

#[test]
fn packing_changes_no_hidden_state() {
    let (a, b): (&[u32], &[u32]) = (&[1, 2, 3, 4], &[9, 8]);
    let packed = tiny()
        .hidden(&Pass::sequences([a, b]))
        .unwrap()
        .to_vec2::<f32>()
        .unwrap();
    let alone = tiny()
        .hidden(&Pass::sequences([b]))
        .unwrap()
        .to_vec2::<f32>()
        .unwrap();
    for (x, y) in packed[4..].iter().flatten().zip(alone.iter().flatten()) {
        assert!((x - y).abs() < 1e-5);
    }
}

#[test]
fn a_token_outside_the_vocabulary_is_an_error() {
    assert!(
        tiny()
            .logits(&[13])
            .unwrap_err()
            .to_string()
            .contains("tokenizer")
    );
}

pub(crate) const FAMILIES: [Family; 4] = [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3];

/// Two texts of different lengths.
pub(crate) const TEXTS: [&[u32]; 2] = [&[1, 5, 2, 12, 7, 3, 3], &[4, 9, 8]];

pub(crate) fn flat(t: &Tensor) -> Vec<f32> {
    let t = t.to_dtype(DType::F32).unwrap();
    t.flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn assert_near(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < tolerance * (1.0 + b.abs()), "{a} {b}");
    }
}

#[test]
fn a_pass_over_a_cache_is_the_same_on_every_device() {
    for family in FAMILIES {
        on_every_device(|device| {
            let decoder = tiny_of(family, device);
            let whole = flat(&decoder.hidden(&Pass::sequences([TEXTS[0]])).unwrap());
            let (_, mut cache) = decoder
                .hidden_and_cache(&Pass::sequences([&TEXTS[0][..4]]), None)
                .unwrap();
            let mut last = Vec::new();
            for next in [4..5, 5..7] {
                let pass = Pass::continuing([(&TEXTS[0][next], 0..cache.rows())]);
                let (hidden, rows) = decoder.hidden_and_cache(&pass, Some(&cache)).unwrap();
                cache.append(rows).unwrap();
                last = flat(&hidden);
            }
            assert_near(&last, &whole[5 * 16..], 1e-4);
        });
    }
}

/// Weights of [`tiny_of`] in memory.
pub(crate) fn weights_of(family: Family) -> Weights {
    let tensors = std::cell::RefCell::new(HashMap::new());
    Decoder::from_parameters(&config_of(family), |name, shape| {
        let tensor = random(name, shape, 0.35);
        tensors.borrow_mut().insert(name.to_string(), tensor.clone());
        Ok(tensor)
    })
    .unwrap();
    Weights::from_tensors(tensors.into_inner())
}
