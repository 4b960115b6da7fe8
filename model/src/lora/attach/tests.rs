//! What folding, refusing and training come to on a tiny decoder.
#![allow(clippy::unwrap_used)]

use candle_core::Device;

use super::*;
use crate::backbone::decoder::tests::{
    FAMILIES, TEXTS, assert_near, config_of, flat, random, tiny, tiny_of, weights_of,
};
use crate::backbone::{Family, Pass};
use crate::device::Arithmetic;
use crate::lora::{LoraConfig, LoraModule, TrainableLora};
use crate::op::composed::tests::{on_every_device, with_fused};
use crate::op::{cross_entropy, linear, with_composed};

/// An adapter for [`tiny`] with random factors on every module.
pub(crate) fn random_adapter(name: &str, rank: usize) -> Adapter {
    let modules = tiny()
        .modules()
        .into_iter()
        .map(|(module, (out, input))| {
            let factor =
                |part: &str, shape: [usize; 2]| random(&format!("{name}{module}{part}"), &shape, 0.3);
            let (a, b) = (factor("a", [rank, input]), factor("b", [out, rank]));
            (module, LoraModule { a, b, scale: 2.0 })
        })
        .collect();
    Adapter::new(LoraConfig::new(rank, 2.0 * rank as f64), modules)
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
fn factors_of_the_head_are_added_to_it_and_leave_the_embedding_it_was_tied_to() {
    let mut adapter = random_adapter("one", 3);
    let plain = flat(&tiny().with_adapter(&adapter).unwrap().logits(TEXTS[0]).unwrap());
    let factor = |part: &str, shape: [usize; 2]| random(part, &shape, 0.3);
    let module = LoraModule {
        a: factor("a", [3, 16]),
        b: factor("b", [13, 3]),
        scale: 2.0,
    };
    adapter.modules.insert(HEAD.into(), module.clone());
    let with = tiny().with_adapter(&adapter).unwrap();
    let beside = flat(&with.logits(TEXTS[0]).unwrap());
    assert_near(
        &flat(&tiny().folded(&adapter).unwrap().logits(TEXTS[0]).unwrap()),
        &beside,
        1e-4,
    );
    assert!(plain.iter().zip(&beside).any(|(a, b)| (a - b).abs() > 1e-2));
    // The head reads what the blocks say, and they say what they said.
    let hidden = with.hidden(&Pass::sequences([TEXTS[0]])).unwrap();
    let added = linear(
        &hidden,
        &module.delta().unwrap().to_device(with.device()).unwrap(),
        None,
    )
    .unwrap();
    let sum: Vec<f32> = plain.iter().zip(flat(&added)).map(|(a, b)| a + b).collect();
    assert_near(&beside, &sum, 1e-4);
    let narrow = adapter.modules["model.layers.0.mlp.down_proj"].clone();
    adapter.modules.insert(HEAD.into(), narrow);
    let error = tiny().with_adapter(&adapter).unwrap_err().to_string();
    assert!(error.contains(HEAD), "{error}");
}

#[test]
fn factors_that_are_missing_are_said_and_not_taken_for_zero() {
    let mut adapter = random_adapter("one", 3);
    adapter
        .modules
        .retain(|name, _| name.starts_with("model.layers.0."));
    for error in [tiny().with_adapter(&adapter), tiny().folded(&adapter)].map(|d| d.unwrap_err().to_string())
    {
        for part in [
            "7 of 14 targeted modules",
            "model.layers.1.self_attn.q_proj",
            "and 4 more",
            "--partial",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
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

/// The loss of an adapter in training on [`TEXTS`], and the gradients of all its variables.
fn loss_and_gradients(decoder: &Decoder, dropout: f64) -> (f32, Vec<Vec<f32>>) {
    let mut config = LoraConfig::new(3, 6.0);
    config.lora_dropout = dropout;
    let trainable = TrainableLora::new(decoder, config, 1).unwrap();
    let variables = trainable.variables();
    // B starts at zero, where A has no gradient; move it away.
    for (i, variable) in variables.iter().enumerate() {
        let values = random(&format!("variable {i}"), variable.dims(), 0.4);
        variable
            .set(&values.to_device(decoder.device()).unwrap())
            .unwrap();
    }
    let model = trainable.attach(decoder, Some(5)).unwrap();
    let rows = model
        .hidden_of(&Pass::sequences(TEXTS), &[1, 3, 4, 8], None)
        .unwrap();
    let loss = cross_entropy(&rows, model.head(), &[2, 12, 0, 6]).unwrap();
    let gradients = loss.backward().unwrap();
    let gradient = |variable: &candle_core::Var| flat(gradients.get(variable).unwrap());
    (flat(&loss)[0], variables.iter().map(gradient).collect())
}

#[test]
fn every_family_has_the_same_loss_and_gradients_on_every_device() {
    for family in FAMILIES {
        let on_cpu = |dropout| with_fused(|| loss_and_gradients(&tiny_of(family, &Device::Cpu), dropout));
        on_every_device(|device| {
            // Another device has dropout masks of its own.
            let dropouts: &[f64] = if device.is_cpu() { &[0.0, 0.3] } else { &[0.0] };
            for dropout in dropouts {
                let (loss, gradients) = loss_and_gradients(&tiny_of(family, device), *dropout);
                let expected = on_cpu(*dropout);
                assert!(
                    (loss - expected.0).abs() < 1e-4 * expected.0,
                    "{family:?}: {loss} {}",
                    expected.0
                );
                assert_near(&gradients.concat(), &expected.1.concat(), 5e-4);
            }
        });
    }
}

#[test]
fn arithmetic_in_16_bits_is_near_that_in_32() {
    for family in FAMILIES {
        let exact = flat(&tiny_of(family, &Device::Cpu).logits(TEXTS[0]).unwrap());
        let (weights, config) = (weights_of(family), config_of(family));
        let placed = |device: &Device| Decoder::placed(&weights, &config, device, Arithmetic::Bf16);
        on_every_device(|device| {
            let decoder = placed(device).unwrap();
            assert_near(&flat(&decoder.logits(TEXTS[0]).unwrap()), &exact, 0.1);
            let (loss, gradients) = loss_and_gradients(&decoder, 0.0);
            let expected = with_fused(|| loss_and_gradients(&tiny_of(family, &Device::Cpu), 0.0));
            assert!(
                (loss - expected.0).abs() < 0.05 * expected.0,
                "{loss} {}",
                expected.0
            );
            let (a, b) = (gradients.concat(), expected.1.concat());
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
            assert!(cosine > 0.99, "{family:?}: {cosine}");
        });
        let error = with_fused(|| placed(&Device::Cpu)).unwrap_err().to_string();
        assert!(error.contains("needs a GPU"), "{error}");
    }
}

#[test]
fn adapters_fold_into_f32_weights_and_stay_beside_those_in_16_bits() {
    let adapter = random_adapter("one", 3);
    let weights = weights_of(Family::Llama);
    with_composed(|| {
        for arithmetic in [Arithmetic::F32, Arithmetic::Bf16] {
            let config = config_of(Family::Llama);
            let decoder = Decoder::placed(&weights, &config, &Device::Cpu, arithmetic).unwrap();
            let mut folded = decoder.folded(&adapter).unwrap();
            let beside = folded.projections_mut().filter(|p| p.lora.is_some()).count();
            assert_eq!(beside, if arithmetic == Arithmetic::F32 { 0 } else { 14 });
            let exact = flat(&decoder.with_adapter(&adapter).unwrap().logits(TEXTS[0]).unwrap());
            assert_near(&flat(&folded.logits(TEXTS[0]).unwrap()), &exact, 1e-4);
        }
    });
}
