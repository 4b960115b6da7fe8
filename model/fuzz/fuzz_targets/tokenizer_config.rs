//! The settings of a tokenizer, beside a tokenizer that is whole.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weaverec_model::backbone::Tokenizer;
use weaverec_model_fuzz::Place;

static TOKENIZER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let place = Place::with(&[]);
    let trained = Tokenizer::train_bpe(["oak chair", "pine table", "brass lamp"], 300).expect("a tokenizer");
    trained.save(place.path()).expect("a folder");
    std::fs::read(place.join("tokenizer.json")).expect("a file")
});

fuzz_target!(|bytes: &[u8]| {
    let place = Place::with(&[("tokenizer.json", &TOKENIZER), ("tokenizer_config.json", bytes)]);
    match Tokenizer::open(place.path()) {
        Err(error) => place.is_named_by(&error),
        Ok(tokenizer) => {
            tokenizer.fingerprint().expect("a tokenizer that was read");
        }
    }
});
