//! Adapters: settings and factors. What is read can be written, reads back the same, and merges.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weaverec_model::lora::{Adapter, Reading};
use weaverec_model::merge::{truncate, uniform};
use weaverec_model_fuzz::{Place, halves};

fuzz_target!(|bytes: &[u8]| {
    let Some((settings, factors)) = halves(bytes) else {
        return;
    };
    let place = Place::with(&[
        ("adapter_config.json", settings),
        ("adapter_model.safetensors", factors),
    ]);
    let partial = Reading {
        partial: true,
        base: None,
    };
    let adapter = match (Adapter::load(place.path()), Adapter::read(place.path(), partial)) {
        (Ok(_), Err(error)) => panic!("whole and not in part: {error}"),
        (Err(error), Err(also)) => {
            place.is_named_by(&error);
            place.is_named_by(&also);
            return;
        }
        (whole, Ok(partial)) => whole.unwrap_or(partial),
    };
    let again = place.join("again");
    adapter.save(&again).expect("what was read can be written");
    let read = Adapter::load(&again).expect("what was written can be read");
    assert!(read.modules.keys().eq(adapter.modules.keys()) && read.parameters() == adapter.parameters());
    // Whole modules and scales beyond f32 may make sums that are no numbers, which is an error.
    if let Ok(merged) = uniform(&[&adapter, &read]) {
        assert_eq!(merged.modules.len(), adapter.modules.len());
        let _ = truncate(&merged, 1);
    }
});
