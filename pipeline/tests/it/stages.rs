//! The stages on rows small enough to follow by hand.

use std::collections::{BTreeMap, BTreeSet};

use weaverec_pipeline::schema::{LETTERS, PromptFormat, Split};
use weaverec_pipeline::stage::{
    Cut, DedupPolicy, KCore, Negatives, Recipe, SplitPolicy, TimeCut, TimeWindow, Wording,
};

use crate::support::{films, named, prepared, run};

/// A set of ratings given as (user, film, seconds).
pub fn with_ratings(
    rows: &[(u32, u32, i64)],
) -> (tempfile::TempDir, weaverec_pipeline::prepare::PrepareConfig) {
    let folder = tempfile::tempdir().unwrap();
    let config = films(folder.path(), 1);
    let lines = rows
        .iter()
        .map(|(user, film, time)| format!("{user},{film},4.0,{time}\n"));
    let text = format!("userId,movieId,rating,timestamp\n{}", lines.collect::<String>());
    std::fs::write(config.raw.join("ratings.csv"), text).unwrap();
    (folder, config)
}

/// Raw item ids by user.
pub fn sequences(config: &weaverec_pipeline::prepare::PrepareConfig) -> BTreeMap<String, Vec<String>> {
    let folder = prepared(config);
    let items = folder.items().unwrap();
    let name = |item: &u32| items[*item as usize - 1].item_id.clone();
    let rows = folder.sequences().unwrap().into_iter();
    rows.map(|row| (row.user_id, row.items.iter().map(name).collect()))
        .collect()
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
        config.parameters.dedup = policy;
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
    config.parameters.core = KCore { users: 3, items: 2 };
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
    config.parameters.dedup = DedupPolicy::None;
    let whole = prepared(&config).manifest().size().unwrap().interactions;
    let mut parts = 0;
    let mut genres = BTreeSet::new();
    for (domain, exclude) in [
        ("Drama", vec![]),
        ("Action", vec![]),
        ("other", vec!["Drama", "Action"]),
    ] {
        config.parameters.filter.domain = Some(domain.to_owned());
        config.parameters.filter.exclude = exclude.into_iter().map(str::to_owned).collect();
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
    (config.parameters.min_rating, config.name) = (Some(3.0), Some("liked".to_owned()));
    let liked = prepared(&config);
    let counts = &liked.manifest().counts;
    assert!(
        counts
            .iter()
            .any(|count| count.stage == "rating" && count.interactions < whole)
    );
}

#[test]
fn prompts_agree_with_the_sequences() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 80);
    config.parameters.max_history = 3;
    let prepared = prepared(&config);
    let sequences: BTreeMap<String, Vec<u32>> = prepared
        .sequences()
        .unwrap()
        .into_iter()
        .map(|row| (row.user_id, row.items))
        .collect();
    let new = |items: &[u32]| -> Vec<usize> {
        let places = 1..items.len();
        places.filter(|at| !items[..*at].contains(&items[*at])).collect()
    };
    let tests = prepared.prompts(Split::Test).unwrap();
    assert_eq!(
        tests.len(),
        sequences.values().filter(|items| new(items).len() >= 2).count()
    );
    let mut dropped = 0;
    for prompt in tests {
        let items = &sequences[&prompt.user_id];
        let at = *new(items).last().unwrap();
        dropped += items.len() - 1 - at;
        assert_eq!(prompt.target, items[at]);
        assert_eq!(prompt.history, items[at.saturating_sub(3)..at]);
        let others = prompt.candidates.iter().filter(|item| **item != prompt.target);
        assert!(others.clone().count() == 9 && others.clone().all(|item| !items.contains(item)));
    }
    assert!(dropped > 0, "some see their first films again");
}

#[test]
fn a_window_keeps_what_happened_in_it() {
    let (_folder, mut config) = with_ratings(&[
        (1, 1, 5),
        (1, 2, 10),
        (1, 3, 11),
        (1, 4, 19),
        (1, 5, 20),
        (2, 6, 2),
    ]);
    config.parameters.window = TimeWindow {
        from: Some(10_000),
        until: Some(20_000),
    };
    assert_eq!(
        sequences(&config),
        BTreeMap::from([("1".to_owned(), ["2", "3", "4"].map(str::to_owned).to_vec())])
    );
}

/// (user, history, target) of a split.
fn asked(folder: &weaverec_pipeline::prepared::Prepared, split: Split) -> Vec<(String, usize, String)> {
    let items = folder.items().unwrap();
    let prompts = folder.prompts(split).unwrap().into_iter();
    let mut asked: Vec<_> = prompts
        .map(|prompt| {
            let target = items[prompt.target as usize - 1].item_id.clone();
            (prompt.user_id, prompt.history.len(), target)
        })
        .collect();
    asked.sort();
    asked
}

