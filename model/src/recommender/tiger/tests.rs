#![allow(clippy::unwrap_used)]
use super::super::codes::TOKENS;
use super::super::{Recommender, Vectors};
use super::fitted::{CODES, DESCRIPTION};
use super::*;
use crate::op::{mix, with_threads};

/// Vectors of 24 items in two groups, each of its own.
pub(in crate::recommender) fn vectors() -> Vectors {
    let value = |item: u64, place: u64| {
        let drawn = (mix(item << 8 | place) % 1000) as f32 / 1000.0;
        let group = if item.is_multiple_of(2) { 3.0 } else { -3.0 };
        if place == 0 { group + drawn } else { drawn }
    };
    Vectors {
        width: 4,
        values: (0..24)
            .flat_map(|item| (0..4).map(move |place| value(item, place)))
            .collect(),
    }
}

pub(in crate::recommender) fn tiger(epochs: usize) -> Tiger {
    Tiger {
        codes: CodeSettings {
            size: 4,
            ..CodeSettings::default()
        },
        width: 32,
        inner: 48,
        layers: 2,
        heads: 2,
        history: 6,
        item_dropout: 0.0,
        train: TrainConfig {
            learning_rate: 5e-3,
            epochs,
            batch_size: 10,
            weight_decay: 0.0,
            patience: 0,
            ..Tiger::default().train
        },
        ..Tiger::default()
    }
}

/// Fifty users who walk round the items, each from a place of its own.
pub(in crate::recommender) fn walks() -> Vec<Vec<u32>> {
    (0..50u32)
        .map(|user| (0..5).map(|step| (user + step) % 24 + 1).collect())
        .collect()
}

/// Ten who choose the epoch.
pub(in crate::recommender) fn choosing() -> Vec<(Vec<u32>, u32)> {
    (0..10u32)
        .map(|i| (vec![i % 24 + 1, (i + 1) % 24 + 1], (i + 2) % 24 + 1))
        .collect()
}

fn fitted(tiger: &Tiger, train: &[Vec<u32>]) -> (Fitted, Outcome) {
    let vectors = vectors();
    let validation = choosing();
    let data = Data {
        items: 24,
        train,
        validation: &validation,
        vectors: Some(&vectors),
        sources: &[],
    };
    let course = Course {
        seed: 3,
        checkpoint: None,
        progress: &mut |_| (),
    };
    tiger.fit(&data, course).unwrap()
}

pub(in crate::recommender) fn scores(fitted: &dyn Recommender, histories: &[&[u32]]) -> Vec<Vec<f32>> {
    let mut out = vec![0.0; histories.len() * 24];
    fitted.scores(histories, &mut out).unwrap();
    out.chunks_exact(24).map(<[f32]>::to_vec).collect()
}

pub(in crate::recommender) fn first(scores: &[f32]) -> usize {
    (0..scores.len())
        .max_by(|a, b| scores[*a].total_cmp(&scores[*b]))
        .unwrap()
        + 1
}

#[test]
fn fifty_users_are_memorised_and_events_to_come_change_nothing() {
    let train = walks();
    let (fitted, outcome) = fitted(&tiger(120), &train);
    assert!(
        outcome.ndcg.iter().any(|(_, ndcg)| *ndcg > 0.9),
        "{:?}",
        outcome.ndcg
    );
    assert!(
        fitted.validation_ndcg().unwrap() > 0.9,
        "{:?}",
        fitted.validation_ndcg()
    );
    let mut right = 0;
    for walk in &train {
        let found = scores(&fitted, &[&walk[..3], &walk[..4]]);
        right += usize::from(first(&found[0]) == walk[3] as usize);
        right += usize::from(first(&found[1]) == walk[4] as usize);
    }
    assert!(right >= 90, "{right} of 100");
    let report = fitted.report().unwrap();
    assert_eq!(report.items, 24);
    // Beside a longer history, a history's scores are what they are alone.
    let (alone, beside) = (
        scores(&fitted, &[&[1, 2]]),
        scores(&fitted, &[&[1, 2, 3], &[1, 2]]),
    );
    for (alone, beside) in alone[0].iter().zip(&beside[1]) {
        assert!((alone - beside).abs() < 1e-4);
    }
}

