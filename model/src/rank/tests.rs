//! Ranking against the plain way: one full forward for every candidate.
#![allow(clippy::unwrap_used)]

use candle_core::D;

use super::top::search;
use super::*;
use crate::backbone::decoder::tests::{tiny, tiny_on};
use crate::lora::attach::tests::random_adapter;
use crate::op::composed::tests::{on_every_device, with_fused};
use crate::op::with_threads;
use candle_core::Device;

fn queries() -> Vec<Query> {
    let query = |prompt: &[u32], candidates: &[&[u32]]| Query {
        prompt: prompt.to_vec(),
        candidates: candidates.iter().map(|c| c.to_vec()).collect(),
    };
    vec![
        query(&[1, 2, 3], &[&[4, 5, 0], &[4, 0], &[7, 8, 9, 0], &[3]]),
        query(&[5], &[&[6, 0], &[1, 1, 1, 0]]),
        query(&[2, 9, 11, 12, 3, 4], &[&[0]]),
        // Titles that begin alike, one the beginning of another, one there twice.
        query(
            &[1, 2, 3, 4],
            &[&[4, 5, 6, 0], &[4, 5, 7, 8, 0], &[4, 5], &[4, 5, 6, 0], &[9, 0]],
        ),
        query(&[1, 2, 3, 4], &[&[6, 0]]),
    ]
}

/// Log-likelihood from the logits of prompt and candidate together.
fn plainly(prompt: &[u32], candidate: &[u32]) -> f32 {
    let text = [prompt, candidate].concat();
    let logits = tiny().logits(&text).unwrap();
    let log = candle_nn::ops::log_softmax(&logits, D::Minus1)
        .unwrap()
        .to_vec2::<f32>()
        .unwrap();
    candidate
        .iter()
        .enumerate()
        .map(|(i, token)| log[prompt.len() + i - 1][*token as usize])
        .sum()
}

#[test]
fn what_is_shared_changes_no_likelihood_however_users_are_batched() {
    // All together share no beginning; the last two, and the first with one of them, do.
    let together = |from: usize| queries().split_off(from);
    for (queries, batch_tokens) in [
        (together(0), 1),
        (together(0), 4),
        (together(0), 1000),
        (together(3), 1000),
        (vec![together(0)[0].clone(), together(0)[3].clone()], 1000),
    ] {
        let scores = score(&tiny(), &queries, Normalisation::Sum, batch_tokens).unwrap();
        for (query, scores) in queries.iter().zip(&scores) {
            assert_eq!(scores.len(), query.candidates.len());
            for (candidate, score) in query.candidates.iter().zip(scores) {
                let plain = plainly(&query.prompt, candidate);
                assert!((plain - score).abs() < 1e-4, "{plain} {score}");
            }
        }
    }
}

#[test]
fn equal_candidates_have_one_score_however_many_passes_a_catalogue_takes() {
    let candidates: Vec<Vec<u32>> = (0..4000u32).map(|i| vec![1 + i % 7, 1 + i % 11, 0]).collect();
    let query = Query {
        prompt: vec![1, 2, 3],
        candidates,
    };
    assert!(!query.fits());
    let scores = score(&tiny(), std::slice::from_ref(&query), Normalisation::Sum, 1000).unwrap();
    let mut known = std::collections::HashMap::new();
    for (candidate, score) in query.candidates.iter().zip(&scores[0]) {
        let first = known.entry(candidate).or_insert(*score);
        assert_eq!(first, score, "{candidate:?}");
    }
    assert_eq!(known.len(), 77);
}

#[test]
fn the_mean_divides_by_the_number_of_tokens() {
    let sums = score(&tiny(), &queries(), Normalisation::Sum, 100).unwrap();
    let means = score(&tiny(), &queries(), Normalisation::Mean, 100).unwrap();
    assert!((sums[0][2] / 4.0 - means[0][2]).abs() < 1e-6);
}

#[test]
fn scores_do_not_depend_on_threads_and_a_folded_adapter_ranks_as_an_attached_one() {
    let one = with_threads(1, || score(&tiny(), &queries(), Normalisation::Sum, 100).unwrap());
    let two = with_threads(2, || score(&tiny(), &queries(), Normalisation::Sum, 100).unwrap());
    assert_eq!(one, two);
    let adapter = random_adapter("x", 2);
    let attached = score(
        &tiny().with_adapter(&adapter).unwrap(),
        &queries(),
        Normalisation::Sum,
        100,
    )
    .unwrap();
    let folded = score(
        &tiny().folded(&adapter).unwrap(),
        &queries(),
        Normalisation::Sum,
        100,
    )
    .unwrap();
    attached
        .iter()
        .flatten()
        .zip(folded.iter().flatten())
        .for_each(|(a, b)| assert!((a - b).abs() < 1e-3));
}

