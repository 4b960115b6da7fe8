//! The losses of SASRecText and UniSRec and their gradients are those of a PyTorch script, and of differences.

use std::path::PathBuf;

use serde::Deserialize;

use super::*;

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
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// A fixture and the parameters with its values.
struct Compared<'a> {
    name: &'a str,
    case: &'a Case,
    key: u64,
    parameters: &'a Parameters,
    /// The summed loss of its lessons.
    loss: &'a dyn Fn(Mode) -> Tensor,
    /// Its gradients, by kind and parameter.
    theirs: &'a dyn Fn(&str, &str) -> Option<Vec<f32>>,
}

/// Hands each fixture to `check`.
fn each_fixture(check: &dyn Fn(Compared)) {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let text = std::fs::read_to_string(fixtures.join("text_recommenders.json")).unwrap();
    let tensors = safetensors::read(&fixtures.join("text_recommenders.safetensors")).unwrap();
    let Fixtures { key, models } = serde_json::from_str(&text).unwrap();
    assert_eq!(models.len(), 3);
    for (name, case) in &models {
        let of = |kind: &str, parameter: &str| {
            let found = tensors.get(&format!("{name}/{kind}/{parameter}"));
            found.map(values)
        };
        let vectors = Vectors {
            width: 6,
            values: of("value", "vectors").unwrap(),
        };
        let put = |parameters: &Parameters| {
            let start = parameters.iter().map(|(name, _)| of("value", name).unwrap());
            parameters.set(start.collect()).unwrap();
            let theirs = tensors
                .keys()
                .filter(|key| key.starts_with(&format!("{name}/value/")));
            // And the texts.
            assert_eq!(theirs.count(), parameters.iter().count() + 1, "{name}");
        };
        let lessons = case.lessons.iter().map(|asked| Lesson {
            items: asked.items.clone(),
            last_only: false,
        });
        let lessons: Vec<Lesson> = lessons.collect();
        assert_eq!(vectors.items(), case.items);
        let over = |model: &OverTexts| {
            put(Model::parameters(model));
            check(Compared {
                name,
                case,
                key,
                parameters: Model::parameters(model),
                loss: &|mode| Model::summed_loss(model, &lessons, mode).unwrap(),
                theirs: &of,
            });
        };
        match &case.system {
            System::SasrecText(settings) => over(&settings.model(&vectors, 1).unwrap()),
            System::Unisrec(settings) if name == "unisrec" => {
                let network = settings.network(6, 1).unwrap();
                over(&settings.over(network, &vectors).unwrap());
            }
            System::Unisrec(settings) => {
                let network: Network = settings.network(6, 1).unwrap();
                put(network.parameters());
                // The lessons are of one domain; what the data teach is not looked at.
                let some = [vec![1, 2]];
                let sources = [Source {
                    items: case.items,
                    train: &some,
                    vectors: Some(&vectors),
                }];
                let zero_shot = Unisrec {
                    zero_shot: true,
                    ..settings.clone()
                };
                let data = Data {
                    items: case.items,
                    train: &[],
                    validation: &[],
                    vectors: Some(&vectors),
                    sources: &sources,
                };
                let together = zero_shot.together(&network, &case.system, &data, 1).unwrap();
                check(Compared {
                    name,
                    case,
                    key,
                    parameters: network.parameters(),
                    loss: &|mode| together.summed_loss(&lessons, mode).unwrap(),
                    theirs: &of,
                });
            }
            _ => panic!("another system"),
        }
    }
}

#[test]
fn losses_and_gradients_are_those_of_pytorch_with_and_without_what_is_drawn() {
    each_fixture(&|compared| {
        let Compared { name, case, key, .. } = compared;
        for (kind, mode, expected) in [
            ("plain", Mode::Evaluation, case.plain),
            ("dropped", Mode::Training { key }, case.dropped),
        ] {
            let loss = (compared.loss)(mode);
            let found = f64::from(loss.to_scalar::<f32>().unwrap());
            assert!(
                (found - expected).abs() < 1e-5 * expected,
                "{name}, {kind}: {found} is not {expected}"
            );
            let gradients = loss.backward().unwrap();
            for (parameter, of_model) in compared.parameters.iter() {
                let what = format!("{name}, {kind}: {parameter}");
                let ours = gradients.get(&of_model.variable).map(values);
                let Some(theirs) = (compared.theirs)(kind, parameter) else {
                    // Nothing is added to gates outside training.
                    assert!(parameter == "adapter.gates.noise" && kind == "plain", "{what}");
                    assert!(ours.is_none(), "{what}");
                    continue;
                };
                let ours = ours.unwrap_or_else(|| panic!("{what} got no gradient"));
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
    });
}

#[test]
fn adapters_get_their_gradient_through_the_head_too_as_differences_show() {
    each_fixture(&|compared| {
        let (name, loss) = (compared.name, compared.loss);
        let mode = Mode::Training { key: compared.key };
        let gradients = loss(mode).backward().unwrap();
        let value = || f64::from(loss(mode).to_scalar::<f32>().unwrap());
        let adapters = compared
            .parameters
            .iter()
            .filter(|(name, _)| name.starts_with("adapter."));
        for (parameter, of_model) in adapters {
            let variable = &of_model.variable;
            let (start, gradient) = (values(variable), values(gradients.get(variable).unwrap()));
            let (mut apart, mut size) = (0.0, 0.0);
            for (at, exact) in gradient.into_iter().enumerate() {
                let moved = |by: f32| {
                    let mut values = start.clone();
                    values[at] += by;
                    let values = Tensor::from_vec(values, variable.shape(), &Device::Cpu).unwrap();
                    variable.set(&values).unwrap();
                    value()
                };
                let step = 8e-3f32;
                let estimate = (moved(step) - moved(-step)) / f64::from(2.0 * step);
                moved(0.0);
                apart += (estimate - f64::from(exact)).abs();
                size += f64::from(exact.abs());
            }
            // All values together: where ReLU turns within a step a single difference is off.
            assert!(
                size > 0.0 && apart < 0.05 * size,
                "{name}, {parameter}: {apart} of {size}"
            );
        }
    });
}
