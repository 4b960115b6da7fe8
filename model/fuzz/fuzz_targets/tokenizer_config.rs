//! The settings of a tokenizer, beside a tokenizer that is whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weaverec_model::backbone::Tokenizer;
use weaverec_model_fuzz::{Place, TOKENIZER};

fuzz_target!(|bytes: &[u8]| {
    let place = Place::with(&[("tokenizer.json", &TOKENIZER), ("tokenizer_config.json", bytes)]);
    match Tokenizer::open(place.path()) {
        Err(error) => place.is_named_by(&error),
        Ok(tokenizer) => {
            tokenizer.fingerprint().expect("a tokenizer that was read");
        }
    }
});
