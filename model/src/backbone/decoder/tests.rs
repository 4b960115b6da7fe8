//! A tiny decoder for tests, and what folding, packing and refusing come to on it.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::backbone::Family;
use crate::op::mix;

/// A decoder of two layers with values far from those of training, so that nothing is accidentally small.
pub(crate) fn tiny() -> Decoder {
    let config = DecoderConfig {
        family: Family::Llama,
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
        gemma3: None,
    };
    Decoder::from_parameters(&config, |name, shape| Ok(random(name, shape, 0.35))).unwrap()
}

fn random(name: &str, shape: &[usize], size: f32) -> Tensor {
    let key = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    let count: usize = shape.iter().product();
    let unit = |i| (mix(key ^ mix(i as u64)) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let around = if shape.len() == 1 { 1.0 } else { 0.0 };
    let values: Vec<f32> = (0..count).map(|i| around + size * unit(i)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// An adapter for [`tiny`] with random factors on every module.
pub(crate) fn random_adapter(name: &str, rank: usize) -> Adapter {
    let modules = tiny()
        .modules()
        .into_iter()
        .map(|(module, (out, input))| {
            let factor =
                |part: &str, shape: [usize; 2]| random(&format!("{name}{module}{part}"), &shape, 0.3);
            let (a, b) = (factor("a", [rank, input]), factor("b", [out, rank]));
            (module, crate::lora::LoraModule { a, b, scale: 2.0 })
        })
        .collect();
    Adapter {
        config: crate::lora::LoraConfig::new(rank, 2.0 * rank as f64),
        modules,
        saved: Default::default(),
    }
}

fn assert_same_logits(a: &Decoder, b: &Decoder) {
    let tokens = [1u32, 5, 2, 12, 7];
    let flat = |d: &Decoder| {
        d.logits(&tokens)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
    };
    for (x, y) in flat(a).into_iter().zip(flat(b)) {
        assert!((x - y).abs() < 1e-4 * (1.0 + y.abs()), "{x} {y}");
    }
}

#[test]
fn a_folded_adapter_gives_the_logits_of_the_adapter_beside_the_base() {
    let adapter = random_adapter("one", 3);
    assert_same_logits(
        &tiny().folded(&adapter).unwrap(),
        &tiny().with_adapter(&adapter).unwrap(),
    );
}

#[test]
fn folding_the_uniform_merge_equals_adding_the_mean_of_the_deltas() {
    let (one, two) = (random_adapter("one", 3), random_adapter("two", 5));
    let merged = crate::merge::uniform(&[&one, &two]).unwrap();
    let half = |mut adapter: Adapter| {
        adapter.modules.values_mut().for_each(|m| m.scale *= 0.5);
        adapter
    };
    let added = tiny().folded(&half(one)).unwrap().folded(&half(two)).unwrap();
    assert_same_logits(&tiny().folded(&merged).unwrap(), &added);
}

#[test]
fn an_adapter_of_another_base_is_refused() {
    let mut adapter = random_adapter("one", 3);
    let module = adapter.modules.remove("model.layers.1.mlp.up_proj").unwrap();
    adapter
        .modules
        .insert("model.layers.2.mlp.up_proj".into(), module);
    let error = tiny().with_adapter(&adapter).unwrap_err().to_string();
    assert!(error.contains("model.layers.2.mlp.up_proj"), "{error}");
    let mut narrow = random_adapter("one", 3);
    let module = narrow.modules["model.layers.0.mlp.down_proj"].clone();
    narrow.modules.insert("model.layers.0.mlp.up_proj".into(), module);
    assert!(tiny().with_adapter(&narrow).is_err());
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
