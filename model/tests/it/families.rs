//! The decoder beside transformers'.

use crate::common::{assert_close, base, decoder, difference, fixture, logits, reference};
use weaverec_model::backbone::{Precision, Weights};
use weaverec_model::op::with_composed;

#[test]
fn checkpoints_of_every_family_give_the_logits_of_transformers() {
    for name in ["tied", "untied", "qwen2", "qwen3", "gemma3"] {
        let model = Weights::open(&fixture(name)).unwrap();
        let (ids, expected) = reference(&fixture(name).join("reference.safetensors"));
        assert_close(&logits(&decoder(&model), &ids), &expected, 1e-4);
    }
}

#[test]
fn composed_of_candles_operations_they_do_too() {
    for name in ["tied", "untied", "qwen2", "qwen3", "gemma3"] {
        let model = Weights::open(&fixture(name)).unwrap();
        let (ids, expected) = reference(&fixture(name).join("reference.safetensors"));
        let ours = with_composed(|| logits(&decoder(&model), &ids));
        assert_close(&ours, &expected, 1e-4);
    }
}

#[test]
fn a_base_in_fewer_bits_is_nearly_the_same_model_and_carries_adapters() {
    let adapter = crate::common::adapter("adapter");
    let (ids, exact) = reference(&fixture("tied").join("reference.safetensors"));
    let with_adapter = logits(&decoder(&base()).folded(&adapter).unwrap(), &ids);
    for (precision, tolerance) in [(Precision::AsStored, 1e-4), (Precision::Bf16, 0.2)] {
        let decoder = decoder(&Weights::open_as(&fixture("tied"), precision).unwrap());
        let (plain, folded) = (
            logits(&decoder, &ids),
            logits(&decoder.folded(&adapter).unwrap(), &ids),
        );
        let (off, off_with_adapter) = (difference(&plain, &exact), difference(&folded, &with_adapter));
        assert!(
            off < tolerance && off_with_adapter < tolerance,
            "{precision:?}: {off}, {off_with_adapter}"
        );
    }
}

#[test]
fn the_logits_depend_on_what_the_fixtures_are_there_to_check() {
    let (weights, config) = Weights::open(&fixture("untied")).unwrap();
    let (ids, expected) = reference(&fixture("untied").join("reference.safetensors"));
    let mut unscaled = config.clone();
    unscaled.rope_scaling = None;
    let mut tied = config;
    tied.tie_word_embeddings = true;
    for wrong in [unscaled, tied] {
        let other = logits(&decoder(&(weights.clone(), wrong)), &ids);
        assert!(difference(&other, &expected) > 1e-2);
    }
}

#[test]
fn a_checkpoint_written_here_is_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = base();
    model.0.save(folder.path(), &model.1).unwrap();
    let again = Weights::open(folder.path()).unwrap();
    assert_eq!(again.1, model.1);
    let (ids, expected) = reference(&fixture("tied").join("reference.safetensors"));
    assert_eq!(logits(&decoder(&again), &ids), logits(&decoder(&model), &ids));
    assert_close(&logits(&decoder(&again), &ids), &expected, 1e-4);
}
