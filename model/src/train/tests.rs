//! Training as its users see it, on a decoder of a few thousand parameters.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use candle_core::Tensor;

use super::fit::divergence;
use super::*;
use crate::backbone::decoder::tests::{tiny, tiny_on, weights_of_whole_blocks};
use crate::backbone::{Decoder, Pass, Precision, Weights};
use crate::op::composed::tests::{on_every_device, with_fused};
use crate::op::cross_entropy;
use candle_core::Device;

const SEEDS: Seeds = Seeds { init: 3, data: 3 };

fn config() -> TrainConfig {
    TrainConfig {
        learning_rate: 2e-2,
        epochs: 4,
        batch_size: 4,
        micro_batch_tokens: 24,
        activation_memory: 512,
        warmup: 0.1,
        weight_decay: 0.0,
        clip: 1.0,
        evaluate_every: 3,
        patience: 0,
        keep: Keep::Best,
        checkpoint_every: 2,
    }
}

/// Sequences in which every token is followed by its double modulo 13.
fn examples(count: u32) -> Vec<Example> {
    let sequence = |start: u32| {
        std::iter::successors(Some(start % 12 + 1), |t| Some(t * 2 % 13))
            .take(9)
            .collect()
    };
    (0..count)
        .map(|i| Example {
            tokens: sequence(i),
            loss_from: 1 + (i as usize) % 3,
        })
        .collect()
}

fn lora(dropout: f64) -> LoraConfig {
    let mut config = LoraConfig::new(4, 8.0);
    config.lora_dropout = dropout;
    config
}

fn kept_in(folder: &Path) -> Checkpoint {
    Checkpoint::new(folder, "the base")
}

fn train(checkpoint: Option<&Path>, progress: &mut dyn FnMut(Progress)) -> Result<(Adapter, Outcome)> {
    train_lora(
        &tiny(),
        lora(0.1),
        &examples(18),
        &examples(5),
        &config(),
        SEEDS,
        checkpoint.map(kept_in).as_ref(),
        progress,
    )
}

fn values(adapter: &Adapter) -> Vec<Vec<f32>> {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    adapter
        .modules
        .values()
        .flat_map(|m| [flat(&m.a), flat(&m.b)])
        .collect()
}

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
fn training_lowers_the_held_out_loss_and_keeps_the_best_step() {
    let (adapter, outcome) = train(None, &mut |_| ()).unwrap();
    let first = outcome.curve[0].1;
    assert!(
        outcome.held_out_loss.unwrap() < 0.8 * first,
        "{:?} from {first}",
        outcome.held_out_loss
    );
    let best = outcome
        .held_out_curve
        .iter()
        .map(|(_, loss)| *loss)
        .fold(f64::INFINITY, f64::min);
    assert_eq!(outcome.held_out_loss, Some(best));
    let with_adapter = mean_loss(&tiny().with_adapter(&adapter).unwrap(), &examples(5), 100)
        .unwrap()
        .unwrap();
    assert!(
        (with_adapter - best).abs() < 1e-4,
        "the adapter is that of the best step"
    );
}

/// Examples whose answer is no answer in training, which makes it ever less likely.
fn unlike_training() -> Vec<Example> {
    let end = |example: Example| Example {
        loss_from: example.tokens.len(),
        tokens: [example.tokens, vec![0]].concat(),
    };
    examples(5).into_iter().map(end).collect()
}

/// A training that is past its best, as [`unlike_training`] sees it, long before its end.
fn overtrained(
    keep: Keep,
    held_out: &[Example],
    checkpoint: Option<&Path>,
    progress: &mut dyn FnMut(Progress),
) -> (Adapter, Outcome) {
    let config = TrainConfig {
        epochs: 30,
        evaluate_every: 4,
        keep,
        ..config()
    };
    train_lora(
        &tiny(),
        lora(0.1),
        &examples(4),
        held_out,
        &config,
        SEEDS,
        checkpoint.map(kept_in).as_ref(),
        progress,
    )
    .unwrap()
}

