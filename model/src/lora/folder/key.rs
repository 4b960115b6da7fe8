//! What a tensor of an adapter's file is, by its name.
//!
//! PEFT writes `base_model.model.<path>.lora_A.weight`. Checkpoints of its trainers, of compiled and of distributed models, and older
//! versions put more around the path and the adapter's name (`default`) behind the factor's.

use crate::lora::config::{EMBEDDING, HEAD};

/// What a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The factor A.
    A,
    /// The factor B.
    B,
    /// A module that the adapter brings whole, named by `modules_to_save`.
    Saved,
    /// Weights of the embedding or the head; whether they are the adapter's own or a copy of the base's, the settings say.
    Whole,
    /// A copy of the base's weights of the embedding or the head.
    Copy,
}

/// A tensor's name, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The path of the module in the base, such as `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// What of it.
    pub part: Part,
    /// The adapter's name, where the key has one.
    pub adapter: Option<String>,
}

/// What wrappers of whole models and of modules put into paths, none of which means anything here.
const WRAPPERS: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// Parts of names by which other things than factors are known, with what they are.
const OTHERS: [(&str, &str); 13] = [
    ("lora_magnitude_vector", "a magnitude of DoRA"),
    (
        "lora_embedding_A",
        "a factor of LoRA on the embedding, which is not implemented",
    ),
    (
        "lora_embedding_B",
        "a factor of LoRA on the embedding, which is not implemented",
    ),
    ("lora_E", "a singular value of AdaLoRA"),
    ("ranknum", "a rank of AdaLoRA"),
    ("token_adapter", "of trainable tokens"),
    ("trainable_tokens", "of trainable tokens"),
    ("hada_", "a factor of LoHa"),
    ("lokr_", "a factor of LoKr"),
    ("ia3_", "a vector of IA3"),
    ("oft_", "a rotation of OFT"),
    ("vera_", "a vector of VeRA"),
    ("prompt_", "of a trained prompt"),
];

/// Takes a name apart; else what the tensor is that cannot be used.
pub(super) fn parse(key: &str) -> Result<Key, &'static str> {
    let mut parts: Vec<&str> = key.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    if parts.first() == Some(&"module") {
        parts.remove(0);
    }
    while let ["base_model", "model", ..] = parts.as_slice() {
        parts.drain(..2);
    }
    // A base without a head, of which the decoder is the whole.
    if matches!(parts.as_slice(), ["layers" | "embed_tokens", ..]) {
        parts.insert(0, "model");
    }
    let parts = parts.as_slice();
    let at = |names: &[&str]| parts.iter().position(|part| names.contains(part));
    if let Some(at) = at(&["lora_A", "lora_B"]) {
        let part = if parts[at] == "lora_A" { Part::A } else { Part::B };
        return match &parts[at + 1..] {
            ["weight"] => named(&parts[..at], part, None),
            [adapter, "weight"] => named(&parts[..at], part, Some(adapter)),
            [.., "bias"] => Err("a bias of a factor (lora_bias)"),
            _ => Err("no factor that PEFT writes"),
        };
    }
    if let Some(at) = at(&["modules_to_save"]) {
        return match &parts[at + 1..] {
            ["weight"] | [_, "weight"] => whole(&parts[..at], Part::Saved),
            [.., "bias"] => Err(BIAS),
            _ => Err(OTHER),
        };
    }
    match parts {
        [module @ .., "original_module" | "base_layer", "weight"] => whole(module, Part::Copy),
        _ if at(&["base_layer", "original_module"]).is_some() => Err(OF_THE_BASE),
        _ => match OTHERS
            .iter()
            .find(|(name, _)| parts.iter().any(|part| part.starts_with(name)))
        {
            Some((_, what)) => Err(what),
            None => match parts {
                [.., "bias"] => Err(BIAS),
                [module @ .., "weight"] => whole(module, Part::Whole),
                _ => Err(OTHER),
            },
        },
    }
}

const BIAS: &str = "a trained bias";
const OTHER: &str = "neither a factor of a linear layer nor a module in modules_to_save";
const OF_THE_BASE: &str = "a weight of the base; save the adapter alone";

fn named(module: &[&str], part: Part, adapter: Option<&str>) -> Result<Key, &'static str> {
    match module.is_empty() {
        true => Err("a factor of nothing: no path stands before it"),
        false => Ok(Key {
            module: module.join("."),
            part,
            adapter: adapter.map(str::to_string),
        }),
    }
}

