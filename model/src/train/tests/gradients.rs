//! Gradients against finite differences, and what a step's gradients do not depend on.

use super::*;
use crate::backbone::Pass;
use crate::lora::TrainableLora;
use crate::op::cross_entropy;

#[test]
fn every_adapted_variable_gets_the_gradient_that_finite_differences_give() {
    let decoder = tiny();
    let trainable = TrainableLora::new(&decoder, lora(0.0), 1).unwrap();
    let variables = trainable.variables();
    assert_eq!(variables.len(), decoder.modules().len() * 2);
    // B starts at zero, where A has no gradient; move it away.
    for (i, variable) in variables.iter().enumerate() {
        let count = variable.elem_count();
        let values: Vec<f32> = (0..count)
            .map(|j| ((i * 31 + j * 17) % 23) as f32 / 23.0 - 0.5)
            .collect();
        variable
            .set(&Tensor::from_vec(values, variable.shape(), variable.device()).unwrap())
            .unwrap();
    }
    let tokens: Vec<Vec<u32>> = examples(3).into_iter().map(|e| e.tokens).collect();
    let loss = || {
        let model = trainable.attach(&decoder, Some(0)).unwrap();
        let pass = Pass::sequences(tokens.iter().map(|t| &t[..8]));
        let targets: Vec<u32> = tokens.iter().flat_map(|t| t[1..].to_vec()).collect();
        cross_entropy(&model.hidden(&pass).unwrap(), model.head(), &targets).unwrap()
    };
    let gradients = loss().backward().unwrap();
    let step = 4e-3f32;
    for (i, variable) in variables.iter().enumerate() {
        let gradient = gradients
            .get(variable)
            .unwrap_or_else(|| panic!("variable {i} got no gradient"));
        let gradient = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let start = variable
            .as_tensor()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        let at = (i * 5) % start.len();
        let moved = |by: f32| {
            let mut values = start.clone();
            values[at] += by;
            variable
                .set(&Tensor::from_vec(values, variable.shape(), variable.device()).unwrap())
                .unwrap();
            f64::from(loss().to_scalar::<f32>().unwrap())
        };
        let estimate = (moved(step) - moved(-step)) / f64::from(2.0 * step);
        moved(0.0);
        let exact = f64::from(gradient[at]);
        assert!(
            (estimate - exact).abs() < 0.02 * (1.0 + exact.abs()),
            "variable {i}: {exact} against {estimate}"
        );
    }
}

#[test]
fn gradient_accumulation_and_threads_do_not_change_the_result() {
    let run = |micro_batch_tokens, threads| {
        let config = TrainConfig {
            micro_batch_tokens,
            ..config()
        };
        crate::op::with_threads(threads, || {
            train_lora(
                &tiny(),
                lora(0.0),
                &examples(18),
                &[],
                &config,
                SEEDS,
                None,
                &mut |_| (),
            )
            .unwrap()
            .0
        })
    };
    let (parts, whole) = (values(&run(10, 1)), values(&run(1000, 1)));
    for (a, b) in parts.iter().flatten().zip(whole.iter().flatten()) {
        assert!((a - b).abs() < 2e-3, "{a} {b}");
    }
    assert_eq!(
        whole,
        values(&run(1000, 2)),
        "bit for bit the same on two threads"
    );
}
