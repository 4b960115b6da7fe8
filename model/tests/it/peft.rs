//! Adapters and models written here, loaded by PEFT and transformers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use candle_core::Tensor;
use weaverec_model::backbone::{Decoder, Weights};
use weaverec_model::lora::config::{OneOrMany, Patterns, TargetModules};
use weaverec_model::lora::{Adapter, LoraConfig, TrainableLora};
use weaverec_model::merge::align::{Aligned, Member};
use weaverec_model::merge::base::{BaseModel, SHARD_BYTES, Shards};
use weaverec_model::merge::draw::Seeded;
use weaverec_model::merge::recipe::Recipe;
use weaverec_model::merge::rule::Rule;
use weaverec_model::merge::run::Run;
use weaverec_model::merge::{truncate, uniform, weighted};

use crate::common::{
    ADAPTERS, adapter, assert_close, base, checkpoint, decoder, fixture, folded, logits, reference,
};

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
fn adapters_of_peft_written_again_here_give_the_same_logits_there() {
    let root = tempfile::tempdir().unwrap();
    for (name, base) in ADAPTERS {
        let folder = root.path().join(name);
        adapter(name).save(&folder).unwrap();
        let (ids, expected) = reference(&fixture(name).join("reference.safetensors"));
        let Some(theirs) = peft_logits(&fixture(base), Some(&folder), &ids) else {
            return;
        };
        assert_close(&theirs, &expected, 1e-5);
    }
}

#[test]
fn adapters_in_some_layers_and_modules_stored_whole_are_merged_as_peft_reads_them() {
    let root = tempfile::tempdir().unwrap();
    for (name, base) in [("adapter-layers", "tied"), ("adapter-whole", "untied")] {
        let member = adapter(name);
        let merged = weighted(&[(&member, 0.5), (&member, 0.5)]).unwrap();
        let folder = root.path().join(name);
        merged.save(&folder).unwrap();
        let (ids, expected) = reference(&fixture(name).join("reference.safetensors"));
        let Some(theirs) = peft_logits(&fixture(base), Some(&folder), &ids) else {
            return;
        };
        assert_close(&theirs, &expected, 1e-4);
    }
}

/// A rule by its name and settings in JSON.
fn rule(name: &str, settings: &str) -> Rule {
    Recipe::rule(name, serde_json::from_str(settings).unwrap()).unwrap()
}