#[test]
fn the_last_step_is_kept_where_that_is_asked_for_whatever_the_looks_find() {
    let held_out = unlike_training();
    let (best, of_best) = overtrained(Keep::Best, &held_out, None, &mut |_| ());
    let (last, of_last) = overtrained(Keep::Last, &held_out, None, &mut |_| ());
    assert_eq!(of_last.curve, of_best.curve, "the same training, ended otherwise");
    assert_eq!(of_last.held_out_curve, of_best.held_out_curve);
    assert!(of_best.best_step < of_best.steps && values(&best) != values(&last));
    assert_eq!((of_last.steps, of_last.best_step), (30, 30));
    let (step, loss) = *of_last.held_out_curve.last().unwrap();
    assert_eq!((step, Some(loss)), (30, of_last.held_out_loss));
    let with_adapter = mean_loss(&tiny().with_adapter(&last).unwrap(), &held_out, 100).unwrap();
    assert!(
        (with_adapter.unwrap() - loss).abs() < 1e-3,
        "the adapter is that of the last step"
    );
    // What is only looked at changes nothing.
    let (unseen, of_unseen) = overtrained(Keep::Last, &[], None, &mut |_| ());
    assert_eq!(values(&unseen), values(&last));
    assert_eq!((of_unseen.best_step, of_unseen.held_out_loss), (30, None));
}

#[test]
fn an_interrupted_training_that_keeps_its_last_step_ends_as_an_uninterrupted_one() {
    let held_out = unlike_training();
    let (whole, outcome) = overtrained(Keep::Last, &held_out, None, &mut |_| ());
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("state");
    let killed = std::panic::AssertUnwindSafe(|| {
        overtrained(Keep::Last, &held_out, Some(&checkpoint), &mut |p| {
            assert!(p.step < 17, "killed");
        });
    });
    assert!(std::panic::catch_unwind(killed).is_err() && checkpoint.is_dir());
    let mut first = None;
    let (resumed, again) = overtrained(Keep::Last, &held_out, Some(&checkpoint), &mut |p| {
        first.get_or_insert(p.step);
    });
    assert_eq!(first, Some(17));
    assert_eq!(values(&resumed), values(&whole));
    assert_eq!(
        (again.best_step, again.held_out_loss, again.curve),
        (outcome.best_step, outcome.held_out_loss, outcome.curve)
    );
}

