//! Files of weights: safetensors, the index of shards, and GGUF with its tokenizer. The first byte says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weaverec_model::backbone::{Precision, Tokenizer, Weights};
use weaverec_model_fuzz::Place;

const CONFIG: &[u8] = include_bytes!("../../tests/it/fixtures/tied/config.json");

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else {
        return;
    };
    let gguf = Place::with(&[("model.gguf", bytes)]);
    let place = match which % 3 {
        0 => Place::with(&[("config.json", CONFIG), ("model.safetensors", bytes)]),
        1 => Place::with(&[
            ("config.json", CONFIG),
            ("model.safetensors.index.json", bytes),
            ("model-00001-of-00002.safetensors", b"{}"),
        ]),
        _ => gguf,
    };
    for precision in [Precision::F32, Precision::AsStored, Precision::Q8] {
        match Weights::open_as(place.path(), precision) {
            Err(error) => place.is_named_by(&error),
            Ok((weights, _)) => {
                weights.fingerprint().expect("values that were read");
            }
        }
    }
    if which % 3 == 2
        && let Err(error) = Tokenizer::open(place.path())
    {
        place.is_named_by(&error);
    }
});
