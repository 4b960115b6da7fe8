//! What must hold of the rules that no tool has for adapters, each by itself.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::*;
use crate::merge::align::{STATISTICS, WEIGHT};
use crate::merge::setting::Setting;
use crate::merge::tests::{random, shape};

#[test]
fn a_direction_has_no_length_but_its_targets() {
    let [a, b, _] = three(11, false);
    let fedecider = |target: usize, parts: &[(&Adapter, f64)]| {
        merge(&rule("fedecider", json!({"target": target})), parts)
    };
    // The target alone is the target, and a source of any length is the same source.
    assert!(apart(&fedecider(1, &[(&a, 1.0), (&b, 0.0)]), &a) < 1e-6);
    let once = fedecider(1, &[(&a, 0.6), (&b, 0.4)]);
    assert!(apart(&fedecider(1, &[(&a, 0.6), (&scaled_up(&b, 7.0), 0.4)]), &once) < 1e-5);
    assert!(apart(&fedecider(2, &[(&b, 0.4), (&a, 0.6)]), &once) < 1e-6);
    assert!(apart(&fedecider(2, &[(&a, 0.6), (&b, 0.4)]), &once) > 0.1);
    // Of two members that are alike but for their length it is the mean, as long as the target.
    assert!(apart(&fedecider(1, &[(&a, 0.5), (&scaled_up(&a, 3.0), 0.5)]), &a) < 1e-5);
}

#[test]
fn a_mask_and_its_scale_make_of_the_elected_update_one_as_large_as_the_targets() {
    let [a, b, c] = three(12, false);
    let parts = [(&a, 0.7), (&b, 0.4), (&c, 1.1)];
    let unified = merge(&rule("emr", json!({})), &parts);
    let magnitude = |update: &[f64]| update.iter().map(|value| value.abs()).sum::<f64>();
    for (place, (adapter, weight)) in parts.iter().enumerate() {
        let of_target = merge(&rule("emr", json!({"target": place + 1})), &parts);
        let (mut own, mut ours) = (0.0, 0.0);
        let mut ratios = Vec::new();
        for name in ALL {
            let update = dense(&[(*adapter, *weight)], name);
            let (masked, whole) = (dense(&[(&of_target, 1.0)], name), dense(&[(&unified, 1.0)], name));
            own += magnitude(&update);
            ours += magnitude(&masked);
            for ((masked, whole), update) in masked.iter().zip(&whole).zip(&update) {
                // Far enough from 0 that what was cut and rounded cannot turn it.
                if update.abs() > 1e-2 && whole.abs() > 1e-2 {
                    assert_eq!(masked.abs() > 1e-4, whole * update > 0.0, "{name}");
                    if whole * update > 0.0 {
                        ratios.push(masked / whole);
                    }
                }
            }
        }
        assert!((ours / own - 1.0).abs() < 1e-4, "{ours} {own}");
        let first = ratios[0];
        assert!(
            ratios.iter().all(|ratio| (ratio / first - 1.0).abs() < 1e-2),
            "one scale for all modules"
        );
    }
}

#[test]
fn entries_that_agree_with_nobody_are_no_consensus() {
    let [a, _, _] = three(13, false);
    let tall = |settings| rule("tall_masks", settings);
    // Of equals everything matters to both: |τ| ≥ λ|τ|.
    let twice = scaled_up(&a, 2.0);
    assert!(apart(&merge(&tall(json!({})), &[(&a, 1.0), (&a, 1.0)]), &twice) < 1e-5);
    // What is drowned by a hundredfold other matters to one alone.
    let (small, large) = (scaled_up(&a, 0.01), &a);
    let parts = [(&small, 1.0), (large, 1.0)];
    let none = merge(&tall(json!({})), &parts);
    assert!(
        none.modules
            .values()
            .all(|module| crate::merge::made::norm_of(module).unwrap() < 1e-9)
    );
    assert!(apart(&merge(&tall(json!({"target": 2})), &parts), &scaled_up(&a, 1.01)) < 1e-5);
}

#[test]
fn every_entry_of_pcb_lies_among_those_that_it_is_made_of() {
    let [a, b, c] = three(14, false);
    let merged = merge(
        &rule("pcb", json!({"ratio": 0.5})),
        &[(&a, 1.0), (&b, 1.0), (&c, 1.0)],
    );
    let mut others = 0;
    for name in ALL {
        let updates: Vec<Vec<f64>> = [&a, &b, &c]
            .iter()
            .map(|one| dense(&[(*one, 1.0)], name))
            .collect();
        for (place, value) in dense(&[(&merged, 1.0)], name).into_iter().enumerate() {
            let here = || updates.iter().map(|update| update[place]);
            let (least, most) = (here().fold(0.0, f64::min), here().fold(0.0, f64::max));
            assert!(
                least - 1e-4 < value && value < most + 1e-4,
                "{name}: {value} of {least} to {most}"
            );
            others += usize::from(value.abs() > 1e-3 && (value - here().sum::<f64>() / 3.0).abs() > 1e-3);
        }
    }
    assert!(others > 0, "it is no plain mean");
}

