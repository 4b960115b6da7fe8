#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use weaverec_model::device::Compute;

use super::super::cell::Ranking;
use super::super::cost::Cost;
use super::super::environment::Environment;
use super::super::scores;
use super::*;

fn ranking() -> Cell {
    Cell::new(Kind::Ranking, "drama", serde_json::json!({"x": 1}))
}

fn record(cell: &Cell) -> Record {
    let cost = Cost {
        wall_seconds: 1.5,
        ..Cost::default()
    };
    let mut record = Record::new(cell, Environment::here(1, Compute::default()), cost);
    record.ranking = Some(Ranking {
        candidate_hash: "c".into(),
        split: "leave-one-out".into(),
        order: String::new(),
        rank_seconds: 0.5,
        selection_loss: None,
        recall: None,
        validation_loss: Some(2.0),
        invalid_output_rate: None,
        cases: scores::tests::some(),
    });
    record
}

#[test]
fn checkpoints_of_finished_cells_go_when_a_store_is_opened_and_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cells");
    let store = Store::open(&root).unwrap();
    let (done, under_way) = (ranking(), Cell::new(Kind::Adapter, "b", serde_json::json!("b")));
    store.keep(&done, &record(&done), |_| Ok(())).unwrap();
    for cell in [&done, &under_way] {
        std::fs::create_dir_all(store.checkpoint(cell)).unwrap();
    }
    std::fs::write(store.checkpoint(&under_way).join("other"), "x").unwrap();
    Store::open(&root).unwrap();
    assert!(!store.checkpoint(&done).exists() && store.checkpoint(&under_way).exists());
}

#[test]
fn a_kept_cell_comes_back_whole_and_a_failed_one_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("cells")).unwrap();
    let cell = ranking();
    let missing = format!("{:#}", store.load(&cell).unwrap_err());
    assert!(
        missing.contains("drama") && missing.contains("run it first"),
        "{missing}"
    );
    let mut whole = record(&cell);
    assert!(store.keep(&cell, &whole, |_| bail!("disk full")).is_err());
    assert!(!store.has(&cell));
    assert_eq!(entries(&folder.path().join("cells/rankings")).count(), 0);
    assert_eq!(store.keep(&cell, &whole, |_| Ok(())).unwrap(), Kept::First);
    assert!(store.has(&cell));
    let back = store.load(&cell).unwrap();
    assert_eq!(back.ranking, whole.ranking);
    assert_eq!(
        (back.cost, back.environment),
        (whole.cost, whole.environment.clone())
    );
    let listed = store.list(Kind::Ranking).unwrap();
    assert_eq!((listed.len(), listed[0].key.as_str()), (1, cell.key.as_str()));
    assert!(listed[0].ranking.as_ref().unwrap().cases.is_empty());
    assert!(store.list(Kind::Adapter).unwrap().is_empty());

    // A ranking that is not whole is not kept.
    let other = Cell::new(Kind::Ranking, "other", serde_json::json!({"x": 2}));
    whole.ranking.as_mut().unwrap().cases[0].target = 9;
    let error = store.keep(&other, &whole, |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("user a"), "{error}");
}

#[test]
fn of_two_that_finish_a_cell_the_first_stays_and_the_second_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = [0, 1].map(|_| Store::open(folder.path()).unwrap());
    let cell = ranking();
    let first = record(&cell);
    one.keep(&cell, &first, |_| Ok(())).unwrap();
    let mut second = record(&cell);
    second.cost.wall_seconds = 9.0;
    second.environment.threads = 7;
    assert_eq!(
        two.keep(&cell, &second, |_| Ok(())).unwrap(),
        Kept::Again { note: None }
    );
    assert_eq!(one.load(&cell).unwrap().cost, first.cost);

    second.ranking.as_mut().unwrap().validation_loss = Some(2.5);
    second.environment.revision = "another".into();
    let error = two.keep(&cell, &second, |_| Ok(())).unwrap_err().to_string();
    for word in [
        "ranking.validation_loss is 2.0 and 2.5",
        "(another",
        "NUMERICS",
        &cell.key,
    ] {
        assert!(error.contains(word), "{error}");
    }
    // Another kind of processor is allowed other last digits.
    second.environment.cpu = "another".into();
    match two.keep(&cell, &second, |_| Ok(())).unwrap() {
        Kept::Again { note: Some(note) } => assert!(note.contains("last digits"), "{note}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(one.load(&cell).unwrap().ranking, first.ranking);
    assert_eq!(entries(&folder.path().join("rankings")).count(), 1);
}

#[test]
fn a_cell_is_run_by_one_at_a_time_and_by_nobody_once_it_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = [0, 1].map(|_| Store::open(folder.path()).unwrap());
    let cell = ranking();
    let Permit::Ours(lease) = one.permit(&cell).unwrap() else {
        panic!("it is free")
    };
    assert!(matches!(two.permit(&cell).unwrap(), Permit::Held(who) if who.contains("drama")));
    one.keep(&cell, &record(&cell), |_| Ok(())).unwrap();
    drop(lease);
    assert!(matches!(two.permit(&cell).unwrap(), Permit::Finished));
}

