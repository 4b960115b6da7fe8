//! From the same first values, one batch gives the loss and the gradients of a PyTorch script, `model/tests/fixtures/recommenders.py`.

use std::path::PathBuf;

use serde::Deserialize;

use super::super::next_item::Lesson;
use super::*;
use crate::train::task::Mode;

#[derive(Deserialize)]
struct Fixtures {
    key: u64,
    models: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    system: System,
    items: usize,
    lessons: Vec<Asked>,
    plain: f64,
    dropped: f64,
}

#[derive(Deserialize)]
struct Asked {
    items: Vec<u32>,
    last_only: bool,
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn losses_and_gradients_are_those_of_pytorch_with_and_without_dropout() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let text = std::fs::read_to_string(fixtures.join("recommenders.json")).unwrap();
    let tensors = safetensors::read(&fixtures.join("recommenders.safetensors")).unwrap();
    let Fixtures { key, models } = serde_json::from_str(&text).unwrap();
    assert_eq!(models.len(), 4);
    for (name, case) in models {
        let model = model(&case.system, case.items, 1);
        let parameters = model.parameters();
        let of = |kind: &str, parameter: &str| &tensors[&format!("{name}/{kind}/{parameter}")];
        let start = parameters
            .iter()
            .map(|(parameter, _)| values(of("value", parameter)));
        parameters.set(start.collect()).unwrap();
        let theirs = tensors
            .keys()
            .filter(|key| key.starts_with(&format!("{name}/value/")));
        assert_eq!(theirs.count(), parameters.iter().count(), "{name}");
        let lessons: Vec<Lesson> = case
            .lessons
            .iter()
            .map(|asked| Lesson {
                items: asked.items.clone(),
                last_only: asked.last_only,
            })
            .collect();
        for (kind, mode, expected) in [
            ("plain", Mode::Evaluation, case.plain),
            ("dropped", Mode::Training { key }, case.dropped),
        ] {
            let loss = model.summed_loss(&lessons, mode).unwrap();
            let found = f64::from(loss.to_scalar::<f32>().unwrap());
            assert!(
                (found - expected).abs() < 1e-5 * expected,
                "{name}, {kind}: {found} is not {expected}"
            );
            let gradients = loss.backward().unwrap();
            for (parameter, of_model) in parameters.iter() {
                let what = format!("{name}, {kind}: {parameter}");
                let ours = gradients.get(&of_model.variable);
                let ours = values(ours.unwrap_or_else(|| panic!("{what} got no gradient")));
                let theirs = values(of(kind, parameter));
                let largest = theirs.iter().fold(0f32, |largest, g| largest.max(g.abs()));
                assert!(largest > 1e-3 && ours.len() == theirs.len(), "{what}: {largest}");
                for (ours, theirs) in ours.iter().zip(theirs) {
                    assert!(
                        (ours - theirs).abs() <= 1e-4 * largest,
                        "{what}: {ours} is not {theirs}"
                    );
                }
            }
        }
    }
}