#[test]
fn what_names_a_training_has_a_word_on_what_it_keeps_only_where_that_is_not_the_best() {
    let written = |keep| serde_json::to_value(TrainConfig { keep, ..config() }).unwrap();
    assert_eq!(written(Keep::Best).get("keep"), None);
    assert_eq!(written(Keep::Last)["keep"], "last");
    for keep in [Keep::Best, Keep::Last] {
        let read: TrainConfig = serde_json::from_value(written(keep)).unwrap();
        assert_eq!(read.keep, keep);
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

#[test]
fn one_seed_draws_the_initial_values_and_the_other_the_order_and_dropout() {
    let run = |init, data| {
        // Steps too small to move anything, so that what comes out is what it started from.
        let config = TrainConfig {
            learning_rate: 1e-12,
            ..config()
        };
        let examples = examples(18);
        let trained = train_lora(
            &tiny(),
            lora(0.1),
            &examples,
            &[],
            &config,
            Seeds { init, data },
            None,
            &mut |_| (),
        );
        let (adapter, outcome) = trained.unwrap();
        let first: Vec<f32> = values(&adapter).concat();
        (
            first.iter().map(|v| (v * 1e6).round()).collect::<Vec<_>>(),
            outcome.curve,
        )
    };
    let (start, course) = run(1, 1);
    let (same_start, other_course) = run(1, 2);
    assert_eq!(start, same_start);
    assert_ne!(course, other_course);
    // B starts at zero, so that under such steps the course is the base's own, whatever A is.
    let (other_start, same_course) = run(2, 1);
    assert_ne!(start, other_start);
    assert_eq!(course[0], same_course[0]);
    assert_ne!(course[0], other_course[0]);
}

#[test]
fn memory_for_activations_changes_no_result_and_a_checkpoint_is_taken_up_under_another() {
    let run = |activation_memory, checkpoint: Option<&Path>, progress: &mut dyn FnMut(Progress)| {
        let config = TrainConfig {
            activation_memory,
            ..config()
        };
        let examples = examples(18);
        let (adapter, outcome) = train_lora(
            &tiny(),
            lora(0.1),
            &examples,
            &[],
            &config,
            SEEDS,
            checkpoint.map(kept_in).as_ref(),
            progress,
        )
        .unwrap();
        (values(&adapter), outcome.curve)
    };
    let kept = run(512, None, &mut |_| ());
    assert_eq!(run(0, None, &mut |_| ()), kept);
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("state");
    let killed = std::panic::catch_unwind(|| {
        run(0, Some(&checkpoint), &mut |p| assert!(p.step < 11, "killed"));
    });
    assert!(killed.is_err());
    let mut first = None;
    let resumed = run(512, Some(&checkpoint), &mut |p| {
        first.get_or_insert(p.step);
    });
    assert_eq!(first, Some(11), "ten steps were in the checkpoint");
    assert_eq!(resumed, kept);
}

#[test]
fn a_killed_training_resumes_to_the_same_adapter_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("state");
    let whole = train(None, &mut |_| ()).unwrap();
    let killed = std::panic::catch_unwind(|| {
        train(Some(&checkpoint), &mut |p| assert!(p.step < 11, "killed")).unwrap();
    });
    assert!(killed.is_err() && checkpoint.is_dir());
    let mut first = None;
    let half = checkpoint.join(".weaverec-unfinished-Ab12cd");
    std::fs::write(&half, "of a run that was killed").unwrap();
    let resumed = train(Some(&checkpoint), &mut |p| {
        first.get_or_insert(p.step);
    })
    .unwrap();
    assert!(!half.exists());
    assert_eq!(first, Some(11), "ten steps were in the checkpoint");
    assert_eq!(values(&resumed.0), values(&whole.0));
    assert_eq!(resumed.1.curve, whole.1.curve);
    assert_eq!(resumed.1.gradient_norms, whole.1.gradient_norms);
    assert_eq!(whole.1.gradient_norms.len(), whole.1.curve.len());
    // Until the adapter is saved, what led to it is kept.
    let kept = kept_in(&checkpoint);
    std::fs::write(&half, "of a run that was killed").unwrap();
    assert!(checkpoint.exists());
    kept.remove().unwrap();
    assert!(!checkpoint.exists());
    kept.remove().unwrap();
}

#[test]
fn a_checkpoint_of_another_base_or_adapter_is_not_taken_up() {
    let run =
        |(alpha, dropout, base, init): (f64, f64, &str, u64), checkpoint: Option<&Path>, kill: usize| {
            let mut first = None;
            let mut lora = LoraConfig::new(4, alpha);
            lora.lora_dropout = dropout;
            let mut progress = |p: Progress| {
                first.get_or_insert(p.step);
                assert!(p.step < kill, "killed");
            };
            let (decoder, examples) = (tiny(), examples(18));
            let checkpoint = checkpoint.map(|folder| Checkpoint::new(folder, base));
            let trained = train_lora(
                &decoder,
                lora,
                &examples,
                &[],
                &config(),
                Seeds { init, ..SEEDS },
                checkpoint.as_ref(),
                &mut progress,
            );
            (values(&trained.unwrap().0), first)
        };
    for other in [
        (16.0, 0.1, "one", 3),
        (8.0, 0.0, "one", 3),
        (8.0, 0.1, "another", 3),
        (8.0, 0.1, "one", 4),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("state");
        let killed = std::panic::catch_unwind(|| run((8.0, 0.1, "one", 3), Some(&checkpoint), 11));
        assert!(killed.is_err() && checkpoint.is_dir());
        let (values, first) = run(other, Some(&checkpoint), usize::MAX);
        assert_eq!(first, Some(1), "from the beginning");
        assert_eq!(values, run(other, None, usize::MAX).0);
    }
}

#[test]
fn a_base_in_fewer_bits_trains_as_its_values_do_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, config_of_base) = weights_of_whole_blocks();
    weights.save(folder.path(), &config_of_base).unwrap();
    let trained = |weights: &Weights| {
        let decoder = Decoder::new(weights, &config_of_base, &Device::Cpu).unwrap();
        let (adapter, _) = train_lora(
            &decoder,
            lora(0.1),
            &examples(18),
            &examples(5),
            &config(),
            SEEDS,
            None,
            &mut |_| (),
        )
        .unwrap();
        values(&adapter)
    };
    with_fused(|| {
        let plain = trained(&weights);
        for precision in [Precision::Bf16, Precision::Q8, Precision::Q4] {
            let (packed, _) = Weights::open_as(folder.path(), precision).unwrap();
            assert!(packed.bytes() < weights.bytes(), "{precision:?}");
            let unpacked = tempfile::tempdir().unwrap();
            packed.save(unpacked.path(), &config_of_base).unwrap();
            let (unpacked, _) = Weights::open(unpacked.path()).unwrap();
            let adapter = trained(&packed);
            assert!(adapter == trained(&unpacked), "{precision:?}");
            assert!(
                adapter != plain,
                "{precision:?}: the base has lost no bit in the packing"
            );
        }
    });
}

