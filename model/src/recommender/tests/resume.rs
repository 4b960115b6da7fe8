//! Fits that are killed go on as if nothing had been.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::every::{Beside, every, is_two_trainings};
use super::*;

fn resumable(
    system: &System,
    data: &Data,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> (Box<dyn Recommender>, Outcome) {
    let checkpoint = kept_in(folder);
    let course = Course {
        seed: 5,
        checkpoint: Some(&checkpoint),
        progress,
    };
    fit(system, data, course).unwrap()
}

#[test]
fn a_killed_fit_resumes_to_the_same_recommender_bit_for_bit() {
    let (train, validation) = (noise(60, 7, 15), leave_one_out(&noise(30, 5, 15)));
    let beside = Beside::of(15);
    let sources = beside.sources();
    let data = beside.with(&sources, data(15, &train, &validation));
    let systems = every(&schedule(3, 1e-2)).into_iter();
    // What goes on in the second of two trainings is tested beside those.
    for (name, system) in systems.filter(|(_, system)| !is_two_trainings(system)) {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let (whole, outcome) = fitted(&system, &data);
        let an_epoch = outcome.steps / 3;
        let killed = catch_unwind(AssertUnwindSafe(|| {
            resumable(&system, &data, &state, &mut |p| {
                assert!(p.step <= an_epoch + 1, "killed")
            });
        }));
        assert!(killed.is_err() && state.is_dir(), "{name}");
        let mut first = None;
        let (resumed, again) = resumable(&system, &data, &state, &mut |p| {
            first.get_or_insert(p.step);
        });
        assert_eq!(
            first,
            Some(an_epoch + 1),
            "{name}: one epoch was in the checkpoint"
        );
        assert_eq!(tensors(&*resumed), tensors(&*whole), "{name}");
        assert_eq!(
            (&again.curve, &again.ndcg),
            (&outcome.curve, &outcome.ndcg),
            "{name}"
        );
        assert_eq!(
            (again.best_epoch, again.tokens),
            (outcome.best_epoch, outcome.tokens),
            "{name}"
        );
    }
}

#[test]
fn a_checkpoint_of_other_settings_or_data_is_not_taken_up() {
    let (train, other) = (noise(60, 7, 15), noise(61, 7, 15));
    let data_of = data(15, &train, &[]);
    let system = gru4rec(schedule(3, 1e-2));
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let killed = catch_unwind(AssertUnwindSafe(|| {
        resumable(&system, &data_of, &state, &mut |p| assert!(p.step <= 4, "killed"));
    }));
    assert!(killed.is_err() && state.is_dir());
    // Before the last, which leaves a checkpoint of its own.
    let begins_at = |system: &System, data: &Data| {
        let mut first = None;
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            resumable(system, data, &state, &mut |p| {
                first.get_or_insert(p.step);
                panic!("seen enough");
            });
        }));
        assert!(stopped.is_err());
        first
    };
    assert_eq!(begins_at(&system, &data_of), Some(4));
    assert_eq!(begins_at(&system, &data(15, &other, &[])), Some(1));
    assert_eq!(begins_at(&bert4rec(schedule(3, 1e-2)), &data_of), Some(1));
    let System::Gru4rec(settings) = &system else {
        panic!("another system");
    };
    let loss = Loss::Bce;
    let otherwise = System::Gru4rec(Gru4rec {
        loss,
        ..settings.clone()
    });
    assert_eq!(begins_at(&otherwise, &data_of), Some(1));
}
