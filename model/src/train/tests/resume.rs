//! Trainings that are killed, and the checkpoints from which they go on.

use super::*;

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