#[test]
fn what_killed_runs_left_goes_when_a_store_is_opened_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (cell, held) = (
        ranking(),
        Cell::new(Kind::Ranking, "held", serde_json::json!({"x": 2})),
    );
    store.keep(&cell, &record(&cell), |_| Ok(())).unwrap();
    let rankings = folder.path().join("rankings");
    let lease = store.permit(&held).unwrap();
    let names = [
        "0123456789abcdef",
        ".weaverec-staging-a1B2c3",
        "notes",
        held.key.as_str(),
    ];
    for name in names {
        std::fs::create_dir_all(rankings.join(name)).unwrap();
        std::fs::write(rankings.join(name).join("half"), "").unwrap();
    }
    Store::open(folder.path()).unwrap();
    let left = names.map(|name| rankings.join(name).exists());
    assert_eq!(left, [false, false, true, true]);
    assert!(store.has(&cell));
    // What was never finished is no cell, and gives way to one.
    assert_eq!(
        store.keep(&held, &record(&held), |_| Ok(())).unwrap(),
        Kept::First
    );
    assert!(store.has(&held) && !rankings.join(&held.key).join("half").exists());
    drop(lease);
}

#[test]
fn records_of_another_layout_are_refused_with_the_version_that_wrote_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let place = folder.path().join("rankings/0123456789abcdef");
    std::fs::create_dir_all(&place).unwrap();
    let said = |text: &str| {
        std::fs::write(place.join(RECORD), text).unwrap();
        format!("{:#}", store.list(Kind::Ranking).unwrap_err())
    };
    let old = said(
        r#"{"kind": "ranking", "label": "x", "key": "0123456789abcdef", "configuration": {},
        "environment": {"weaverec": "0.0.7", "git_revision": "c0ffee"}, "seconds": 1.0, "peak_memory_bytes": 1}"#,
    );
    for word in ["0.0.7", "c0ffee", "layout 1", "layout 3"] {
        assert!(old.contains(word), "{old}");
    }
    let new = said(r#"{"schema": 9, "environment": {"version": "7.1", "revision": "beef"}}"#);
    assert!(new.contains("7.1 (revision beef) in layout 9"), "{new}");
    let broken = said("{\"schema\": 3, ");
    assert!(
        broken.contains("damaged") && broken.contains("0123456789abcdef"),
        "{broken}"
    );
}

#[test]
fn a_record_is_copied_without_weights() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| Store::open(folder.path().join(name)).unwrap());
    let cell = ranking();
    let weights = |at: &Path| Ok(std::fs::write(at.join("weights"), "heavy")?);
    from.keep(&cell, &record(&cell), weights).unwrap();
    for _ in 0..2 {
        from.copy_record(cell.kind, &cell.key, &to).unwrap();
    }
    assert_eq!(to.load(&cell).unwrap().ranking, record(&cell).ranking);
    assert!(from.folder(&cell).join("weights").exists() && !to.folder(&cell).join("weights").exists());
    assert!(from.copy_record(Kind::Adapter, &cell.key, &to).is_err());
}

#[test]
fn ten_thousand_finished_cells_are_found_in_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let cells: Vec<Cell> = (0..10_000)
        .map(|i| Cell::new(Kind::Ranking, "x", serde_json::json!({ "x": i })))
        .collect();
    for cell in &cells {
        let place = store.folder(cell);
        std::fs::create_dir_all(&place).unwrap();
        // What is not read cannot be damaged.
        std::fs::write(place.join(RECORD), "").unwrap();
    }
    let begin = Instant::now();
    let opened = Store::open(folder.path()).unwrap();
    assert!(cells.iter().all(|cell| opened.has(cell)));
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[test]
fn without_leases_nobody_waits_and_whoever_is_second_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = [0, 1].map(|_| Store::open(folder.path()).unwrap().without_leases());
    let cell = ranking();
    assert!(matches!(one.permit(&cell).unwrap(), Permit::Ours(None)));
    assert!(matches!(two.permit(&cell).unwrap(), Permit::Ours(None)));
    assert!(one.at_work().is_empty());
    // Two trainings of one cell must not write each other's state.
    let leased = Store::open(folder.path()).unwrap();
    assert_ne!(one.checkpoint(&cell), leased.checkpoint(&cell));
    assert_eq!(one.keep(&cell, &record(&cell), |_| Ok(())).unwrap(), Kept::First);
    let again = two.keep(&cell, &record(&cell), |_| Ok(())).unwrap();
    assert_eq!(again, Kept::Again { note: None });
    assert!(matches!(two.permit(&cell).unwrap(), Permit::Finished));
    // What a killed one left of a cell that is finished goes.
    std::fs::create_dir_all(one.checkpoint(&cell)).unwrap();
    Store::open(folder.path()).unwrap();
    assert!(!one.checkpoint(&cell).exists());
}

