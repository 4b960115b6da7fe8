#![allow(clippy::unwrap_used, clippy::expect_used)]

mod folder;

use std::fs::File;

use candle_core::quantized::gguf_file::{self, Value};

use serde_json::Value as Json;

use super::*;

const TEXTS: [&str; 4] = [
    "the cat sat on the mat, the dog sat on the log",
    "Die Hard (1988) || Die Hard 2 (1990)",
    "Amélie || 東京物語 || naïve café",
    "the dog and the cat and the log",
];

fn trained() -> Tokenizer {
    Tokenizer::train_bpe(TEXTS, 300).unwrap()
}

#[test]
fn any_text_survives_encoding_and_decoding() {
    let tokenizer = trained();
    for text in [
        "",
        " the  cat\n\n",
        "Tabs\tand \u{1F600} unseen ßcript",
        "1234567",
        "<|im_start|>user\nhi<|im_end|>",
    ] {
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
    }
}

#[test]
fn what_a_file_would_cut_or_fill_up_to_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    trained().save(folder.path()).unwrap();
    let path = folder.path().join("tokenizer.json");
    let mut json: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json["truncation"] = serde_json::json!({
        "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0
    });
    json["padding"] = serde_json::json!({
        "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"
    });
    std::fs::write(&path, json.to_string()).unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    for text in ["1", "1988 the cat 1988"] {
        assert_eq!(tokenizer.encode(text).unwrap(), trained().encode(text).unwrap());
    }
}

#[test]
fn training_is_repeatable_and_learns_frequent_words() {
    let tokenizer = trained();
    assert_eq!(
        tokenizer.inner.to_string(false).unwrap(),
        trained().inner.to_string(false).unwrap()
    );
    assert!(tokenizer.vocab_size() <= 300 && tokenizer.vocab_size() > 259);
    let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(|token| tokenizer.token_id(token));
    assert_eq!(special, [Some(0), Some(1), Some(2)]);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)));
    assert_eq!(tokenizer.encode(" the").unwrap().len(), 1);
    assert_eq!(tokenizer.encode("1988").unwrap().len(), 4, "digits stay apart");
    assert!(Tokenizer::train_bpe(TEXTS, 100).is_err());
}

#[test]
fn without_a_template_chat_is_chatml_and_its_special_tokens_are_single_ids() {
    let tokenizer = trained();
    let turns = [("system", "be helpful"), ("user", "hi"), ("assistant", "hello")];
    assert_eq!(
        tokenizer.chat(&turns[1..2], false).unwrap().text(),
        "<|im_start|>user\nhi<|im_end|>\n"
    );
    let turn = tokenizer.turn(&turns).unwrap();
    assert_eq!(
        turn.prompt.text(),
        "<|im_start|>system\nbe helpful<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!((turn.lead.as_str(), turn.end.as_str()), ("", "<|im_end|>"));
    assert_eq!(tokenizer.chat(&turns[..2], true).unwrap(), turn.prompt);
    let ids = tokenizer.encode_mixed(&turn.prompt).unwrap();
    assert_eq!(ids.iter().filter(|id| **id == 1).count(), 3);
    assert_eq!(ids.iter().filter(|id| **id == 2).count(), 2);
    assert_eq!(tokenizer.start(), None);
}

#[test]
fn the_template_beside_the_tokenizer_counts_before_the_one_among_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let chat = || {
        let opened = Tokenizer::open(folder.path()).unwrap();
        opened.chat(&[("user", "hi")], true).unwrap().into_text()
    };
    let settings = |template: Json| {
        let config = json!({"bos_token": {"content": "<|im_start|>"}, "chat_template": template});
        std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    };
    trained().save(folder.path()).unwrap();
    settings(json!("{{ bos_token }}{{ messages[0].content }}"));
    assert_eq!(chat(), "<|im_start|>hi");
    settings(json!([
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "{{ messages[0].content | upper }}"},
    ]));
    assert_eq!(chat(), "HI");
    std::fs::write(
        folder.path().join("chat_template.jinja"),
        "own {{ messages[0].role }}\n",
    )
    .unwrap();
    assert_eq!(chat(), "own user");
    // What is opened is what is saved.
    let copy = tempfile::tempdir().unwrap();
    Tokenizer::open(folder.path()).unwrap().save(copy.path()).unwrap();
    let saved = Tokenizer::open(copy.path()).unwrap();
    assert_eq!(saved.chat(&[("user", "hi")], true).unwrap().text(), "own user");
    assert_eq!(saved.bos(), Some(1));
    // Another template is another model to whoever keeps results by fingerprint.
    let fingerprint = saved.fingerprint().unwrap();
    assert_eq!(
        fingerprint,
        Tokenizer::open(folder.path()).unwrap().fingerprint().unwrap()
    );
    std::fs::write(folder.path().join("chat_template.jinja"), "another").unwrap();
    let other = Tokenizer::open(folder.path()).unwrap();
    assert_ne!(fingerprint, other.fingerprint().unwrap());
}

