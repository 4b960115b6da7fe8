//! What a module takes, counted on shapes: in matrices as large as the module, or as its inputs are wide.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use super::*;
use crate::lora::config::TargetModules;
use crate::lora::{Adapter, LoraConfig, LoraModule};
use crate::merge::align::{Aligned, Member};
use crate::merge::draw::Seeded;
use crate::merge::recipe::Recipe;

const MODULE: &str = "model.layers.0.mlp.up_proj";
/// Larger than what is decomposed whole.
const LARGE: (usize, usize) = (1000, 900);

/// An adapter of one module, all zeros: only shapes count.
fn adapter((out, input): (usize, usize), rank: usize) -> Adapter {
    let zeros =
        |rows: usize, columns: usize| Tensor::zeros((rows, columns), DType::F32, &Device::Cpu).unwrap();
    let module = LoraModule {
        a: zeros(rank, input),
        b: zeros(out, rank),
        scale: 1.0,
    };
    let config = LoraConfig {
        target_modules: TargetModules::Names(vec![MODULE.to_string()]),
        ..LoraConfig::new(rank, 1.0)
    };
    Adapter::new(config, BTreeMap::from([(MODULE.to_string(), module)]))
}

/// Numbers of f64 that a rule takes in a module of so many members of rank 4.
fn numbers(name: &str, settings: Value, shape: (usize, usize), members: usize, rank: Option<usize>) -> f64 {
    let rule = Recipe::rule(name, settings.as_object().unwrap().clone()).unwrap();
    let adapters: Vec<Adapter> = (0..members).map(|_| adapter(shape, 4)).collect();
    let member = |adapter| Member {
        adapter,
        settings: BTreeMap::new(),
    };
    let aligned = Aligned::new(adapters.iter().map(member).collect()).unwrap();
    let run = Run {
        rule: &rule,
        rank,
        draws: &Seeded(0),
    };
    let site = aligned.sites().next().unwrap();
    run.memory_of(&site) as f64 / size_of::<f64>() as f64
}

#[test]
fn dense_rules_take_the_members_updates_and_what_they_make_of_them() {
    let matrix = (LARGE.0 * LARGE.1) as f64;
    for (name, settings, beside) in [
        // The last update is multiplied, and laid out.
        ("emr", json!({}), 1.0),
        // A copy of an update's magnitudes is put in order.
        ("ties", json!({"density": 0.5}), 1.0),
        // Noise for each entry.
        ("psa", json!({}), 1.0),
        // A chance and a drawn number for each entry.
        ("della", json!({"density": 0.5}), 2.0),
        // Places of 64 bits, and half as much to sort them, at the most as much.
        ("breadcrumbs", json!({"density": 0.5}), 2.0),
        // The sum and the divisor; the Fisher information in f32, in f64 as a tensor and as a matrix.
        ("fisher", json!({}), 4.5),
        // All added up, the merged sum, the divisor, the scores, and these in order.
        ("pcb", json!({}), 5.0),
    ] {
        for members in [2, 3, 5] {
            let found = numbers(name, settings.clone(), LARGE, members, Some(8)) / matrix;
            let expected = members as f64 + beside;
            // Factors come to it: 4 × (1000 + 900) × 4 numbers are 0.034 of a matrix.
            assert!(
                (expected..expected + 0.05).contains(&found),
                "{name} of {members}: {found} and not {expected}"
            );
        }
    }
}

#[test]
fn what_weighs_takes_little_unless_it_must_see_the_entries() {
    let matrix = (LARGE.0 * LARGE.1) as f64;
    for name in [
        "linear",
        "cat",
        "svd",
        "model_stock",
        "tsv_m",
        "iso_c",
        "lora_lego",
    ] {
        let found = numbers(name, json!({}), LARGE, 3, Some(8)) / matrix;
        assert!(found > 0.0 && found < 0.35, "{name}: {found}");
    }
    // The sum, and an update twice for a moment; not one for each member.
    for members in [2, 5] {
        let found = numbers("psa_scalar", json!({}), LARGE, members, None) / matrix;
        assert!((3.0..3.3).contains(&found), "{found}");
    }
}

