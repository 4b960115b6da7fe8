//! What systems learn: sequences by heart, planted rules, and nothing where there is none.

use super::*;
use crate::recommender::ndcg_at_10;

#[test]
fn every_parameter_moves() {
    let train = noise(60, 7, 15);
    for (name, system) in all(&schedule(2, 1e-2)) {
        let before = model(&system, 15, 5);
        let (recommender, outcome) = fitted(&system, &data(15, &train, &[]));
        let after = tensors(&*recommender);
        assert_eq!(after.len(), before.parameters().iter().count(), "{name}");
        assert_eq!(outcome.parameters, before.parameters().count(), "{name}");
        let values = before.parameters().values().unwrap();
        for ((parameter, _), before) in before.parameters().iter().zip(values) {
            let moved = after[parameter]
                .iter()
                .zip(before)
                .map(|(after, before)| (after - before).abs());
            // A value that has a gradient moves by about a hundredth a step.
            let most = moved.fold(0.0, f32::max);
            assert!(most > 5e-3, "{name}: {parameter} moved by {most}");
        }
        assert!(outcome.curve.iter().all(|(_, loss)| loss.is_finite()), "{name}");
    }
}

#[test]
fn fifty_users_are_learnt_by_heart() {
    let train = noise(50, 6, 40);
    let validation = leave_one_out(&train);
    let long = schedule(80, 5e-3);
    for (name, system) in [
        ("sasrec", sasrec(Flavour::Original, Loss::Ce, long.clone())),
        (
            "sasrec of recbole",
            sasrec(Flavour::Recbole, Loss::Ce, long.clone()),
        ),
        ("gru4rec", gru4rec(long.clone())),
        ("bert4rec", bert4rec(long)),
    ] {
        let (recommender, outcome) = fitted(&system, &data(40, &train, &validation));
        let best = outcome.ndcg.iter().map(|(_, ndcg)| *ndcg).fold(0.0, f64::max);
        assert!(best > 0.9, "{name}: {best}");
        // Those of the best epoch were kept, and are what is asked.
        assert_eq!(
            outcome.ndcg[outcome.best_epoch - 1],
            (outcome.best_epoch, best),
            "{name}"
        );
        let sum: f64 = validation
            .iter()
            .map(|(history, next)| {
                let scores = scores(&*recommender, 40, &[history]);
                let rows: Vec<u32> = history.iter().map(|item| item - 1).collect();
                ndcg_at_10(&scores, *next as usize - 1, &rows)
            })
            .sum();
        assert!((sum / 50.0 - best).abs() < 1e-3, "{name}: {} {best}", sum / 50.0);
    }
}

/// Twenty items, each followed by another one of its own nine times of ten.
fn planted(users: u64, first: u64) -> Vec<Vec<u32>> {
    let sequence = |user: u64| {
        let mut item = drawn(user << 20, 20);
        let mut items = vec![item as u32 + 1];
        for i in 1..8 {
            item = match drawn(user << 20 | i << 8, 10) {
                0 => drawn(user << 20 | i << 8 | 1, 20),
                _ => (7 * item + 3) % 20,
            };
            items.push(item as u32 + 1);
        }
        items
    };
    (first..first + users).map(sequence).collect()
}

#[test]
fn a_planted_rule_is_found_where_it_is_and_not_in_shuffled_histories() {
    let train = planted(200, 0);
    let validation = leave_one_out(&planted(200, 1000));
    let turned: Vec<(Vec<u32>, u32)> = validation
        .iter()
        .map(|(history, next)| (history.iter().rev().copied().collect(), *next))
        .collect();
    let short = schedule(20, 5e-3);
    for (name, system) in [
        ("sasrec", sasrec(Flavour::Original, Loss::Ce, short.clone())),
        (
            "sasrec, gbce",
            sasrec(
                Flavour::Original,
                Loss::Gbce {
                    negatives: 10,
                    t: 0.75,
                },
                short.clone(),
            ),
        ),
        ("gru4rec", gru4rec(short.clone())),
    ] {
        let (recommender, outcome) = fitted(&system, &data(20, &train, &validation));
        let found = outcome.ndcg[outcome.best_epoch - 1].1;
        let mean = |asked: &[(Vec<u32>, u32)]| {
            let sum: f64 = asked
                .iter()
                .map(|(history, next)| {
                    ndcg_at_10(&scores(&*recommender, 20, &[history]), *next as usize - 1, &[])
                })
                .sum();
            sum / asked.len() as f64
        };
        // The rule alone gives 0.9 and more; of twenty items in no order ten places give 0.23.
        assert!(found > 0.85, "{name}: {:?}", outcome.ndcg);
        let (whole, turned) = (mean(&validation), mean(&turned));
        assert!(whole > 0.85 && turned < 0.6, "{name}: {whole} {turned}");
    }
}

#[test]
fn a_fit_ends_when_nothing_gets_better() {
    let (train, validation) = (noise(40, 6, 30), leave_one_out(&noise(30, 4, 30)));
    let patient = Schedule {
        patience: 2,
        ..schedule(200, 1e-2)
    };
    let system = sasrec(Flavour::Original, Loss::Ce, patient);
    let (_, outcome) = fitted(&system, &data(30, &train, &validation));
    assert!(
        outcome.stopped_early && outcome.epochs < 200,
        "{}",
        outcome.epochs
    );
    assert_eq!(
        (outcome.ndcg.len(), outcome.epochs),
        (outcome.epochs, outcome.best_epoch + 2)
    );
    let best = outcome.ndcg[outcome.best_epoch - 1].1;
    assert!(outcome.ndcg.iter().all(|(_, ndcg)| *ndcg <= best));
    // Forty users of six items, of which five are asked for: real positions alone are counted.
    assert_eq!(outcome.tokens, 40 * 5 * outcome.epochs as u64);
    assert_eq!(outcome.steps, 2 * outcome.epochs);
}
