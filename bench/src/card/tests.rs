#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::json;
use weaverec_model::backbone::Precision;
use weaverec_model::merge::made::ModuleReport;
use weaverec_model::merge::receipt::MemberRecord;
use weaverec_pipeline::audit::AuditReport;
use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::parameters::Parameters;
use weaverec_pipeline::prepared::SCHEMA_VERSION;

use super::*;

/// The manifest of a prepared folder with so many training prompts.
fn manifest(name: &str, prompts: u64, more: &str) -> Manifest {
    let description = format!(
        "name = \"logs\"\ntitle = \"Logs | of a shop\"\nplatform = \"shop\"\nformat = \"movielens-csv\"\n\
         interactions = [\"ratings.csv\"]\nlicence = \"own\"\n{more}"
    );
    let dataset = DatasetDescription::parse(&description, "logs.toml").unwrap();
    Manifest {
        schema_version: SCHEMA_VERSION,
        version: "0".into(),
        name: name.into(),
        synthetic_fields: dataset.synthetic_fields.clone(),
        dataset,
        parameters: Parameters::default(),
        inputs: Vec::new(),
        request: String::new(),
        lines: 0,
        stages: String::new(),
        counts: Vec::new(),
        lengths: Default::default(),
        rejects: BTreeMap::new(),
        losses: Vec::new(),
        titles_missing: 0,
        split: "leave-one-out of new items".into(),
        ties: Default::default(),
        repeats: Default::default(),
        bins: Default::default(),
        titles: Default::default(),
        cut: None,
        prompts: BTreeMap::from([("train".to_owned(), prompts)]),
        audit: AuditReport::default(),
        notes: Vec::new(),
        files: Vec::new(),
        fingerprint: String::new(),
    }
}

fn base_of(name: &str) -> Base {
    Base {
        name: name.into(),
        layers: 30,
        precision: Precision::F32,
        weights: "w".into(),
        unpacked: "u".into(),
    }
}

fn outcome(held_out_loss: Option<f64>) -> Outcome {
    Outcome {
        steps: 8,
        best_step: 4,
        held_out_loss,
        tokens: 1234,
        seconds: 98.7,
        curve: vec![(7, 2.0), (8, 1.23456)],
        ..Outcome::default()
    }
}

/// The card of a training on these folders, in words.
fn text(folders: Vec<&Manifest>, ratio: Option<f64>, held_out_loss: Option<f64>) -> String {
    let config: TrainConfig =
        serde_json::from_value(json!({"learning_rate": 0.0002, "epochs": 2, "batch_size": 8})).unwrap();
    let mixture = Mixture { cap: 40, ratio };
    let training = Trained {
        taken: taken(mixture, folders.len()),
        folders,
        prompts: 32,
        held_out: 5,
        lora: &LoraConfig::new(4, 8.0),
        config: &config,
        seed: "7".into(),
        base: &base_of("smollm2-135m"),
        outcome: &outcome(held_out_loss),
    };
    trained(Path::new("somewhere/shop"), &training).render()
}

#[test]
fn a_trained_adapter_says_what_it_was_trained_on_and_how() {
    let shop = manifest("shop", 400, "citation = \"Somebody, 2020\"\n");
    let text = text(vec![&shop], Some(0.5), Some(0.98765));
    for words in [
        "base_model: \"HuggingFaceTB/SmolLM2-135M-Instruct\"\n",
        "datasets:\n- \"logs\"\n---\n\n# shop\n\nA LoRA adapter for sequential recommendation on shop, trained by weaverec ",
        "`smollm2-135m` (SmolLM2-135M-Instruct, Q4_1 (93 MB, Apache-2.0)), 30 layers, its projections kept in f32.",
        "| shop | Logs \\| of a shop | 400 | top-5 | leave-one-out of new items | own |\n",
        "Of each at most 40 prompts were taken.\n",
        "Cite: Somebody, 2020\n",
        "- LoRA: rank 4, alpha 8, dropout 0\n",
        "- prompts: 32, epochs: 2, prompts a step: 8, peak learning rate: 0.0002, seed: 7\n",
        "- steps: 8, tokens: 1234; the values after step 4 were kept\n",
        "- mean training loss of step 8: 1.2346 nats a token\n",
        "Held-out loss of the kept step: 0.9877 nats a token, over the 5 prompts that chose that step",
    ] {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }
    assert!(!text.contains("98.7"), "the time reached the card\n{text}");
}

#[test]
fn a_hybrid_adapter_names_each_domain_once_and_what_is_made_up() {
    let shop = manifest("shop", 400, "");
    let films = manifest("films", 90, "synthetic_fields = [\"timestamp\", \"rating\"]\n");
    let text = text(vec![&shop, &films], Some(0.5), None);
    for words in [
        "datasets:\n- \"logs\"\n---",
        "A hybrid LoRA adapter for sequential recommendation on shop and films,",
        "| films | Logs \\| of a shop | 90 |",
        "of each after the first at most 0.5 for each prompt of the first.",
        "**Made-up values** in the raw files of films: timestamp, rating are not the published ones.",
        "- steps: 8, tokens: 1234\n",
        "\n## Measured\n\nHow well it recommends was not measured when it was trained; `weaverec rank` does.\n",
    ] {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }
    assert!(!text.contains("Cite:") && !text.contains("Held-out"), "{text}");
}

