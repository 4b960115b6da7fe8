//! Adapters and models written here, loaded by PEFT and transformers.

use std::path::Path;
use std::process::Command;

use candle_core::Tensor;
use weaverec_model::backbone::Decoder;
use weaverec_model::lora::{LoraConfig, TrainableLora};
use weaverec_model::merge::{fold, truncate, uniform};

use crate::common::{adapter, assert_close, base, decoder, fixture, logits, reference};

/// The logits that PEFT computes, or none if no Python is named.
fn peft_logits(checkpoint: &Path, adapter: Option<&Path>, ids: &[u32]) -> Option<Vec<Vec<f32>>> {
    let Some(python) = std::env::var_os("WEAVEREC_PYTHON") else {
        eprintln!("skipped: set WEAVEREC_PYTHON to a Python with PEFT to compare with it");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peft_logits.py");
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    let output = Command::new(python)
        .arg(script)
        .arg(checkpoint)
        .arg(adapter.unwrap_or(Path::new("-")))
        .arg(ids.join(","))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn ids() -> Vec<u32> {
    reference(&fixture("adapter/reference.safetensors")).0
}

#[test]
fn adapters_written_here_give_the_same_logits_in_peft() {
    let members = ["adapter", "adapter-patterns"].map(adapter);
    let merged = uniform(&members.each_ref()).unwrap();
    let cut = truncate(&merged, 3).unwrap().0;
    let plain = decoder(&base());
    let root = tempfile::tempdir().unwrap();
    for (name, ours) in [("patterns", &members[1]), ("merged", &merged), ("cut", &cut)] {
        let folder = root.path().join(name);
        ours.save(&folder).unwrap();
        let Some(theirs) = peft_logits(&fixture("tied"), Some(&folder), &ids()) else {
            return;
        };
        assert_close(&logits(&plain.with_adapter(ours).unwrap(), &ids()), &theirs, 1e-4);
    }
}

#[test]
fn an_adapter_trained_here_gives_the_same_logits_in_peft() {
    let model = base();
    let plain: Decoder = decoder(&model);
    let config = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        ..LoraConfig::default()
    };
    let lora = TrainableLora::new(&plain, config, 7).unwrap();
    // A fresh B is zero; any other values serve as well as trained ones.
    for (i, variable) in lora.variables().iter().enumerate() {
        let wave = |j: usize| 0.1 * ((i * 1000 + j) as f32 * 1.7).sin();
        let values: Vec<f32> = (0..variable.elem_count()).map(wave).collect();
        variable
            .set(&Tensor::from_vec(values, variable.dims(), variable.device()).unwrap())
            .unwrap();
    }
    let trained = lora.adapter().unwrap();
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("trained");
    trained.save(&folder).unwrap();
    let Some(theirs) = peft_logits(&fixture("tied"), Some(&folder), &ids()) else {
        return;
    };
    assert_close(
        &logits(&plain.with_adapter(&trained).unwrap(), &ids()),
        &theirs,
        1e-4,
    );
}

#[test]
fn a_folded_model_written_here_gives_the_same_logits_in_transformers() {
    let (mut weights, config) = base();
    fold(&mut weights, &adapter("adapter"), 1.0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    weights.save(folder.path(), &config).unwrap();
    let Some(theirs) = peft_logits(folder.path(), None, &ids()) else {
        return;
    };
    assert_close(&logits(&decoder(&(weights, config)), &ids()), &theirs, 1e-4);
}
