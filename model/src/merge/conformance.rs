//! The numbers of PEFT and mergekit, and of the papers' definitions in dense f64, for every rule that they share with us.
//!
//! `tests/fixtures/merging.py` makes the fixtures, and says of which versions; `definitions.py` beside it those of rules that no tool has for
//! adapters. Where they drew random numbers, ours takes the same.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

use super::align::{Aligned, Member, STATISTICS};
use super::draw::{Draws, Key};
use super::matrix::Matrix;
use super::recipe::{Node, Recipe};
use super::rule::NAMES;
use super::run::Run;
use super::setting::Setting;
use crate::io::safetensors;
use crate::lora::config::TargetModules;
use crate::lora::{Adapter, LoraConfig, LoraModule};

/// The tools compute in f32, most of all the singular vectors.
const TOLERANCE: f64 = 2e-5;

#[derive(Deserialize)]
struct Fixtures {
    members: Vec<MemberOf>,
    cases: BTreeMap<String, Value>,
}

/// Those of `definitions.py`, whose members are the same.
#[derive(Deserialize)]
struct Definitions {
    cases: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct MemberOf {
    r: usize,
    alpha: f64,
    scales: BTreeMap<String, f64>,
}

/// The masks that a tool drew.
struct Injected {
    masks: HashMap<(String, String, String), Vec<f64>>,
}

impl Draws for Injected {
    fn uniform(&self, key: Key, count: usize) -> Vec<f64> {
        let place = (
            key.member.to_string(),
            key.module.to_string(),
            key.part.to_string(),
        );
        let mask = self
            .masks
            .get(&place)
            .unwrap_or_else(|| panic!("no mask of {place:?}"));
        assert_eq!(mask.len(), count, "{place:?}");
        mask.clone()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn load() -> (Fixtures, BTreeMap<String, Tensor>, Vec<Adapter>) {
    let text = |name: &str| std::fs::read(folder().join(name)).unwrap();
    let mut fixtures: Fixtures = serde_json::from_slice(&text("merging.json")).unwrap();
    let definitions: Definitions = serde_json::from_slice(&text("definitions.json")).unwrap();
    fixtures.cases.extend(definitions.cases);
    let mut tensors = safetensors::read(&folder().join("merging.safetensors")).unwrap();
    tensors.extend(safetensors::read(&folder().join("definitions.safetensors")).unwrap());
    let adapters = fixtures.members.iter().enumerate().map(|(number, member)| {
        let config = LoraConfig {
            target_modules: TargetModules::Names(member.scales.keys().cloned().collect()),
            ..LoraConfig::new(member.r, member.alpha)
        };
        let module = |(path, scale): (&String, &f64)| {
            let factor = |name: &str| tensors[&format!("{number}/{path}/{name}")].clone();
            let module = LoraModule {
                a: factor("A"),
                b: factor("B"),
                scale: *scale,
            };
            (path.clone(), module)
        };
        Adapter::new(config, member.scales.iter().map(module).collect())
    });
    let adapters = adapters.collect();
    (fixtures, tensors, adapters)
}

/// The adapters of a case, by the numbers that are their folders.
fn members<'a>(recipe: &Recipe, adapters: &'a [Adapter]) -> (Vec<usize>, Aligned<'a>) {
    let numbers: Vec<usize> = recipe
        .members
        .iter()
        .map(|member| member.folder.to_str().unwrap().parse().unwrap())
        .collect();
    let members = recipe.members.iter().zip(&numbers).map(|(source, number)| {
        let mut settings = source.settings.clone();
        if let Some(Setting::File(path)) = settings.get_mut(STATISTICS) {
            *path = folder().join(&*path);
        }
        Member {
            adapter: &adapters[*number],
            settings,
        }
    });
    let aligned = Aligned::new(members.collect()).unwrap();
    (numbers, aligned)
}

fn masks(name: &str, numbers: &[usize], aligned: &Aligned, tensors: &BTreeMap<String, Tensor>) -> Injected {
    let mut masks = HashMap::new();
    for site in aligned.sites() {
        for part in ["delta", "units"] {
            if let Some(drawn) = tensors.get(&format!("{name}/{}/all/{part}", site.name())) {
                let place = (String::new(), site.name().to_string(), part.to_string());
                let drawn = drawn.to_dtype(candle_core::DType::F64).unwrap();
                masks.insert(place, drawn.to_vec1().unwrap());
            }
        }
        for (place, number) in numbers.iter().enumerate() {
            for part in ["A", "B", "delta"] {
                let key = format!("{name}/{}/{number}/{part}", site.name());
                if let Some(mask) = tensors.get(&key) {
                    let place = (
                        site.id(place).to_string(),
                        site.name().to_string(),
                        part.to_string(),
                    );
                    masks.insert(place, Matrix::of(mask).unwrap().values);
                }
            }
        }
    }
    Injected { masks }
}

#[test]
fn every_rule_gives_the_numbers_of_its_tool_or_definition() {
    let (fixtures, tensors, adapters) = load();
    let mut seen = Vec::new();
    for (name, case) in &fixtures.cases {
        let recipe = Recipe::of(&Node::of_json(case.clone())).unwrap();
        let (numbers, aligned) = members(&recipe, &adapters);
        let draws = masks(name, &numbers, &aligned, &tensors);
        let run = Run {
            rule: &recipe.rule,
            rank: recipe.rank,
            draws: &draws,
        };
        let (merged, reports) = run.adapter(&aligned).unwrap();
        assert_eq!(reports.len(), 3, "{name}");
        for (path, module) in &merged.modules {
            let expected = Matrix::of(&tensors[&format!("{name}/{path}")]).unwrap();
            let mut gap = Matrix::of(&module.delta().unwrap()).unwrap();
            gap.add(&expected, -1.0);
            // What one member has nothing of may be nothing.
            let (gap, norm) = (gap.norm(), expected.norm());
            assert!(
                gap <= TOLERANCE * norm,
                "{name}, {path}: {gap:.1e} apart, of a norm of {norm:.1e}"
            );
        }
        seen.push(recipe.rule.name());
    }
    let missing: Vec<_> = NAMES.iter().filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "no numbers for {missing:?}");
}

#[test]
fn the_result_loads_with_a_scale_of_one_whatever_the_members_settings_are() {
    let (fixtures, _, mut adapters) = load();
    // PEFT's merge inherits use_rslora, and its result is √r too large.
    adapters[0].config.use_rslora = true;
    let recipe = Recipe::of(&Node::of_json(fixtures.cases["peft linear"].clone())).unwrap();
    let (_, aligned) = members(&recipe, &adapters);
    let run = Run {
        rule: &recipe.rule,
        rank: None,
        draws: &super::draw::Seeded(0),
    };
    let (merged, _) = run.adapter(&aligned).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("merged");
    merged.save(&path).unwrap();
    let read = Adapter::load(&path).unwrap();
    assert!(!read.config.use_rslora);
    assert!(read.modules.keys().all(|name| read.config.scale_for(name) == 1.0));
    assert_eq!(read.fingerprint().unwrap(), merged.fingerprint().unwrap());
}
