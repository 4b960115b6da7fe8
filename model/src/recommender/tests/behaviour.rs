//! What scores depend on, and that a saved recommender gives the same.

use super::super::rows::{Align, Rows};
use super::every::{Beside, every, over_tokens};
use super::*;
use crate::op::with_threads;
use crate::train::task::Mode;

#[test]
fn a_history_has_its_scores_whatever_is_asked_with_it() {
    let train = noise(40, 7, 25);
    // More than are scored at one time, of every length, longer than what is read too.
    let histories: Vec<Vec<u32>> = (0..300u64)
        .map(|user| noise(user + 1, user % 12, 25)[user as usize].clone())
        .collect();
    let beside = Beside::of(25);
    let sources = beside.sources();
    let all: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
    for (name, system) in every(&schedule(1, 1e-2)) {
        let (recommender, _) = fitted(&system, &beside.with(&sources, data(25, &train, &[])));
        // Sums of log-probabilities, and cosines over a temperature, are larger numbers than products.
        let most = match &system {
            System::Sasrec(_) | System::Gru4rec(_) | System::Bert4rec(_) => 1e-4,
            _ => 1e-3,
        };
        let together = scores(&*recommender, 25, &all);
        for (nth, history) in all.iter().enumerate().step_by(7) {
            let alone = scores(&*recommender, 25, &[history]);
            for (alone, together) in alone.iter().zip(&together[nth * 25..]) {
                assert!(
                    (alone - together).abs() < most,
                    "{name}, {nth}: {alone} {together}"
                );
            }
        }
        // Nothing is said by no history: all items are equal.
        assert_eq!(together[..25], [0.0; 25], "{name}");
        // And something by one: items differ, and so do histories.
        assert!(
            together[25..50].iter().any(|score| *score != together[25]),
            "{name}"
        );
        assert!(together[25..50] != together[50..75], "{name}");
    }
}

#[test]
fn only_the_last_items_of_a_long_history_are_read() {
    let train = noise(40, 7, 25);
    let long = &noise(1, 12, 25)[0];
    let beside = Beside::of(25);
    let sources = beside.sources();
    for (name, system) in every(&schedule(1, 1e-2)) {
        let (recommender, _) = fitted(&system, &beside.with(&sources, data(25, &train, &[])));
        let whole = scores(&*recommender, 25, &[long]);
        // Eight are read; of BERT4Rec's eight positions one is the mask's.
        let read = if name == "bert4rec" { 7 } else { 8 };
        assert_eq!(scores(&*recommender, 25, &[&long[12 - read..]]), whole, "{name}");
        assert_ne!(scores(&*recommender, 25, &[&long[13 - read..]]), whole, "{name}");
    }
}

#[test]
fn what_comes_later_changes_nothing_before_it() {
    let system = |flavour| match sasrec(flavour, Loss::Ce, schedule(1, 1e-2)) {
        System::Sasrec(settings) => settings.model(25, 3).unwrap(),
        _ => unreachable!(),
    };
    let recurrent = match gru4rec(schedule(1, 1e-2)) {
        System::Gru4rec(settings) => settings.model(25, 3).unwrap(),
        _ => unreachable!(),
    };
    let (original, of_recbole) = (system(Flavour::Original), system(Flavour::Recbole));
    type Hidden<'a> = &'a dyn Fn(&Rows) -> Tensor;
    let hidden: [(&str, Hidden); 3] = [
        ("sasrec", &|rows| original.hidden(rows, Mode::Evaluation).unwrap()),
        ("sasrec of recbole", &|rows| {
            of_recbole.hidden(rows, Mode::Evaluation).unwrap()
        }),
        ("gru4rec", &|rows| {
            recurrent.hidden(rows, Mode::Evaluation).unwrap()
        }),
    ];
    let items = [3, 17, 5, 5, 24, 0, 9, 11];
    for (name, hidden) in hidden {
        let of = |count: usize, last: u32| {
            let mut rows = Rows::default();
            // The same positions for both, as both begin at the same one.
            rows.push(&items[..count], Align::Start, 8);
            rows.items[count - 1] = last;
            hidden(&rows).to_vec2::<f32>().unwrap()
        };
        let whole = of(8, 11);
        for count in 1..8 {
            let part = of(count, items[count - 1]);
            for (row, (part, whole)) in part.iter().zip(&whole).enumerate() {
                for (part, whole) in part.iter().zip(whole) {
                    assert!((part - whole).abs() < 1e-5, "{name}: row {row} of {count}");
                }
            }
        }
        // While what is there changes its own row, and no other.
        let other = of(8, 12);
        assert!(other[7] != whole[7], "{name}");
        assert_eq!(other[..7], whole[..7], "{name}");
    }
}

