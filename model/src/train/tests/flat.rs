//! Training towards a flat minimum, on a loss whose gradients are known and on an adapter.

use std::hash::Hasher;

use candle_core::{Device, Var};

use super::*;
use crate::nn::{Decay, Parameter, Parameters};
use crate::train::task::{Mode, Part, Room};

/// The mean of h θ² over two parameters, an example each.
struct Bowl {
    parameters: Parameters,
    variables: [Var; 2],
}

const STEEPNESS: [f64; 2] = [1.0, 4.0];

impl Bowl {
    fn new() -> Self {
        let mut parameters = Parameters::new(0, &Device::Cpu);
        let variables = [3f32, 1.0].map(|value| Var::from_vec(vec![value], 1, &Device::Cpu).unwrap());
        for (i, variable) in variables.iter().cloned().enumerate() {
            let decay = Decay::Exempt;
            parameters
                .insert(&i.to_string(), Parameter { variable, decay })
                .unwrap();
        }
        Bowl {
            parameters,
            variables,
        }
    }
}

impl Task for Bowl {
    type Example = usize;
    type Batch = Vec<usize>;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn fingerprint(&self) -> String {
        "a bowl".into()
    }

    fn hash(&self, example: &usize, hasher: &mut dyn Hasher) {
        hasher.write(&example.to_le_bytes());
    }

    fn targets(&self, _: &usize) -> usize {
        1
    }

    fn parts(&self, examples: &[&usize], room: Room) -> Result<Vec<Part<Vec<usize>>>> {
        let part = |examples: &[&usize]| Part {
            batch: examples.iter().map(|example| **example).collect(),
            targets: examples.len(),
            tokens: examples.len(),
        };
        Ok(examples.chunks(room.tokens).map(part).collect())
    }

    fn summed_loss(&self, batch: &Vec<usize>, _: Mode) -> Result<Tensor> {
        let mut sum = Tensor::zeros((), candle_core::DType::F32, &Device::Cpu)?;
        for i in batch {
            sum = (sum + (self.variables[*i].as_tensor().sqr()? * STEEPNESS[*i])?.sum_all()?)?;
        }
        Ok(sum)
    }
}

/// One step in two parts.
fn step(flat: Option<Flat>) -> Outcome {
    let config = TrainConfig {
        epochs: 1,
        batch_size: 2,
        micro_batch_tokens: 1,
        warmup: 0.0,
        clip: 1e6,
        flat,
        ..config()
    };
    let request = Fit {
        task: &Bowl::new(),
        examples: &[0, 1],
        held_out: &[],
        config: &config,
        seed: 1,
        checkpoint: None,
    };
    fit(request, &mut |_| ()).unwrap()
}

#[test]
fn the_gradient_is_that_from_near_by_and_the_loss_that_of_the_values() {
    let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-5, "{one} {other}");
    let plain = step(None);
    near(plain.gradient_norms[0], 5.0);
    let flat = step(Some(Flat { rho: 0.5 }));
    // From (3, 1), where the gradient is (3, 4), to (3.3, 1.4), where it is (3.3, 5.6).
    near(flat.gradient_norms[0], 6.5);
    near(flat.curve[0].1, 6.5);
    assert_eq!(flat.curve, plain.curve);
    // Everything is read twice.
    assert_eq!((plain.tokens, flat.tokens), (2, 4));
}

fn trained(flat: Option<Flat>) -> Vec<Vec<f32>> {
    let config = TrainConfig { flat, ..config() };
    let (adapter, _) = train_lora(
        &tiny(),
        lora(0.1),
        &examples(18),
        &examples(5),
        &config,
        SEEDS,
        None,
        &mut |_| (),
    )
    .unwrap();
    values(&adapter)
}

#[test]
fn at_no_distance_it_is_adamw_bit_for_bit() {
    let plain = trained(None);
    assert_eq!(trained(Some(Flat { rho: 0.0 })), plain);
    assert_ne!(trained(Some(Flat { rho: 0.05 })), plain);
}

#[test]
fn none_is_not_written_so_that_names_of_trainings_stay() {
    let written = |flat| serde_json::to_value(TrainConfig { flat, ..config() }).unwrap();
    assert!(written(None).get("flat").is_none());
    assert_eq!(
        written(Some(Flat { rho: 0.05 }))["flat"],
        serde_json::json!({ "rho": 0.05 })
    );
    let mut json = written(None);
    json["flat"] = serde_json::json!({ "rho": 0.1, "radius": 1 });
    let error = serde_json::from_value::<TrainConfig>(json)
        .unwrap_err()
        .to_string();
    assert!(error.contains("radius"), "{error}");
}
