//! Configurations of models. What is read can be written and reads back equal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weaverec_model::backbone::DecoderConfig;
use weaverec_model_fuzz::Place;

fuzz_target!(|bytes: &[u8]| {
    let place = Place::with(&[("config.json", bytes)]);
    let path = place.join("config.json");
    match DecoderConfig::read(&path) {
        Err(error) => place.is_named_by(&error),
        Ok(config) => {
            for layer in 0..config.num_hidden_layers.min(9) {
                config.window(layer);
            }
            config.attention_scale();
            if config.head_dim() < 1 << 12 {
                assert_eq!(config.inverse_frequencies().len(), config.head_dim() / 2);
                config.inverse_frequencies_in_a_window();
            }
            let numbers = [config.rms_norm_eps, config.rope_theta];
            if numbers.iter().all(|number| number.is_finite()) {
                std::fs::write(
                    &path,
                    serde_json::to_string(&config).expect("a configuration can be written"),
                )
                .expect("a file");
                let again = DecoderConfig::read(&path).expect("what was written can be read");
                assert_eq!(again.num_hidden_layers, config.num_hidden_layers);
                assert_eq!(again.eos_token_ids, config.eos_token_ids);
            }
        }
    }
});