#[test]
fn what_comes_later_changes_nothing_before_it_in_decoders_over_items_either() {
    let train = noise(40, 7, 25);
    let beside = Beside::of(25);
    let sources = beside.sources();
    let data = beside.with(&sources, data(25, &train, &[]));
    for (name, system) in over_tokens(&schedule(1, 1e-2)) {
        let course = Course {
            seed: 5,
            checkpoint: None,
            progress: &mut |_| (),
        };
        let fitted = match &system {
            System::Tiger(settings) => settings.fit(&data, course),
            System::ItemDecoder(settings) => settings.fit(&data, course),
            System::Recbase(settings) => settings.fit(&data, course),
            // Two decoders of this kind, whose chances are mixed token by token.
            _ => continue,
        };
        let fitted = fitted.unwrap().0;
        let of = |tokens: &[u32]| fitted.decoder().logits(tokens).unwrap().to_vec2::<f32>().unwrap();
        let same = |one: &[Vec<f32>], other: &[Vec<f32>]| {
            let mut pairs = one.iter().flatten().zip(other.iter().flatten());
            pairs.all(|(one, other)| (one - other).abs() < 1e-3)
        };
        let mut tokens = fitted.tokens().prompt(&[3, 17, 5, 5, 24, 1, 9, 11], 8).unwrap();
        let (whole, last) = (of(&tokens), tokens.len() - 1);
        for count in 1..last {
            assert!(same(&of(&tokens[..count]), &whole[..count]), "{name}: {count}");
        }
        // While what is there changes its own row, and no other.
        tokens[last] = tokens[1];
        let other = of(&tokens);
        assert!(same(&other[..last], &whole[..last]), "{name}");
        assert!(!same(&other[last..], &whole[last..]), "{name}");
    }
}

#[test]
fn a_saved_recommender_gives_the_same_scores() {
    let train = noise(40, 7, 25);
    let beside = Beside::of(25);
    let sources = beside.sources();
    let histories: [&[u32]; 3] = [&[1, 2, 3], &[], &[25]];
    let folder = tempfile::tempdir().unwrap();
    // One folder: a recommender takes the place of another one.
    let saved = folder.path().join("saved");
    for (name, system) in every(&schedule(1, 1e-2)) {
        let (recommender, _) = fitted(&system, &beside.with(&sources, data(25, &train, &[])));
        recommender.save(&saved).unwrap();
        let loaded = load(&saved).unwrap();
        let (before, after) = (
            scores(&*recommender, 25, &histories),
            scores(&*loaded, 25, &histories),
        );
        assert_eq!(before, after, "{name}");
        let text = std::fs::read_to_string(saved.join("recommender.json")).unwrap();
        let description: serde_json::Value = serde_json::from_str(&text).unwrap();
        let kind = name.split([' ', ',']).next().unwrap();
        assert_eq!(description["system"]["kind"], kind);
    }
}

#[test]
fn threads_change_no_bit() {
    // Enough rows for several shares of attention, and of what is spread over rows.
    let train = noise(300, 8, 25);
    let wide = Schedule {
        batch_size: 300,
        ..schedule(2, 1e-2)
    };
    for (name, system) in all(&wide) {
        let on = |threads| with_threads(threads, || tensors(&*fitted(&system, &data(25, &train, &[])).0));
        assert!(on(1) == on(3), "{name}");
    }
}
