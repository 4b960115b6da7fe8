#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

const SIZES: &str = r#""model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4"#;

fn parse(more: &str) -> std::result::Result<DecoderConfig, serde_json::Error> {
    serde_json::from_str(&format!("{{{SIZES}{more}}}"))
}

#[test]
fn defaults_are_those_of_transformers() {
    let config = parse("").unwrap();
    assert_eq!((config.num_key_value_heads, config.head_dim()), (4, 8));
    assert_eq!((config.rms_norm_eps, config.rope_theta), (1e-6, 10_000.0));
    assert!(!config.tie_word_embeddings && config.eos_token_ids.is_empty());
}

#[test]
fn both_spellings_of_the_rotary_settings_are_the_same() {
    let older = parse(
        r#", "rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}"#,
    );
    let newer = parse(
        r#", "rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}"#,
    );
    assert_eq!(older.unwrap(), newer.unwrap());
}

/// What `config.json` of published models says, in the words of the transformers version that wrote it.
#[test]
fn files_of_every_transformers_version_are_read_alike() {
    let llama3 = r#""factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192"#;
    let expected = parse(&format!(
        r#", "rope_theta": 5e5, "rope_scaling": {{"rope_type": "llama3", {llama3}}}"#
    ))
    .unwrap();
    assert!(expected.rope_scaling.is_some());
    for more in [
        // 4.43 to 4.5x, which write the type twice for older readers.
        format!(
            r#", "rope_theta": 500000, "rope_scaling": {{"type": "llama3", "rope_type": "llama3", {llama3}}}, "head_dim": null"#
        ),
        format!(
            r#", "rope_theta": 5e5, "rope_scaling": {{"type": "llama3", {llama3}}}, "torch_dtype": "bfloat16""#
        ),
        // 5, and files that carry both.
        format!(
            r#", "rope_parameters": {{"rope_theta": 5e5, "rope_type": "llama3", {llama3}}}, "dtype": "bfloat16""#
        ),
        format!(
            r#", "rope_theta": 5e5, "rope_scaling": {{"rope_type": "llama3", {llama3}}}, "torch_dtype": "bfloat16", "dtype": "bfloat16",
            "rope_parameters": {{"rope_theta": 500000.0, "type": "llama3", {llama3}}}"#
        ),
        format!(
            r#", "rope_parameters": {{"full_attention": {{"rope_theta": 5e5, "rope_type": "llama3", {llama3}}}}}"#
        ),
    ] {
        assert_eq!(parse(&more).unwrap(), expected, "{more}");
    }
    // SmolLM2 and Qwen2.5 as they are published, and as transformers 5 writes them anew.
    let plain = parse(r#", "rope_theta": 1e6"#).unwrap();
    for more in [
        r#", "rope_scaling": null, "rope_theta": 1000000.0, "sliding_window": 32768, "max_window_layers": 28, "use_sliding_window": false"#,
        r#", "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}, "layer_types": ["full_attention", "full_attention"]"#,
        r#", "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default", "type": "default", "factor": null}, "sliding_window": null"#,
    ] {
        assert_eq!(parse(more).unwrap(), plain, "{more}");
    }
    // Gemma 3, whose layers with a window have frequencies of their own.
    let gemma = |more: &str| {
        let text = format!("{{{SIZES}{more}}}").replace("\"llama\"", "\"gemma3_text\"");
        serde_json::from_str::<DecoderConfig>(&text).unwrap()
    };
    let older = gemma(
        r#", "rope_theta": 2e6, "rope_local_base_freq": 20000, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window_pattern": 2"#,
    );
    let newer = gemma(
        r#", "rope_parameters": {"full_attention": {"rope_theta": 2e6, "rope_type": "linear", "factor": 8.0},
        "sliding_attention": {"rope_theta": 20000.0, "rope_type": "default"}}, "_sliding_window_pattern": 2"#,
    );
    assert_eq!(older, newer);
    assert_eq!(newer.gemma3.as_ref().map(|g| g.local_rope_theta), Some(20_000.0));
}

