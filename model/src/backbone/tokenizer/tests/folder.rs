//! What stands beside a `tokenizer.json`: templates, and the names and ids of special tokens.

use super::*;

#[test]
fn of_several_templates_without_a_default_none_is_guessed() {
    let folder = tempfile::tempdir().unwrap();
    trained().save(folder.path()).unwrap();
    for (template, parts) in [
        (
            json!([{"name": "rag", "template": "a"}, {"name": "tool_use", "template": "b"}]),
            ["rag, tool_use", "default"],
        ),
        (json!({"rag": "a"}), ["rag", "default"]),
        (json!(7), ["chat_template", "text"]),
        (json!([{"name": "default"}]), ["entry", "template"]),
    ] {
        let config = json!({"chat_template": template});
        std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        let error = Tokenizer::open(folder.path())
            .unwrap()
            .chat(&[("user", "hi")], true)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("tokenizer_config.json") && parts.iter().all(|part| error.contains(part)),
            "{error}"
        );
    }
    let settings = [
        (json!({"chat_template": {"default": "a", "rag": "b"}}), "a"),
        (
            json!({"chat_template": null}),
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
        ),
    ];
    for (config, expected) in settings {
        std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        assert_eq!(tokenizer.chat(&[("user", "hi")], true).unwrap().text(), expected);
    }
    std::fs::write(
        folder.path().join("chat_template.json"),
        r#"{"chat_template": "beside"}"#,
    )
    .unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(tokenizer.chat(&[("user", "hi")], true).unwrap().text(), "beside");
}

/// A folder with the tokenizer trained here and these files beside it.
fn beside(files: &[(&str, Json)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    trained().save(folder.path()).unwrap();
    std::fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    for (name, value) in files {
        std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    }
    folder
}

#[test]
fn special_tokens_are_found_in_whichever_file_names_them_in_the_order_of_transformers() {
    let names = json!({"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>", "lstrip": false}});
    let others = json!({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"});
    let with_tokens = |names: &Json| {
        let mut config = names.clone();
        config["added_tokens_decoder"] = json!({"0": {"content": "<|endoftext|>", "special": true}});
        config
    };
    let ids = json!({"bos_token_id": 1, "eos_token_id": [2, 0], "pad_token_id": 0});
    let (settings, map) = ("tokenizer_config.json", "special_tokens_map.json");
    for (case, files) in [
        ("the map alone", vec![(map, names.clone())]),
        (
            "the map before settings that list no tokens",
            vec![(map, names.clone()), (settings, others.clone())],
        ),
        (
            "settings that list tokens before the map",
            vec![(map, others.clone()), (settings, with_tokens(&names))],
        ),
        (
            "the map for what the settings leave out",
            vec![(map, names.clone()), (settings, with_tokens(&json!({})))],
        ),
        (
            "the map for what the settings have no token for",
            vec![
                (map, names.clone()),
                (
                    settings,
                    with_tokens(&json!({"bos_token": null, "eos_token": null})),
                ),
            ],
        ),
        (
            "ids for generation",
            vec![
                ("generation_config.json", ids.clone()),
                ("config.json", json!({"bos_token_id": 0})),
            ],
        ),
        ("ids of the model", vec![("config.json", ids.clone())]),
        (
            "each a part",
            vec![
                ("config.json", ids.clone()),
                (map, json!({"bos_token": "<|im_start|>"})),
            ],
        ),
    ] {
        let folder = beside(&files);
        std::fs::write(
            folder.path().join("chat_template.jinja"),
            "{{ bos_token }}|{{ eos_token }}",
        )
        .unwrap();
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        let text = tokenizer.chat(&[("user", "hi")], true).unwrap().into_text();
        assert_eq!(text, "<|im_start|>|<|im_end|>", "{case}");
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)), "{case}");
        // What is opened is what is saved.
        let copy = tempfile::tempdir().unwrap();
        tokenizer.save(copy.path()).unwrap();
        let saved = Tokenizer::open(copy.path()).unwrap();
        assert_eq!(
            saved.chat(&[("user", "hi")], true).unwrap().text(),
            text,
            "{case}, saved"
        );
    }
}

#[test]
fn a_token_that_no_file_names_is_an_error_when_the_template_writes_it() {
    let folder = beside(&[("special_tokens_map.json", json!({"eos_token": "<|im_end|>"}))]);
    std::fs::write(
        folder.path().join("chat_template.jinja"),
        "{{ bos_token }}hi{{ eos_token }}",
    )
    .unwrap();
    let error = Tokenizer::open(folder.path())
        .unwrap()
        .chat(&[("user", "hi")], true)
        .unwrap_err()
        .to_string();
    for part in [
        "chat_template.jinja",
        "bos_token",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "generation_config.json",
    ] {
        assert!(error.contains(part), "{error}");
    }
    // Settings that say there is none count, and stay so when saved.
    std::fs::write(
        folder.path().join("tokenizer_config.json"),
        r#"{"bos_token": null}"#,
    )
    .unwrap();
    let copy = tempfile::tempdir().unwrap();
    Tokenizer::open(folder.path()).unwrap().save(copy.path()).unwrap();
    for at in [folder.path(), copy.path()] {
        let tokenizer = Tokenizer::open(at).unwrap();
        assert_eq!(
            tokenizer.chat(&[("user", "hi")], true).unwrap().text(),
            "hi<|im_end|>"
        );
    }
}

#[test]
fn tokens_that_files_beside_the_vocabulary_add_are_single_ids_in_prompts() {
    let vocabulary = trained().vocab_size() as u32;
    let (think, image) = (vocabulary, vocabulary + 1);
    let list = json!({(think.to_string()): {"content": "<think>", "special": false}, (image.to_string()): {"content": "<image>", "special": true}});
    for (case, files) in [
        (
            "settings",
            vec![("tokenizer_config.json", json!({"added_tokens_decoder": list}))],
        ),
        (
            "a file of their own",
            vec![
                ("added_tokens.json", json!({"<image>": image, "<think>": think})),
                (
                    "special_tokens_map.json",
                    json!({"additional_special_tokens": ["<image>"]}),
                ),
            ],
        ),
    ] {
        let folder = beside(&files);
        std::fs::write(
            folder.path().join("chat_template.jinja"),
            "<think>{{ messages[0].content }}<image>",
        )
        .unwrap();
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        assert_eq!(
            tokenizer.encode("<think><image>").unwrap(),
            [think, image],
            "{case}"
        );
        let prompt = tokenizer.chat(&[("user", "<image>")], true).unwrap();
        let ids = tokenizer.encode_mixed(&prompt).unwrap();
        assert_eq!((ids[0], ids[ids.len() - 1]), (think, image), "{case}");
        assert!(
            !ids[1..ids.len() - 1].iter().any(|id| *id >= think),
            "{case}: {ids:?}"
        );
        assert_eq!(tokenizer.decode(&ids).unwrap(), "<think><image><image>", "{case}");
    }
    let folder = beside(&[("added_tokens.json", json!({"<think>": vocabulary + 5}))]);
    let error = Tokenizer::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("added_tokens.json") && error.contains("<think>"),
        "{error}"
    );
    // Models have names for tokens of their own.
    let config =
        json!({"extra_special_tokens": {"image_token": "<|im_end|>"}, "chat_template": "{{ image_token }}"});
    let tokenizer = Tokenizer::open(beside(&[("tokenizer_config.json", config)]).path()).unwrap();
    assert_eq!(
        tokenizer.chat(&[("user", "")], true).unwrap().text(),
        "<|im_end|>"
    );
}