#[test]
fn what_was_saved_is_read_as_it_was_and_the_threads_decide_nothing() {
    let train = walks();
    let mut tiger = tiger(2);
    tiger.item_dropout = 0.3;
    let (one, _) = with_threads(1, || fitted(&tiger, &train));
    let (other, _) = with_threads(2, || fitted(&tiger, &train));
    let histories: [&[u32]; 2] = [&[5, 6, 7], &[]];
    assert_eq!(scores(&one, &histories), scores(&other, &histories));
    assert_eq!(
        scores(&one, &histories)[1],
        [0.0; 24],
        "nobody knows who has done nothing"
    );
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("tiger");
    one.save(&folder).unwrap();
    one.save(&folder).unwrap();
    let read = Fitted::load(&folder).unwrap();
    assert_eq!(scores(&read, &histories), scores(&one, &histories));
    assert_eq!(read.codes(), one.codes());
    assert_eq!(read.report(), one.report());
    for file in [DESCRIPTION, CODES] {
        std::fs::write(folder.join(file), "{}").unwrap();
        let error = Fitted::load(&folder).unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
        one.save(&folder).unwrap();
    }
    let fewer = r#"{"items": {"codes": [[0, 0, 0, 0]]}}"#;
    std::fs::write(folder.join(CODES), fewer).unwrap();
    let error = Fitted::load(&folder).unwrap_err().to_string();
    assert!(error.contains("1 items") && error.contains("24"), "{error}");
}

#[test]
fn every_item_of_a_long_sequence_is_learnt_once_and_after_half_a_window_at_least() {
    let codes = codes::encode(&[&vectors()], &tiger(1).codes).unwrap().0.remove(0);
    let tokens = Tokens::of_codes(tiger(1).layout(), &codes);
    let items: Vec<u32> = (0..40).map(|i| i % 24 + 1).collect();
    for length in [1, 3, 7, 8, 11, 12, 40] {
        let windows = tokens.windows(&items[..length], 6).unwrap();
        let mut learnt = 0;
        for (number, window) in windows.iter().enumerate() {
            let own = (window.tokens.len() - 1) / TOKENS;
            assert!(own <= 7, "six that are read and one that is predicted");
            assert_eq!((window.loss_from - 1) % TOKENS, 0);
            assert!(number == 0 || window.loss_from > 1 + TOKENS * 2);
            learnt += own - (window.loss_from - 1) / TOKENS;
        }
        assert_eq!(learnt, length);
        assert_eq!(Tokens::count_windows(length, 6), windows.len());
    }
    assert!(tokens.windows(&[], 6).unwrap().is_empty());
    assert_eq!(Tokens::count_windows(0, 6), 0);
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let (train, vectors) = (walks(), vectors());
    let refused = |tiger: Tiger, items: usize, vectors: Option<&Vectors>, train: &[Vec<u32>]| {
        let data = Data {
            items,
            train,
            validation: &[],
            vectors,
            sources: &[],
        };
        let course = Course {
            seed: 0,
            checkpoint: None,
            progress: &mut |_| (),
        };
        tiger.fit(&data, course).unwrap_err().to_string()
    };
    assert!(refused(tiger(1), 24, None, &train).contains("text vectors"));
    assert!(refused(tiger(1), 25, Some(&vectors), &train).contains("25 vectors"));
    assert!(refused(tiger(1), 24, Some(&vectors), &[vec![25]]).contains("item 25"));
    assert!(
        refused(
            Tiger {
                history: 0,
                ..tiger(1)
            },
            24,
            Some(&vectors),
            &train
        )
        .contains("history 0")
    );
    assert!(
        refused(
            Tiger {
                item_dropout: 1.0,
                ..tiger(1)
            },
            24,
            Some(&vectors),
            &train
        )
        .contains("item_dropout 1")
    );
    assert!(refused(Tiger { heads: 0, ..tiger(1) }, 24, Some(&vectors), &train).contains("heads"));
}

