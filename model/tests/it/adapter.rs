//! Adapters that PEFT wrote, loaded and merged here.

use crate::common::{adapter, assert_close, base, decoder, difference, fixture, logits, reference};
use weaverec_model::merge::{fold, truncate, uniform, weighted};

const ADAPTERS: [&str; 2] = ["adapter", "adapter-patterns"];

#[test]
fn adapters_of_peft_give_its_logits_here() {
    let plain = decoder(&base());
    for name in ADAPTERS {
        let (ids, expected) = reference(&fixture(name).join("reference.safetensors"));
        assert_close(
            &logits(&plain.with_adapter(&adapter(name)).unwrap(), &ids),
            &expected,
            1e-4,
        );
        assert!(
            difference(&logits(&plain, &ids), &expected) > 0.1,
            "{name} changes the model"
        );
    }
}

#[test]
fn a_folded_model_gives_the_logits_of_base_and_adapter() {
    for name in ADAPTERS {
        let (ids, expected) = reference(&fixture(name).join("reference.safetensors"));
        let (mut weights, config) = base();
        fold(&mut weights, &adapter(name), 1.0).unwrap();
        assert_close(&logits(&decoder(&(weights, config)), &ids), &expected, 1e-4);
        let in_place = decoder(&base()).folded(&adapter(name)).unwrap();
        assert_close(&logits(&in_place, &ids), &expected, 1e-4);
    }
}

#[test]
fn a_merged_adapter_and_its_members_folded_one_by_one_are_the_same_model() {
    let members = ADAPTERS.map(adapter);
    let merged = weighted(&[(&members[0], 0.7), (&members[1], -0.4)]).unwrap();
    let (mut weights, config) = base();
    fold(&mut weights, &members[0], 0.7).unwrap();
    fold(&mut weights, &members[1], -0.4).unwrap();
    let (ids, _) = reference(&fixture("adapter/reference.safetensors"));
    let beside = logits(&decoder(&base()).with_adapter(&merged).unwrap(), &ids);
    assert_close(&beside, &logits(&decoder(&(weights, config)), &ids), 1e-4);
}

#[test]
fn truncation_at_the_full_rank_keeps_the_model_and_below_it_does_not() {
    let members = ADAPTERS.map(adapter);
    let merged = uniform(&members.each_ref()).unwrap();
    let plain = decoder(&base());
    let (ids, _) = reference(&fixture("adapter/reference.safetensors"));
    let exact = logits(&plain.with_adapter(&merged).unwrap(), &ids);
    let cut = |rank| {
        logits(
            &plain.with_adapter(&truncate(&merged, rank).unwrap().0).unwrap(),
            &ids,
        )
    };
    assert_close(&cut(10), &exact, 1e-4);
    assert!(difference(&cut(2), &exact) > 1e-2);
}