#[test]
fn greedy_decoding_takes_the_likeliest_token_of_the_whole_text_each_time() {
    let decoder = tiny();
    let mut text = vec![3u32, 1];
    let answer = generate(&decoder, &text, &[], 6).unwrap();
    assert_eq!(answer.len(), 6);
    for token in &answer {
        let logits = decoder.logits(&text).unwrap().to_vec2::<f32>().unwrap();
        let last = logits.last().unwrap();
        let best = (0..last.len())
            .max_by(|a, b| last[*a].total_cmp(&last[*b]))
            .unwrap();
        assert_eq!(*token, best as u32);
        text.push(*token);
    }
    let stopped = generate(&decoder, &[3, 1], &[answer[2]], 6).unwrap();
    let first = answer.iter().position(|t| *t == answer[2]).unwrap();
    assert_eq!(stopped, answer[..first]);
}

/// The list, written with whole forwards and the candidates' tokens compared one by one.
fn list_plainly(query: &Query, length: usize) -> Vec<usize> {
    let mut text = query.prompt.clone();
    let mut left: Vec<usize> = (0..query.candidates.len()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < length && !left.is_empty() {
        let (mut open, mut depth) = (left.clone(), 0);
        let taken = loop {
            if let Some(complete) = open.iter().find(|c| query.candidates[**c].len() == depth) {
                break *complete;
            }
            let logits = tiny().logits(&text).unwrap().to_vec2::<f32>().unwrap();
            let last = logits.last().unwrap();
            let next = |c: &usize| query.candidates[*c][depth];
            let best = open
                .iter()
                .map(next)
                .max_by(|a, b| last[*a as usize].total_cmp(&last[*b as usize]));
            open.retain(|c| Some(next(c)) == best);
            text.extend(best);
            depth += 1;
        };
        left.retain(|c| *c != taken);
        chosen.push(taken);
    }
    chosen
}

#[test]
fn a_list_holds_candidates_alone_each_once_and_each_the_likeliest_beginning() {
    for query in queries() {
        for length in [0, 1, 3, 9] {
            let ours = list(&tiny(), &query, length).unwrap();
            assert_eq!(ours, list_plainly(&query, length), "{query:?}");
            assert_eq!(ours.len(), length.min(query.candidates.len()));
        }
    }
}

#[test]
fn a_catalogue_of_candidates_is_scored_in_parts() {
    let titles = (0..700u32)
        .map(|i| vec![i % 13, i / 13 % 13, i % 7, 5, 3, 0])
        .collect();
    let many = Query {
        prompt: vec![1, 2, 3],
        candidates: titles,
    };
    let all = score(&tiny(), std::slice::from_ref(&many), Normalisation::Sum, 1000).unwrap();
    assert_eq!(all[0].len(), 700);
    for place in [0, 350, 699] {
        let alone = plainly(&many.prompt, &many.candidates[place]);
        assert!((alone - all[0][place]).abs() < 1e-4);
    }
}

#[test]
fn the_best_of_a_catalogue_are_those_with_the_best_scores_and_most_are_not_read_to_their_end() {
    // Short and long ones, some that begin others, some there twice.
    let title = |i: u32| {
        (0..2 + i % 31)
            .map(|at| (i / 3 + at * at) % 13)
            .collect::<Vec<u32>>()
    };
    let many = Query {
        prompt: vec![1, 2, 3],
        candidates: (0..300).map(title).collect(),
    };
    let tokens: usize = many.candidates.iter().map(Vec::len).sum();
    for normalisation in [Normalisation::Sum, Normalisation::Mean] {
        let scores = &score(&tiny(), std::slice::from_ref(&many), normalisation, 1000).unwrap()[0];
        let mut expected: Vec<usize> = (0..300).collect();
        expected.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        for count in [1, 5, 40, 299, 1000] {
            let found = search(&tiny(), &many, normalisation, count).unwrap();
            assert_eq!(found.best.len(), count.min(300));
            for (found, place) in found.best.iter().zip(&expected) {
                // Equal ones may stand the other way round: the sums of two passes are rounded differently.
                let (score, expected) = (scores[found.place], scores[*place]);
                assert!((score - expected).abs() < 1e-4, "{found:?}: {score} {expected}");
                assert!((found.score - score).abs() < 1e-4);
            }
            let mut places: Vec<usize> = found.best.iter().map(|best| best.place).collect();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), found.best.len());
            if count <= 5 && normalisation == Normalisation::Sum {
                assert!(found.tokens < tokens / 2, "{} of {tokens}", found.tokens);
            }
        }
        // Few enough for one pass: all are scored.
        let few = Query {
            candidates: many.candidates[..100].to_vec(),
            ..many.clone()
        };
        assert!(few.fits() && !many.fits());
        let mut expected: Vec<usize> = (0..100).collect();
        expected.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        for (found, place) in top(&tiny(), &few, normalisation, 3).unwrap().iter().zip(expected) {
            assert!((found.score - scores[place]).abs() < 1e-4);
        }
        let best = top(&tiny(), &many, normalisation, 3).unwrap();
        assert_eq!(best, search(&tiny(), &many, normalisation, 3).unwrap().best);
        assert_eq!(best.len(), 3);
    }
    assert!(top(&tiny(), &many, Normalisation::Sum, 0).unwrap().is_empty());
}

