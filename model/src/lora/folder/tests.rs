#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use candle_core::Device;

fn counting(rows: usize, columns: usize) -> Tensor {
    let values: Vec<f32> = (0..rows * columns).map(|i| (i as f32).cos()).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

fn adapter() -> Adapter {
    let config: LoraConfig = serde_json::from_str(
        r#"{"r": 2, "lora_alpha": 4, "rank_pattern": {"up_proj": 3}, "target_modules": ["q_proj", "up_proj"]}"#,
    )
    .unwrap();
    let module = |name: &str, rank: usize| {
        let name = format!("model.layers.0.{name}");
        let scale = config.scale_for(&name);
        (
            name,
            LoraModule {
                a: counting(rank, 6),
                b: counting(5, rank),
                scale,
            },
        )
    };
    let modules = [module("self_attn.q_proj", 2), module("mlp.up_proj", 3)].into();
    Adapter::new(config, modules)
}

#[test]
fn modules_stored_whole_read_back_and_must_be_those_that_the_settings_name() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a");
    let mut before = adapter();
    before.saved.insert(HEAD.into(), counting(7, 6));
    let failed = before.save(&folder).unwrap_err().to_string();
    assert!(failed.contains("modules_to_save does not name"), "{failed}");
    before.config.modules_to_save = Some(vec!["lm_head".into()]);
    before.save(&folder).unwrap();
    let after = Adapter::load(&folder).unwrap();
    assert_eq!(after.fingerprint().unwrap(), before.fingerprint().unwrap());
    assert_eq!(after.parameters(), 2 * 11 + 3 * 11 + 42);
    assert_ne!(after.fingerprint().unwrap(), adapter().fingerprint().unwrap());
    before.config.modules_to_save = Some(vec!["lm_head".into(), "embed_tokens".into()]);
    let failed = before.save(&folder).unwrap_err().to_string();
    assert!(failed.contains("embed_tokens"), "{failed}");
}

#[test]
fn factors_that_the_settings_do_not_target_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut wrong = adapter();
    wrong.config.exclude_modules = Some(crate::lora::config::TargetModules::Names(vec!["q_proj".into()]));
    let failed = wrong.save(&root.path().join("a")).unwrap_err().to_string();
    assert!(
        failed.contains("q_proj") && failed.contains("no target"),
        "{failed}"
    );
}

#[test]
fn factors_that_are_no_numbers_are_neither_written_nor_read() {
    let root = tempfile::tempdir().unwrap();
    let mut wrong = adapter();
    if let Some(module) = wrong.modules.values_mut().next() {
        module.b = (&module.b * f64::NAN).unwrap();
    }
    let failed = wrong.save(&root.path().join("a")).unwrap_err().to_string();
    assert!(failed.contains("other than finite numbers"), "{failed}");
}

#[test]
fn an_adapter_written_reads_back_equal() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a");
    let before = adapter();
    before.save(&folder).unwrap();
    before.save(&folder).unwrap();
    let after = Adapter::load(&folder).unwrap();
    assert_eq!(after.config, before.config);
    assert_eq!(after.fingerprint().unwrap(), before.fingerprint().unwrap());
    assert_eq!(after.parameters(), 2 * 11 + 3 * 11);
    assert_eq!(
        std::fs::read_dir(root.path()).unwrap().count(),
        1,
        "no temporary folders stay behind"
    );
}

#[test]
fn settings_that_contradict_the_factors_are_not_written() {
    let root = tempfile::tempdir().unwrap();
    let mut wrong = adapter();
    wrong.config.r = 5;
    assert!(
        wrong
            .save(&root.path().join("a"))
            .unwrap_err()
            .to_string()
            .contains("rank 2")
    );
    let mut wrong = adapter();
    wrong.config.lora_alpha = 5.0;
    assert!(
        wrong
            .save(&root.path().join("a"))
            .unwrap_err()
            .to_string()
            .contains("scale")
    );
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn what_is_not_a_pair_of_factors_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(CONFIG), r#"{"r": 2, "lora_alpha": 2}"#).unwrap();
    let write = |keys: &[&str]| {
        let tensor = counting(2, 2);
        let named = keys.iter().map(|key| (key.to_string(), tensor.clone().into()));
        safetensors::write(&folder.path().join(MODEL), named).unwrap();
        Adapter::load(folder.path()).unwrap_err().to_string()
    };
    let a = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight";
    assert!(write(&[a]).contains("no B"));
    assert!(write(&[&a.replace("_A", "_B")]).contains("no A"));
    assert!(write(&["base_model.model.lm_head.bias"]).contains("lm_head.bias is a trained bias"));
    assert!(write(&["base_model.model.lm_head.weight"]).contains("no modules"));
    std::fs::remove_file(folder.path().join(MODEL)).unwrap();
    assert!(
        Adapter::load(folder.path())
            .unwrap_err()
            .to_string()
            .contains(MODEL)
    );
}

