//! Logs whose truth is known: a chain over items, of which the best NDCG@10 that any ranking can have is computed.

use super::every::{Beside, item_decoder, tiger};
use super::*;
use crate::recommender::ndcg_at_10;

/// A prime number, so that the successors of an item are always different ones.
const ITEMS: u64 = 61;
/// The likely successors of item i (from 0) are 7 i + these, modulo the number of items.
const OFFSETS: [u64; 5] = [3, 17, 28, 40, 55];
/// How often each of them follows, of a hundred times; otherwise any item does.
const SHARES: [u64; 5] = [40, 20, 15, 10, 5];
const LENGTH: u64 = 9;

fn successor(item: u64, offset: u64) -> u64 {
    (7 * item + offset) % ITEMS
}

/// The items of one user, from 1.
fn walk(user: u64) -> Vec<u32> {
    let mut item = drawn(user << 20, ITEMS);
    let mut items = vec![item as u32 + 1];
    for step in 1..LENGTH {
        let key = user << 20 | step << 8;
        let mut left = drawn(key, 100);
        let mut next = None;
        for (share, offset) in SHARES.into_iter().zip(OFFSETS) {
            if next.is_none() && left < share {
                next = Some(successor(item, offset));
            }
            left = left.saturating_sub(share);
        }
        item = next.unwrap_or_else(|| drawn(key | 1, ITEMS));
        items.push(item as u32 + 1);
    }
    items
}

fn walks(first: u64, users: u64) -> Vec<Vec<u32>> {
    (first..first + users).map(walk).collect()
}

/// The chance of every item to follow this one (from 0).
fn chances(item: u64) -> Vec<f32> {
    let rest = 100 - SHARES.iter().sum::<u64>();
    let mut chances = vec![rest as f32 / 100.0 / ITEMS as f32; ITEMS as usize];
    for (share, offset) in SHARES.into_iter().zip(OFFSETS) {
        chances[successor(item, offset) as usize] += share as f32 / 100.0;
    }
    chances
}

/// What a ranking by these scores can expect after an item with such chances to be followed.
fn expected(scores: &[f32], chances: &[f32]) -> f64 {
    let gain = |(target, chance): (usize, &f32)| f64::from(*chance) * ndcg_at_10(scores, target, &[]);
    chances.iter().enumerate().map(gain).sum()
}

/// After every item (from 0), what the ranking by its true chances can expect: no other one has more.
fn best() -> Vec<f64> {
    let of = |item| expected(&chances(item), &chances(item));
    (0..ITEMS).map(of).collect()
}

/// What systems are fitted to.
fn train() -> Vec<Vec<u32>> {
    walks(0, 2_000)
}

/// So many users they have not seen, each with the item that came next.
fn asked(users: u64) -> Vec<(Vec<u32>, u32)> {
    leave_one_out(&walks(10_000, users))
}

fn eight_epochs() -> Schedule {
    Schedule {
        batch_size: 100,
        ..schedule(8, 5e-3)
    }
}

#[test]
fn the_best_ranking_of_the_chain_is_the_one_that_is_computed() {
    let chances = chances(0);
    let sum: f32 = chances.iter().sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    // Five places by their shares, and five of the 56 others at each of the next places.
    let gain = |place: u32| 1.0 / (f64::from(place) + 1.0).log2();
    let any = 0.1 / 61.0;
    let first: f64 = (1..=5)
        .zip(SHARES)
        .map(|(place, share)| gain(place) * (share as f64 / 100.0 + any))
        .sum();
    let rest: f64 = (6..=10).map(|place| gain(place) * any).sum();
    let best = best();
    assert!(
        best.iter().all(|best| (best - first - rest).abs() < 1e-5),
        "{best:?}"
    );
    // Turned round, a ranking can expect far less.
    let worst: Vec<f32> = chances.iter().map(|chance| -chance).collect();
    assert!(expected(&worst, &chances) < 0.1 * best[0]);
    // The chain is walked as it is said to be.
    let steps: Vec<(u64, u64)> = train()
        .iter()
        .flat_map(|items| {
            items
                .windows(2)
                .map(|pair| (u64::from(pair[0]) - 1, u64::from(pair[1]) - 1))
                .collect::<Vec<_>>()
        })
        .collect();
    for (share, offset) in SHARES.into_iter().zip(OFFSETS) {
        let followed = steps
            .iter()
            .filter(|(item, next)| *next == successor(*item, offset))
            .count();
        let (found, wanted) = (followed as f64 / steps.len() as f64, share as f64 / 100.0 + any);
        // Of 16,000 steps a share of .4 is known to .004.
        assert!((found - wanted).abs() < 0.016, "{found} {wanted}");
    }
}

#[test]
fn sasrec_comes_within_a_twentieth_of_the_best_ranking() {
    let (train, asked) = (train(), asked(1_000));
    let system = sasrec(Flavour::Original, Loss::Ce, eight_epochs());
    let (recommender, _) = fitted(&system, &data(ITEMS as usize, &train, &[]));
    let best = best();
    let (mut found, mut most) = (0.0, 0.0);
    for (history, _) in &asked {
        let last = u64::from(history[history.len() - 1]) - 1;
        found += expected(&scores(&*recommender, ITEMS as usize, &[history]), &chances(last));
        most += best[last as usize];
    }
    assert!(found > 0.95 * most, "{found} of {most}");
}

#[test]
fn no_system_is_better_than_the_best_ranking() {
    let (train, asked) = (train(), asked(5_000));
    let best = best();
    let beside = Beside::of(ITEMS as usize);
    let sources = beside.sources();
    let data = beside.with(&sources, data(ITEMS as usize, &train, &[]));
    let mut systems = all(&eight_epochs());
    // Whether they come near is not asked of these, which take longer.
    let short = Schedule {
        batch_size: 50,
        ..schedule(3, 5e-3)
    };
    systems.push(("item-decoder", System::ItemDecoder(item_decoder(&short))));
    systems.push(("tiger", System::Tiger(tiger(&short))));
    for (name, system) in systems {
        let (recommender, _) = fitted(&system, &data);
        let histories: Vec<&[u32]> = asked.iter().map(|(history, _)| history.as_slice()).collect();
        let scores = scores(&*recommender, ITEMS as usize, &histories);
        // Of each user, what was found above what the best ranking can expect after the same item.
        let above: Vec<f64> = asked
            .iter()
            .zip(scores.chunks_exact(ITEMS as usize))
            .map(|((history, next), scores)| {
                let last = history[history.len() - 1] as usize - 1;
                ndcg_at_10(scores, *next as usize - 1, &[]) - best[last]
            })
            .collect();
        let users = above.len() as f64;
        let mean = above.iter().sum::<f64>() / users;
        let variance = above.iter().map(|above| (above - mean).powi(2)).sum::<f64>() / (users - 1.0);
        let error = (variance / users).sqrt();
        // More would say that the target was seen.
        assert!(mean < 3.0 * error, "{name}: {mean} above the best, ± {error}");
        // Eight epochs are too few for masked items and for gSASRec's loss; the others are near enough for the bound to say something.
        let slow = ["bert4rec", "sasrec, gbce", "item-decoder", "tiger"].contains(&name);
        assert!(slow || mean > -0.15, "{name}: {mean} above the best");
    }
}