#[test]
fn likelihoods_that_are_no_numbers_put_nobody_first() {
    let mut adapter = random_adapter("a", 2);
    for module in adapter.modules.values_mut() {
        module.b = (&module.b * f64::INFINITY).unwrap();
    }
    let broken = tiny().with_adapter(&adapter).unwrap();
    let error = score(&broken, &queries(), Normalisation::Sum, 100).unwrap_err();
    assert!(error.to_string().contains("no numbers"), "{error}");
    assert!(top(&broken, &queries()[0], Normalisation::Sum, 1).is_err());
}

#[test]
fn empty_prompts_and_candidates_are_refused() {
    let empty = Query {
        prompt: vec![],
        candidates: vec![vec![1]],
    };
    assert!(score(&tiny(), &[empty], Normalisation::Sum, 10).is_err());
    let empty = Query {
        prompt: vec![1],
        candidates: vec![vec![]],
    };
    assert!(score(&tiny(), &[empty], Normalisation::Sum, 10).is_err());
    let none = Query {
        prompt: vec![1],
        candidates: vec![],
    };
    assert!(score(&tiny(), &[none], Normalisation::Sum, 10).is_err());
    assert!(generate(&tiny(), &[], &[], 3).is_err());
    assert!(tiny().logits(&[]).is_err());
    for (prompt, candidate) in [(vec![], vec![1]), (vec![1], vec![])] {
        let candidates = vec![candidate];
        let query = Query { prompt, candidates };
        assert!(list(&tiny(), &query, 1).is_err());
        assert!(top(&tiny(), &query, Normalisation::Sum, 1).is_err());
        assert!(search(&tiny(), &query, Normalisation::Sum, 1).is_err());
    }
}

#[test]
fn every_device_ranks_and_writes_as_the_cpu_does() {
    let adapter = random_adapter("x", 2);
    let decoder = |device: &Device| tiny_on(device).with_adapter(&adapter).unwrap();
    let scores = |device: &Device| score(&decoder(device), &queries(), Normalisation::Mean, 100).unwrap();
    let lists = |device: &Device| -> Vec<Vec<usize>> {
        queries()
            .iter()
            .map(|query| list(&decoder(device), query, 3).unwrap())
            .collect()
    };
    let text = |device: &Device| generate(&decoder(device), &[3, 1], &[], 6).unwrap();
    let expected = with_fused(|| (scores(&Device::Cpu), lists(&Device::Cpu), text(&Device::Cpu)));
    on_every_device(|device| {
        for (ours, theirs) in scores(device).iter().flatten().zip(expected.0.iter().flatten()) {
            assert!((ours - theirs).abs() < 1e-4, "{ours} {theirs}");
        }
        assert_eq!(
            (lists(device), text(device)),
            (expected.1.clone(), expected.2.clone())
        );
    });
}

/// Titles of two to five tokens, of which some begin others and a quarter at least are there twice.
fn catalogue(count: u32) -> Vec<Vec<u32>> {
    let title = |i: u32| [i % 13, i / 13 % 13, i / 169 % 13, i % 7, 5][..2 + i as usize % 4].to_vec();
    (0..count).map(|i| title(i % (count * 3 / 4))).collect()
}

#[test]
fn a_neutral_likelihood_is_the_mean_probability_over_histories_scored_one_by_one() {
    let histories = [vec![1, 2, 3, 4], vec![1, 2, 9], vec![7], vec![1, 2, 3, 4, 5, 6]];
    // In one pass, and in several.
    for count in [40, 3_000] {
        let titles = catalogue(count);
        let mut told = Vec::new();
        let ours = neutral(&tiny(), &histories, &titles, Normalisation::Sum, &mut |known| {
            told.push(known)
        })
        .unwrap();
        assert_eq!(ours.len(), titles.len());
        assert!(told.is_sorted() && told.last() == Some(&(4 * titles.len())));
        for title in (0..titles.len()).step_by(1 + titles.len() / 50) {
            let probability = |history: &Vec<u32>| {
                let alone = Query {
                    prompt: history.clone(),
                    candidates: vec![titles[title].clone()],
                };
                let scores = score(&tiny(), &[alone], Normalisation::Sum, 100).unwrap();
                f64::from(scores[0][0]).exp()
            };
            let mean = histories.iter().map(probability).sum::<f64>() / 4.0;
            let (ours, expected) = (f64::from(ours[title]), mean.ln());
            assert!((ours - expected).abs() < 1e-4, "{ours} {expected}");
        }
        let mut known = std::collections::HashMap::new();
        for (title, ours) in titles.iter().zip(&ours) {
            assert_eq!(known.entry(title).or_insert(*ours), ours, "equal titles are one");
        }
        assert!(known.len() < titles.len());
        let means = neutral(&tiny(), &histories, &titles, Normalisation::Mean, &mut |_| ()).unwrap();
        for ((title, sum), mean) in titles.iter().zip(&ours).zip(&means) {
            assert!((sum / title.len() as f32 - mean).abs() < 1e-6);
        }
    }
}

