//! Adapters that PEFT wrote, loaded and merged here.

use crate::common::{
    ADAPTERS, adapter, assert_close, base, checkpoint, decoder, difference, fixture, folded, logits,
    reference,
};
use weaverec_model::lora::LoraConfig;
use weaverec_model::merge::{fold, truncate, uniform, weighted};

const MEMBERS: [&str; 2] = ["adapter", "adapter-patterns"];

#[test]
fn adapters_of_peft_give_its_logits_here() {
    for (name, base) in ADAPTERS {
        let plain = decoder(&checkpoint(base));
        let (ids, expected) = reference(&fixture(name).join("reference.safetensors"));
        let adapter = adapter(name);
        assert_close(
            &logits(&plain.with_adapter(&adapter).unwrap(), &ids),
            &expected,
            1e-4,
        );
        assert!(
            difference(&logits(&plain, &ids), &expected) > 0.05,
            "{name} changes the model"
        );
        let targeted = plain
            .modules()
            .iter()
            .filter(|(module, _)| adapter.config.targets(module))
            .count();
        assert_eq!(targeted, adapter.modules.len(), "{name}");
    }
}

#[test]
fn a_folded_model_gives_the_logits_of_base_and_adapter() {
    for (name, base) in ADAPTERS {
        let (ids, expected) = reference(&fixture(name).join("reference.safetensors"));
        let (plain, adapter) = (checkpoint(base), adapter(name));
        assert_close(
            &logits(&decoder(&folded(&plain, &adapter)), &ids),
            &expected,
            1e-4,
        );
        let in_place = decoder(&plain).folded(&adapter).unwrap();
        assert_close(&logits(&in_place, &ids), &expected, 1e-4);
    }
}

#[test]
fn what_is_more_than_factors_is_refused_as_peft_writes_it() {
    let json = std::fs::read(fixture("refused.json")).unwrap();
    let configs: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&json).unwrap();
    assert_eq!(configs.len(), 8);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter_config.json");
    for (name, config) in configs {
        std::fs::write(&path, config.to_string()).unwrap();
        let error = LoraConfig::read(&path).unwrap_err().to_string();
        let word = name.split(' ').next().unwrap();
        assert!(
            error.contains(word) && error.contains("adapter_config.json"),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_merged_adapter_and_its_members_folded_one_by_one_are_the_same_model() {
    let members = MEMBERS.map(adapter);
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
    let members = MEMBERS.map(adapter);
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