#[test]
fn units_that_are_alike_become_one_and_as_many_clusters_as_units_are_their_sum() {
    let (a, b) = (adapter(15, 3, 4.0, &ALL), adapter(16, 2, 3.0, &ALL));
    let lego = |settings| rule("lora_lego", settings);
    // Of two equal members each unit meets its equal.
    assert!(apart(&merge(&lego(json!({})), &[(&a, 1.0), (&a, 1.0)]), &a) < 1e-5);
    let parts = [(&a, 0.7), (&b, -0.4)];
    assert!(
        apart(
            &merge(&lego(json!({"units": 5})), &parts),
            &weighted(&parts).unwrap()
        ) < 1e-5
    );
    let two = merge(&lego(json!({"units": 2})), &parts);
    assert!(two.modules.values().all(|module| module.rank() == 2));
    // Where a cluster's units differ, their mean is shorter, and is made longer.
    let shorter = merge(&lego(json!({"units": 2, "reweight": false})), &parts);
    let norm = |adapter: &Adapter| crate::merge::made::norm_of(&adapter.modules[Q]).unwrap();
    assert!(norm(&two) > norm(&shorter), "{} {}", norm(&two), norm(&shorter));
    let again = merge(&lego(json!({"units": 2})), &parts);
    assert_eq!(two.fingerprint().unwrap(), again.fingerprint().unwrap());
}

#[test]
fn sharprecs_map_of_small_updates_is_nearly_its_scalar() {
    let [a, b, _] = three(17, false);
    // Updates of the size that training gives, where the map has the spec's factor.
    let parts = [(&scaled_up(&a, 1e-3), 0.5), (&scaled_up(&b, 1e-3), 0.5)];
    let sum = weighted(&parts).unwrap();
    let (mapped, fitted) = (
        merge(&rule("psa", json!({"sigma": 0})), &parts),
        merge(&rule("psa_scalar", json!({})), &parts),
    );
    let norm = |adapter: &Adapter| crate::merge::made::norm_of(&adapter.modules[Q]).unwrap();
    let scale = norm(&fitted) / norm(&sum);
    assert!((1.15..1.35).contains(&scale), "{scale}");
    let share = apart(&mapped, &fitted);
    assert!(share < 0.05, "{share}");
    // The seed makes the noise.
    let noisy = |seed: u64| {
        let rule = rule("psa", json!({"sigma": 1e-3}));
        let run = Run {
            rule: &rule,
            rank: Some(WHOLE),
            draws: &Seeded(seed),
        };
        run.adapter(&members(&parts, true)).unwrap().0
    };
    assert_eq!(noisy(1).fingerprint().unwrap(), noisy(1).fingerprint().unwrap());
    assert!(apart(&noisy(1), &noisy(2)) > 0.01);
}

/// A file of one statistic for all modules.
fn measured(path: &Path, of: &dyn Fn(&str) -> (String, Tensor)) {
    let tensors: std::collections::HashMap<String, Tensor> = ALL.iter().map(|name| of(name)).collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn with_statistics<'a>(parts: &[(&'a Adapter, f64, &Path)]) -> Aligned<'a> {
    let member = |(adapter, weight, path): &(&'a Adapter, f64, &Path)| {
        let settings: BTreeMap<String, Setting> = [
            (WEIGHT.to_string(), (*weight).into()),
            (STATISTICS.to_string(), Setting::File(path.to_path_buf())),
        ]
        .into();
        Member { adapter, settings }
    };
    Aligned::new(parts.iter().map(member).collect()).unwrap()
}

fn merge_by_statistics(name: &str, settings: Value, parts: &[(&Adapter, f64, &Path)]) -> Result<Adapter> {
    let rule = rule(name, settings);
    let run = Run {
        rule: &rule,
        rank: Some(WHOLE),
        draws: &Seeded(5),
    };
    Ok(run.adapter(&with_statistics(parts))?.0)
}

