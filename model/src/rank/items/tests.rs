#![allow(clippy::unwrap_used)]
use super::*;
use crate::backbone::decoder::tests::tiny;
use crate::op::with_threads;
use crate::rank::{Normalisation, Query, score};

/// Items of three tokens of the thirteen that the tiny decoder has, none twice, in no order.
fn items(count: u32) -> Vec<Vec<u32>> {
    let of = |i: u32| {
        let i = i * 5 % 343;
        vec![i % 7, 3 + i / 7 % 7, 6 + i / 49 % 7]
    };
    (0..count).map(of).collect()
}

const PROMPTS: [&[u32]; 3] = [&[1, 2, 3], &[7], &[4, 4, 9, 1, 2]];

fn with<R>(catalogue: &Catalogue, mass: Mass, f: impl FnOnce(Ranker) -> R) -> R {
    f(Ranker {
        decoder: &tiny(),
        catalogue,
        mass,
    })
}

fn all(catalogue: &Catalogue, mass: Mass) -> Vec<Vec<f32>> {
    let mut out = vec![0.0; PROMPTS.len() * catalogue.items()];
    with(catalogue, mass, |ranker| {
        ranker.scores(&PROMPTS, &mut out, &mut |_| ()).unwrap()
    });
    out.chunks_exact(catalogue.items()).map(<[f32]>::to_vec).collect()
}

#[test]
fn scores_of_a_catalogue_are_the_likelihoods_of_its_items_one_by_one() {
    let items = items(60);
    let catalogue = Catalogue::new(&items).unwrap();
    for (prompt, ours) in PROMPTS.iter().zip(all(&catalogue, Mass::Vocabulary)) {
        let query = Query {
            prompt: prompt.to_vec(),
            candidates: items.clone(),
        };
        let expected = score(&tiny(), &[query], Normalisation::Sum, 100).unwrap();
        for (ours, expected) in ours.iter().zip(&expected[0]) {
            assert!((ours - expected).abs() < 1e-4, "{ours} {expected}");
        }
    }
}

#[test]
fn items_are_found_by_their_tokens() {
    let items = items(60);
    let catalogue = Catalogue::new(&items).unwrap();
    for (place, item) in items.iter().enumerate() {
        assert_eq!(catalogue.find(item), Some(place));
        assert_eq!(catalogue.find(&item[..2]), None);
    }
    assert_eq!(catalogue.find(&[]), None);
    assert_eq!(catalogue.find(&[12, 12, 12]), None);
}

#[test]
fn chances_within_the_catalogue_sum_to_one_and_a_token_that_alone_is_left_is_certain() {
    let catalogue = Catalogue::new(&items(60)).unwrap();
    for scores in all(&catalogue, Mass::Catalogue) {
        let sum: f64 = scores.iter().map(|score| f64::from(*score).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    }
    let lone = Catalogue::new(&[[1, 2, 3]]).unwrap();
    assert_eq!(all(&lone, Mass::Catalogue)[0], [0.0]);
    assert!(all(&lone, Mass::Vocabulary)[0][0] < -0.1);
}

#[test]
fn the_best_and_a_targets_place_are_those_that_all_scores_give() {
    let catalogue = Catalogue::new(&items(200)).unwrap();
    let excluded: [&[usize]; 3] = [&[], &[0, 5, 17], &[3]];
    for mass in [Mass::Vocabulary, Mass::Catalogue] {
        let all = all(&catalogue, mass);
        with(&catalogue, mass, |ranker| {
            for count in [0, 1, 7, 500] {
                let found = ranker.top(&PROMPTS, &excluded, count).unwrap();
                for ((found, scores), excluded) in found.iter().zip(&all).zip(excluded) {
                    let mut left: Vec<usize> = (0..200).filter(|place| !excluded.contains(place)).collect();
                    left.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
                    assert_eq!(found.len(), count.min(left.len()));
                    for (found, expected) in found.iter().zip(left) {
                        assert!(
                            (found.score - scores[expected]).abs() < 1e-4,
                            "{found:?} {expected}"
                        );
                        assert!((found.score - scores[found.place]).abs() < 1e-4);
                    }
                }
            }
            for target in [1, 100, 199] {
                let sought: Vec<Sought> = PROMPTS
                    .iter()
                    .zip(excluded)
                    .map(|(prompt, excluded)| Sought {
                        prompt,
                        target,
                        excluded,
                    })
                    .collect();
                let places = ranker.places(&sought, usize::MAX, &mut |_| ()).unwrap();
                let first_few = ranker.places(&sought, 5, &mut |_| ()).unwrap();
                for (user, (above, tied)) in places.iter().enumerate() {
                    let scores = &all[user];
                    // What is this near may stand on either side.
                    let beyond = |least: f32| {
                        (0..200)
                            .filter(|place| *place != target && !excluded[user].contains(place))
                            .filter(|place| scores[*place] - scores[target] > least)
                            .count()
                    };
                    assert!(beyond(1e-4) <= *above && above + tied <= beyond(-1e-4));
                    match *above < 5 {
                        true => assert_eq!(first_few[user], (*above, *tied)),
                        false => assert!(first_few[user].0 >= 5 && first_few[user].0 <= *above),
                    }
                }
            }
        });
    }
}

#[test]
fn scores_depend_neither_on_the_threads_nor_on_who_is_asked_beside() {
    let catalogue = Catalogue::new(&items(100)).unwrap();
    let one = with_threads(1, || all(&catalogue, Mass::Catalogue));
    assert_eq!(one, with_threads(3, || all(&catalogue, Mass::Catalogue)));
    let mut alone = vec![0.0; 100];
    with(&catalogue, Mass::Catalogue, |ranker| {
        ranker.scores(&PROMPTS[1..2], &mut alone, &mut |_| ()).unwrap();
    });
    for (alone, beside) in alone.iter().zip(&one[1]) {
        assert!((alone - beside).abs() < 1e-5);
    }
}

#[test]
fn catalogues_whose_items_cannot_be_told_apart_and_targets_that_are_not_in_them_are_refused() {
    let error = Catalogue::new(&[[1, 2], [3, 4], [1, 2]]).unwrap_err().to_string();
    assert!(error.contains("items 1 and 3"), "{error}");
    assert!(Catalogue::new(&[vec![1], vec![1, 2]]).is_err());
    assert!(Catalogue::new::<Vec<u32>>(&[]).is_err());
    let catalogue = Catalogue::new(&items(10)).unwrap();
    with(&catalogue, Mass::Catalogue, |ranker| {
        for (prompt, target, excluded) in [(&[1u32][..], 10, &[][..]), (&[1], 2, &[2]), (&[], 2, &[])] {
            let sought = Sought {
                prompt,
                target,
                excluded,
            };
            assert!(ranker.places(&[sought], 5, &mut |_| ()).is_err());
        }
        assert!(ranker.scores(&[&[1]], &mut [0.0; 9], &mut |_| ()).is_err());
        assert!(ranker.top(&[&[1]], &[], 3).is_err());
    });
}
