//! Gemma 3 270M from its GGUF file: tokens beside llama.cpp's, logits beside transformers'.

use weaverec_model::backbone::{Tokenizer, Weights};

use crate::common::{TextAndIds, assert_close, decoder, downloaded, fixture, logits, reference};

const FILE: &str = "gemma-3-270m-q4_k_m.gguf";

fn model() -> Option<std::path::PathBuf> {
    downloaded(FILE, "WEAVEREC_GEMMA3", "gemma3-270m")
}

#[test]
fn every_text_gets_the_ids_of_llama_cpp() {
    let Some(model) = model() else { return };
    let tokenizer = Tokenizer::open(&model).unwrap();
    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path()).unwrap();
    let saved = Tokenizer::open(folder.path()).unwrap();
    let rows = TextAndIds::read("gemma3_tokens.json");
    assert_eq!(rows.len(), 200);
    for row in rows {
        assert_eq!(tokenizer.encode(&row.text).unwrap(), row.ids, "{:?}", row.text);
        assert_eq!(
            saved.encode(&row.text).unwrap(),
            row.ids,
            "{:?} after saving",
            row.text
        );
        // What stands for a space inside the vocabulary comes back as one.
        let text = row.text.replace('\u{2581}', " ");
        assert_eq!(tokenizer.decode(&row.ids).unwrap(), text);
    }
    assert_eq!(tokenizer.vocab_size(), 262_144);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(2), Some(1)));
    assert_eq!((tokenizer.start(), saved.start()), (Some(2), Some(2)));
}

#[test]
fn the_dequantised_model_gives_the_logits_of_transformers() {
    let Some(path) = model() else { return };
    let model = Weights::open(&path).unwrap();
    let (ids, expected) = reference(&fixture("gemma3_logits.safetensors"));
    let ours: Vec<Vec<f32>> = logits(&decoder(&model), &ids)
        .iter()
        .map(|row| row.iter().step_by(2048).copied().collect())
        .collect();
    assert_close(&ours, &expected, 1e-3);
}