#[test]
fn settings_that_train_nothing_are_refused_by_name() {
    let fails = |lora: LoraConfig, config: &TrainConfig| -> String {
        let trained = train_lora(&tiny(), lora, &examples(4), &[], config, SEEDS, None, &mut |_| ());
        trained.unwrap_err().to_string()
    };
    for (name, config) in [
        (
            "epochs",
            TrainConfig {
                epochs: 0,
                ..config()
            },
        ),
        (
            "batch_size",
            TrainConfig {
                batch_size: 0,
                ..config()
            },
        ),
        (
            "clip",
            TrainConfig {
                clip: 0.0,
                ..config()
            },
        ),
        (
            "clip",
            TrainConfig {
                clip: -1.0,
                ..config()
            },
        ),
        (
            "learning_rate",
            TrainConfig {
                learning_rate: f64::NAN,
                ..config()
            },
        ),
        (
            "warmup",
            TrainConfig {
                warmup: 5.0,
                ..config()
            },
        ),
        (
            "weight_decay",
            TrainConfig {
                weight_decay: -0.1,
                ..config()
            },
        ),
        (
            "patience",
            TrainConfig {
                patience: 2,
                keep: Keep::Last,
                ..config()
            },
        ),
    ] {
        let error = fails(lora(0.0), &config);
        assert!(error.starts_with(name), "{error}");
    }
    for dropout in [1.0, 5.0, -0.1, f64::NAN] {
        assert!(fails(lora(dropout), &config()).contains("lora_dropout"));
    }
    assert!(fails(LoraConfig::new(4, 0.0), &config()).contains("lora_alpha"));
}

#[test]
fn held_out_examples_without_an_answer_choose_nothing() {
    let silent = vec![Example {
        tokens: vec![1, 2, 4],
        loss_from: 3,
    }];
    assert_eq!(mean_loss(&tiny(), &silent, 100).unwrap(), None);
    let trained = |held_out: &[Example]| {
        let trained = train_lora(
            &tiny(),
            lora(0.0),
            &examples(8),
            held_out,
            &config(),
            SEEDS,
            None,
            &mut |_| (),
        );
        trained.unwrap()
    };
    let (adapter, outcome) = trained(&silent);
    assert_eq!((outcome.best_step, outcome.held_out_loss), (outcome.steps, None));
    assert_eq!(values(&adapter), values(&trained(&[]).0));
}

