//! Layers against finite differences, and first values against what they may depend on.
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Tensor, Var};

use super::*;
use crate::Result;

/// Gradients of all parameters, and of an input where there is one, agree with central differences of a weighted sum of the output.
fn check_gradients(parameters: &Parameters, input: Option<&Var>, output: &dyn Fn() -> Result<Tensor>) {
    // Weights that differ in every element, so that no gradient is the same for all.
    let scalar = || {
        let output = output().unwrap();
        let weights: Vec<f32> = (0..output.elem_count())
            .map(|i| (i * 7 % 11) as f32 / 5.0 - 1.0)
            .collect();
        let weights = Tensor::from_vec(weights, output.shape(), &Device::Cpu).unwrap();
        (output * weights).unwrap().sum_all().unwrap()
    };
    let value = || f64::from(scalar().to_scalar::<f32>().unwrap());
    let gradients = scalar().backward().unwrap();
    for (i, variable) in parameters.variables().chain(input).enumerate() {
        let gradient = gradients
            .get(variable)
            .unwrap_or_else(|| panic!("parameter {i} got no gradient"));
        let gradient = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let start = variable.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (at, exact) in gradient.into_iter().enumerate() {
            let moved = |by: f32| {
                let mut values = start.clone();
                values[at] += by;
                let values = Tensor::from_vec(values, variable.shape(), &Device::Cpu).unwrap();
                variable.set(&values).unwrap();
                value()
            };
            let step = 1e-2f32;
            let estimate = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            moved(0.0);
            let exact = f64::from(exact);
            assert!(
                (estimate - exact).abs() < 1e-2 * (1.0 + exact.abs()),
                "value {at} of parameter {i}: {exact} against {estimate}"
            );
        }
    }
}

fn input(rows: usize, width: usize) -> Var {
    let values = Initial::Normal(1.0).values(rows * width, 3, "input");
    Var::from_vec(values, (rows, width), &Device::Cpu).unwrap()
}

/// Moves every parameter away from where it starts: ones and zeros hide mistakes.
fn scatter(parameters: &Parameters) {
    let values = |(name, parameter): (&str, &Parameter)| {
        Initial::Normal(0.7).values(parameter.variable.elem_count(), 9, name)
    };
    parameters.set(parameters.iter().map(values).collect()).unwrap();
}

#[test]
fn layer_norm_gives_rows_of_mean_zero_and_variance_one_and_its_gradients_are_exact() {
    let mut parameters = Parameters::new(1, &Device::Cpu);
    let norm = LayerNorm::new(&mut parameters, "norm", 5, 1e-5).unwrap();
    let x = input(3, 5);
    for row in norm.forward(&x).unwrap().to_vec2::<f32>().unwrap() {
        let mean = row.iter().sum::<f32>() / 5.0;
        let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / 5.0;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-3, "{row:?}");
    }
    scatter(&parameters);
    check_gradients(&parameters, Some(&x), &|| norm.forward(&x));
}

#[test]
fn layer_norm_agrees_with_pytorch() {
    let mut parameters = Parameters::new(1, &Device::Cpu);
    let norm = LayerNorm::new(&mut parameters, "norm", 4, 1e-5).unwrap();
    let (bias, weight) = (vec![0.5, -0.25, 0.0, 1.0], vec![1.0, 2.0, -1.0, 0.5]);
    parameters.set(vec![bias, weight]).unwrap();
    let x = Tensor::new(&[[1.0f32, 2.0, 4.0, 8.0], [-3.0, 0.5, 0.25, 1.0]], &Device::Cpu).unwrap();
    // torch.nn.functional.layer_norm(x, (4,), weight, bias, 1e-5)
    let expected = [
        [-0.5257546, -1.5555059, -0.0932504, 1.7926285],
        [-1.2063996, 0.7817764, -0.3571534, 1.4166789],
    ];
    for (row, expected) in norm
        .forward(&x)
        .unwrap()
        .to_vec2::<f32>()
        .unwrap()
        .iter()
        .zip(expected)
    {
        for (ours, theirs) in row.iter().zip(expected) {
            assert!((ours - theirs).abs() < 1e-5, "{ours} {theirs}");
        }
    }
}

