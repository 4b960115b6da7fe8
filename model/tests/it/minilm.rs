//! all-MiniLM-L6-v2 from its Python package, vectors beside transformers'.

use std::path::Path;

use serde::Deserialize;
use weaverec_model::recommender::vectors::{SentenceEncoder, of_sentences};

use crate::common::downloaded;

/// A file that no other model of the cache has.
const FILE: &str = "sentence_bert_config.json";

#[derive(Deserialize)]
struct Case {
    text: String,
    every_16th: Vec<f32>,
}

#[test]
fn sentences_have_the_vectors_of_transformers() {
    let Some(found) = downloaded(FILE, "WEAVEREC_MINILM", "minilm") else {
        return;
    };
    // The variable may name the folder, or any file in it.
    let folder = match found.is_dir() {
        true => found.as_path(),
        false => found.parent().unwrap(),
    };
    let encoder = SentenceEncoder::open(folder).unwrap();
    assert_eq!(
        (encoder.longest(), encoder.tokenizer().vocab_size()),
        (256, 30_522)
    );
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/minilm.json");
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(fixture).unwrap()).unwrap();
    assert_eq!(cases.len(), 2);
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let vectors = of_sentences(&texts, &encoder, &mut |_, _| {}).unwrap();
    assert_eq!(vectors.width, 384);
    for (case, vector) in cases.iter().zip(vectors.rows()) {
        assert_eq!(case.every_16th.len(), 24);
        for (theirs, ours) in case.every_16th.iter().zip(vector.iter().step_by(16)) {
            assert!(
                (theirs - ours).abs() < 1e-5,
                "{}: {ours} is not {theirs}",
                case.text
            );
        }
    }
}