#[test]
fn null_is_the_default_whatever_the_setting() {
    let optional = [
        "architectures",
        "num_key_value_heads",
        "head_dim",
        "hidden_act",
        "rms_norm_eps",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "sliding_window",
        "layer_types",
        "attn_logit_softcapping",
        "use_bidirectional_attention",
        "max_position_embeddings",
        "tie_word_embeddings",
        "attention_bias",
        "mlp_bias",
        "use_sliding_window",
        "bos_token_id",
        "eos_token_id",
        "torch_dtype",
        "dtype",
    ];
    for name in optional {
        let config = parse(&format!(r#", "{name}": null"#));
        assert_eq!(config.unwrap(), parse("").unwrap(), "{name}");
    }
    let error = serde_json::from_str::<DecoderConfig>(&format!("{{{}}}", SIZES.replace("64", "null")));
    assert!(error.unwrap_err().to_string().contains("vocab_size"));
}

#[test]
fn a_setting_with_two_values_is_refused_with_both_of_its_names() {
    for (more, parts) in [
        (
            r#", "rope_scaling": {"type": "linear", "rope_type": "dynamic", "factor": 2.0}"#,
            [
                "rope_scaling.rope_type is \"dynamic\"",
                "rope_scaling.type is \"linear\"",
            ],
        ),
        (
            r#", "rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}"#,
            ["rope_parameters.rope_theta is 500000.0", "rope_theta is 10000.0"],
        ),
        (
            r#", "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "linear", "factor": 4}"#,
            ["rope_scaling.factor is 2.0", "rope_parameters.factor is 4"],
        ),
        (
            r#", "torch_dtype": "float16", "dtype": "bfloat16""#,
            ["torch_dtype is \"float16\"", "dtype is \"bfloat16\""],
        ),
        (
            r#", "sliding_window_pattern": 6, "_sliding_window_pattern": 5"#,
            ["sliding_window_pattern is 6", "_sliding_window_pattern is 5"],
        ),
    ] {
        let message = parse(more).unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn a_setting_of_another_kind_is_named() {
    for (more, part) in [
        (r#", "head_dim": "wide""#, "head_dim is \"wide\""),
        (r#", "rope_scaling": 8"#, "rope_scaling is 8"),
        (
            r#", "rope_parameters": {"full_attention": {}, "chunked_attention": {}}"#,
            "rope_parameters.chunked_attention",
        ),
        (
            r#", "layer_types": ["full_attention", "sliding_attention"]"#,
            "sliding_attention",
        ),
        (r#", "eos_token_id": ["</s>"]"#, "eos_token_id"),
    ] {
        let message = parse(more).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    assert!(
        serde_json::from_str::<DecoderConfig>("[]")
            .unwrap_err()
            .to_string()
            .contains("table")
    );
}

#[test]
fn what_would_change_the_computation_is_refused() {
    for (more, word) in [
        (r#", "rope_scaling": {"type": "yarn", "factor": 2.0}"#, "yarn"),
        (r#", "hidden_act": "gelu""#, "gelu"),
        (r#", "attention_bias": true"#, "bias"),
        (r#", "num_key_value_heads": 3"#, "multiple"),
        (r#", "head_dim": 7"#, "even"),
        (r#", "use_sliding_window": true"#, "sliding"),
        (r#", "attn_logit_softcapping": 50.0"#, "softcapping"),
        (r#", "use_bidirectional_attention": true"#, "bidirectional"),
    ] {
        let message = parse(more).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn gemma3_has_windows_in_five_of_six_layers_unless_the_file_says_which() {
    let gemma = |more: &str| {
        let text = format!("{{{SIZES}{more}}}").replace("\"llama\"", "\"gemma3_text\"");
        serde_json::from_str::<DecoderConfig>(&text)
    };
    let config = gemma("").unwrap();
    assert_eq!(
        (config.head_dim(), config.window(0), config.window(1)),
        (256, Some(4096), Some(4096))
    );
    assert!(config.tie_word_embeddings && config.attention_scale() == 1.0 / 16.0);
    let full: Vec<usize> = (0..13).filter(|layer| Gemma3::every(6, 13)[*layer]).collect();
    assert_eq!(full, [5, 11]);
    let told =
        gemma(r#", "layer_types": ["full_attention", "sliding_attention"], "sliding_window": 7"#).unwrap();
    assert_eq!((told.window(0), told.window(1)), (None, Some(7)));
    for (more, word) in [
        (r#", "sliding_window": 0"#, "sliding_window"),
        (r#", "layer_types": ["full_attention"]"#, "layer_types"),
        (r#", "layer_types": ["full_attention", "linear"]"#, "linear"),
    ] {
        let message = gemma(more).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_config_written_reads_back_equal() {
    let mut config = parse(r#", "eos_token_id": [2, 7], "bos_token_id": 1, "head_dim": 16"#).unwrap();
    config.rope_scaling = Some(RopeScaling::Llama3 {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    });
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<DecoderConfig>(&text).unwrap(), config);
}

#[test]
fn families_are_told_by_model_type_and_written_back() {
    for family in Family::ALL {
        let text = format!("{{{SIZES}}}").replace("\"llama\"", &format!("\"{}\"", family.name()));
        let config: DecoderConfig = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (config.family, config.gemma3.is_some()),
            (family, family == Family::Gemma3)
        );
        let again: DecoderConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }
    let other = format!("{{{SIZES}}}").replace("\"llama\"", "\"mamba\"");
    let message = serde_json::from_str::<DecoderConfig>(&other)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("mamba") && message.contains("qwen2"),
        "{message}"
    );
}