#[test]
fn early_stopping_ends_a_training_that_no_longer_improves() {
    let config = TrainConfig {
        epochs: 60,
        patience: 2,
        evaluate_every: 1,
        ..config()
    };
    let (_, outcome) = train_lora(
        &tiny(),
        lora(0.0),
        &examples(4),
        &examples(12),
        &config,
        SEEDS,
        None,
        &mut |_| (),
    )
    .unwrap();
    assert!(outcome.steps < 60, "stopped after {} steps", outcome.steps);
    assert!(outcome.best_step <= outcome.steps);
}

#[test]
fn divergence_and_missing_examples_are_said() {
    let config = TrainConfig {
        learning_rate: 1e30,
        ..config()
    };
    let error = train_lora(
        &tiny(),
        lora(0.0),
        &examples(18),
        &[],
        &config,
        SEEDS,
        None,
        &mut |_| (),
    )
    .unwrap_err();
    assert!(error.to_string().contains("learning rate"), "{error}");
    let none = train_lora(&tiny(), lora(0.0), &[], &[], &config, SEEDS, None, &mut |_| ()).unwrap_err();
    assert!(none.to_string().contains("nothing to train on"), "{none}");
}

#[test]
fn a_loss_that_rises_far_is_told_from_one_that_is_noisy_or_only_just_begun() {
    let curve = |steps: u64, loss: &dyn Fn(u64) -> f64| (1..=steps).map(|i| (i, loss(i))).collect::<Vec<_>>();
    let noisy = |i: u64| 3.0 + (i * 7 % 5) as f64;
    assert_eq!(divergence(&curve(200, &noisy)), None);
    assert_eq!(divergence(&curve(200, &|i| 3.0 / i as f64)), None);
    let rising = |i: u64| if i < 40 { 3.0 } else { 9.0 };
    assert_eq!(divergence(&curve(30, &rising)), None);
    assert_eq!(
        divergence(&curve(41, &rising)),
        None,
        "two bad steps are no trend"
    );
    let (before, now) = divergence(&curve(60, &rising)).unwrap();
    assert_eq!((before, now), (3.0, 9.0));
}

/// An adapter trained on a device without dropout, whose masks differ between devices.
fn train_on(
    device: &Device,
    checkpoint: Option<&Path>,
    progress: &mut dyn FnMut(Progress),
) -> (Adapter, Outcome) {
    train_lora(
        &tiny_on(device),
        lora(0.0),
        &examples(18),
        &examples(5),
        &config(),
        SEEDS,
        checkpoint.map(kept_in).as_ref(),
        progress,
    )
    .unwrap()
}

#[test]
fn every_device_trains_the_adapter_that_the_cpu_trains_and_resumes_it() {
    let (expected, outcome) = with_fused(|| train_on(&Device::Cpu, None, &mut |_| ()));
    on_every_device(|device| {
        let (adapter, ours) = train_on(device, None, &mut |_| ());
        for ((_, a), (_, b)) in ours.curve.iter().zip(&outcome.curve) {
            assert!((a - b).abs() < 1e-3 * b, "{a} {b}");
        }
        for (a, b) in values(&adapter)
            .iter()
            .flatten()
            .zip(values(&expected).iter().flatten())
        {
            assert!((a - b).abs() < 5e-3, "{a} {b}");
        }
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("state");
        let killed = std::panic::AssertUnwindSafe(|| {
            train_on(device, Some(&checkpoint), &mut |p| assert!(p.step < 11, "killed"));
        });
        assert!(std::panic::catch_unwind(killed).is_err() && checkpoint.is_dir());
        let mut first = None;
        let (resumed, _) = train_on(device, Some(&checkpoint), &mut |p| {
            first.get_or_insert(p.step);
        });
        assert_eq!(first, Some(11));
        assert_eq!(values(&resumed), values(&adapter));
    });
}
