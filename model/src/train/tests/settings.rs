//! What settings, seeds and losses that go wrong come to.

use super::fit::divergence;
use super::*;

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
            "flat",
            TrainConfig {
                flat: Some(Flat { rho: -0.05 }),
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