/// Only the embedding and the head are weights that can stand beside factors.
fn whole(module: &[&str], part: Part) -> Result<Key, &'static str> {
    let module = module.join(".");
    let known = [EMBEDDING, HEAD].contains(&module.as_str());
    match part {
        _ if known => Ok(Key {
            module,
            part,
            adapter: None,
        }),
        Part::Copy => Err(OF_THE_BASE),
        _ => Err(OTHER),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn whatever_stands_around_a_path_the_module_and_the_factor_are_found() {
        let q = "model.layers.0.self_attn.q_proj";
        for (key, adapter) in [
            (
                "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
                None,
            ),
            (
                "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
                Some("default"),
            ),
            (
                "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight_watchers.weight",
                Some("weight_watchers"),
            ),
            (
                "base_model.model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
                None,
            ),
            ("base_model.model.layers.0.self_attn.q_proj.lora_A.weight", None),
            ("model.layers.0.self_attn.q_proj.lora_A.weight", None),
            (
                "module.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
                None,
            ),
            (
                "_orig_mod.base_model.model.model.layers.0._checkpoint_wrapped_module.self_attn.q_proj.lora_A.weight",
                None,
            ),
            (
                "base_model.model.model._fsdp_wrapped_module.layers.0.self_attn.q_proj.lora_A.default.weight",
                Some("default"),
            ),
        ] {
            let found = parse(key).unwrap();
            assert_eq!(
                (found.module.as_str(), found.part, found.adapter.as_deref()),
                (q, Part::A, adapter),
                "{key}"
            );
        }
        assert_eq!(
            parse("base_model.model.lm_head.lora_B.weight").unwrap().module,
            HEAD
        );
    }

    #[test]
    fn weights_of_the_embedding_and_the_head_are_told_by_what_stands_behind_them() {
        for (key, module, part) in [
            ("base_model.model.lm_head.weight", HEAD, Part::Whole),
            (
                "base_model.model.model.embed_tokens.weight",
                EMBEDDING,
                Part::Whole,
            ),
            ("base_model.model.embed_tokens.weight", EMBEDDING, Part::Whole),
            ("base_model.model.lm_head.base_layer.weight", HEAD, Part::Copy),
            (
                "base_model.model.lm_head.original_module.weight",
                HEAD,
                Part::Copy,
            ),
            (
                "base_model.model.lm_head.modules_to_save.weight",
                HEAD,
                Part::Saved,
            ),
            (
                "base_model.model.model.embed_tokens.modules_to_save.default.weight",
                EMBEDDING,
                Part::Saved,
            ),
        ] {
            let found = parse(key).unwrap();
            assert_eq!((found.module.as_str(), found.part), (module, part), "{key}");
        }
    }

    #[test]
    fn what_is_no_factor_is_named_for_what_it_is() {
        let q = "base_model.model.model.layers.0.self_attn.q_proj";
        for (rest, word) in [
            (".lora_magnitude_vector", "DoRA"),
            (".lora_magnitude_vector.default.weight", "DoRA"),
            (".lora_B.bias", "lora_bias"),
            (".lora_B.default.bias", "lora_bias"),
            (".bias", "bias"),
            (".base_layer.weight", "weight of the base"),
            (".base_layer.weight.absmax", "weight of the base"),
            (".weight", "neither"),
            (".hada_w1_a", "LoHa"),
            (".lokr_w1", "LoKr"),
            (".ia3_l", "IA3"),
            (".lora_E", "AdaLoRA"),
            (".lora_A", "no factor"),
            (".lora_A.a.b.weight", "no factor"),
            ("", "neither"),
        ] {
            let what = parse(&format!("{q}{rest}")).unwrap_err();
            assert!(what.contains(word), "{rest}: {what}");
        }
        for (key, word) in [
            (
                "base_model.model.model.embed_tokens.lora_embedding_A",
                "LoRA on the embedding",
            ),
            (
                "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
                "trainable tokens",
            ),
            ("prompt_embeddings", "prompt"),
            ("base_model.model.lora_A.weight", "of nothing"),
            ("lm_head.bias", "bias"),
            ("", "neither"),
        ] {
            let what = parse(key).unwrap_err();
            assert!(what.contains(word), "{key}: {what}");
        }
    }
}