/// A tree as deep as codes are, read without one: every item's tokens after the prompt, one whole sequence each.
#[test]
fn the_tree_gives_what_every_item_gives_by_itself() {
    let train = walks();
    for mass in [Mass::Catalogue, Mass::Vocabulary] {
        let (fitted, _) = fitted(&Tiger { mass, ..tiger(3) }, &train);
        let tokens = fitted.tokens();
        let history: [u32; 3] = [4, 9, 2];
        let ours = scores(&fitted, &[&history]).remove(0);
        let items: Vec<Vec<u32>> = (1..=24)
            .map(|item| tokens.held_out(&[], item, 6).unwrap().tokens[1..].to_vec())
            .collect();
        let prompt = tokens.prompt(&history, 6).unwrap();
        for (item, own) in items.iter().enumerate() {
            let logits = fitted
                .decoder()
                .logits(&[prompt.as_slice(), own].concat())
                .unwrap();
            let logits = logits.to_vec2::<f32>().unwrap();
            let mut expected = 0.0;
            for depth in 0..TOKENS {
                let row = &logits[prompt.len() + depth - 1];
                let mut next: Vec<u32> = match mass {
                    Mass::Vocabulary => (0..row.len() as u32).collect(),
                    Mass::Catalogue => {
                        let alike = items.iter().filter(|other| other[..depth] == own[..depth]);
                        alike.map(|other| other[depth]).collect()
                    }
                };
                next.sort_unstable();
                next.dedup();
                let all: f64 = next
                    .iter()
                    .map(|token| f64::from(row[*token as usize]).exp())
                    .sum();
                expected += f64::from(row[own[depth] as usize]) - all.ln();
            }
            assert!(
                (f64::from(ours[item]) - expected).abs() < 1e-3,
                "{item}: {} {expected}",
                ours[item]
            );
        }
    }
}

#[test]
fn a_fit_that_was_killed_goes_on_to_the_same_bits() {
    let train = walks();
    let whole = fitted(&tiger(3), &train).0;
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = crate::train::Checkpoint::new(folder.path().join("state"), "");
    let vectors = vectors();
    let data = Data {
        items: 24,
        train: &train,
        validation: &choosing(),
        vectors: Some(&vectors),
        sources: &[],
    };
    let fit = |tiger: Tiger, most: usize, first: &mut usize| {
        let mut course = |p: crate::train::Progress| {
            *first = (*first).min(p.step);
            assert!(p.step <= most, "killed");
        };
        let course = Course {
            seed: 3,
            checkpoint: Some(&checkpoint),
            progress: &mut course,
        };
        tiger.fit(&data, course).unwrap()
    };
    let killed = |tiger: Tiger, most: usize| {
        let mut begun = usize::MAX;
        let fit = || fit(tiger, most, &mut begun);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(fit)).is_err());
        begun
    };
    assert_eq!(killed(tiger(3), 7), 1);
    // Validation users that are ranked in another way may choose another epoch.
    let otherwise = Tiger {
        mass: Mass::Vocabulary,
        ..tiger(3)
    };
    assert_eq!(killed(otherwise, 0), 1, "another mass begins anew");
    let mut begun = usize::MAX;
    let (again, _) = fit(tiger(3), usize::MAX, &mut begun);
    assert_eq!(begun, 6, "an epoch of five steps was in the checkpoint");
    let history: &[u32] = &[5, 6, 7];
    assert_eq!(scores(&again, &[history]), scores(&whole, &[history]));
}
