//! SmolLM2-135M-Instruct from its GGUF file: tokens beside llama.cpp's, logits beside transformers'.

use std::path::PathBuf;

use serde::Deserialize;
use weaverec_model::backbone::{Tokenizer, Weights};

use crate::common::{assert_close, decoder, fixture, logits, reference};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

#[derive(Deserialize)]
struct Row {
    text: String,
    ids: Vec<u32>,
}

/// The model named by `WEAVEREC_SMOLLM2`, or the one in the cache.
fn model() -> Option<PathBuf> {
    let found = match std::env::var_os("WEAVEREC_SMOLLM2") {
        Some(path) => Some(PathBuf::from(path)),
        None => std::env::var_os("HOME")
            .and_then(|home| search(&PathBuf::from(home).join(".cache/weaverec/data"))),
    };
    if found.is_none() {
        eprintln!(
            "skipped: no {FILE}; fetch it with `weaverec models fetch smollm2-135m`, or set WEAVEREC_SMOLLM2"
        );
    }
    found
}

fn search(folder: &std::path::Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find_map(|path| match path.is_dir() {
            true => search(&path),
            false => path.file_name().is_some_and(|name| name == FILE).then_some(path),
        })
}

#[test]
fn every_text_gets_the_ids_of_llama_cpp() {
    let Some(model) = model() else { return };
    let tokenizer = Tokenizer::open(&model).unwrap();
    let json = std::fs::read(fixture("smollm2_tokens.json")).unwrap();
    let rows: Vec<Row> = serde_json::from_slice(&json).unwrap();
    assert_eq!(rows.len(), 200);
    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path()).unwrap();
    let saved = Tokenizer::open(folder.path()).unwrap();
    for row in rows {
        assert_eq!(tokenizer.encode(&row.text).unwrap(), row.ids, "{:?}", row.text);
        assert_eq!(
            saved.encode(&row.text).unwrap(),
            row.ids,
            "{:?} after saving",
            row.text
        );
        assert_eq!(tokenizer.decode(&row.ids).unwrap(), row.text);
    }
    assert_eq!(tokenizer.vocab_size(), 49152);
    let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(|token| tokenizer.token_id(token));
    assert_eq!(special, [Some(0), Some(1), Some(2)]);
    assert_eq!((saved.bos(), saved.eos()), (tokenizer.bos(), tokenizer.eos()));
    let chat = tokenizer.chat(&[("user", "hi")], true).unwrap();
    assert!(chat.starts_with(
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    ));
    assert_eq!(saved.chat(&[("user", "hi")], true).unwrap(), chat);
}

#[test]
fn the_dequantised_model_gives_the_logits_of_transformers() {
    let Some(path) = model() else { return };
    let model = Weights::open(&path).unwrap();
    assert_eq!(model.0.parameters(), 134_515_008);
    let (ids, expected) = reference(&fixture("smollm2_logits.safetensors"));
    let ours: Vec<Vec<f32>> = logits(&decoder(&model), &ids)
        .iter()
        .map(|row| row.iter().step_by(256).copied().collect())
        .collect();
    assert_close(&ours, &expected, 5e-4);
}
