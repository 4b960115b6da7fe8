#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;

use candle_core::quantized::gguf_file::{self, Value};

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
fn chat_is_chatml_and_its_special_tokens_are_single_ids() {
    let mut tokenizer = trained();
    let user = [("user", "hi")];
    assert_eq!(tokenizer.chat(&user, false), "<|im_start|>user\nhi<|im_end|>\n");
    tokenizer.default_system = Some("be helpful".into());
    let text = tokenizer.chat(&user, true);
    assert_eq!(
        text,
        "<|im_start|>system\nbe helpful<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    );
    let with_system = tokenizer.chat(&[("system", "no"), ("user", "hi")], false);
    assert!(!with_system.contains("helpful"));
    let ids = tokenizer.encode(&text).unwrap();
    assert_eq!(ids.iter().filter(|id| **id == 1).count(), 3);
    assert_eq!(ids.iter().filter(|id| **id == 2).count(), 2);
}

#[test]
fn a_tokenizer_written_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = trained();
    before.default_system = Some("it's a test\nof two lines".into());
    before.save(folder.path()).unwrap();
    let after = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(
        (after.bos(), after.eos(), after.vocab_size()),
        (before.bos(), before.eos(), before.vocab_size())
    );
    assert_eq!(after.default_system, before.default_system);
    for text in TEXTS {
        assert_eq!(after.encode(text).unwrap(), before.encode(text).unwrap());
    }
}

#[test]
fn a_template_that_computes_its_system_turn_has_no_default_one() {
    assert_eq!(
        default_system("{{ '<|im_start|>system\\n' + message['content'] + '<|im_end|>' }}"),
        None
    );
    assert_eq!(default_system("plain"), None);
    assert_eq!(
        default_system("{{ '<|im_start|>system\\nHello<|im_end|>\\n' }}"),
        Some("Hello".into())
    );
}

/// A GGUF file that holds nothing but the metadata of a tokenizer.
fn gguf(path: &Path, tokenizer: &Tokenizer, pre: &str) {
    let json: serde_json::Value = serde_json::from_str(&tokenizer.inner.to_string(false).unwrap()).unwrap();
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
    assert_eq!(rebuilt.default_system.as_deref(), Some("Hello"));
    for text in TEXTS
        .into_iter()
        .chain(["<|im_start|>user\n 12 cats <|im_end|>", "  two  spaces "])
    {
        assert_eq!(rebuilt.encode(text).unwrap(), original.encode(text).unwrap());
    }
    gguf(&path, &original, "martian");
    assert!(
        Tokenizer::open(&path)
            .unwrap_err()
            .to_string()
            .contains("martian")
    );
}