#[test]
fn a_control_token_that_merges_would_make_of_its_letters_is_taken_apart() {
    let token = |id: u32, content: &str, special: bool| json!({"id": id, "content": content, "special": special, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "post_processor": null, "decoder": {"type": "Fuse"},
        "added_tokens": [token(0, "<unk>", true), token(5, "<s>", true), token(7, "<item_1>", false)],
        "normalizer": null, "pre_tokenizer": null,
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": false, "dropout": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "ignore_merges": false,
            "vocab": {"<unk>": 0, "<": 1, "s": 2, ">": 3, "<s": 4, "<s>": 5, "a": 6, "<item_1>": 7}, "merges": [["<", "s"], ["<s", ">"]]},
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(tokenizer.encode("a<s>a").unwrap(), [6, 5, 6]);
    assert_eq!(tokenizer.encode_data("a<s>a").unwrap(), [6, 1, 2, 3, 6]);
    let mut mixed = Mixed::of_template("<s>");
    mixed.push_data("<s");
    mixed.push_template("><s>");
    assert_eq!(tokenizer.encode_mixed(&mixed).unwrap(), [5, 1, 2, 3, 5]);
    // Text that the model does not know is unknown as before, and added words that are no control tokens stay words.
    assert_eq!(tokenizer.encode_data("aß").unwrap(), [6, 0]);
    assert_eq!(tokenizer.encode_data("<item_1>a").unwrap(), [7, 6]);
    assert_eq!(tokenizer.encode_data("<item_1><s>").unwrap(), [7, 1, 2, 3]);
    // What has a name is a control token too, though the vocabulary has it as a word.
    std::fs::write(
        folder.path().join("special_tokens_map.json"),
        r#"{"eos_token": "<s"}"#,
    )
    .unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(tokenizer.encode("<sa").unwrap(), [4, 6]);
    assert_eq!(tokenizer.encode_data("<sa").unwrap(), [1, 2, 6]);
}

#[test]
fn a_template_that_cannot_be_rendered_fails_when_it_is_needed_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    trained().save(folder.path()).unwrap();
    std::fs::write(folder.path().join("chat_template.jinja"), "{% call %}").unwrap();
    let opened = Tokenizer::open(folder.path()).unwrap();
    opened.encode("text needs no template").unwrap();
    let error = opened.chat(&[("user", "hi")], true).unwrap_err().to_string();
    assert!(
        error.contains("chat_template.jinja") && error.contains("chat template"),
        "{error}"
    );
}

#[test]
fn a_tokenizer_written_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let before = trained();
    before.save(folder.path()).unwrap();
    let after = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(
        (after.bos(), after.eos(), after.start(), after.vocab_size()),
        (before.bos(), before.eos(), before.start(), before.vocab_size())
    );
    assert_eq!(after.template.source(), before.template.source());
    for text in TEXTS {
        assert_eq!(after.encode(text).unwrap(), before.encode(text).unwrap());
    }
}

/// A GGUF file that holds nothing but the metadata of a tokenizer.
fn gguf(path: &Path, tokenizer: &Tokenizer, pre: &str) {
    let json: Json = serde_json::from_str(&tokenizer.inner.to_string(false).unwrap()).unwrap();
    let text = |text: &str| Value::String(text.into());
    let mut tokens = vec![String::new(); tokenizer.vocab_size()];
    for (token, id) in json["model"]["vocab"].as_object().unwrap() {
        tokens[id.as_u64().unwrap() as usize] = token.clone();
    }
    let types = (0..tokens.len())
        .map(|id| Value::I32(if id < 3 { 3 } else { 1 }))
        .collect();
    let merges = json["model"]["merges"].as_array().unwrap().iter().map(|pair| {
        text(&format!(
            "{} {}",
            pair[0].as_str().unwrap(),
            pair[1].as_str().unwrap()
        ))
    });
    let metadata = [
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text(pre)),
        (
            "tokenizer.ggml.tokens",
            Value::Array(tokens.iter().map(|token| text(token)).collect()),
        ),
        ("tokenizer.ggml.merges", Value::Array(merges.collect())),
        ("tokenizer.ggml.token_type", Value::Array(types)),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        (
            "tokenizer.chat_template",
            text("{{ '<|im_start|>system\\nHello<|im_end|>\\n' }}"),
        ),
    ];
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &[]).unwrap();
}

