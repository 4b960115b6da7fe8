//! The identities that any exact merge of low-rank updates must satisfy, on adapters drawn at random.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::svd::singular_values;
use super::*;
use crate::backbone::Weights;

pub(super) const Q: &str = "model.layers.0.self_attn.q_proj";
pub(super) const K: &str = "model.layers.0.self_attn.k_proj";
pub(super) const UP: &str = "model.layers.1.mlp.up_proj";

pub(super) fn shape(name: &str) -> (usize, usize) {
    match name {
        Q => (12, 12),
        K => (6, 12),
        _ => (20, 12),
    }
}

pub(super) fn random(rng: &mut ChaCha8Rng, rows: usize, columns: usize) -> Tensor {
    let values: Vec<f32> = (0..rows * columns).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

pub(super) fn adapter(seed: u64, r: usize, alpha: f64, names: &[&str]) -> Adapter {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let config = LoraConfig {
        r,
        lora_alpha: alpha,
        use_rslora: seed.is_multiple_of(2),
        target_modules: TargetModules::Names(names.iter().map(|name| name.to_string()).collect()),
        ..LoraConfig::default()
    };
    let modules = names
        .iter()
        .map(|name| {
            let (out, input) = shape(name);
            let (a, b) = (random(&mut rng, r, input), random(&mut rng, out, r));
            (
                name.to_string(),
                LoraModule {
                    a,
                    b,
                    scale: config.scale_for(name),
                },
            )
        })
        .collect();
    Adapter::new(config, modules)
}

/// Σ w·s·B·A of one module, dense, in f64 and by hand: what every rule is measured against.
pub(super) fn dense(adapters: &[(&Adapter, f64)], name: &str) -> Vec<f64> {
    let (out, input) = shape(name);
    let mut sum = vec![0.0; out * input];
    for (adapter, weight) in adapters {
        let Some(module) = adapter.modules.get(name) else {
            continue;
        };
        let (a, b) = (
            module.a.to_vec2::<f32>().unwrap(),
            module.b.to_vec2::<f32>().unwrap(),
        );
        for (row, b_row) in b.iter().enumerate() {
            for column in 0..input {
                let product: f64 = b_row
                    .iter()
                    .zip(&a)
                    .map(|(b, a)| f64::from(*b) * f64::from(a[column]))
                    .sum();
                sum[row * input + column] += weight * module.scale * product;
            }
        }
    }
    sum
}

pub(super) fn distance(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len());
    x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
}