#[test]
fn the_fingerprint_sees_scales_and_values() {
    let base = adapter();
    let name = "model.layers.0.mlp.up_proj";
    for change in [
        |m: &mut LoraModule| m.scale *= 2.0,
        |m: &mut LoraModule| m.b = (&m.b * 2.0).unwrap(),
    ] {
        let mut other = base.clone();
        change(other.modules.get_mut(name).unwrap());
        assert_ne!(other.fingerprint().unwrap(), base.fingerprint().unwrap());
    }
}

/// A folder with settings and factors of `names`, in a file whose keys `rename` makes of PEFT's.
fn stored(settings: &str, names: &[&str], rename: impl Fn(&str) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(CONFIG), settings).unwrap();
    let factors = names.iter().flat_map(|name| {
        [("lora_A", counting(2, 6)), ("lora_B", counting(5, 2))]
            .map(|(factor, tensor)| (rename(&format!("{PREFIX}{name}.{factor}.weight")), tensor.into()))
    });
    safetensors::write(&folder.path().join(MODEL), factors).unwrap();
    folder
}

const Q0: &str = "model.layers.0.self_attn.q_proj";
const Q1: &str = "model.layers.1.self_attn.q_proj";
const Q: &str = r#"{"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}"#;

#[test]
fn targeted_modules_without_factors_are_counted_and_refused_unless_they_count_as_zero() {
    // In a base of which only the last layer's factors are there, the first is known to be missing.
    let folder = stored(Q, &[Q1], str::to_string);
    let error = Adapter::load(folder.path()).unwrap_err().to_string();
    for part in [MODEL, "1 of 2 targeted modules have no factors", Q0, "--partial"] {
        assert!(error.contains(part), "{error}");
    }
    let partial = Reading {
        partial: true,
        base: None,
    };
    let read = Adapter::read(folder.path(), partial).unwrap();
    assert_eq!(read.modules.len(), 1);
    assert!(
        read.config.targets(Q1) && !read.config.targets(Q0),
        "the settings say what is there"
    );
    read.save(&folder.path().join("again")).unwrap();
    assert_eq!(
        Adapter::load(&folder.path().join("again")).unwrap().modules.len(),
        1
    );

    // Settings that name layers want factors in these.
    let settings =
        r#"{"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "layers_to_transform": [0, 2]}"#;
    let error = Adapter::load(stored(settings, &[Q0], str::to_string).path()).unwrap_err();
    assert!(error.to_string().contains("1 of 2 targeted modules"), "{error}");

    // And so do the head, a path, and a pattern that names layers.
    for (targets, missing) in [
        (r#"["q_proj", "lm_head"]"#, HEAD),
        (
            r#"["q_proj", "model.layers.0.mlp.up_proj"]"#,
            "model.layers.0.mlp.up_proj",
        ),
        (r#"".*(q_proj|k_proj)""#, "model.layers.0.self_attn.k_proj"),
        (r#"["q_proj", "embed_tokens"]"#, "model.embed_tokens"),
    ] {
        let settings = format!(r#"{{"peft_type": "LORA", "r": 2, "target_modules": {targets}}}"#);
        let error = Adapter::load(stored(&settings, &[Q0], str::to_string).path()).unwrap_err();
        assert!(error.to_string().contains(missing), "{error}");
    }
}

#[test]
fn an_adapters_own_record_of_its_base_says_how_many_layers_there_are() {
    let folder = stored(Q, &[Q0], str::to_string);
    let mut adapter = Adapter::load(folder.path()).unwrap();
    adapter.base = Some(Base {
        name: "/models/a".into(),
        layers: 2,
        precision: Default::default(),
        weights: "1".into(),
        unpacked: "2".into(),
    });
    let place = folder.path().join("again");
    let error = adapter.save(&place).unwrap_err().to_string();
    assert!(error.contains("1 of 2 targeted modules"), "{error}");
    let other = adapter.modules[Q0].clone();
    adapter.modules.insert(Q1.into(), other);
    adapter.save(&place).unwrap();
    assert_eq!(Adapter::load(&place).unwrap().base, adapter.base);
    std::fs::write(place.join("base.json"), "{").unwrap();
    let error = Adapter::load(&place).unwrap_err().to_string();
    assert!(
        error.contains("base.json") && error.contains("no JSON"),
        "{error}"
    );
}

#[test]
fn the_name_of_the_adapter_may_stand_in_its_keys_and_only_one_may() {
    for name in ["default", "shop"] {
        let named = |key: &str| key.replace(".weight", &format!(".{name}.weight"));
        let read = Adapter::load(stored(Q, &[Q0], named).path()).unwrap();
        assert_eq!(read.modules.keys().collect::<Vec<_>>(), [Q0]);
    }
    let two = |key: &str| match key.contains("layers.0") {
        true => key.replace(".weight", ".default.weight"),
        false => key.replace(".weight", ".shop.weight"),
    };
    let error = Adapter::load(stored(Q, &[Q0, Q1], two).path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("2 adapters") && error.contains("\"shop\""),
        "{error}"
    );
    let twice = |key: &str| key.replace("model.layers.1", "layers.0");
    let error = Adapter::load(stored(Q, &[Q0, Q1], twice).path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("twice"), "{error}");
}

#[test]
fn factors_of_no_sense_are_refused_by_name() {
    let write = |a: Tensor, b: Tensor| {
        let folder = stored(Q, &[], str::to_string);
        let key = |factor: &str| format!("{PREFIX}{Q0}.{factor}.weight");
        let named = [(key("lora_A"), a.into()), (key("lora_B"), b.into())];
        safetensors::write(&folder.path().join(MODEL), named).unwrap();
        Adapter::load(folder.path()).unwrap_err().to_string()
    };
    let empty = Tensor::zeros((0, 6), DType::F32, &Device::Cpu).unwrap();
    let flat = counting(1, 12).flatten_all().unwrap();
    let nan = (counting(2, 6) * f64::NAN).unwrap();
    for (a, b, word) in [
        (counting(2, 6), counting(5, 3), "differ in rank"),
        (counting(3, 6), counting(5, 3), "rank 3 where the settings say 2"),
        (empty, counting(5, 2), "is empty"),
        (flat, counting(5, 2), "no matrix"),
        (nan, counting(5, 2), "finite"),
    ] {
        let error = write(a, b);
        assert!(error.contains(word) && error.contains(Q0), "{error}");
    }
}

#[test]
fn another_folder_in_the_place_of_an_adapters_is_named_for_what_it_is() {
    let root = tempfile::tempdir().unwrap();
    let load = |path: &Path| Adapter::load(path).unwrap_err().to_string();
    assert!(load(&root.path().join("none")).contains("no such folder"));
    assert!(load(root.path()).contains(CONFIG));
    std::fs::write(root.path().join("config.json"), "{}").unwrap();
    assert!(load(root.path()).contains("a model's folder"));
    let inner = root.path().join("checkpoint-20");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join(CONFIG), Q).unwrap();
    assert!(load(root.path()).contains("there are adapters in checkpoint-20"));
    let config = root.path().join(CONFIG);
    std::fs::write(&config, Q).unwrap();
    assert!(load(root.path()).contains("no adapter_model.safetensors"));
    std::fs::write(root.path().join("adapter_model.bin"), "").unwrap();
    let error = load(root.path());
    assert!(
        error.contains("pickled") && error.contains("save_file"),
        "{error}"
    );
    std::fs::write(root.path().join(MODEL), "x").unwrap();
    for (bytes, word) in [
        ("", "empty"),
        ("version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("<!DOCTYPE html>", "HTML"),
        (r#"{"model_type": "llama"}"#, "neither peft_type nor r"),
        (r#"{"peft_type": "IA3", "r": 1}"#, "IA3"),
        (
            r#"{"peft_type": "LORA", "fan_in_fan_out": true}"#,
            "fan_in_fan_out",
        ),
        (
            r#"{"peft_type": "LORA", "target_modules": ["lm_head"], "ensure_weight_tying": true}"#,
            "ensure_weight_tying",
        ),
        ("[]", "invalid type"),
    ] {
        std::fs::write(&config, bytes).unwrap();
        let error = load(root.path());
        assert!(error.contains(word) && error.contains(CONFIG), "{error}");
    }
    std::fs::write(&config, Q).unwrap();
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"PK\x03\x04", "pickled"),
        (b"\x20\0\0\0\0\0\0\0{\"a\": 1", "cut off: 15 bytes of the 40"),
        (b"nonsense nonsense", "not a whole safetensors file"),
    ] {
        std::fs::write(root.path().join(MODEL), bytes).unwrap();
        let error = load(root.path());
        assert!(error.contains(word) && error.contains(MODEL), "{error}");
    }
}

#[test]
fn nulls_are_defaults() {
    let settings = r#"{"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "use_rslora": null, "bias": null, "use_dora": null,
        "lora_dropout": null, "rank_pattern": null, "layers_pattern": null}"#;
    let read = Adapter::load(stored(settings, &[Q0], str::to_string).path()).unwrap();
    assert_eq!(read.config.scale_for(Q0), 4.0);
}