#[test]
fn who_is_sure_decides_and_where_all_are_as_sure_it_is_the_mean() {
    let (a, b) = (adapter(18, 2, 4.0, &ALL), adapter(19, 3, 4.0, &ALL));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let all = |path: &Path, value: f64| {
        measured(path, &|name| {
            let ones = Tensor::ones(shape(name), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
            (format!("{name}.fisher"), (ones * value).unwrap())
        });
    };
    let (sure, unsure) = (file("sure"), file("unsure"));
    all(&sure, 2.0);
    all(&unsure, 0.0);
    let merged = |one: &Path, other: &Path| {
        merge_by_statistics("fisher", json!({}), &[(&a, 1.0, one), (&b, 3.0, other)]).unwrap()
    };
    let mean = weighted(&[(&a, 0.25), (&b, 0.75)]).unwrap();
    assert!(apart(&merged(&sure, &sure), &mean) < 1e-5);
    // Where nobody knows anything the small number makes it a mean still.
    assert!(apart(&merged(&unsure, &unsure), &mean) < 1e-5);
    assert!(apart(&merged(&sure, &unsure), &a) < 1e-4);
    assert!(apart(&merged(&unsure, &sure), &b) < 1e-4);
}

#[test]
fn regmean_of_equal_inputs_is_the_mean_and_of_own_inputs_keeps_the_outputs() {
    let (a, b) = (adapter(20, 2, 4.0, &ALL), adapter(21, 3, 4.0, &ALL));
    let folder = tempfile::tempdir().unwrap();
    let gram = |name: &str, seed: u64, from: usize| {
        // Inputs of which some are 0: each member has its own.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let width = shape(name).1;
        let inputs = random(&mut rng, 30, width);
        let mask: Vec<f32> = (0..width)
            .map(|place| if place / 6 == from { 1.0 } else { 0.0 })
            .collect();
        let mask = Tensor::from_vec(mask, (1, width), &candle_core::Device::Cpu).unwrap();
        inputs.broadcast_mul(&mask).unwrap()
    };
    let square = |inputs: &Tensor| inputs.t().unwrap().matmul(inputs).unwrap();
    let (same, first, second) = (
        folder.path().join("same"),
        folder.path().join("first"),
        folder.path().join("second"),
    );
    measured(&same, &|name| {
        let both = square(&gram(name, 1, 0)).add(&square(&gram(name, 1, 1))).unwrap();
        (format!("{name}.gram"), both)
    });
    measured(&first, &|name| {
        (format!("{name}.gram"), square(&gram(name, 1, 0)))
    });
    measured(&second, &|name| {
        (format!("{name}.gram"), square(&gram(name, 1, 1)))
    });
    let whole = json!({"off_diagonal": 1.0});
    let merged =
        merge_by_statistics("regmean", whole.clone(), &[(&a, 1.0, &same), (&b, 3.0, &same)]).unwrap();
    let mean = weighted(&[(&a, 0.25), (&b, 0.75)]).unwrap();
    assert!(apart(&merged, &mean) < 1e-4, "{}", apart(&merged, &mean));
    // Where the members see other inputs, each keeps its outputs whole.
    let merged =
        merge_by_statistics("regmean", whole.clone(), &[(&a, 1.0, &first), (&b, 1.0, &second)]).unwrap();
    assert!(merged.modules.values().all(|module| module.rank() <= 5));
    for name in ALL {
        let (out, width) = shape(name);
        for (adapter, from) in [(&a, 0), (&b, 1)] {
            let (ours, theirs) = (dense(&[(&merged, 1.0)], name), dense(&[(adapter, 1.0)], name));
            for row in 0..out {
                for column in (0..width).filter(|column| column / 6 == from) {
                    let place = row * width + column;
                    assert!(
                        (ours[place] - theirs[place]).abs() < 1e-3,
                        "{name}: {} {}",
                        ours[place],
                        theirs[place]
                    );
                }
            }
        }
    }
    // Nobody saw anything of half of the inputs.
    let error = merge_by_statistics("regmean", whole, &[(&a, 1.0, &first), (&b, 1.0, &first)]);
    assert!(error.unwrap_err().to_string().contains("inverted"));
}

#[test]
fn statistics_that_are_not_there_or_of_another_base_are_refused_with_the_file_and_the_tensor() {
    let a = adapter(22, 2, 4.0, &ALL);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let refused = || {
        let merged = merge_by_statistics("fisher", json!({}), &[(&a, 1.0, &path)]);
        merged.unwrap_err().to_string()
    };
    assert!(refused().contains("a.safetensors"));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let wrong = random(&mut rng, 5, 5);
    measured(&path, &|name| (format!("{name}.fisher"), wrong.clone()));
    let error = refused();
    assert!(
        error.contains("a.safetensors") && error.contains("[5, 5]") && error.contains(K),
        "{error}"
    );
    measured(&path, &|name| (format!("{name}.gram"), wrong.clone()));
    let error = refused();
    assert!(
        error.contains("no tensor") && error.contains(&format!("{K}.fisher")),
        "{error}"
    );
    // Nothing is merged of an adapter without a file.
    let run = Run {
        rule: &rule("fisher", json!({})),
        rank: None,
        draws: &Seeded(0),
    };
    let error = run.adapter(&members(&[(&a, 1.0)], true)).unwrap_err().to_string();
    assert!(
        error.contains("statistics: FILE") && error.contains("adapter 1"),
        "{error}"
    );
}