#[test]
fn regmean_takes_matrices_as_wide_as_the_inputs_whatever_the_number_of_members() {
    let gram = (LARGE.1 * LARGE.1) as f64;
    for members in [2, 3] {
        let found = numbers("regmean", json!({}), LARGE, members, None) / gram;
        // The sum, and one in f32, in f64 as a tensor and as a matrix; parts R × in come to it.
        assert!((3.5..3.8).contains(&found), "{found}");
    }
    // Where the inputs are wide they outweigh the module.
    let wide = numbers("regmean", json!({}), (100, 900), 2, None);
    assert!(wide > 30.0 * 100.0 * 900.0);
}

#[test]
fn a_small_module_is_decomposed_whole_where_it_is_cut() {
    let small = (600, 500);
    let matrix = (small.0 * small.1) as f64;
    let found = numbers("ties", json!({"density": 0.5}), small, 2, Some(8)) / matrix;
    assert!((7.0..7.1).contains(&found), "{found}");
    // A rank that is nearly full is none to look for in a subspace, however large the module is.
    let matrix = (LARGE.0 * LARGE.1) as f64;
    let found = numbers("ties", json!({"density": 0.5}), LARGE, 2, Some(890)) / matrix;
    assert!((7.0..7.1).contains(&found), "{found}");
}

#[test]
fn a_pass_over_all_modules_has_a_table() {
    let shape = (100, 90);
    let module = numbers("pcb", json!({}), shape, 2, Some(8));
    let model = numbers("pcb", json!({"over": "model"}), shape, 2, Some(8));
    assert!(module < 100_000.0, "{module}");
    assert!(model > (4 << 20) as f64 && model < (5 << 20) as f64, "{model}");
    let ties = numbers("ties", json!({"flavor": "paper"}), shape, 2, Some(8));
    assert_eq!(ties, model);
}

#[test]
fn modules_are_merged_together_as_far_as_there_is_room_and_in_their_order() {
    let zeros =
        |rows: usize, columns: usize| Tensor::zeros((rows, columns), DType::F32, &Device::Cpu).unwrap();
    let name = |layer: usize| format!("model.layers.{layer}.mlp.up_proj");
    // Three matrices in f64 take 24 MB, 24 MB, 24 MB, 600 MB, 24 MB, 24 MB.
    let sides = [1000, 1000, 1000, 5000, 1000, 1000];
    let modules = sides.iter().enumerate().map(|(layer, side)| {
        let module = LoraModule {
            a: zeros(1, *side),
            b: zeros(*side, 1),
            scale: 1.0,
        };
        (name(layer), module)
    });
    let config = LoraConfig {
        target_modules: TargetModules::Names(vec!["up_proj".to_string()]),
        ..LoraConfig::new(1, 1.0)
    };
    let adapter = Adapter::new(config, modules.collect());
    let members = [&adapter, &adapter].map(|adapter| Member {
        adapter,
        settings: BTreeMap::new(),
    });
    let aligned = Aligned::new(members.into()).unwrap();
    let sites: Vec<Site> = aligned.sites().collect();
    let groups = |rule: &str| {
        let rule = Recipe::rule(rule, serde_json::Map::new()).unwrap();
        let run = Run {
            rule: &rule,
            rank: None,
            draws: &Seeded(0),
        };
        let names = |group: &[Site]| {
            group
                .iter()
                .map(|site| site.name().to_owned())
                .collect::<Vec<_>>()
        };
        run.groups(&sites).map(names).collect::<Vec<_>>()
    };
    let of = |layers: &[usize]| layers.iter().map(|layer| name(*layer)).collect::<Vec<_>>();
    assert_eq!(groups("psa_scalar"), [of(&[0, 1, 2]), of(&[3]), of(&[4, 5])]);
    // A sum takes next to nothing.
    assert_eq!(groups("linear"), [of(&[0, 1, 2, 3, 4, 5])]);
}