#[test]
fn a_single_history_gives_the_likelihood_after_it() {
    let titles = catalogue(30);
    let alone = Query {
        prompt: vec![1, 2, 3],
        candidates: titles.clone(),
    };
    let scores = &score(&tiny(), &[alone], Normalisation::Sum, 100).unwrap()[0];
    let ours = neutral(
        &tiny(),
        &[vec![1, 2, 3]],
        &titles,
        Normalisation::Sum,
        &mut |_| (),
    )
    .unwrap();
    for (ours, score) in ours.iter().zip(scores) {
        assert!((ours - score).abs() < 1e-5, "{ours} {score}");
    }
}

#[test]
fn a_place_in_the_catalogue_is_that_which_scores_of_all_titles_give() {
    let prompt = vec![1, 2, 3, 4];
    for (count, normalisation) in [
        (60, Normalisation::Sum),
        (3_000, Normalisation::Sum),
        (3_000, Normalisation::Mean),
    ] {
        let titles = catalogue(count);
        let all = Query {
            prompt: prompt.clone(),
            candidates: titles.clone(),
        };
        let scores = &score(&tiny(), &[all], normalisation, 1000).unwrap()[0];
        for target in [0, 17, titles.len() - 1] {
            let third = (0..titles.len()).filter(|i| i % 3 == 1 && *i != target);
            for excluded in [Vec::new(), third.collect()] {
                let mut told = 0;
                let (above, tied) = catalogue_place(
                    &tiny(),
                    &prompt,
                    &titles,
                    target,
                    &excluded,
                    normalisation,
                    &mut |scored| told = scored,
                )
                .unwrap();
                assert_eq!(told, titles.len() - excluded.len());
                let others: Vec<usize> = (0..titles.len())
                    .filter(|i| *i != target && !excluded.contains(i))
                    .collect();
                // The sums of two passes are rounded differently: what is this near may stand on either side.
                let beyond = |least: f32| {
                    let better = |i: &&usize| scores[**i] - scores[target] > least;
                    others.iter().filter(better).count()
                };
                assert!(beyond(1e-4) <= above && above + tied <= beyond(-1e-4));
                let twin = |i: &&usize| titles[**i] == titles[target];
                assert!(
                    tied >= others.iter().filter(twin).count(),
                    "items of one title are tied"
                );
            }
        }
    }
}

#[test]
fn a_place_is_refused_to_who_is_not_in_the_catalogue_and_to_what_cannot_be_scored() {
    let (titles, prompt) = (catalogue(10), [1, 2]);
    let place = |prompt: &[u32], titles: &[Vec<u32>], target, excluded: &[usize]| {
        let sum = Normalisation::Sum;
        catalogue_place(&tiny(), prompt, titles, target, excluded, sum, &mut |_| ())
    };
    assert!(place(&prompt, &titles, 3, &[4]).is_ok());
    assert!(place(&[], &titles, 3, &[]).is_err());
    for (target, excluded, named) in [
        (10, &[] as &[usize], "10"),
        (3, &[1, 3], "title 3"),
        (3, &[25], "title 25"),
    ] {
        let error = place(&prompt, &titles, target, excluded).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
    let mut holed = titles;
    holed[7].clear();
    let error = place(&prompt, &holed, 3, &[1]).unwrap_err();
    assert!(error.to_string().contains("title 7"), "{error}");
    assert!(
        place(&prompt, &holed, 3, &[7]).is_ok(),
        "what is excluded is not scored"
    );
    let neutral = |histories: &[Vec<u32>], titles: &[Vec<u32>]| {
        neutral(&tiny(), histories, titles, Normalisation::Sum, &mut |_| ())
    };
    assert!(neutral(&[], &[vec![1]]).is_err());
    assert!(neutral(&[vec![2], vec![]], &[vec![1]]).is_err());
    assert!(neutral(&[vec![2]], &holed).is_err());
    assert!(neutral(&[vec![2]], &[]).unwrap().is_empty());
}
