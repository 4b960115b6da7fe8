//! The stages on rows small enough to follow by hand.

use std::collections::{BTreeMap, BTreeSet};

use weaverec_pipeline::schema::Split;
use weaverec_pipeline::stage::DedupPolicy;

use crate::support::{films, prepared};

/// A set of ratings given as (user, film, seconds).
fn with_ratings(rows: &[(u32, u32, i64)]) -> (tempfile::TempDir, weaverec_pipeline::prepare::PrepareConfig) {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 1);
    let lines = rows
        .iter()
        .map(|(user, film, time)| format!("{user},{film},4.0,{time}\n"));
    let text = format!("userId,movieId,rating,timestamp\n{}", lines.collect::<String>());
    std::fs::write(config.raw.join("ratings.csv"), text).unwrap();
    (folder, config)
}

fn sequences(config: &weaverec_pipeline::prepare::PrepareConfig) -> BTreeMap<String, Vec<String>> {
    let folder = prepared(config);
    let items = folder.items().unwrap();
    let name = |item: &u32| items[*item as usize - 1].item_id.clone();
    let rows = folder.sequences().unwrap().into_iter();
    rows.map(|row| (row.user_id, row.items.iter().map(name).collect()))
        .collect()
}

#[test]
fn order_is_by_time_then_item_then_line() {
    let (_folder, config) = with_ratings(&[(1, 9, 50), (1, 30, 20), (1, 8, 20), (1, 7, 60), (1, 10, 20)]);
    // Raw ids are compared as the text they are.
    assert_eq!(sequences(&config)["1"], ["10", "30", "8", "9", "7"]);
}

#[test]
fn each_policy_keeps_the_repeats_it_says() {
    let rows = [(1, 5, 10), (1, 6, 20), (1, 5, 30), (1, 5, 30), (1, 7, 40)];
    let expected: [(DedupPolicy, &[&str]); 4] = [
        (DedupPolicy::None, &["5", "6", "5", "5", "7"]),
        (DedupPolicy::Exact, &["5", "6", "5", "7"]),
        (DedupPolicy::First, &["5", "6", "7"]),
        (DedupPolicy::Last, &["6", "5", "7"]),
    ];
    for (policy, items) in expected {
        let (_folder, mut config) = with_ratings(&rows);
        config.dedup = policy;
        assert_eq!(sequences(&config)["1"], items, "{policy:?}");
    }
}

#[test]
fn the_core_is_a_fixpoint() {
    // Film 4 falls for want of users, then user 3 for want of films, then film 3, which only users 1 and 3 saw.
    let rows = [
        (1, 1, 1),
        (1, 2, 2),
        (1, 3, 3),
        (2, 1, 1),
        (2, 2, 2),
        (2, 5, 3),
        (3, 3, 1),
        (3, 4, 2),
        (3, 1, 3),
        (4, 1, 1),
        (4, 2, 2),
        (4, 5, 3),
    ];
    let (_folder, mut config) = with_ratings(&rows);
    (config.user_core, config.item_core) = (3, 2);
    let found = sequences(&config);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["2", "4"]);
    let mut counts = BTreeMap::new();
    for item in found.values().flatten() {
        *counts.entry(item).or_insert(0) += 1;
    }
    assert!(found.values().all(|items| items.len() >= 3) && counts.values().all(|&count| count >= 2));
}

#[test]
fn popularity_counts_training_interactions_only() {
    let (_folder, config) = with_ratings(&[(1, 1, 1), (1, 2, 2), (1, 3, 3), (1, 4, 4), (2, 1, 1), (2, 2, 2)]);
    let items = prepared(&config).items().unwrap();
    let counts: Vec<(&str, u32)> = items
        .iter()
        .map(|item| (item.item_id.as_str(), item.train_count))
        .collect();
    assert_eq!(counts, [("1", 2), ("2", 2), ("3", 0), ("4", 0)]);
}

#[test]
fn domains_part_the_set_by_first_genre() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 80);
    config.dedup = DedupPolicy::None;
    let whole = prepared(&config).manifest().size().unwrap().interactions;
    let mut parts = 0;
    let mut genres = BTreeSet::new();
    for (domain, exclude) in [
        ("Drama", vec![]),
        ("Action", vec![]),
        ("other", vec!["Drama", "Action"]),
    ] {
        config.domain = Some(domain.to_owned());
        config.exclude_domains = exclude.into_iter().map(str::to_owned).collect();
        let part = prepared(&config);
        parts += part.manifest().size().unwrap().interactions;
        genres.extend(part.items().unwrap().into_iter().map(|item| item.categories));
    }
    assert_eq!(parts, whole);
    assert_eq!(
        genres.into_iter().collect::<Vec<_>>(),
        ["Action", "Comedy, Drama", "Drama, War"]
    );
}

#[test]
fn low_ratings_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 80);
    let whole = prepared(&config).manifest().size().unwrap().interactions;
    (config.min_rating, config.name) = (Some(3.0), Some("liked".to_owned()));
    let liked = prepared(&config);
    let counts = &liked.manifest().counts;
    assert!(
        counts
            .iter()
            .any(|count| count.stage == "domain" && count.interactions < whole)
    );
}

#[test]
fn prompts_agree_with_the_sequences() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 80);
    config.max_history = 3;
    let prepared = prepared(&config);
    let sequences: BTreeMap<String, Vec<u32>> = prepared
        .sequences()
        .unwrap()
        .into_iter()
        .map(|row| (row.user_id, row.items))
        .collect();
    let tests = prepared.prompts(Split::Test).unwrap();
    assert_eq!(
        tests.len(),
        sequences.values().filter(|items| items.len() >= 3).count()
    );
    for prompt in tests {
        let items = &sequences[&prompt.user_id];
        let (last, before) = items.split_last().unwrap();
        assert_eq!(prompt.target, *last);
        assert_eq!(prompt.history, before[before.len().saturating_sub(3)..]);
        assert!(
            prompt
                .candidates
                .iter()
                .all(|item| item == last || !items.contains(item))
        );
    }
}
