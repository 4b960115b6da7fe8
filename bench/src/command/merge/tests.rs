#![allow(clippy::unwrap_used)]
use std::collections::HashMap;
use std::fs;

use candle_core::{Device, Tensor};
use clap::Parser;
use weaverec_model::lora::config::TargetModules;
use weaverec_model::lora::{LoraConfig, LoraModule};

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

/// Runs the command; what begins with @ is a path in the folder.
fn merge(at: &Path, arguments: &[&str]) -> Result<()> {
    let place = |argument: &&str| match argument.strip_prefix('@') {
        Some(name) => at.join(name).to_string_lossy().into_owned(),
        None => argument.to_string(),
    };
    let words = arguments.iter().map(place);
    let cli = Cli::try_parse_from(["merge".to_string()].into_iter().chain(words))?;
    run(cli.arguments)
}

fn refused(at: &Path, arguments: &[&str]) -> String {
    format!("{:#}", merge(at, arguments).unwrap_err())
}

/// An adapter of two modules, whose values go by its number.
fn store(at: &Path, name: &str, number: usize, rank: usize) {
    let paths = ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj"];
    let config = LoraConfig {
        target_modules: TargetModules::Names(paths.map(str::to_string).to_vec()),
        ..LoraConfig::new(rank, 4.0)
    };
    let values = |rows: usize, columns: usize, phase: usize| {
        let values: Vec<f32> = (0..rows * columns)
            .map(|place| ((1 + place + 31 * number + 7 * phase) as f32 * 0.7).sin())
            .collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    };
    let module = |(phase, path): (usize, &&str)| {
        let module = LoraModule {
            a: values(rank, 6, phase),
            b: values(8, rank, phase + 2),
            scale: config.scale_for(path),
        };
        (path.to_string(), module)
    };
    let modules = paths.iter().enumerate().map(module).collect();
    Adapter::new(config.clone(), modules)
        .save(&at.join(name))
        .unwrap();
}

pub(super) fn two() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path(), "a", 1, 2);
    store(folder.path(), "b", 2, 3);
    folder
}

fn receipt_of(at: &Path, name: &str) -> Receipt {
    serde_json::from_slice(&fs::read(at.join(name).join(MERGE)).unwrap()).unwrap()
}

#[test]
fn what_is_merged_is_merged_again_from_its_receipt() {
    let folder = two();
    let at = folder.path();
    for (name, arguments) in [
        ("plain", &["@a", "@b"][..]),
        ("cut", &["@a", "@b", "--weights", "-0.7,0.3", "--rank", "2"]),
        (
            "ties",
            &[
                "@a",
                "@b",
                "--rule",
                "ties",
                "--density",
                "0.5",
                "--weights",
                "1,1",
            ],
        ),
        (
            "dare",
            &[
                "@a",
                "@b",
                "--rule",
                "dare_linear",
                "--density",
                "0.5",
                "--seed",
                "9",
            ],
        ),
        (
            "core",
            &[
                "@a",
                "@b",
                "--rule",
                "ties",
                "--space",
                "core",
                "--density",
                "0.5",
                "--set",
                "lambda=0.5",
            ],
        ),
    ] {
        let out = format!("@{name}");
        merge(at, &[arguments, &["--out", &out]].concat()).unwrap();
        merge(at, &["verify", &out]).unwrap();
        let receipt = receipt_of(at, name);
        assert_eq!((receipt.adapters.len(), receipt.modules.len()), (2, 2));
        assert!(receipt.norm > 0.0, "{name}");
    }
    let plain = receipt_of(at, "plain");
    assert_eq!(plain.adapters[0].weight, 0.5);
    assert!(plain.lost == 0.0 && plain.gap < 1e-5);
    let cut = receipt_of(at, "cut");
    assert_eq!((cut.rank, cut.modules[0].rank), (Some(2), Some(2)));
    assert!(cut.lost > 0.0 && cut.gap > plain.gap);

    // Another result in its place, and a member that is not what it was.
    fs::copy(
        at.join("cut/adapter_model.safetensors"),
        at.join("moved.safetensors"),
    )
    .unwrap();
    merge(at, &["@a", "@b", "--rank", "2", "--out", "@other"]).unwrap();
    fs::copy(
        at.join("moved.safetensors"),
        at.join("other/adapter_model.safetensors"),
    )
    .unwrap();
    assert!(refused(at, &["verify", "@other"]).contains("was changed"));
    store(at, "a", 3, 2);
    let error = refused(at, &["verify", "@plain"]);
    assert!(
        error.contains("is not what was merged") && error.contains(&at.join("a").display().to_string()),
        "{error}"
    );
}