fn assert_same_update(merged: &Adapter, parts: &[(&Adapter, f64)]) {
    for name in [Q, K, UP] {
        let error = distance(&dense(&[(merged, 1.0)], name), &dense(parts, name));
        assert!(error < 1e-4, "{name} differs by {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn cat_equals_the_weighted_sum_of_updates(
        seed in 0u64..1000, ranks in prop::array::uniform3(1usize..5), weights in prop::array::uniform3(-2.0f64..2.0)
    ) {
        let adapters = [
            adapter(seed, ranks[0], 3.0, &[Q, K, UP]),
            adapter(seed + 1, ranks[1], 8.0, &[Q, UP]),
            adapter(seed + 2, ranks[2], 1.0, &[K]),
        ];
        let parts: Vec<_> = adapters.iter().zip(weights).collect();
        let merged = weighted(&parts).unwrap();
        assert_same_update(&merged, &parts);
        let backwards: Vec<_> = parts.iter().rev().copied().collect();
        assert_same_update(&weighted(&backwards).unwrap(), &parts);
        prop_assert_eq!(merged.modules[K].rank(), ranks[0] + ranks[2]);
    }

    #[test]
    fn scaling_all_weights_scales_the_merge(seed in 0u64..1000, factor in 0.1f64..3.0) {
        let (x, y) = (adapter(seed, 2, 4.0, &[Q, K]), adapter(seed + 7, 3, 4.0, &[Q, UP]));
        let merged = weighted(&[(&x, factor * 0.3), (&y, factor * 0.7)]).unwrap();
        let plain = weighted(&[(&x, 0.3), (&y, 0.7)]).unwrap();
        assert_same_update(&merged, &[(&plain, factor)]);
    }

    #[test]
    fn truncation_loses_exactly_the_singular_values_it_cuts(seed in 0u64..1000, rank in 1usize..6) {
        let adapters = [adapter(seed, 2, 4.0, &[Q, K, UP]), adapter(seed + 1, 3, 2.0, &[Q, UP])];
        let merged = uniform(&[&adapters[0], &adapters[1]]).unwrap();
        let (cut, error) = truncate(&merged, rank).unwrap();
        let mut measured = 0.0f64;
        for name in [Q, K, UP] {
            let values = singular_values(name, &merged.modules[name]).unwrap();
            let expected = values.iter().skip(rank).map(|v| v * v).sum::<f64>().sqrt();
            let lost = distance(&dense(&[(&cut, 1.0)], name), &dense(&[(&merged, 1.0)], name));
            prop_assert!((lost - expected).abs() < 1e-4, "{} loses {} not {}", name, lost, expected);
            measured += lost * lost;
        }
        prop_assert!((measured.sqrt() - error).abs() < 1e-4);
        prop_assert!(cut.modules.values().all(|module| module.rank() <= rank));
    }
}

#[test]
fn one_adapter_of_weight_one_comes_back() {
    let one = adapter(3, 4, 8.0, &[Q, K, UP]);
    let merged = uniform(&[&one]).unwrap();
    assert_same_update(&merged, &[(&one, 1.0)]);
    assert_eq!(merged.modules[Q].rank(), 4);
}

#[test]
fn a_weight_of_zero_drops_an_adapter() {
    let (x, y) = (adapter(1, 2, 4.0, &[Q, K]), adapter(2, 3, 4.0, &[Q, UP]));
    let merged = weighted(&[(&x, 0.5), (&y, 0.0)]).unwrap();
    assert_same_update(&merged, &[(&x, 0.5)]);
    assert!(!merged.modules.contains_key(UP) && merged.modules[Q].rank() == 2);
}

#[test]
fn the_published_merge_of_weaverec_is_the_uniform_mean() {
    let adapters = [1, 2, 3, 4].map(|seed| adapter(2 * seed + 1, 4, 8.0, &[Q, K, UP]));
    let merged = uniform(&adapters.each_ref()).unwrap();
    // As released: softmax over ones, then the dense updates added one after another.
    let softmax = 1.0f64.exp() / (4.0 * 1.0f64.exp());
    let parts: Vec<_> = adapters.iter().map(|adapter| (adapter, softmax)).collect();
    assert_same_update(&merged, &parts);
}

#[test]
fn a_uniform_mean_is_scaled_exactly_and_by_one_not_at_all() {
    let adapters = [
        adapter(1, 2, 4.0, &[Q, K]),
        adapter(2, 3, 8.0, &[Q, UP]),
        adapter(3, 1, 1.0, &[K]),
    ];
    let members = adapters.each_ref();
    for scale in [0.5, 0.7, 1.3, 2.0, -1.0] {
        let merged = uniform_scaled(&members, scale).unwrap();
        let parts: Vec<_> = adapters.iter().map(|adapter| (adapter, scale / 3.0)).collect();
        assert_same_update(&merged, &parts);
        assert_same_update(&merged, &[(&uniform(&members).unwrap(), scale)]);
    }
    let folder = tempfile::tempdir().unwrap();
    let bytes = |name: &str, merged: Adapter| {
        let path = folder.path().join(name);
        merged.save(&path).unwrap();
        let mut files: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        let read =
            |file: &std::path::PathBuf| (file.file_name().unwrap().to_owned(), std::fs::read(file).unwrap());
        files.iter().map(read).collect::<Vec<_>>()
    };
    let mean = weighted(&adapters.each_ref().map(|adapter| (adapter, 1.0 / 3.0))).unwrap();
    assert_eq!(
        bytes("scaled", uniform_scaled(&members, 1.0).unwrap()),
        bytes("mean", mean)
    );
    assert_ne!(
        bytes("doubled", uniform_scaled(&members, 2.0).unwrap()),
        bytes("plain", uniform(&members).unwrap())
    );
    for nothing in [0.0, f64::NAN, f64::INFINITY] {
        assert!(uniform_scaled(&members, nothing).is_err());
    }
}

#[test]
fn truncation_at_the_full_rank_is_exact_with_orthonormal_a() {
    let adapters = [adapter(5, 2, 4.0, &[Q, K, UP]), adapter(6, 3, 2.0, &[Q, UP])];
    let merged = uniform(&[&adapters[0], &adapters[1]]).unwrap();
    let (full, error) = truncate(&merged, 5).unwrap();
    assert!(error < 1e-6);
    assert_same_update(&full, &[(&merged, 1.0)]);
    let a = &full.modules[Q].a;
    let gram = a.matmul(&a.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
    for (i, row) in gram.iter().enumerate() {
        for (j, value) in row.iter().enumerate() {
            assert!((value - f32::from(i == j)).abs() < 1e-5);
        }
    }
    assert!(truncate(&merged, 0).is_err());
}

#[test]
fn a_merged_adapter_of_uneven_ranks_survives_its_folder() {
    let (x, y) = (adapter(1, 2, 4.0, &[Q, K]), adapter(2, 3, 4.0, &[Q, UP]));
    let merged = uniform(&[&x, &y]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("merged");
    merged.save(&path).unwrap();
    let read = Adapter::load(&path).unwrap();
    assert_same_update(&read, &[(&x, 0.5), (&y, 0.5)]);
    assert!(
        !read.config.use_rslora,
        "an inherited use_rslora would make the result √r too large"
    );
    assert_eq!(
        (
            read.config.rank_for(Q),
            read.config.rank_for(K),
            read.config.rank_for(UP)
        ),
        (5, 2, 3)
    );
    assert!([Q, K, UP].iter().all(|name| read.config.targets(name)));
}

#[test]
fn what_cannot_be_merged_is_refused() {
    let one = adapter(1, 2, 4.0, &[Q]);
    assert!(weighted(&[]).is_err() && uniform(&[]).is_err());
    assert!(weighted(&[(&one, 0.0)]).is_err());
    assert!(weighted(&[(&one, f64::NAN)]).is_err());
    let mut narrow = one.clone();
    let module = narrow.modules.get_mut(Q).unwrap();
    module.a = module.a.narrow(1, 0, 6).unwrap();
    let message = uniform(&[&one, &narrow]).unwrap_err().to_string();
    assert!(message.contains(Q) && message.contains("(12, 6)"), "{message}");
    let mut broken = one.clone();
    let module = broken.modules.get_mut(Q).unwrap();
    module.a = (&module.a * f64::INFINITY).unwrap();
    assert!(truncate(&broken, 1).unwrap_err().to_string().contains(Q));
}

#[test]
fn folding_adds_the_update_and_refuses_another_base_untouched() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let base: HashMap<String, Tensor> = [Q, K]
        .map(|name| {
            (
                format!("{name}.weight"),
                random(&mut rng, shape(name).0, shape(name).1),
            )
        })
        .into();
    let mut weights = Weights::from_tensors(base.clone());
    let one = adapter(1, 2, 4.0, &[Q, K]);
    fold(&mut weights, &one, 0.5).unwrap();
    for name in [Q, K] {
        let parameter = format!("{name}.weight");
        let after = weights.get(&parameter, base[&parameter].dims()).unwrap();
        let change: Vec<f64> = (after - &base[&parameter])
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
            .into_iter()
            .map(f64::from)
            .collect();
        assert!(distance(&change, &dense(&[(&one, 0.5)], name)) < 1e-4);
    }
    let before = weights.fingerprint().unwrap();
    assert!(fold(&mut weights, &adapter(1, 2, 4.0, &[Q, UP]), 1.0).is_err());
    assert!(fold(&mut weights, &one, f64::NAN).is_err());
    assert_eq!(weights.fingerprint().unwrap(), before);
}

#[test]
fn an_update_of_a_tied_head_gives_the_base_a_head_of_its_own() {
    let embedding = random(&mut ChaCha8Rng::seed_from_u64(9), 20, 12);
    let mut weights =
        Weights::from_tensors([("model.embed_tokens.weight".to_string(), embedding.clone())].into());
    let one = adapter(1, 2, 4.0, &["lm_head"]);
    assert!(one.parts_head_from_embedding() && !adapter(1, 2, 4.0, &[Q]).parts_head_from_embedding());
    fold(&mut weights, &one, 1.0).unwrap();
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let kept = weights.get("model.embed_tokens.weight", &[20, 12]).unwrap();
    assert_eq!(values(&kept), values(&embedding));
    let head = weights.get("lm_head.weight", &[20, 12]).unwrap();
    let change: Vec<f64> = values(&(head - embedding).unwrap())
        .into_iter()
        .map(f64::from)
        .collect();
    assert!(distance(&change, &dense(&[(&one, 1.0)], "lm_head")) < 1e-4);
}

/// An adapter that stores the embedding whole as well.
pub(super) fn with_whole(seed: u64, names: &[&str], scale: f64) -> Adapter {
    let mut adapter = adapter(seed, 2, 4.0, names);
    let whole = (random(&mut ChaCha8Rng::seed_from_u64(seed), 9, 12) * scale).unwrap();
    adapter.saved.insert("model.embed_tokens".into(), whole);
    adapter.config.modules_to_save = Some(vec!["embed_tokens".into()]);
    adapter
}

#[test]
fn modules_stored_whole_are_merged_where_that_is_exact_and_refused_where_it_is_not() {
    let (first, second) = (with_whole(1, &[Q], 1.0), with_whole(2, &[Q], 1.0));
    let merged = weighted(&[(&first, 0.25), (&second, 0.75)]).unwrap();
    let base = Weights::from_tensors(HashMap::from([
        (
            "model.embed_tokens.weight".to_string(),
            random(&mut ChaCha8Rng::seed_from_u64(9), 9, 12),
        ),
        (
            format!("{Q}.weight"),
            random(&mut ChaCha8Rng::seed_from_u64(8), 12, 12),
        ),
    ]));
    let folded = |parts: &[(&Adapter, f64)]| {
        let mut weights = base.clone();
        for (adapter, weight) in parts {
            fold(&mut weights, adapter, *weight).unwrap();
        }
        let values = |name: &str| {
            let values = weights.get(name, &[9, 12]).unwrap().flatten_all().unwrap();
            values.to_vec1::<f32>().unwrap()
        };
        (values("model.embed_tokens.weight"), values("lm_head.weight"))
    };
    let (embedding, head) = folded(&[(&merged, 1.0)]);
    let members: Vec<f32> = [&first, &second]
        .map(|a| {
            a.saved["model.embed_tokens"]
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
        })
        .into_iter()
        .zip([0.25f32, 0.75])
        .map(|(values, weight)| values.iter().map(|v| v * weight).collect::<Vec<_>>())
        .reduce(|a, b| a.iter().zip(b).map(|(a, b)| a + b).collect())
        .unwrap();
    assert!(embedding.iter().zip(&members).all(|(a, b)| (a - b).abs() < 1e-6));
    let before = base.get("model.embed_tokens.weight", &[9, 12]).unwrap();
    let before: Vec<f32> = before.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(head, before, "the head that was tied stays what it was");
    // Half of an adapter moves the embedding half of the way.
    let (half, _) = folded(&[(&first, 0.5)]);
    let whole = first.saved["model.embed_tokens"]
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    assert!((0..before.len()).all(|i| (half[i] - (before[i] + whole[i]) / 2.0).abs() < 1e-6));

    for parts in [
        [(&first, 0.5), (&adapter(3, 2, 4.0, &[Q]), 0.5)],
        [(&first, 0.5), (&second, 0.7)],
    ] {
        let error = weighted(&parts).unwrap_err().to_string();
        assert!(
            error.contains("model.embed_tokens") && error.contains("sum to 1"),
            "{error}"
        );
    }
    let (cut, _) = truncate(&merged, 1).unwrap();
    assert_eq!(cut.config.modules_to_save, Some(vec!["embed_tokens".to_string()]));
    assert_eq!(cut.saved.len(), 1);
}

#[test]
fn a_merge_of_adapters_in_some_layers_targets_these_alone() {
    let mut partial = adapter(1, 2, 4.0, &[UP]);
    partial.config.layers_to_transform = Some(crate::lora::config::OneOrMany::One(1));
    partial.config.target_modules = TargetModules::Names(vec!["up_proj".into()]);
    let merged = uniform(&[&partial, &partial]).unwrap();
    assert!(merged.config.targets(UP));
    assert!(!merged.config.targets("model.layers.0.mlp.up_proj"));
    let mut everywhere = adapter(1, 2, 4.0, &["model.layers.0.mlp.up_proj", UP]);
    everywhere.config.target_modules = TargetModules::Names(vec!["up_proj".into()]);
    let merged = uniform(&[&everywhere]).unwrap();
    assert_eq!(merged.config.target_modules, everywhere.config.target_modules);
}

#[test]
fn a_member_without_factors_that_its_settings_want_is_no_member() {
    let whole = adapter(1, 2, 4.0, &[Q, "model.layers.1.self_attn.q_proj"]);
    let mut half = adapter(2, 2, 4.0, &[Q]);
    half.config.target_modules = TargetModules::Names(vec!["q_proj".into()]);
    // Of its own layer alone it seems whole; beside the other it is seen not to be.
    assert!(uniform(&[&half]).is_ok());
    let error = uniform(&[&whole, &half]).unwrap_err().to_string();
    for part in [
        "adapter 2 of 2",
        "1 of 2 targeted modules have no factors",
        "model.layers.1.self_attn.q_proj",
        "--partial",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(weighted(&[(&whole, 1.0), (&half, 0.0)]).is_ok());
    let base = [Q, "model.layers.1.self_attn.q_proj"].map(|name| {
        (
            format!("{name}.weight"),
            random(&mut ChaCha8Rng::seed_from_u64(1), 12, 12),
        )
    });
    let mut weights = Weights::from_tensors(base.into());
    let error = fold(&mut weights, &half, 1.0).unwrap_err().to_string();
    assert!(error.contains("2 layers") && error.contains("1 of 2"), "{error}");
}

fn trained_on(mut adapter: Adapter, name: &str, weights: &str) -> Adapter {
    adapter.base = Some(crate::lora::Base {
        name: name.into(),
        layers: 2,
        precision: Default::default(),
        weights: weights.into(),
        unpacked: "same".into(),
    });
    adapter.config.base_model_name_or_path = Some(name.into());
    adapter
}

#[test]
fn members_of_different_bases_are_refused_and_the_result_says_which_base_it_is_for() {
    let (one, two) = (adapter(1, 2, 4.0, &[Q]), adapter(2, 2, 4.0, &[Q]));
    let a = trained_on(one.clone(), "/models/a", "1");
    let moved = trained_on(two.clone(), "/elsewhere/a", "1");
    let merged = uniform(&[&a, &moved]).unwrap();
    assert_eq!(merged.base, a.base);
    assert_eq!(
        merged.config.base_model_name_or_path.as_deref(),
        Some("/models/a")
    );
    let error = uniform(&[&a, &trained_on(two.clone(), "/models/b", "2")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/models/a") && error.contains("/models/b"),
        "{error}"
    );
    // Packed, the same base has other projections, and the rest of it tells.
    let mut packed = trained_on(two.clone(), "/models/a", "3");
    packed.base.as_mut().unwrap().precision = crate::backbone::Precision::Q4;
    assert!(uniform(&[&a, &packed]).is_ok());
    // By names alone nothing is sure.
    let unknown = uniform(&[&a, &two]).unwrap();
    assert!(unknown.base.is_none() && unknown.config.base_model_name_or_path.is_none());
}

#[test]
fn copies_of_the_base_must_be_the_bases_and_change_nothing() {
    let copy = random(&mut ChaCha8Rng::seed_from_u64(9), 20, 12);
    let other = random(&mut ChaCha8Rng::seed_from_u64(10), 20, 12);
    let with_copy = |seed, copy: &Tensor| {
        let mut adapter = adapter(seed, 2, 4.0, &[Q]);
        adapter.copies.insert("model.embed_tokens".into(), copy.clone());
        adapter
    };
    let (one, two) = (with_copy(1, &copy), with_copy(2, &copy));
    let merged = uniform(&[&one, &two, &adapter(3, 2, 4.0, &[Q])]).unwrap();
    assert_eq!(merged.copies.len(), 1);
    assert_eq!(truncate(&merged, 1).unwrap().0.copies.len(), 1);
    let error = uniform(&[&one, &with_copy(2, &other)]).unwrap_err().to_string();
    assert!(
        error.contains("model.embed_tokens") && error.contains("different values"),
        "{error}"
    );
    let base = |embedding: &Tensor| {
        Weights::from_tensors(HashMap::from([
            ("model.embed_tokens.weight".to_string(), embedding.clone()),
            (
                format!("{Q}.weight"),
                random(&mut ChaCha8Rng::seed_from_u64(8), 12, 12),
            ),
        ]))
    };
    let (mut with, mut without) = (base(&copy), base(&copy));
    fold(&mut with, &one, 1.0).unwrap();
    fold(&mut without, &adapter(1, 2, 4.0, &[Q]), 1.0).unwrap();
    assert_eq!(with.fingerprint().unwrap(), without.fingerprint().unwrap());
    let error = fold(&mut base(&other), &one, 1.0).unwrap_err().to_string();
    assert!(
        error.contains("model.embed_tokens") && error.contains("of its 240 values"),
        "{error}"
    );
    // Rounded to 16 bits it is the same still.
    let rounded = with_copy(1, &copy.to_dtype(candle_core::DType::BF16).unwrap());
    fold(&mut base(&copy), &rounded, 1.0).unwrap();
}
