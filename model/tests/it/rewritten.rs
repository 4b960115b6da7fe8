//! PEFT's adapters as its other versions and its users' trainers write them: the fixtures with other keys, with less and with more.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use weaverec_model::lora::{Adapter, Reading};
use weaverec_model::merge::{fold, uniform, weighted};

use crate::common::{
    adapter, assert_close, base, checkpoint, decoder, difference, fixture, folded, logits, reference,
};

type Tensors = HashMap<String, Tensor>;

const MODEL: &str = "adapter_model.safetensors";
const CONFIG: &str = "adapter_config.json";

/// A fixture with other tensors and settings, in a folder of its own.
fn rewritten(
    name: &str,
    tensors: impl FnOnce(Tensors) -> Tensors,
    settings: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>),
) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let stored = candle_core::safetensors::load(fixture(name).join(MODEL), &Device::Cpu).unwrap();
    candle_core::safetensors::save(&tensors(stored), folder.path().join(MODEL)).unwrap();
    let text = std::fs::read(fixture(name).join(CONFIG)).unwrap();
    let mut keys = serde_json::from_slice(&text).unwrap();
    settings(&mut keys);
    let text = serde_json::to_string(&keys).unwrap();
    std::fs::write(folder.path().join(CONFIG), text).unwrap();
    folder
}

fn renamed(rename: impl Fn(&str) -> String) -> impl FnOnce(Tensors) -> Tensors {
    move |tensors| {
        let pairs = tensors.into_iter();
        pairs.map(|(key, tensor)| (rename(&key), tensor)).collect()
    }
}

fn ids() -> Vec<u32> {
    reference(&fixture("adapter/reference.safetensors")).0
}

fn embedding() -> Tensor {
    base().0.get("model.embed_tokens.weight", &[64, 32]).unwrap()
}

