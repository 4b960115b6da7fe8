#![allow(clippy::unwrap_used)]
use super::super::tiger::tests::{choosing, first, scores, tiger, walks};
use super::super::{Recommender, load};
use super::*;
use crate::op::with_threads;

fn decoder(epochs: usize) -> ItemDecoder {
    let tiger = tiger(epochs);
    ItemDecoder {
        width: tiger.width,
        inner: tiger.inner,
        layers: tiger.layers,
        heads: tiger.heads,
        history: tiger.history,
        item_dropout: tiger.item_dropout,
        train: tiger.train,
    }
}

fn fitted(settings: &ItemDecoder) -> (Fitted, Outcome) {
    let (train, validation) = (walks(), choosing());
    let data = Data {
        items: 24,
        train: &train,
        validation: &validation,
        vectors: None,
        sources: &[],
    };
    let course = Course {
        seed: 3,
        checkpoint: None,
        progress: &mut |_| (),
    };
    settings.fit(&data, course).unwrap()
}

#[test]
fn a_rule_of_single_items_is_learnt_without_a_text() {
    let (fitted, outcome) = fitted(&decoder(60));
    assert!(fitted.validation_ndcg().unwrap() > 0.9, "{:?}", outcome.ndcg);
    // Of what the user does not know yet: a decoder whose head is its embedding also likes what it has just read.
    let next = |history: &[u32]| {
        let mut found = scores(&fitted, &[history]).remove(0);
        for item in history {
            found[*item as usize - 1] = f32::NEG_INFINITY;
        }
        first(&found)
    };
    let after = |item: u32, steps: u32| (item + steps - 1) % 24 + 1;
    let right = (1..=24u32).filter(|item| next(&[*item, after(*item, 1)]) == after(*item, 2) as usize);
    let right = right.count();
    assert!(right >= 20, "{right} of 24");
    assert!(fitted.codes().is_none() && fitted.report().is_none());
}

#[test]
fn scores_are_what_one_step_says_of_the_next_token() {
    let settings = ItemDecoder {
        item_dropout: 0.3,
        ..decoder(2)
    };
    let (fitted, _) = fitted(&settings);
    let histories: [&[u32]; 3] = [&[7, 1, 24], &[], &[1, 2, 3, 4, 5, 6, 7, 8]];
    let found = scores(&fitted, &histories);
    assert_eq!(found[1], [0.0; 24], "nobody knows who has done nothing");
    for (history, found) in histories
        .iter()
        .zip(&found)
        .filter(|(history, _)| !history.is_empty())
    {
        // Of the longer one the newest six are read.
        let newest = &history[history.len().saturating_sub(6)..];
        let read: Vec<u32> = std::iter::once(0)
            .chain(newest.iter().map(|item| item + 1))
            .collect();
        let logits = fitted.decoder().logits(&read).unwrap().to_vec2::<f32>().unwrap();
        let last = &logits[newest.len()];
        assert_eq!(last.len(), 26);
        let all = last[2..]
            .iter()
            .map(|logit| f64::from(*logit).exp())
            .sum::<f64>()
            .ln();
        for (logit, score) in last[2..].iter().zip(found) {
            let expected = f64::from(*logit) - all;
            assert!((f64::from(*score) - expected).abs() < 1e-4, "{score} {expected}");
        }
    }
}

#[test]
fn what_was_saved_is_read_as_it_was_and_the_threads_decide_nothing() {
    let (one, _) = with_threads(1, || fitted(&decoder(2)));
    let (other, _) = with_threads(2, || fitted(&decoder(2)));
    let histories: [&[u32]; 2] = [&[5, 6, 7], &[11]];
    assert_eq!(scores(&one, &histories), scores(&other, &histories));
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    one.save(&saved).unwrap();
    let read = load(&saved).unwrap();
    assert_eq!(scores(&*read, &histories), scores(&one, &histories));
    let mut room = vec![0.0; 24];
    let error = read.scores(&[&[25]], &mut room).unwrap_err().to_string();
    assert!(error.contains("item 25"), "{error}");
}