#[test]
fn an_embedding_gives_the_rows_asked_for_and_their_gradients_add_up() {
    let mut parameters = Parameters::new(1, &Device::Cpu);
    let items = Embedding::new(&mut parameters, "items", (4, 3), Initial::Normal(1.0)).unwrap();
    let table = items.table().to_vec2::<f32>().unwrap();
    let rows = items.forward(&[2, 0, 2]).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(rows, [2, 0, 2].map(|i: usize| table[i].clone()));
    // Row 2 comes twice, and rows 1 and 3 not at all.
    check_gradients(&parameters, None, &|| items.forward(&[2, 0, 2]));
    let error = items.forward(&[1, 4]).unwrap_err().to_string();
    assert!(error.contains("id 4") && error.contains("4 rows"), "{error}");
}

#[test]
fn a_linear_map_and_its_gradients_are_exact() {
    let mut parameters = Parameters::new(1, &Device::Cpu);
    let map = Linear::new(&mut parameters, "map", (2, 3), Initial::Zeros).unwrap();
    parameters
        .set(vec![vec![0.5, -1.0], vec![1.0, 2.0, 3.0, -1.0, 0.0, 1.0]])
        .unwrap();
    let x = Tensor::new(&[[1.0f32, 1.0, 2.0]], &Device::Cpu).unwrap();
    assert_eq!(map.forward(&x).unwrap().to_vec2::<f32>().unwrap(), [[9.5, 0.0]]);
    let x = input(4, 3);
    check_gradients(&parameters, Some(&x), &|| map.forward(&x));
}

#[test]
fn first_values_depend_on_seed_and_name_and_not_on_what_was_made_before() {
    let made = |seed: u64, names: &[&str]| {
        let mut parameters = Parameters::new(seed, &Device::Cpu);
        for name in names {
            let initial = Initial::Uniform(0.5);
            parameters.create(name, (2, 3), initial, Decay::Decayed).unwrap();
        }
        parameters.values().unwrap()
    };
    let both = made(1, &["a", "b"]);
    assert_eq!(both, made(1, &["b", "a"]));
    assert_eq!(both[1], made(1, &["b"])[0]);
    assert_ne!(both[0], both[1]);
    assert_ne!(both, made(2, &["a", "b"]));
    assert!(both.iter().flatten().all(|value| (-0.5..0.5).contains(value)));
    let mut parameters = Parameters::new(1, &Device::Cpu);
    parameters.create("a", 2, Initial::Zeros, Decay::Decayed).unwrap();
    let twice = parameters.create("a", 2, Initial::Ones, Decay::Decayed);
    assert!(twice.unwrap_err().to_string().contains("called a"));
}

#[test]
fn normal_values_have_the_deviation_asked_for() {
    let values = Initial::Normal(0.02).values(20_000, 5, "model.embed_tokens.weight");
    let mean = values.iter().sum::<f32>() / 20_000.0;
    let square = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / 20_000.0;
    assert!(
        mean.abs() < 6e-4 && (square.sqrt() - 0.02).abs() < 4e-4,
        "{mean} {square}"
    );
}

#[test]
fn first_values_are_those_of_earlier_versions() {
    // A backbone is known by its configuration and seed: other first values would be another backbone under the same name.
    let normal = Initial::Normal(0.02).values(4, 11, "model.embed_tokens.weight");
    let expected = [-0.001_503_043_2, 0.017_361_82, -0.005_780_693_6, 0.013_647_549];
    for (ours, earlier) in normal.iter().zip(expected) {
        // Logarithm and cosine are the system's.
        assert!((ours - earlier).abs() < 1e-8f32, "{ours} {earlier}");
    }
    let uniform = Initial::Uniform(0.25).values(4, 11, "model.layers.0.self_attn.q_proj");
    let bits: Vec<u32> = uniform.iter().map(|value| value.to_bits()).collect();
    assert_eq!(bits, [0xbe73_053c, 0xbd3b_c9e0, 0x3e50_e874, 0x3e6d_a5f0]);
}