#[test]
fn gguf_metadata_rebuilds_the_tokenizer_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.gguf");
    let original = trained();
    gguf(&path, &original, "smollm");
    let rebuilt = Tokenizer::open(&path).unwrap();
    assert_eq!((rebuilt.bos(), rebuilt.eos()), (Some(1), Some(2)));
    assert_eq!(rebuilt.vocab_size(), original.vocab_size());
    assert!(rebuilt.chat(&[], false).unwrap().text().contains("system\nHello"));
    for text in TEXTS
        .into_iter()
        .chain(["<|im_start|>user\n 12 cats <|im_end|>", "  two  spaces "])
    {
        assert_eq!(rebuilt.encode(text).unwrap(), original.encode(text).unwrap());
    }
    // Qwen's words keep what is before a letter with it, and composed letters are one.
    gguf(&path, &original, "qwen2");
    let qwen = Tokenizer::open(&path).unwrap();
    assert_eq!(qwen.encode("e\u{301}").unwrap(), qwen.encode("\u{e9}").unwrap());
    assert_eq!(qwen.encode("1988").unwrap().len(), 4);
    let joined = |text: &str| -> usize { qwen.encode(text).unwrap().len() };
    assert!(
        joined("the dog") < joined("the\ndog"),
        "a blank belongs to its word"
    );
    gguf(&path, &original, "martian");
    assert!(
        Tokenizer::open(&path)
            .unwrap_err()
            .to_string()
            .contains("martian")
    );
}

/// A GGUF file with the metadata of a SentencePiece tokenizer: pieces with their scores and types.
fn sentencepiece(path: &Path, pieces: &[(&str, f32, i32)], flags: &[(&str, bool)]) {
    let array = |values: Vec<Value>| Value::Array(values);
    let mut metadata = vec![
        ("tokenizer.ggml.model".to_string(), Value::String("llama".into())),
        (
            "tokenizer.ggml.tokens".into(),
            array(
                pieces
                    .iter()
                    .map(|(piece, ..)| Value::String((*piece).into()))
                    .collect(),
            ),
        ),
        (
            "tokenizer.ggml.scores".into(),
            array(pieces.iter().map(|(_, score, _)| Value::F32(*score)).collect()),
        ),
        (
            "tokenizer.ggml.token_type".into(),
            array(pieces.iter().map(|(.., kind)| Value::I32(*kind)).collect()),
        ),
        ("tokenizer.ggml.bos_token_id".into(), Value::U32(1)),
        ("tokenizer.ggml.unknown_token_id".into(), Value::U32(0)),
    ];
    for (key, value) in flags {
        metadata.push((format!("tokenizer.ggml.{key}"), Value::Bool(*value)));
    }
    let metadata: Vec<_> = metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &[]).unwrap();
}

#[test]
fn sentencepiece_joins_by_score_and_falls_back_to_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.gguf");
    let pieces = [
        ("<unk>", 0.0, 2),
        ("<s>", 0.0, 3),
        ("<0xC3>", 0.0, 6),
        ("<0x9F>", 0.0, 6),
        ("ab", -1.0, 1),
        ("bc", 0.0, 1),
        ("\u{2581}a", -2.0, 1),
        ("\u{2581}", -9.0, 1),
        ("a", -9.0, 1),
        ("b", -9.0, 1),
        ("c", -9.0, 1),
        ("\n", -1000.0, 4),
    ];
    sentencepiece(
        &path,
        &pieces,
        &[("add_space_prefix", false), ("add_bos_token", true)],
    );
    let tokenizer = Tokenizer::open(&path).unwrap();
    // The highest score first: bc before ab before a word's beginning.
    assert_eq!(tokenizer.encode("abc").unwrap(), [8, 5]);
    assert_eq!(tokenizer.encode("ab ab").unwrap(), [4, 7, 4]);
    assert_eq!(tokenizer.encode(" ac\n<s>").unwrap(), [6, 10, 11, 1]);
    assert_eq!(tokenizer.encode("\u{df}").unwrap(), [2, 3]);
    assert_eq!(tokenizer.decode(&[6, 10, 11, 7, 2, 3]).unwrap(), " ac\n \u{df}");
    assert_eq!(tokenizer.start(), Some(1));
    assert!(
        tokenizer
            .chat(&[("user", "a")], true)
            .unwrap()
            .text()
            .starts_with("<s><|im_start|>user")
    );
    tokenizer.save(folder.path()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let saved = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(
        (saved.start(), saved.encode("abc").unwrap()),
        (Some(1), vec![8, 5])
    );

    // Where a space is put before a text, it is taken away again.
    sentencepiece(&path, &pieces, &[]);
    let tokenizer = Tokenizer::open(&path).unwrap();
    assert_eq!(tokenizer.encode("ac").unwrap(), [6, 10]);
    assert_eq!(tokenizer.decode(&[6, 10]).unwrap(), "ac");
    assert_eq!(tokenizer.start(), Some(1), "as llama.cpp has it");
    sentencepiece(&path, &pieces, &[("add_bos_token", false)]);
    assert_eq!(Tokenizer::open(&path).unwrap().start(), None);
}

#[test]
fn a_sentencepiece_file_without_scores_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.gguf");
    let metadata = [
        ("tokenizer.ggml.model", Value::String("llama".into())),
        (
            "tokenizer.ggml.tokens",
            Value::Array(vec![Value::String("a".into())]),
        ),
    ];
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    gguf_file::write(&mut File::create(&path).unwrap(), &metadata, &[]).unwrap();
    let error = Tokenizer::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("scores") && error.contains("tokenizer.gguf"),
        "{error}"
    );
}
