//! What is told of a fit that comes after a pre-training: both are one course.

use super::*;
use crate::op::Matrix;

#[test]
fn steps_losses_and_epochs_of_both_trainings_are_told() {
    let planted = Planted::new(40, 60);
    let sources = planted.source();
    let validation = leave_one_out(&users(1, 100, 20, 4));
    let data = Data {
        validation: &validation,
        ..planted.data(&sources)
    };
    let system = System::Unisrec(unisrec(false, 2, schedule(3, 1e-2)));
    let (mut steps, mut seconds) = (Vec::new(), Vec::new());
    let course = Course {
        seed: 5,
        checkpoint: None,
        progress: &mut |p| {
            assert_eq!(p.total, 16);
            steps.push(p.step);
            seconds.push(p.seconds);
        },
    };
    let (_, outcome) = fit(&system, &data, course).unwrap();
    // Twenty users a step: of both domains five steps an epoch, of the target two.
    assert_eq!((outcome.steps, outcome.epochs), (16, 5));
    assert_eq!(outcome.epoch_steps, [5, 10, 12, 14, 16]);
    let told: Vec<usize> = outcome.curve.iter().map(|(step, _)| *step as usize).collect();
    assert_eq!(told, (1..=16).collect::<Vec<_>>());
    assert_eq!(steps, told);
    assert!(seconds.is_sorted() && seconds[15] <= outcome.seconds);
    // Nobody looks at the first training; the epoch that is kept is one of the second.
    let looks: Vec<usize> = outcome.ndcg.iter().map(|(epoch, _)| *epoch).collect();
    assert_eq!(looks, [3, 4, 5]);
    assert!(looks.contains(&outcome.best_epoch));
    // Sixty sequences of eight items and forty of three, each but its last item; then the forty alone.
    assert_eq!(outcome.tokens, 2 * (60 * 7 + 40 * 2) + 3 * 40 * 2);
}

#[test]
fn a_target_without_users_is_refused_before_anything_is_learnt() {
    let planted = Planted::new(5, 20);
    let sources = planted.source();
    let bare = Data {
        train: &[vec![], vec![3]],
        ..planted.data(&sources)
    };
    let course = Course {
        seed: 5,
        checkpoint: None,
        progress: &mut |_| panic!("a step was taken"),
    };
    let system = System::Unisrec(unisrec(false, 2, schedule(2, 1e-2)));
    let error = fit(&system, &bare, course).err().unwrap().to_string();
    assert!(error.contains("2 users, none of them with two items"), "{error}");
}

#[test]
fn a_pre_training_of_a_version_that_kept_no_losses_is_gone_through_again() {
    let planted = Planted::new(40, 60);
    let sources = planted.source();
    let data = planted.data(&sources);
    let system = System::Unisrec(unisrec(false, 2, schedule(2, 1e-2)));
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let checkpoint = kept_in(&state);
    let first = || {
        let mut first = None;
        let course = Course {
            seed: 5,
            checkpoint: Some(&checkpoint),
            progress: &mut |p| {
                first.get_or_insert(p.step);
            },
        };
        fit(&system, &data, course).unwrap();
        first
    };
    assert_eq!(
        (first(), first()),
        (Some(1), Some(13)),
        "ten steps, then two an epoch"
    );
    let file = state.join("part-together").join("pretrained.safetensors");
    let mut metadata = safetensors::metadata(&file).unwrap();
    let mut came_to: serde_json::Value = serde_json::from_str(&metadata["came_to"]).unwrap();
    let losses = came_to.as_object_mut().unwrap().remove("curve").unwrap();
    assert_eq!(losses.as_array().unwrap().len(), 10);
    metadata.insert("came_to".into(), came_to.to_string());
    let named: Vec<(&str, &str)> = metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let tensors = safetensors::read(&file).unwrap();
    let tensors = tensors
        .into_iter()
        .map(|(name, tensor)| (name, Matrix::from(tensor)));
    safetensors::write_with(&file, &named, tensors).unwrap();
    assert_eq!(first(), Some(6), "its first epoch was in a checkpoint of its own");
}
