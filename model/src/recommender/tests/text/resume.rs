//! A fit over texts that is killed: what it goes on from, and what it does not.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// A fit with a checkpoint, from which the first step that is told of is given; it is killed at step `until`.
fn told_first(system: &System, data: &Data, folder: &Path, until: usize) -> (Option<usize>, bool) {
    let (mut first, checkpoint) = (None, kept_in(folder));
    let done = catch_unwind(AssertUnwindSafe(|| {
        let course = Course {
            seed: 5,
            checkpoint: Some(&checkpoint),
            progress: &mut |p| {
                first.get_or_insert(p.step);
                assert!(p.step < until && p.step <= p.total, "killed");
            },
        };
        fit(system, data, course).unwrap();
    }));
    (first, done.is_ok())
}

#[test]
fn a_killed_fit_resumes_to_the_same_bits_and_learns_all_domains_once() {
    let planted = Planted::new(40, 60);
    let sources = planted.source();
    let data = planted.data(&sources);
    // Pre-training on both domains takes five steps an epoch, on the sources three; a fit two.
    for (name, system, kills) in [
        ("sasrec-text", over_texts().remove(0).1, vec![(4, 1)]),
        // In the second epoch of pre-training, in that of the fit, and from there on.
        ("unisrec", over_texts().remove(1).1, vec![(8, 1), (14, 6)]),
        ("zero-shot", over_texts().remove(2).1, vec![(5, 1)]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let (whole, outcome) = fitted(&system, &data);
        for (until, from) in &kills {
            let (first, done) = told_first(&system, &data, &state, *until);
            assert_eq!((first, done), (Some(*from), false), "{name}, killed at {until}");
        }
        let checkpoint = kept_in(&state);
        let mut first = None;
        let course = Course {
            seed: 5,
            checkpoint: Some(&checkpoint),
            progress: &mut |p| {
                first.get_or_insert(p.step);
            },
        };
        let (resumed, again) = fit(&system, &data, course).unwrap();
        let expected = match name {
            "sasrec-text" => 3,
            "unisrec" => 13,
            _ => 4,
        };
        assert_eq!(first, Some(expected), "{name}");
        assert!(tensors(&*resumed) == tensors(&*whole), "{name}");
        assert_eq!(
            (&again.curve, again.tokens),
            (&outcome.curve, outcome.tokens),
            "{name}"
        );
        checkpoint.remove().unwrap();
        assert!(!state.exists(), "{name}: what came before goes with it");
    }
}

#[test]
fn a_checkpoint_over_other_texts_or_sources_is_not_taken_up() {
    let planted = Planted::new(40, 60);
    let sources = planted.source();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let system = over_texts().remove(0).1;
    let other = permuted(&planted.target);
    let of_others = Data {
        vectors: Some(&other),
        ..planted.data(&sources)
    };
    told_first(&system, &planted.data(&sources), &state, 4);
    assert_eq!(told_first(&system, &of_others, &state, 1).0, Some(1));
    assert_eq!(told_first(&system, &planted.data(&sources), &state, 1).0, Some(3));
    // In the fit that comes after the pre-training: of another source both are begun anew.
    let system = over_texts().remove(1).1;
    let state = folder.path().join("another");
    told_first(&system, &planted.data(&sources), &state, 14);
    assert_eq!(
        told_first(&system, &planted.data(&sources), &state, 1).0,
        Some(13)
    );
    let more = users(0, 0, 61, 8);
    let otherwise = [Source {
        train: &more,
        ..sources[0]
    }];
    assert_eq!(
        told_first(&system, &planted.data(&otherwise), &state, 1).0,
        Some(1)
    );
}
