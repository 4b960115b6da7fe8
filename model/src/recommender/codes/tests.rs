//! Codes of drawn vectors.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::op::with_threads;

fn drawn(items: u64, width: u64, seed: u64) -> Vectors {
    let value = |at: u64| (mix(seed << 40 | at) % 2001) as f32 / 1000.0 - 1.0;
    Vectors {
        width: width as usize,
        values: (0..items * width).map(value).collect(),
    }
}

fn settings(size: usize) -> CodeSettings {
    CodeSettings {
        size,
        ..CodeSettings::default()
    }
}

#[test]
fn every_item_has_tokens_of_its_own_that_tell_its_codes() {
    let (one, other) = (drawn(300, 6, 1), drawn(120, 6, 2));
    let (domains, report) = encode(&[&one, &other], &settings(8)).unwrap();
    assert_eq!((domains[0].codes.len(), domains[1].codes.len()), (300, 120));
    let layout = Layout { size: 8 };
    assert_eq!(layout.vocabulary(), 2 + 24 + 256);
    let joint = ItemCodes {
        codes: domains.iter().flat_map(|domain| domain.codes.clone()).collect(),
    };
    joint.check(layout).unwrap();
    for tokens in layout.items(&joint) {
        assert!(
            tokens
                .iter()
                .all(|token| (2..layout.vocabulary() as u32).contains(token))
        );
        assert_eq!(layout.tokens(layout.code(&tokens).unwrap()), tokens);
    }
    assert_eq!(report.items, 420);
    assert!(report.digits <= 256 && report.colliding <= 420);
    let history = layout.history(&domains[0], &[3, 1]).unwrap();
    assert_eq!(history.len(), 9);
    assert_eq!(history[0], START);
    assert_eq!(layout.code(&history[1..5]), Some(domains[0].codes[2]));
    assert_eq!(layout.code(&history[5..]), Some(domains[0].codes[0]));
    assert!(layout.history(&domains[0], &[0]).is_err());
    assert!(layout.history(&domains[0], &[301]).is_err());
    assert_eq!(layout.code(&history[2..6]), None, "tokens of other levels");
}

#[test]
fn every_level_leaves_less_and_uses_its_codes() {
    let (_, report) = encode(&[&drawn(600, 5, 3)], &settings(16)).unwrap();
    let errors: Vec<f64> = report.levels.iter().map(|level| level.error).collect();
    assert!(
        errors[0] < 0.8 && errors.windows(2).all(|pair| pair[1] < pair[0]),
        "{errors:?}"
    );
    for level in &report.levels {
        assert_eq!(level.used, 16);
        assert!(
            level.perplexity > 8.0 && level.perplexity <= 16.0 + 1e-9,
            "{level:?}"
        );
    }
}

#[test]
fn codes_do_not_depend_on_the_threads_but_on_the_seed() {
    let vectors = drawn(500, 7, 4);
    let made = |threads, seed| {
        let settings = CodeSettings { seed, ..settings(12) };
        with_threads(threads, || encode(&[&vectors], &settings).unwrap())
    };
    let one = made(1, 0);
    assert_eq!(one, made(3, 0));
    assert_ne!(one.0, made(1, 1).0);
}

#[test]
fn items_that_are_alike_begin_alike_and_twins_differ_in_their_digit_alone() {
    let mut vectors = drawn(40, 4, 5);
    let first = vectors.values[..4].to_vec();
    vectors.values.extend(&first);
    let (domains, report) = encode(&[&vectors], &settings(5)).unwrap();
    let codes = &domains[0].codes;
    assert_eq!(codes[0][..3], codes[40][..3]);
    assert_ne!(codes[0][3], codes[40][3]);
    assert!(report.digits >= 2 && report.colliding >= 2);
}

#[test]
fn more_twins_than_digits_are_refused_with_what_to_do() {
    let mut vectors = drawn(10, 3, 6);
    vectors.values.extend(std::iter::repeat_n(0.0, 3 * 257));
    let error = encode(&[&vectors], &settings(4)).unwrap_err().to_string();
    assert!(
        error.contains("have the same codes") && error.contains("categories"),
        "{error}"
    );
    vectors.values.truncate(3 * (10 + 100));
    let (_, report) = encode(&[&vectors], &settings(4)).unwrap();
    assert!(report.digits >= 100);
}

#[test]
fn what_has_no_codes_in_common_is_refused() {
    let (one, other) = (drawn(5, 3, 1), drawn(5, 4, 1));
    assert!(encode(&[&one, &other], &settings(2)).is_err());
    assert!(encode(&[], &settings(2)).is_err());
    assert!(encode(&[&one], &settings(0)).is_err());
    let mut broken = one;
    broken.values[4] = f32::NAN;
    let error = encode(&[&broken], &settings(2)).unwrap_err().to_string();
    assert!(error.contains("item 2"), "{error}");
    let twins = ItemCodes {
        codes: vec![[0, 1, 2, 0], [0, 1, 2, 0]],
    };
    assert!(twins.check(Layout { size: 3 }).is_err());
    assert!(
        twins
            .check(Layout { size: 2 })
            .unwrap_err()
            .to_string()
            .contains("item 1")
    );
}

#[test]
fn permuted_codes_are_the_same_codes_of_other_items() {
    let (domains, _) = encode(&[&drawn(50, 4, 8)], &settings(6)).unwrap();
    let permuted = domains[0].permuted(3);
    assert_ne!(permuted, domains[0]);
    assert_eq!(permuted, domains[0].permuted(3));
    let sorted = |codes: &ItemCodes| {
        let mut codes = codes.codes.clone();
        codes.sort_unstable();
        codes
    };
    assert_eq!(sorted(&permuted), sorted(&domains[0]));
}
