#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn parse(json: &str) -> LoraConfig {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_first_matching_pattern_decides_rank_and_scale() {
    let config = parse(
        r#"{"r": 4, "lora_alpha": 8, "rank_pattern": {"layers.1.*q_proj": 2, "q_proj": 16},
            "alpha_pattern": {"model.layers.1.self_attn.q_proj": 3, "q_proj$|k_proj": 32}}"#,
    );
    let (first, second) = (
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
    );
    assert_eq!((config.rank_for(first), config.scale_for(first)), (16, 2.0));
    assert_eq!((config.rank_for(second), config.scale_for(second)), (2, 1.5));
    assert_eq!(config.scale_for("model.layers.0.self_attn.k_proj"), 8.0);
    assert_eq!(config.scale_for("model.layers.0.mlp.up_proj"), 2.0);
    assert_eq!(
        config.rank_for("model.layers.0.self_attn.xq_proj"),
        4,
        "a key starts at a dot"
    );
}

#[test]
fn rslora_divides_by_the_root_of_the_rank() {
    let config = parse(r#"{"r": 16, "lora_alpha": 8, "use_rslora": true}"#);
    assert_eq!(config.scale_for("model.layers.0.mlp.up_proj"), 2.0);
}

#[test]
fn targets_are_names_a_pattern_or_every_linear_layer() {
    let q = "model.layers.0.self_attn.q_proj";
    assert!(parse(r#"{"target_modules": ["q_proj"]}"#).targets(q));
    assert!(!parse(r#"{"target_modules": ["proj"]}"#).targets(q));
    assert!(parse(r#"{"target_modules": ".*self_attn\\.[qv]_proj"}"#).targets(q));
    assert!(!parse(r#"{"target_modules": "[qv]_proj"}"#).targets(q));
    assert!(parse(r#"{"target_modules": "all-linear"}"#).targets(q));
    assert!(!parse(r#"{"target_modules": "all-linear"}"#).targets("lm_head"));
}

#[test]
fn what_is_not_plain_lora_is_refused_by_name() {
    for (json, word) in [
        (r#"{"bias": "all"}"#, "bias"),
        (r#"{"use_dora": true}"#, "DoRA"),
        (
            r#"{"modules_to_save": ["lm_head", "score"]}"#,
            "modules_to_save \"score\"",
        ),
        (r#"{"exclude_modules": "("}"#, "exclude_modules"),
        (
            r#"{"layers_to_transform": 1, "layers_pattern": "("}"#,
            "layers_pattern",
        ),
        (r#"{"lora_bias": true}"#, "lora_bias"),
        (r#"{"init_lora_weights": "pissa"}"#, "pissa"),
        (r#"{"peft_type": "IA3"}"#, "IA3"),
        (r#"{"rank_pattern": {"(": 3}}"#, "regular expression"),
        (r#"{"r": 0}"#, "rank"),
    ] {
        let reason = parse(json).check().unwrap_err();
        assert!(reason.contains(word), "{reason}");
    }
    for json in [
        r#"{"modules_to_save": [], "lora_bias": false}"#,
        r#"{"init_lora_weights": true}"#,
    ] {
        parse(json).check().unwrap();
    }
}

#[test]
fn a_config_written_reads_back_equal_with_unknown_keys_and_order() {
    let json = r#"{"r": 4, "revision": "main", "rank_pattern": {"z": 1, "a": 2}, "alpha_pattern": null}"#;
    let config = parse(json);
    let again = parse(&serde_json::to_string(&config).unwrap());
    assert_eq!(again, config);
    assert_eq!(again.rank_pattern.0, [("z".to_string(), 1), ("a".to_string(), 2)]);
    assert_eq!(again.other["revision"], "main");
}

#[test]
fn patterns_may_look_ahead_as_those_of_python_do() {
    let config = parse(r#"{"target_modules": "^(?!.*layers\\.1\\.).*\\.(?!gate)\\w+_proj"}"#);
    config.check().unwrap();
    assert!(config.targets("model.layers.0.mlp.up_proj"));
    assert!(!config.targets("model.layers.0.mlp.gate_proj"));
    assert!(!config.targets("model.layers.1.mlp.up_proj"));
    assert!(parse(r#"{"target_modules": "All-Linear"}"#).targets("model.layers.0.mlp.up_proj"));
}

#[test]
fn layers_and_exclusions_narrow_the_targets() {
    let path = |layer: usize, name: &str| format!("model.layers.{layer}.{name}");
    let config = parse(
        r#"{"target_modules": ["q_proj", "o_proj", "model.layers.7.mlp.up_proj"], "layers_to_transform": [1, 12],
            "exclude_modules": ["o_proj"]}"#,
    );
    let targeted: Vec<usize> = (0..14)
        .filter(|layer| config.targets(&path(*layer, "self_attn.q_proj")))
        .collect();
    assert_eq!(targeted, [1, 12]);
    assert!(!config.targets(&path(1, "self_attn.o_proj")));
    assert!(
        config.targets(&path(7, "mlp.up_proj")),
        "a whole path is meant wherever it is"
    );
    assert!(
        !config.targets("other.q_proj"),
        "what is in no layer is in none of these"
    );
    let one = |pattern: &str| {
        parse(&format!(
            r#"{{"target_modules": ["q_proj"], "layers_to_transform": 1, "layers_pattern": {pattern}}}"#
        ))
        .targets(&path(1, "self_attn.q_proj"))
    };
    assert!(one(r#""layers""#) && one(r#"["blocks", "layers"]"#) && one("null") && one("[]"));
    assert!(!one(r#""blocks""#));
    let pattern = parse(r#"{"target_modules": "all-linear", "exclude_modules": ".*\\.mlp\\..*"}"#);
    assert!(pattern.targets(&path(0, "self_attn.q_proj")) && !pattern.targets(&path(0, "mlp.up_proj")));
}

#[test]
fn modules_stored_whole_carry_no_factors() {
    let config = parse(r#"{"target_modules": "all-linear", "modules_to_save": ["embed_tokens", "lm_head"]}"#);
    config.check().unwrap();
    assert!(config.is_saved(EMBEDDING) && config.is_saved(HEAD));
    assert!(!config.is_saved("model.layers.0.mlp.up_proj") && !config.targets(EMBEDDING));
}