/// Every kind of result: sums, spectral rules, and rules of entries in each space that takes members of different ranks.
const RULES: [(&str, &str); 16] = [
    ("linear", "{}"),
    ("task_arithmetic", r#"{"lambda": 0.7}"#),
    ("svd", "{}"),
    ("ties", r#"{"density": 0.4}"#),
    ("ties", r#"{"density": 0.4, "space": "core"}"#),
    ("ties", r#"{"density": 0.4, "space": "knots"}"#),
    ("ties", r#"{"density": 0.4, "flavor": "peft", "space": "dense"}"#),
    ("dare_ties", r#"{"density": 0.5}"#),
    ("breadcrumbs", r#"{"density": 0.9}"#),
    ("della", r#"{"density": 0.5}"#),
    ("magnitude_prune", r#"{"density": 0.5, "space": "core"}"#),
    ("slerp", r#"{"t": 0.3}"#),
    ("model_stock", "{}"),
    ("tsv_m", "{}"),
    ("iso_c", "{}"),
    ("iso_cts", "{}"),
];

const DRAWS: Seeded = Seeded(1);

#[test]
fn what_every_rule_makes_gives_the_same_logits_in_peft_and_folded_into_the_base_in_transformers() {
    let two = ["adapter", "adapter-patterns"].map(adapter);
    let plain = decoder(&base());
    let without = logits(&plain, &ids());
    let root = tempfile::tempdir().unwrap();
    for (number, (name, settings)) in RULES.into_iter().enumerate() {
        let members = two.iter().map(|member| match name {
            // They find the weights themselves.
            "slerp" | "model_stock" => Member {
                adapter: member,
                settings: BTreeMap::new(),
            },
            _ => Member::weighing(member, 0.6),
        });
        let members = Aligned::new(members.collect()).unwrap();
        let rule = rule(name, settings);
        let run = Run {
            rule: &rule,
            rank: None,
            draws: &DRAWS,
        };
        let (merged, _) = run.adapter(&members).unwrap();
        let ours = logits(&plain.with_adapter(&merged).unwrap(), &ids());
        assert!(ours != without, "{name}: the adapter does nothing");
        let folder = root.path().join(format!("{number}-{name}"));
        merged.save(&folder).unwrap();
        let Some(theirs) = peft_logits(&fixture("tied"), Some(&folder), &ids()) else {
            return;
        };
        assert_close(&ours, &theirs, 1e-4);
        // In shards, which transformers puts together by the index.
        if number % 6 == 3 {
            let base = BaseModel::open(&fixture("tied")).unwrap();
            let folding = run.into_files(&members, &base).unwrap();
            let folder = root.path().join(format!("{number}-{name}-model"));
            std::fs::create_dir(&folder).unwrap();
            let most = folding.tensors().iter().map(|tensor| tensor.bytes()).sum::<u64>() / 3;
            let mut shards = Shards::new(&folder, folding.tensors(), most.min(SHARD_BYTES)).unwrap();
            assert!(shards.files().count() > 1);
            folding.write(&mut shards).unwrap();
            shards.finish().unwrap();
            base.copy_companions(&folder, folding.parts_head()).unwrap();
            let ours = logits(&decoder(&Weights::open(&folder).unwrap()), &ids());
            let theirs = peft_logits(&folder, None, &ids()).unwrap();
            assert_close(&ours, &theirs, 1e-4);
        }
    }
}

/// Settings that choose modules in every way that there is.
fn configs() -> Vec<LoraConfig> {
    let names = |names: &[&str]| TargetModules::Names(names.iter().map(|name| name.to_string()).collect());
    let config = |target_modules| LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        target_modules,
        ..LoraConfig::default()
    };
    let pattern = |pattern: &str| TargetModules::Pattern(pattern.into());
    vec![
        config(pattern("all-linear")),
        config(pattern(r".*\.1\.(?!mlp)\w+\.[qk]_proj")),
        config(names(&["v_proj", "model.layers.0.mlp.up_proj"])),
        LoraConfig {
            layers_to_transform: Some(OneOrMany::Many(vec![1])),
            ..config(names(&["q_proj", "down_proj"]))
        },
        LoraConfig {
            exclude_modules: Some(pattern(r".*\.0\.mlp\..*")),
            rank_pattern: Patterns(vec![("q_proj".into(), 2)]),
            alpha_pattern: Patterns(vec![("layers.1.*".into(), 3.0)]),
            use_rslora: true,
            ..config(names(&["q_proj", "down_proj"]))
        },
    ]
}

/// An adapter with those settings; a fresh B is zero, and any other values serve as well as trained ones.
fn trained(base: &Decoder, config: LoraConfig) -> Adapter {
    let lora = TrainableLora::new(base, config, 7).unwrap();
    for (i, variable) in lora.variables().iter().enumerate() {
        let wave = |j: usize| 0.1 * ((i * 1000 + j) as f32 * 1.7).sin();
        let values: Vec<f32> = (0..variable.elem_count()).map(wave).collect();
        variable
            .set(&Tensor::from_vec(values, variable.dims(), variable.device()).unwrap())
            .unwrap();
    }
    lora.adapter().unwrap()
}

#[test]
fn adapters_trained_here_give_the_same_logits_in_peft() {
    let plain: Decoder = decoder(&base());
    let root = tempfile::tempdir().unwrap();
    for (number, config) in configs().into_iter().enumerate() {
        let trained = trained(&plain, config);
        let folder = root.path().join(number.to_string());
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
}

#[test]
fn adapters_of_every_family_and_models_they_are_folded_into_are_the_same_in_peft_and_transformers() {
    let root = tempfile::tempdir().unwrap();
    for name in ["qwen2", "qwen3", "gemma3"] {
        let (weights, config) = checkpoint(name);
        let plain = decoder(&(weights.clone(), config.clone()));
        let (ids, without) = reference(&fixture(name).join("reference.safetensors"));
        let adapter = trained(
            &plain,
            LoraConfig {
                target_modules: TargetModules::Pattern("all-linear".into()),
                ..LoraConfig::new(4, 8.0)
            },
        );
        let ours = logits(&plain.with_adapter(&adapter).unwrap(), &ids);
        assert!(ours != without, "{name}: the adapter does nothing");

        let folder = root.path().join(name);
        adapter.save(&folder).unwrap();
        let Some(theirs) = peft_logits(&fixture(name), Some(&folder), &ids) else {
            return;
        };
        assert_close(&ours, &theirs, 1e-4);

        let (weights, config) = folded(&(weights, config), &adapter);
        let folder = root.path().join(format!("{name}-folded"));
        weights.save(&folder, &config).unwrap();
        let Some(theirs) = peft_logits(&folder, None, &ids) else {
            return;
        };
        assert_close(&ours, &theirs, 1e-4);
    }
}

#[test]
fn a_folded_model_written_here_gives_the_same_logits_in_transformers() {
    for (name, base) in [
        ("adapter", "tied"),
        ("adapter-whole", "untied"),
        ("adapter-whole-embedding", "tied"),
    ] {
        let (weights, config) = folded(&checkpoint(base), &adapter(name));
        let folder = tempfile::tempdir().unwrap();
        weights.save(folder.path(), &config).unwrap();
        let (ids, expected) = reference(&fixture(name).join("reference.safetensors"));
        let Some(theirs) = peft_logits(folder.path(), None, &ids) else {
            return;
        };
        assert_close(&theirs, &expected, 1e-4);
        assert_close(&logits(&decoder(&(weights, config)), &ids), &theirs, 1e-4);
    }
}