#[test]
fn a_global_time_split_trains_on_the_past_alone() {
    let rows = [
        (1, 1, 1),
        (1, 2, 2),
        (1, 3, 12),
        (1, 4, 13),
        (1, 5, 22),
        (1, 6, 23),
        // Not there at the cut; only there before it.
        (2, 1, 21),
        (2, 2, 22),
        (3, 1, 3),
        (3, 7, 4),
    ];
    let (_folder, mut config) = with_ratings(&rows);
    config.parameters.split = SplitPolicy::GlobalTime(Cut::At(TimeCut {
        validation_from: 10_000,
        test_from: 20_000,
    }));
    let row = |user: &str, history, target: &str| (user.to_owned(), history, target.to_owned());
    let clean = prepared(&config);
    assert_eq!(asked(&clean, Split::Train), [row("1", 1, "2"), row("3", 1, "7")]);
    assert_eq!(asked(&clean, Split::Validation), [row("1", 2, "3")]);
    assert_eq!(asked(&clean, Split::Test), [row("1", 4, "5")]);
    let counts: Vec<u32> = clean
        .items()
        .unwrap()
        .iter()
        .map(|item| item.train_count)
        .collect();
    assert_eq!(
        counts,
        [2, 1, 0, 0, 0, 0, 1],
        "what comes after the cut is not popular yet"
    );
    let audit = &clean.manifest().audit;
    assert_eq!((audit.unseen_targets, audit.tests_before_training), (2, 0));
    assert_eq!(audit.warning(&config.parameters.split), None);

    let mut paper = named(&config, "paper");
    paper.parameters.recipe = Recipe::Paper;
    assert_eq!(prepared(&paper).prompts(Split::Train).unwrap().len(), 3);

    config.parameters.split = SplitPolicy::GlobalTime(Cut::Shares {
        validation: 0.2,
        test: 0.15,
    });
    let shares = prepared(&named(&config, "shares"));
    let cut = TimeCut {
        validation_from: 21_000,
        test_from: 22_000,
    };
    assert_eq!(
        shares.manifest().cut,
        Some(cut),
        "both of the ten at 22 are in the test, though two in all would do"
    );

    config.parameters.split = SplitPolicy::GlobalTime(Cut::At(TimeCut {
        validation_from: 1,
        test_from: 90_000,
    }));
    let error = run(&named(&config, "late")).unwrap_err().to_string();
    assert!(error.contains("no user") && error.contains("90000"), "{error}");
}

#[test]
fn leave_one_out_says_how_much_of_the_future_it_trains_on() {
    // The second user's test is older than what the first is trained on; the first's own training does not count.
    let rows = [
        (1, 1, 50),
        (1, 2, 60),
        (1, 3, 61),
        (1, 4, 62),
        (2, 1, 1),
        (2, 2, 2),
        (2, 3, 3),
        (2, 4, 4),
    ];
    let (_folder, config) = with_ratings(&rows);
    let audit = prepared(&config).manifest().audit.clone();
    assert_eq!((audit.tests, audit.tests_before_training), (2, 1));
    let warning = audit.warning(&SplitPolicy::LeaveOneOut).unwrap();
    assert!(warning.contains("1 of 2 test prompts"), "{warning}");
}

#[test]
fn popular_negatives_are_drawn_more_often() {
    // Every other user saw films 1 to 3; the rest of what is seen spreads over thirty films.
    let mut rows = Vec::new();
    for user in 1..=200 {
        let spread = |step| 10 + (user * 3 + step * 5) % 30;
        for step in 0..5 {
            let hit = user % 2 == 0 && step < 3;
            rows.push((user, if hit { step + 1 } else { spread(step) }, i64::from(step)));
        }
    }
    let (_folder, mut config) = with_ratings(&rows);
    config.parameters.candidates = 5;
    let popularity = |config: &weaverec_pipeline::prepare::PrepareConfig| -> f64 {
        let folder = prepared(config);
        let items = folder.items().unwrap();
        let tests = folder.prompts(Split::Test).unwrap();
        let negatives = tests.iter().flat_map(|prompt| {
            let others = prompt.candidates.iter().filter(|item| **item != prompt.target);
            others.map(|item| f64::from(items[*item as usize - 1].train_count))
        });
        negatives.sum::<f64>() / (4 * tests.len()) as f64
    };
    let uniform = popularity(&named(&config, "uniform"));
    config.parameters.negatives = Negatives::Popularity;
    let popular = popularity(&named(&config, "popular"));
    assert!(popular > 1.5 * uniform, "{popular} against {uniform}");
}

#[test]
fn each_format_asks_and_answers_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    for format in [PromptFormat::TargetOnly, PromptFormat::Letter] {
        config.parameters.format = format;
        let folder = prepared(&named(&config, format.name()));
        let items = folder.items().unwrap();
        for prompt in folder.prompts(Split::Test).unwrap() {
            let answer = &prompt.messages[2].content;
            let place = prompt.candidates.iter().position(|item| *item == prompt.target);
            match format {
                PromptFormat::Letter => assert_eq!(answer, LETTERS[place.unwrap()]),
                _ => assert_eq!(*answer, items[prompt.target as usize - 1].title),
            }
        }
    }
    config.parameters.candidates = 53;
    let error = run(&named(&config, "too-many")).unwrap_err().to_string();
    assert!(error.contains("52"), "{error}");
}

#[test]
fn a_wording_of_ones_own_is_used_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    let file = folder.path().join("wording.toml");
    let text = "user = 'After {{ history | join(\", \") }}?'\nassistant = '{{ answer[0] }}!'\n";
    std::fs::write(&file, text).unwrap();
    config.parameters.wording = Some(Wording::load(&file).unwrap());
    config.parameters.format = PromptFormat::TargetOnly;
    let prepared = prepared(&config);
    assert_eq!(prepared.manifest().parameters, config.parameters);
    let prompt = &prepared.prompts(Split::Test).unwrap()[0];
    let target = &prepared.items().unwrap()[prompt.target as usize - 1].title;
    assert_eq!(prompt.messages.len(), 2, "no system turn");
    assert!(
        prompt.messages[0].content.starts_with("After Film No")
            || prompt.messages[0].content.starts_with("After The Film"),
        "{}",
        prompt.messages[0].content
    );
    assert_eq!(prompt.messages[1].content, format!("{target}!"));

    std::fs::write(&file, "user = 'x'\nassistent = 'y'\n").unwrap();
    let error = Wording::load(&file).unwrap_err().to_string();
    assert!(
        error.contains("wording.toml") && error.contains("assistent") && error.contains("line 2"),
        "{error}"
    );
}