#[test]
fn a_merged_adapter_says_of_what_and_by_which_rule() {
    let member = |folder: &str, weight| MemberRecord {
        folder: folder.into(),
        fingerprint: "0123456789abcdef".into(),
        weight,
        base: None,
        statistics: None,
    };
    let receipt = Receipt {
        rounded: None,
        weights: None,
        choice: None,
        version: "0".into(),
        recipe: json!({"merge_method": "ties", "parameters": {"density": 0.5}}),
        adapters: vec![
            member("/home/me/shop", json!(0.7)),
            member("shop+films", Value::Null),
        ],
        rank: Some(16),
        base: None,
        result: String::new(),
        norm: 1.5,
        lost: 0.25,
        gap: 0.0,
        modules: Vec::new(),
    };
    let mut adapter = Adapter::new(LoraConfig::new(4, 8.0), BTreeMap::new());
    adapter.config.base_model_name_or_path = Some("/home/me/models/llama".into());
    let text = merged(Path::new("woven"), &adapter, &receipt).render();
    for words in [
        "- \"merge\"\n---\n\n# woven\n\n2 LoRA adapters for sequential recommendation, merged into one by weaverec ",
        "Rule: `ties`, density 0.5.\n",
        "| shop | 0.7 | `0123456789ab` |\n| shop+films | as the rule has it | `0123456789ab` |\n",
        "- Frobenius norm of the update: 1.5000; of what was cut off: 0.2500 (rank 16 was asked for)\n",
    ] {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }
    assert!(
        !text.contains("/home/me") && !text.contains("base_model:"),
        "{text}"
    );
    assert!(!text.contains("middle") && !text.contains("chosen"), "{text}");
    adapter.base = Some(base_of("gemma3-270m"));
    let text = merged(Path::new("woven"), &adapter, &receipt).render();
    assert!(text.contains("base_model: \"google/gemma-3-270m\"\n"), "{text}");
}

#[test]
fn weights_by_module_are_a_range_by_kind_and_not_their_list() {
    let module = |layer: usize, kind: &str, weights: [f64; 2]| -> ModuleReport {
        serde_json::from_value(json!({
            "module": format!("model.layers.{layer}.{kind}"), "shape": [8, 6], "weights": weights, "ranks": [2, 3], "norms": [1.0, 1.0],
            "rank": 5, "norm": 1.0, "lost": 0.0, "gap": 0.0,
        }))
        .unwrap()
    };
    let modules = vec![
        module(0, "self_attn.q_proj", [0.25, 0.75]),
        module(1, "self_attn.q_proj", [0.5, 0.5]),
        module(2, "self_attn.q_proj", [0.875, 0.125]),
        module(0, "mlp.up_proj", [0.5, 0.5]),
    ];
    let lambda: serde_json::Map<String, Value> = modules
        .iter()
        .map(|module| (module.module.clone(), json!(module.weights)))
        .collect();
    let setting = |place: usize| -> Value {
        let of = |module: &ModuleReport| json!({"filter": module.module, "value": module.weights[place]});
        modules.iter().map(of).collect()
    };
    let receipt: Receipt = serde_json::from_value(json!({
        "version": "0",
        "recipe": {"merge_method": "cat", "parameters": {}},
        "adapters": [
            {"folder": "shop", "fingerprint": "0123456789abcdef", "weight": setting(0)},
            {"folder": "unused", "fingerprint": "0123456789abcdef", "weight": 0.0},
            {"folder": "films", "fingerprint": "0123456789abcdef", "weight": setting(1)},
        ],
        "weights": {
            "weights": {"by": "descent", "per": "module"}, "objective": "entropy over the candidates", "cases": 100, "lambda": lambda,
        },
        "modules": modules,
    }))
    .unwrap();
    let adapter = Adapter::new(LoraConfig::new(4, 8.0), BTreeMap::new());
    let text = merged(Path::new("woven"), &adapter, &receipt).render();
    for words in [
        "| shop | by module, below | `0123456789ab` |\n| unused | 0.0 | `0123456789ab` |\n| films | by module, below |",
        "| kind | modules | shop | films |\n|---|---|---|---|\n\
         | q_proj | 3 | 0.250 … 0.500 … 0.875 | 0.125 … 0.500 … 0.750 |\n| up_proj | 1 | 0.500 | 0.500 |\n",
        "`merge.json` has them module by module.\n",
        "The weights were chosen by entropy (entropy over the candidates) on prompts of 100 users who are held out.\n",
    ] {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }
    assert!(
        !text.contains("filter") && !text.contains("model.layers"),
        "{text}"
    );
}

#[test]
fn only_a_base_that_is_on_the_hub_is_named_as_one() {
    for (base, expected) in [
        (
            "/cache/hub/meta-llama--Llama-3.2-1B/main",
            Some("meta-llama/Llama-3.2-1B"),
        ),
        ("Qwen/Qwen2-7B-Instruct", Some("Qwen/Qwen2-7B-Instruct")),
        ("/models/llama", None),
        ("/llama", None),
        ("./llama", None),
        ("llama", None),
        ("/models/hub/llama/main", None),
        ("", None),
    ] {
        assert_eq!(on_hub(base).as_deref(), expected, "{base}");
    }
}