#[test]
fn looking_at_a_store_makes_and_removes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cells");
    let looked = Store::at(&root);
    assert!(!looked.exists() && looked.at_work().is_empty() && !looked.has(&ranking()));
    assert!(!root.exists());
    let store = Store::open(&root).unwrap();
    let permit = store.permit(&ranking()).unwrap();
    let staging = root.join("rankings/.weaverec-staging-a1B2c3");
    std::fs::create_dir_all(&staging).unwrap();
    let looked = Store::at(&root);
    let at_work = looked.at_work();
    assert_eq!(
        (at_work.len(), at_work[0].name.as_str()),
        (1, ranking().key.as_str())
    );
    assert!(at_work[0].is_alive() && at_work[0].process == std::process::id().to_string());
    assert!(staging.exists());
    drop(permit);
    assert!(looked.at_work().is_empty());
}

#[test]
fn machines_that_share_a_store_run_a_cell_once_and_the_second_that_did_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    let machine = |name: &str| {
        let own = Store::open(folder.path().join(name)).unwrap();
        own.sharing(&folder.path().join("shared")).unwrap()
    };
    let [one, two, three] = ["one", "two", "three"].map(machine);
    let cell = ranking();
    let first = record(&cell);
    let weights = |at: &Path| Ok(std::fs::write(at.join("weights"), "heavy")?);
    assert_eq!(one.keep(&cell, &first, weights).unwrap(), Kept::First);
    // Whoever asks later has it, with all that belongs to it.
    assert!(matches!(two.permit(&cell).unwrap(), Permit::Finished));
    assert_eq!(two.load(&cell).unwrap().ranking, first.ranking);
    assert_eq!(
        std::fs::read(two.folder(&cell).join("weights")).unwrap(),
        b"heavy"
    );

    // The third asked before, and was at it when the first had finished.
    let mut again = record(&cell);
    again.cost.wall_seconds = 9.0;
    assert_eq!(
        three.keep(&cell, &again, weights).unwrap(),
        Kept::Again { note: None }
    );
    assert_eq!(three.load(&cell).unwrap().cost, first.cost);
    let fourth = machine("four");
    again.ranking.as_mut().unwrap().validation_loss = Some(2.5);
    let error = fourth.keep(&cell, &again, weights).unwrap_err().to_string();
    assert!(
        error.contains("validation_loss") && error.contains("shared"),
        "{error}"
    );
}

#[test]
fn what_others_have_finished_is_fetched_and_what_nobody_has_is_put_there() {
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("shared");
    let machine = |name: &str| Store::open(folder.path().join(name)).unwrap();
    let [mine, theirs] =
        ["mine", "theirs"].map(|name| Cell::new(Kind::Ranking, name, serde_json::json!(name)));
    let one = machine("one");
    one.keep(&mine, &record(&mine), |_| Ok(())).unwrap();
    assert_eq!(one.exchange([&mine]).unwrap(), Exchanged::default());
    let other = machine("other").sharing(&shared).unwrap();
    other.keep(&theirs, &record(&theirs), |_| Ok(())).unwrap();
    let one = one.sharing(&shared).unwrap();
    let both = Exchanged { fetched: 1, put: 1 };
    assert_eq!(one.exchange([&mine, &theirs]).unwrap(), both);
    assert_eq!(one.exchange([&mine, &theirs]).unwrap(), Exchanged::default());
    assert!(one.has(&theirs) && !other.has(&mine));
    let fetched = Exchanged { fetched: 1, put: 0 };
    assert_eq!(other.exchange([&mine]).unwrap(), fetched);
    assert!(other.has(&mine));

    // One that is damaged is named, and nothing of it comes here.
    let object = shared.join("rankings").join(format!("{}.zip", mine.key));
    std::fs::write(&object, "half").unwrap();
    let late = machine("late").sharing(&shared).unwrap();
    let error = format!("{:#}", late.permit(&mine).unwrap_err());
    assert!(error.contains(&mine.key), "{error}");
    assert!(!late.has(&mine));
    assert!(entries(&folder.path().join("late/rankings")).next().is_none());
}
