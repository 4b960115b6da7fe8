//! Data and settings that make no sense, and those that are only unusual.

use super::every::{Beside, every, is_two_trainings};
use super::*;

fn error(system: &System, data: &Data) -> String {
    let course = Course {
        seed: 5,
        checkpoint: None,
        progress: &mut |_| (),
    };
    match fit(system, data, course) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn data_with_nothing_to_learn_from_is_refused() {
    let train = vec![vec![1, 2, 3]];
    let (beside, silent) = (Beside::of(3), [vec![], vec![]]);
    let sources = beside.sources();
    let idle = [Source {
        train: &silent,
        ..sources[0]
    }];
    for (name, system) in every(&schedule(1, 1e-2)) {
        let error = |data: Data| error(&system, &beside.with(&sources, data));
        let found = error(data(0, &[], &[]));
        assert!(found.contains("without items"), "{name}: {found}");
        let found = error(data(2, &train, &[]));
        assert!(
            found.contains("item 3 in the training part of user 0"),
            "{name}: {found}"
        );
        let found = error(data(3, &[vec![1, 2], vec![0]], &[]));
        assert!(
            found.contains("item 0") && found.contains("user 1"),
            "{name}: {found}"
        );
        let found = error(data(3, &train, &[(vec![1], 4)]));
        assert!(found.contains("item 4 in the validation part"), "{name}: {found}");
        if system.is_zero_shot() {
            // The target's users are not read, and the sources' have to be there.
            assert_eq!(error(data(3, &silent, &[])), "", "{name}");
            let found = self::error(&system, &beside.with(&idle, data(3, &train, &[])));
            assert!(found.contains("none of them with"), "{name}: {found}");
            continue;
        }
        let found = error(data(3, &silent, &[]));
        assert!(found.contains("2 users, none of them with"), "{name}: {found}");
        // To a decoder over tokens an item that follows nothing says how often items come first.
        let found = error(data(3, &[vec![], vec![2]], &[]));
        match &system {
            System::Tiger(_) | System::ItemDecoder(_) | System::Gencdr(_) => assert_eq!(found, "", "{name}"),
            _ => assert!(
                found.contains("2 users, none of them with two items"),
                "{name}: {found}"
            ),
        }
    }
}

#[test]
fn users_without_items_are_no_obstacle() {
    let train = vec![vec![], vec![2], vec![1, 2, 3], vec![3, 1]];
    let validation = [(vec![], 1), (vec![2], 3), (vec![1, 2, 3], 1)];
    let beside = Beside::of(3);
    let sources = beside.sources();
    for (name, system) in every(&schedule(2, 1e-2)) {
        let (recommender, outcome) = fitted(&system, &beside.with(&sources, data(3, &train, &validation)));
        let epochs = if is_two_trainings(&system) { 4 } else { 2 };
        assert_eq!(outcome.epochs, epochs, "{name}");
        assert!(system.is_zero_shot() || !outcome.ndcg.is_empty(), "{name}");
        assert!(outcome.ndcg.iter().all(|(_, ndcg)| *ndcg > 0.0), "{name}");
        let found = scores(&*recommender, 3, &[&[], &[3]]);
        assert!(
            found[..3] == [0.0; 3] && found.iter().all(|score| score.is_finite()),
            "{name}"
        );
        // None of them has a history: nothing chooses an epoch, and the last is kept.
        let (_, outcome) = fitted(&system, &beside.with(&sources, data(3, &train, &validation[..1])));
        assert_eq!((outcome.ndcg.len(), outcome.best_epoch), (0, epochs), "{name}");
    }
}

#[test]
fn a_catalogue_of_one_item_is_learnt_at_once_or_refused_where_it_needs_another() {
    let train = vec![vec![1, 1, 1]];
    let beside = Beside::of(1);
    let sources = beside.sources();
    for (name, system) in every(&schedule(1, 1e-2)) {
        let data = beside.with(&sources, data(1, &train, &[]));
        if name.contains(", ") {
            let found = error(&system, &data);
            assert!(
                found.contains("one item") && found.contains("\"ce\""),
                "{name}: {found}"
            );
            continue;
        }
        let (recommender, outcome) = fitted(&system, &data);
        let last = outcome.curve[outcome.curve.len() - 1].1;
        match &system {
            // Tokens that are no item's, and items of sources, are there to be told apart from.
            System::Tiger(_) | System::ItemDecoder(_) | System::Recbase(_) | System::Gencdr(_) => {
                assert!(last.is_finite(), "{name}: {last}");
            }
            System::Unisrec(settings) if settings.zero_shot => assert!(last.is_finite(), "{name}: {last}"),
            _ => assert!(last.abs() < 1e-6, "{name}: {:?}", outcome.curve),
        }
        assert!(scores(&*recommender, 1, &[&[1]])[0].is_finite(), "{name}");
    }
}

#[test]
fn a_fit_that_diverges_stops_and_says_what_to_do() {
    let train = noise(60, 7, 15);
    let beside = Beside::of(15);
    let sources = beside.sources();
    for (name, system) in every(&schedule(3, 1e30)) {
        let found = error(&system, &beside.with(&sources, data(15, &train, &[])));
        assert!(
            found.contains("training stopped") && found.contains("lower the learning rate"),
            "{name}: {found}"
        );
    }
}

#[test]
fn scores_of_strangers_and_into_too_little_room_are_refused() {
    let (train, beside) = ([vec![1, 2, 3]], Beside::of(3));
    let sources = beside.sources();
    for (name, system) in every(&schedule(1, 1e-2)) {
        let (recommender, _) = fitted(&system, &beside.with(&sources, data(3, &train, &[])));
        let refused = |histories: &[&[u32]]| {
            let found = recommender.scores(histories, &mut [0.0; 6]);
            found.unwrap_err().to_string()
        };
        let found = refused(&[&[1], &[4]]);
        assert!(found.contains("item 4"), "{name}: {found}");
        let found = refused(&[&[1]]);
        assert!(found.contains("room for 6"), "{name}: {found}");
    }
}

#[test]
fn settings_say_what_is_wrong_with_them() {
    let read = |text: &str| serde_json::from_str::<System>(text);
    let System::Sasrec(settings) = read(r#"{"kind": "sasrec"}"#).unwrap() else {
        panic!("another system");
    };
    assert_eq!(settings, Sasrec::default());
    let System::Sasrec(settings) = read(
        r#"{"kind": "sasrec", "flavour": "recbole", "loss": {"gbce": {"t": 0.5}}, "schedule": {"epochs": 3}}"#,
    )
    .unwrap() else {
        panic!("another system");
    };
    assert_eq!(
        settings.loss,
        Loss::Gbce {
            negatives: 256,
            t: 0.5
        }
    );
    assert_eq!((settings.schedule.epochs, settings.schedule.batch_size), (3, 256));
    for (text, word) in [
        (r#"{"kind": "sasrec", "widht": 3}"#, "widht"),
        (r#"{"kind": "gru4rec", "schedule": {"epoch": 3}}"#, "epoch"),
        (
            r#"{"kind": "bert4rec", "loss": {"sampled": {"count": 3}}}"#,
            "count",
        ),
        (r#"{"kind": "sasrecs"}"#, "sasrecs"),
    ] {
        let found = read(text).unwrap_err().to_string();
        assert!(found.contains(word), "{found}");
    }
    let train = vec![vec![1, 2, 3]];
    for (text, word) in [
        (
            r#"{"kind": "sasrec", "width": 10, "heads": 4}"#,
            "no multiple of heads 4",
        ),
        (r#"{"kind": "sasrec", "blocks": 0}"#, "blocks 0"),
        (r#"{"kind": "sasrec", "dropout": 1.0}"#, "dropout 1"),
        (r#"{"kind": "gru4rec", "hidden": 0}"#, "hidden 0"),
        (r#"{"kind": "bert4rec", "length": 1}"#, "length 1"),
        (r#"{"kind": "bert4rec", "mask": 0.0}"#, "mask 0"),
        (
            r#"{"kind": "sasrec", "schedule": {"learning_rate": 0.0}}"#,
            "learning_rate 0",
        ),
        (r#"{"kind": "sasrec", "schedule": {"epochs": 0}}"#, "epochs 0"),
    ] {
        let found = error(&read(text).unwrap(), &data(3, &train, &[]));
        assert!(found.contains(word), "{text}: {found}");
    }
}

#[test]
fn a_folder_that_is_no_recommender_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let saved = root.path().join("saved");
    let load_error = || match load(&saved) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    assert!(load_error().contains("recommender.json"), "{}", load_error());
    let (recommender, _) = fitted(&gru4rec(schedule(1, 1e-2)), &data(3, &[vec![1, 2, 3]], &[]));
    recommender.save(&saved).unwrap();
    let description = saved.join("recommender.json");
    let text = std::fs::read_to_string(&description).unwrap();
    std::fs::write(&description, text.replace("\"items\": 3", "\"items\": 4")).unwrap();
    assert!(load_error().contains("items.weight"), "{}", load_error());
    std::fs::write(&description, text.replace("\"layers\": 1", "\"layers\": 2")).unwrap();
    assert!(
        load_error().contains("layers.1.input.weight is missing"),
        "{}",
        load_error()
    );
    std::fs::write(&description, text.replace("\"width\"", "\"breadth\"")).unwrap();
    assert!(load_error().contains("breadth"), "{}", load_error());
    let theirs = root.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    std::fs::write(theirs.join("a-year-of-work"), "text").unwrap();
    assert!(recommender.save(&theirs).is_err() && theirs.join("a-year-of-work").exists());
}
