//! GGUF's formats beside the `gguf` package's reading of them.

use candle_core::Device;
use weaverec_model::backbone::{Precision, Weights};

use crate::common::{assert_close, decoder, fixture, logits, reference};

#[test]
fn every_format_gives_the_values_of_the_gguf_package() {
    let path = fixture("formats.gguf");
    let (plain, config) = Weights::open(&path).unwrap();
    let (packed, _) = Weights::open_as(&path, Precision::AsStored).unwrap();
    let expected = candle_core::safetensors::load(fixture("formats.safetensors"), &Device::Cpu).unwrap();
    assert_eq!((expected.len(), config.num_hidden_layers), (16, 16));
    for (name, expected) in expected {
        let (layer, format) = name.split_once('.').unwrap();
        let tensor = format!("model.layers.{layer}.mlp.down_proj.weight");
        let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
        let largest = expected.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        for weights in [&plain, &packed] {
            let values = weights.get(&tensor, &[2, 256]).unwrap().flatten_all().unwrap();
            let values: Vec<f32> = values.to_vec1().unwrap();
            for (ours, theirs) in values.iter().zip(&expected) {
                // The order of two products may differ in the last bit.
                assert!(
                    (ours - theirs).abs() <= 1e-6 * largest,
                    "{format}: {ours} for {theirs}"
                );
            }
        }
    }
    assert!(packed.bytes() < plain.bytes());
}

#[test]
fn llama_with_scaled_frequencies_and_qwen_are_the_same_models_in_a_gguf_file() {
    for name in ["untied", "qwen2", "qwen3"] {
        let (ids, expected) = reference(&fixture(name).join("reference.safetensors"));
        let model = Weights::open(&fixture(&format!("{name}.gguf"))).unwrap();
        assert_close(&logits(&decoder(&model), &ids), &expected, 1e-4);
    }
}

#[test]
fn a_format_that_is_not_read_is_named_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let whole = std::fs::read(fixture("formats.gguf")).unwrap();
    // In the header: the tensor's name, the number of its dimensions, these, and the format.
    let name = b"blk.0.ffn_down.weight";
    let at = whole.windows(name.len()).position(|bytes| bytes == name).unwrap() + name.len() + 4 + 2 * 8;
    assert_eq!(whole[at..at + 4], [2, 0, 0, 0], "Q4_0");
    for (number, format) in [(16, "IQ2_XXS"), (39, "MXFP4"), (99, "number 99")] {
        let mut bytes = whole.clone();
        bytes[at] = number;
        std::fs::write(&path, bytes).unwrap();
        let error = Weights::open(&path).unwrap_err().to_string();
        for part in [
            "model.gguf",
            "blk.0.ffn_down.weight",
            format,
            "Q4_K_M",
            "Q2_K to Q6_K",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn a_damaged_file_is_an_error_that_names_it_whatever_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let whole = std::fs::read(fixture("formats.gguf")).unwrap();
    let data = whole.len() - whole.len() / 4;
    for end in (0..whole.len()).step_by(61) {
        std::fs::write(&path, &whole[..end]).unwrap();
        let error = Weights::open(&path).unwrap_err().to_string();
        assert!(error.contains("model.gguf"), "cut at {end}: {error}");
    }
    // A byte of the header may be any other one, as long as nothing panics and no error hides which file it is.
    for (bits, step) in [(0xa5, 7), (0xff, 5)] {
        for at in (0..data).step_by(step) {
            let mut bytes = whole.clone();
            bytes[at] ^= bits;
            std::fs::write(&path, &bytes).unwrap();
            if let Err(error) = Weights::open(&path) {
                assert!(error.to_string().contains("model.gguf"), "byte {at}: {error}");
            }
        }
    }
}