fn values(rows: usize, columns: usize, seed: f32) -> Tensor {
    let wave = |i: usize| 0.2 * ((i as f32 + seed) * 1.7).sin();
    let values: Vec<f32> = (0..rows * columns).map(wave).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

#[test]
fn whatever_the_keys_look_like_the_logits_are_those_of_peft() {
    let (ids, expected) = reference(&fixture("adapter/reference.safetensors"));
    let renames: [fn(&str) -> String; 5] = [
        |key| key.replace(".weight", ".default.weight"),
        |key| key.replace(".weight", ".shop.weight"),
        |key| format!("module.{key}"),
        |key| key.replace("base_model.model.model.", "base_model.model."),
        |key| {
            key.replace(
                "base_model.model.",
                "_orig_mod.base_model.model.base_model.model.",
            )
        },
    ];
    for rename in renames {
        let folder = rewritten("adapter", renamed(rename), |_| {});
        let read = Adapter::load(folder.path()).unwrap();
        let ours = logits(&decoder(&base()).folded(&read).unwrap(), &ids);
        assert_close(&ours, &expected, 1e-4);
    }
}

#[test]
fn half_an_adapter_is_refused_wherever_it_is_read_unless_it_counts_as_zero() {
    let first_layer = |tensors: Tensors| {
        let tensors = tensors.into_iter();
        tensors.filter(|(key, _)| key.contains("layers.0.")).collect()
    };
    let half = rewritten("adapter", first_layer, |_| {});
    let (weights, config) = base();
    let reading = |partial| Reading {
        partial,
        base: Some(&config),
    };
    let says = |error: weaverec_model::Error| {
        let error = error.to_string();
        for part in [
            "7 of 14 targeted modules have no factors",
            "model.layers.1.",
            "and 4 more",
            "--partial",
        ] {
            assert!(error.contains(part), "{error}");
        }
    };
    says(Adapter::read(half.path(), reading(false)).unwrap_err());
    // Without the base it is found out as soon as the base, or a whole member, is met.
    let alone = Adapter::load(half.path()).unwrap();
    says(decoder(&base()).folded(&alone).unwrap_err());
    says(decoder(&base()).with_adapter(&alone).unwrap_err());
    says(fold(&mut weights.clone(), &alone, 1.0).unwrap_err());
    says(uniform(&[&adapter("adapter"), &alone]).unwrap_err());

    let partial = Adapter::read(half.path(), reading(true)).unwrap();
    let ranked = logits(&decoder(&base()).folded(&partial).unwrap(), &ids());
    let in_base = logits(&decoder(&folded(&base(), &partial)), &ids());
    assert_close(&ranked, &in_base, 1e-4);
    assert!(difference(&ranked, &logits(&decoder(&base()), &ids())) > 0.05);
    let whole = adapter("adapter");
    let merged = weighted(&[(&whole, 0.5), (&partial, 0.5)]).unwrap();
    let mut by_hand = base();
    fold(&mut by_hand.0, &whole, 0.5).unwrap();
    fold(&mut by_hand.0, &partial, 0.5).unwrap();
    let merged = logits(&decoder(&base()).folded(&merged).unwrap(), &ids());
    assert_close(&merged, &logits(&decoder(&by_hand), &ids()), 1e-4);

    // What a merge of partial adapters alone writes targets what it has, and reads as whole.
    let kept = uniform(&[&partial, &partial]).unwrap();
    let place = half.path().join("merged");
    kept.save(&place).unwrap();
    let again = Adapter::read(&place, reading(false)).unwrap();
    let again = logits(&decoder(&base()).folded(&again).unwrap(), &ids());
    assert_close(&again, &ranked, 1e-4);
}

#[test]
fn layers_that_the_base_does_not_have_may_be_named_and_ranking_and_merging_agree_on_it() {
    let named = |layers: serde_json::Value| {
        let set = |keys: &mut serde_json::Map<_, _>| {
            keys["layers_to_transform"] = layers;
        };
        rewritten("adapter-layers", |tensors| tensors, set)
    };
    let (_, config) = base();
    let reading = Reading {
        partial: false,
        base: Some(&config),
    };
    let expected = logits(
        &decoder(&base()).folded(&adapter("adapter-layers")).unwrap(),
        &ids(),
    );
    let folder = named(serde_json::json!([1, 7, 4000]));
    let read = Adapter::read(folder.path(), reading).unwrap();
    let merged = uniform(&[&read, &read]).unwrap();
    let place = folder.path().join("merged");
    merged.save(&place).unwrap();
    for adapter in [&read, &merged, &Adapter::load(&place).unwrap()] {
        let ranked = logits(&decoder(&base()).folded(adapter).unwrap(), &ids());
        assert_close(&ranked, &expected, 1e-4);
        assert_close(
            &ranked,
            &logits(&decoder(&folded(&base(), adapter)), &ids()),
            1e-4,
        );
    }
    // Of a base that nobody names they may be, and be missing.
    let error = Adapter::load(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("model.layers.7.") && error.contains("--base"),
        "{error}"
    );
    // Those that the base has are missing, whichever others are named.
    let folder = named(serde_json::json!([0, 1, 7]));
    let error = Adapter::read(folder.path(), reading).unwrap_err().to_string();
    assert!(
        error.contains("2 of 4 targeted modules") && !error.contains("--base"),
        "{error}"
    );
}

#[test]
fn an_adapter_of_another_base_is_refused_in_reading_where_the_base_is_at_hand() {
    let (_, config) = checkpoint("untied");
    let reading = Reading {
        partial: true,
        base: Some(&config),
    };
    let error = Adapter::read(&fixture("adapter"), reading)
        .unwrap_err()
        .to_string();
    assert!(error.contains(MODEL) && error.contains("another base"), "{error}");
}

/// The fixture with factors on the head too, and the copy of the head that PEFT stores with them.
fn with_head(copy: Tensor) -> tempfile::TempDir {
    let add = |mut tensors: Tensors| {
        let at = |key: &str| format!("base_model.model.lm_head.{key}.weight");
        tensors.insert(at("lora_A"), values(4, 32, 1.0));
        tensors.insert(at("lora_B"), values(64, 4, 2.0));
        tensors.insert(at("base_layer"), copy);
        tensors
    };
    rewritten("adapter", add, |keys| {
        keys["target_modules"]
            .as_array_mut()
            .unwrap()
            .push("lm_head".into());
    })
}

#[test]
fn factors_of_the_head_rank_and_fold_alike_and_survive_a_merge() {
    let folder = with_head(embedding());
    let (_, config) = base();
    let reading = Reading {
        partial: false,
        base: Some(&config),
    };
    let read = Adapter::read(folder.path(), reading).unwrap();
    let ranked = logits(&decoder(&base()).folded(&read).unwrap(), &ids());
    let beside = logits(&decoder(&base()).with_adapter(&read).unwrap(), &ids());
    let in_base = logits(&decoder(&folded(&base(), &read)), &ids());
    assert_close(&ranked, &in_base, 1e-4);
    assert_close(&ranked, &beside, 1e-4);
    let without = logits(&decoder(&base()).folded(&adapter("adapter")).unwrap(), &ids());
    assert!(difference(&ranked, &without) > 0.05);
    let place = folder.path().join("merged");
    uniform(&[&read, &read]).unwrap().save(&place).unwrap();
    let merged = Adapter::read(&place, reading).unwrap();
    assert_eq!(merged.copies.len(), 1);
    let merged = logits(&decoder(&base()).folded(&merged).unwrap(), &ids());
    assert_close(&merged, &ranked, 1e-4);
}

#[test]
fn a_copy_of_the_base_says_nothing_and_one_of_another_base_is_refused() {
    let key = |module: &str| format!("base_model.model.{module}.weight");
    let with = |module: &'static str, copy: Tensor| {
        let add = move |mut tensors: Tensors| {
            tensors.insert(key(module), copy);
            tensors
        };
        rewritten("adapter", add, |_| {})
    };
    let (ids, expected) = reference(&fixture("adapter/reference.safetensors"));
    let rounded = embedding().to_dtype(DType::BF16).unwrap();
    for (module, copy) in [
        ("model.embed_tokens", embedding()),
        ("lm_head", embedding()),
        ("model.embed_tokens", rounded),
    ] {
        let read = Adapter::load(with(module, copy).path()).unwrap();
        assert_close(
            &logits(&decoder(&base()).folded(&read).unwrap(), &ids),
            &expected,
            1e-4,
        );
        assert_close(&logits(&decoder(&folded(&base(), &read)), &ids), &expected, 1e-4);
    }
    for (folder, word) in [
        (
            with("model.embed_tokens", values(64, 32, 0.0)),
            " of its 2048 values",
        ),
        (with("model.embed_tokens", values(66, 32, 0.0)), "[66, 32]"),
        (with_head(values(64, 32, 0.0)), "lm_head"),
    ] {
        let read = Adapter::load(folder.path()).unwrap();
        let in_ranking = decoder(&base()).folded(&read).unwrap_err().to_string();
        let in_merging = fold(&mut base().0, &read, 1.0).unwrap_err().to_string();
        assert!(
            in_ranking.contains(word) && in_ranking.contains("modules_to_save"),
            "{in_ranking}"
        );
        assert_eq!(in_merging, in_ranking);
    }
}

