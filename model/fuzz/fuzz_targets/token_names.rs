//! What other files than its own settings say of a tokenizer's special tokens, beside a tokenizer that is whole. The first byte says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weaverec_model::backbone::Tokenizer;
use weaverec_model_fuzz::{Place, TOKENIZER};

const FILES: [&str; 4] = [
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else {
        return;
    };
    let file = FILES[usize::from(*which) % FILES.len()];
    let place = Place::with(&[("tokenizer.json", &TOKENIZER), (file, bytes)]);
    match Tokenizer::open(place.path()) {
        Err(error) => place.is_named_by(&error),
        Ok(tokenizer) => {
            tokenizer.fingerprint().expect("a tokenizer that was read");
        }
    }
});
