//! How long both trainings go, and which of their epochs is kept: one with the adapter, or one of the universal decoder alone.

use super::*;

/// NDCG@10 of the best of these epochs.
fn most(epochs: &[(usize, f64)]) -> f64 {
    epochs.iter().map(|(_, ndcg)| *ndcg).fold(0.0, f64::max)
}

#[test]
fn an_adapter_that_serves_validation_users_worse_is_left_out() {
    let world = World::new();
    let settings = gencdr(2, Gate::Learned);
    let (adapted, _) = World::without_choice().fit(&settings, None, &mut |_| ());
    let adapted = adapted.adapted.unwrap();
    let reached = |ndcg: f64| {
        let (mut universal, alone) = world.joint(&settings);
        universal.set_system(System::Gencdr(settings.clone()));
        let adapting = Outcome {
            steps: 10,
            epochs: 2,
            epoch_steps: vec![5, 10],
            best_epoch: 1,
            ndcg: vec![(1, ndcg), (2, 0.0)],
            parameters: 3,
            ..Outcome::default()
        };
        let kept = (adapted.clone(), Some(ndcg));
        settings.chosen(universal, kept, alone, adapting).unwrap()
    };
    let (joint, alone) = world.joint(&settings);
    let best = alone.best_ndcg().unwrap();
    // What is left is the decoder of all domains, and the outcome says which of its epochs; both trainings were gone through.
    let (without, outcome) = reached(best / 2.0);
    assert!(without.adapter().is_none());
    assert_eq!(all_scores(&without, &HISTORIES), all_scores(&joint, &HISTORIES));
    assert_eq!(without.validation_ndcg(), joint.validation_ndcg());
    assert_eq!(
        (outcome.best_epoch, outcome.best_ndcg()),
        (alone.best_epoch, Some(best))
    );
    assert_eq!((outcome.epochs, outcome.ndcg.len(), outcome.steps), (4, 4, 30));
    assert_eq!(outcome.epoch_steps, [10, 20, 25, 30]);
    assert_eq!(outcome.parameters, alone.parameters + 3);
    // Its folder says that the gate is shut, and is read so.
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    without.save(&saved).unwrap();
    assert!(!saved.join(ADAPTER).exists());
    let read = load(&saved).unwrap();
    assert_eq!(all_scores(&*read, &HISTORIES), all_scores(&without, &HISTORIES));
    // And where it serves them better.
    let (with, outcome) = reached(2.0 * best);
    assert!(with.adapter().is_some());
    assert_eq!((outcome.best_epoch, outcome.epochs), (3, 4));
    assert_eq!(with.validation_ndcg(), Some(2.0 * best));
}

#[test]
fn what_is_kept_is_what_the_outcome_says() {
    let world = World::new();
    for adapter_rate in [5e-3, 1.0] {
        let settings = Gencdr {
            adapter_rate,
            ..gencdr(4, Gate::Learned)
        };
        let (ours, outcome) = world.fit(&settings, None, &mut |_| ());
        let (first, second) = outcome.ndcg.split_at(4);
        let without = most(first) > most(second);
        assert_eq!(
            ours.adapter().is_none(),
            without,
            "{adapter_rate}: {:?}",
            outcome.ndcg
        );
        assert_eq!(outcome.best_epoch <= 4, without, "{adapter_rate}");
        assert_eq!(outcome.best_ndcg(), Some(most(&outcome.ndcg)), "{adapter_rate}");
        // What was found of the values that were kept.
        let found = ours.validation_ndcg().unwrap();
        assert!(
            (found - most(&outcome.ndcg)).abs() < 1e-6,
            "{adapter_rate}: {found}"
        );
    }
}

#[test]
fn the_better_of_both_is_kept_and_the_adapter_where_they_are_equal() {
    let settings = gencdr(4, Gate::Learned);
    let outcome = |ndcg: &[f64]| Outcome {
        ndcg: (1..).zip(ndcg.iter().copied()).collect(),
        best_epoch: 2,
        ..Outcome::default()
    };
    let (alone, nobody) = (outcome(&[0.1, 0.3, 0.2]), outcome(&[]));
    assert_eq!(
        settings.adapter_loses(&alone, &outcome(&[0.1, 0.29])),
        Some((0.3, 0.29))
    );
    assert_eq!(settings.adapter_loses(&alone, &outcome(&[0.1, 0.3])), None);
    assert_eq!(settings.adapter_loses(&alone, &outcome(&[0.1, 0.4])), None);
    assert_eq!(settings.adapter_loses(&nobody, &nobody), None);
    let said = Gencdr {
        gate: Gate::Fixed(1.0),
        ..settings.clone()
    };
    assert_eq!(
        said.adapter_loses(&alone, &outcome(&[0.1, 0.29])),
        None,
        "the gate was said"
    );
    let last = Gencdr {
        train: TrainConfig {
            keep: Keep::Last,
            ..settings.train.clone()
        },
        ..settings
    };
    assert_eq!(
        last.adapter_loses(&alone, &outcome(&[0.1, 0.29])),
        None,
        "nothing is chosen"
    );
}

#[test]
fn each_training_has_as_many_epochs_as_tiger_and_a_bound_that_cuts_either_is_told() {
    assert_eq!(Gencdr::default().train, Tiger::default().train);
    let patient = |epochs| {
        let mut settings = gencdr(epochs, Gate::Learned);
        settings.train.patience = 1;
        settings
    };
    // One epoch each: nothing could show that more would not be better.
    let (_, outcome) = World::new().fit(&patient(1), None, &mut |_| ());
    assert!(!outcome.stopped_early && outcome.epochs == 2);
    // So many that both stop by themselves: after a perfect ranking nothing gets better.
    let (_, outcome) = World::new().fit(&patient(400), None, &mut |_| ());
    assert!(
        outcome.stopped_early && outcome.epochs < 800,
        "{}",
        outcome.epochs
    );
}

#[test]
fn a_target_without_users_is_refused_before_anything_is_learnt() {
    let world = World {
        train: vec![Vec::new(); 3],
        ..World::without_choice()
    };
    let sources = [Source {
        items: 24,
        train: &world.source,
        vectors: Some(&world.vectors),
    }];
    let data = Data {
        items: 24,
        train: &world.train,
        validation: &[],
        vectors: Some(&world.vectors),
        sources: &sources,
    };
    let course = Course {
        seed: 3,
        checkpoint: None,
        progress: &mut |_| panic!("a step was taken"),
    };
    let error = gencdr(1, Gate::Learned)
        .fit(&data, course)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("3 users, none of them") && error.contains("recbase"),
        "{error}"
    );
}
