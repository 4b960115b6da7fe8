//! SmolLM2-135M-Instruct from its GGUF file: tokens beside llama.cpp's, logits beside transformers'.

use weaverec_model::backbone::{Tokenizer, Weights};

use crate::common::{TextAndIds, assert_close, decoder, downloaded, fixture, logits, reference};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

fn model() -> Option<std::path::PathBuf> {
    downloaded(FILE, "WEAVEREC_SMOLLM2", "smollm2-135m")
}

#[test]
fn every_text_gets_the_ids_of_llama_cpp() {
    let Some(model) = model() else { return };
    let tokenizer = Tokenizer::open(&model).unwrap();
    let rows = TextAndIds::read("smollm2_tokens.json");
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
    let system = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n";
    let user = "<|im_start|>user\nhi<|im_end|>\n";
    for tokenizer in [&tokenizer, &saved] {
        let turn = tokenizer.turn(&[("user", "hi"), ("assistant", "hello")]).unwrap();
        assert_eq!(
            turn.prompt.text(),
            format!("{system}{user}<|im_start|>assistant\n")
        );
        assert_eq!((turn.lead.as_str(), turn.end.as_str()), ("", "<|im_end|>"));
        let told = tokenizer
            .chat(&[("system", "be brief"), ("user", "hi")], false)
            .unwrap();
        assert_eq!(
            told.text(),
            format!("<|im_start|>system\nbe brief<|im_end|>\n{user}")
        );
    }
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