#[test]
fn modules_stored_whole_are_found_by_their_older_names_beside_what_they_stand_for() {
    let older = |tensors: Tensors| {
        let rename = |key: &str| match key.contains("lora_") {
            true => key.to_string(),
            false => key.replace(".weight", ".modules_to_save.default.weight"),
        };
        let mut tensors = renamed(rename)(tensors);
        tensors.insert(
            "base_model.model.lm_head.original_module.weight".into(),
            values(64, 32, 0.0),
        );
        tensors
    };
    let folder = rewritten("adapter-whole", older, |_| {});
    let read = Adapter::load(folder.path()).unwrap();
    let (ids, expected) = reference(&fixture("adapter-whole/reference.safetensors"));
    let ours = logits(&decoder(&checkpoint("untied")).folded(&read).unwrap(), &ids);
    assert_close(&ours, &expected, 1e-4);
}

#[test]
fn other_files_of_a_folder_say_nothing() {
    // A folder as the hub has it: a model card, a tokenizer and a training's state beside the adapter.
    let folder = rewritten("adapter", |tensors| tensors, |_| {});
    for name in [
        "README.md",
        "tokenizer.json",
        "optimizer.pt",
        "trainer_state.json",
    ] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    let read = Adapter::load(Path::new(folder.path())).unwrap();
    assert_eq!(
        read.fingerprint().unwrap(),
        adapter("adapter").fingerprint().unwrap()
    );
}