#[test]
fn a_recipe_and_its_flags_give_the_same_and_a_dry_run_nothing() {
    let folder = two();
    let at = folder.path();
    let path = |name: &str| at.join(name).to_string_lossy().replace('\\', "/");
    let yaml = format!(
        "merge_method: ties\nmodels:\n  - model: '{}'\n    parameters: {{weight: 0.7}}\n  - model: '{}'\n    \
         parameters: {{weight: 0.4}}\nparameters: {{density: 0.5}}\n",
        path("a"),
        path("b")
    );
    let toml = format!(
        "rule = 'ties'\n[parameters]\ndensity = 0.5\n[[models]]\nmodel = '{}'\nparameters = {{ weight = 0.7 }}\n[[models]]\n\
         model = '{}'\nparameters = {{ weight = 0.4 }}\n",
        path("a"),
        path("b")
    );
    fs::write(at.join("ties.yaml"), &yaml).unwrap();
    fs::write(at.join("ties.toml"), toml).unwrap();
    merge(at, &["@ties.yaml", "--dry-run"]).unwrap();
    merge(at, &["@ties.yaml", "--dry-run", "--out", "@nothing"]).unwrap();
    assert!(!at.join("nothing").exists());
    merge(at, &["@ties.yaml", "--out", "@one"]).unwrap();
    merge(at, &["@ties.toml", "--out", "@two"]).unwrap();
    let flags = [
        "@a",
        "@b",
        "--rule",
        "ties",
        "--density",
        "0.5",
        "--weights",
        "0.7,0.4",
    ];
    merge(at, &[&flags[..], &["--out", "@three"]].concat()).unwrap();
    let results = ["one", "two", "three"].map(|name| receipt_of(at, name).result);
    assert!(results.iter().all(|result| *result == results[0]));

    fs::write(at.join("wrong.yaml"), yaml.replace("density", "densty")).unwrap();
    let error = refused(at, &["@wrong.yaml", "--out", "@four"]);
    for part in ["wrong.yaml", "line 7", "densty", "density"] {
        assert!(error.contains(part), "{error}");
    }
    for (arguments, word) in [
        (
            &["@ties.yaml", "--weights", "1,1", "--out", "@four"][..],
            "--weights",
        ),
        (&["@a", "@ties.yaml", "--out", "@four"], "alone"),
        (&["@a", "@b", "--rule", "tise", "--out", "@four"], "ties"),
        (&["@a", "@b", "--density", "0.5", "--out", "@four"], "--rule"),
        (
            &["@a", "@b", "--weights", "1", "--out", "@four"],
            "1 weights for 2",
        ),
        (&["@a", "@b"], "--out"),
        (
            &[
                "@a", "@b", "--rule", "linear", "--flavor", "peft", "--out", "@four",
            ],
            "rank 2",
        ),
    ] {
        let error = refused(at, arguments);
        assert!(error.contains(word), "{arguments:?}: {error}");
    }
    assert!(!at.join("four").exists());
}

/// A file of what was measured of the adapters of [`store`]: for each module a matrix that goes by a number.
fn measure(at: &Path, name: &str, kind: &str, number: f32) {
    let input = 6;
    let rows = if kind == "gram" { input } else { 8 };
    let tensor = |module: &str| {
        let entry = |place: usize| match (kind, place / input == place % input) {
            ("gram", true) => 3.0 + number,
            ("gram", false) => 0.5,
            _ => 0.1 * number + (place % 5) as f32,
        };
        let values: Vec<f32> = (0..rows * input).map(entry).collect();
        (
            format!("model.layers.0.{module}.{kind}"),
            Tensor::from_vec(values, (rows, input), &Device::Cpu).unwrap(),
        )
    };
    let tensors: HashMap<String, Tensor> = ["self_attn.q_proj", "mlp.up_proj"].map(tensor).into();
    candle_core::safetensors::save(&tensors, at.join(name)).unwrap();
}

#[test]
fn what_a_merge_went_by_is_in_its_receipt_and_must_be_what_it_was() {
    let folder = two();
    let at = folder.path();
    let path = |name: &str| at.join(name).to_string_lossy().replace('\\', "/");
    for (rule, kind) in [("fisher", "fisher"), ("regmean", "gram")] {
        let files = ["a", "b"].map(|member| format!("{member}.{kind}"));
        let recipe = format!(
            "merge_method: {rule}\nmodels:\n  - {{model: '{}', statistics: '{}'}}\n  - {{model: '{}', statistics: '{}'}}\n",
            path("a"),
            path(&files[0]),
            path("b"),
            path(&files[1])
        );
        let (yaml, out) = (format!("@{rule}.yaml"), format!("@{rule}"));
        fs::write(at.join(format!("{rule}.yaml")), recipe).unwrap();
        // A plan can be had before anything is measured, a merge cannot.
        merge(at, &[&yaml, "--dry-run"]).unwrap();
        assert!(refused(at, &[&yaml, "--out", &out]).contains(&files[0]));
        measure(at, &files[0], kind, 1.0);
        measure(at, &files[1], kind, 2.0);
        merge(at, &[&yaml, "--dry-run"]).unwrap();
        merge(at, &[&yaml, "--out", &out]).unwrap();
        merge(at, &["verify", &out]).unwrap();
        let receipt = receipt_of(at, rule);
        let records: Vec<_> = receipt
            .adapters
            .iter()
            .map(|member| member.statistics.clone().unwrap())
            .collect();
        assert_eq!(records[0].file, path(&files[0]));
        assert_ne!(records[0].fingerprint, records[1].fingerprint);
        measure(at, &files[1], kind, 2.5);
        let error = refused(at, &["verify", &out]);
        assert!(
            error.contains(&files[1]) && error.contains("has changed"),
            "{error}"
        );
        measure(at, &files[1], kind, 2.0);
        merge(at, &["verify", &out]).unwrap();
        // Another file than the recipe has.
        let receipt = at.join(rule).join(MERGE);
        let text = fs::read_to_string(&receipt).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["recipe"]["models"][1]["statistics"] = path(&files[0]).into();
        fs::write(&receipt, json.to_string()).unwrap();
        assert!(refused(at, &["verify", &out]).contains("it was changed"));
    }
    merge(at, &["@a", "@b", "--out", "@plain"]).unwrap();
    assert_eq!(receipt_of(at, "plain").adapters[0].statistics, None);
}
