//! Targets that their users had before: what becomes of them, and what is said of them.

use std::collections::{BTreeMap, HashSet};

use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::inspect::Summary;
use weaverec_pipeline::prepare::PrepareConfig;
use weaverec_pipeline::prepared::{Prepared, Sequence, Share};
use weaverec_pipeline::schema::Split;
use weaverec_pipeline::stage::{Cut, DedupPolicy, Repeats, SplitPolicy, TimeCut};

use crate::stages::with_ratings;
use crate::support::{named, prepared, shared};

fn by_user(folder: &Prepared) -> BTreeMap<String, Sequence> {
    let rows = folder.sequences().unwrap().into_iter();
    rows.map(|row| (row.user_id.clone(), row)).collect()
}

/// (user, raw ids of the history, target) of a split.
fn asked(folder: &Prepared, split: Split) -> Vec<(String, Vec<String>, String)> {
    let items = folder.items().unwrap();
    let id = |item: u32| items[item as usize - 1].item_id.clone();
    let prompts = folder.prompts(split).unwrap().into_iter();
    let mut asked: Vec<_> = prompts
        .map(|prompt| {
            let history = prompt.history.iter().map(|item| id(*item)).collect();
            (prompt.user_id, history, id(prompt.target))
        })
        .collect();
    asked.sort();
    asked
}

fn row(user: &str, history: &[&str], target: &str) -> (String, Vec<String>, String) {
    let history = history.iter().map(|item| (*item).to_owned()).collect();
    (user.to_owned(), history, target.to_owned())
}

/// Films 1 and 2 again and again, and one who has no third.
const AGAIN: [(u32, u32, i64); 14] = [
    (1, 1, 1),
    (1, 2, 2),
    (1, 1, 3),
    (1, 3, 4),
    (1, 2, 5),
    (1, 4, 6),
    (1, 1, 7),
    (1, 4, 8),
    (2, 1, 1),
    (2, 2, 2),
    (2, 1, 3),
    (3, 1, 1),
    (3, 2, 2),
    (3, 3, 3),
];

#[test]
fn the_test_is_the_last_item_that_is_new_and_what_follows_is_dropped() {
    let (_folder, config) = with_ratings(&AGAIN);
    let novel = prepared(&config);
    assert_eq!(
        asked(&novel, Split::Test),
        [
            row("1", &["1", "2", "1", "3", "2"], "4"),
            row("3", &["1", "2"], "3")
        ]
    );
    assert_eq!(
        asked(&novel, Split::Validation),
        [row("1", &["1", "2", "1"], "3"), row("3", &["1"], "2")]
    );
    assert_eq!(
        asked(&novel, Split::Train),
        [row("1", &["1"], "2"), row("1", &["1", "2"], "1")]
    );
    let manifest = novel.manifest();
    assert_eq!(
        manifest.split,
        "leave-one-out of new items, ties by hash (tie seed 0)"
    );
    let repeats = manifest.repeats;
    let share = |count, of| Share { count, of };
    assert_eq!(
        (repeats.test_items, repeats.validation_items),
        (share(2, 3), share(1, 3))
    );
    assert_eq!(
        (repeats.test_titles, repeats.dropped, repeats.users_lost),
        (share(0, 3), 2, 1)
    );
    assert!(
        manifest
            .notes
            .iter()
            .any(|note| note.contains("1 users have fewer than 3 items of different titles")),
        "{:?}",
        manifest.notes
    );
    let counts: Vec<u32> = novel
        .items()
        .unwrap()
        .iter()
        .map(|item| item.train_count)
        .collect();
    assert_eq!(
        counts,
        [5, 2, 0, 0],
        "what is trained on, and the one who is not asked"
    );
    let shown = Summary::of(&novel, 0).unwrap().to_string();
    assert!(
        shown.contains("2 of 3 (66.7 %) tests would be an item that the user had before"),
        "{shown}"
    );

    let mut kept = named(&config, "kept");
    kept.parameters.repeats = Repeats::Keep;
    let kept = prepared(&kept);
    assert_eq!(
        asked(&kept, Split::Test),
        [
            row("1", &["1", "2", "1", "3", "2", "4", "1"], "4"),
            row("2", &["1", "2"], "1"),
            row("3", &["1", "2"], "3")
        ]
    );
    let found = kept.manifest().repeats;
    assert_eq!(
        (found.test_items, found.validation_items),
        (repeats.test_items, repeats.validation_items)
    );
    assert_eq!((found.dropped, found.users_lost), (0, 0));
    let touched = kept.manifest().audit.touched_negatives;
    assert!(touched.count > 0 && touched.count < touched.of, "{touched}");
}

#[test]
fn one_title_under_two_ids_is_no_news() {
    let rows = [
        (1, 1, 1),
        (1, 2, 2),
        (1, 3, 3),
        (1, 21, 4),
        (2, 22, 1),
        (2, 4, 2),
        (2, 5, 3),
    ];
    let (_folder, config) = with_ratings(&rows);
    let movies = "movieId,title,genres\n1,Tea (1990),Drama\n2,Oil (1990),Drama\n3,Salt (1990),Drama\n4,Ink (1990),Drama\n\
                  5,Wax (1990),Drama\n21,Tea (1990),Drama\n22,Oil (1990),Drama\n";
    std::fs::write(config.raw.join("movies.csv"), movies).unwrap();
    let folder = prepared(&config);
    assert_eq!(
        asked(&folder, Split::Test),
        [row("1", &["1", "2"], "3"), row("2", &["22", "4"], "5")]
    );
    let repeats = folder.manifest().repeats;
    assert_eq!(repeats.test_titles, Share { count: 1, of: 2 });
    assert_eq!((repeats.test_items.count, repeats.dropped), (0, 1));
}

#[test]
fn global_time_asks_for_the_first_item_of_the_period_that_is_new() {
    let (_folder, mut config) = with_ratings(&AGAIN);
    config.parameters.split = SplitPolicy::GlobalTime(Cut::At(TimeCut {
        validation_from: 3_000,
        test_from: 5_000,
    }));
    let novel = prepared(&config);
    assert_eq!(
        asked(&novel, Split::Validation),
        [row("1", &["1", "2", "1"], "3"), row("3", &["1", "2"], "3")]
    );
    assert_eq!(
        asked(&novel, Split::Test),
        [row("1", &["1", "2", "1", "3", "2"], "4")]
    );
    assert_eq!(
        novel.manifest().split,
        "global-time of new items (validation from 1970-01-01T00:00:03Z, test from 1970-01-01T00:00:05Z), \
         ties by hash (tie seed 0)"
    );
    let audit = &novel.manifest().audit;
    assert_eq!(audit.first_seen_targets, Share { count: 3, of: 3 });
    let mut kept = named(&config, "kept");
    kept.parameters.repeats = Repeats::Keep;
    assert_eq!(
        asked(&prepared(&kept), Split::Test),
        [row("1", &["1", "2", "1", "3"], "2")]
    );
}

#[test]
fn pantrys_repeats_are_as_many_as_are_known() {
    let Some(raw) = shared("amazon-2018/prime-pantry") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let dataset = DatasetDescription::load("amazon-2018-prime-pantry").unwrap();
    let mut config = PrepareConfig::new(dataset, raw, out.path());
    config.threads = 2;
    config.parameters.max_train = 100;
    config.parameters.dedup = DedupPolicy::None;
    let folder = prepared(&config);
    let repeats = folder.manifest().repeats;
    assert_eq!(
        repeats.test_items,
        Share {
            count: 418,
            of: 14_180
        }
    );
    assert!((repeats.test_items.share() - 0.0295).abs() < 0.000_05);
    assert!(
        repeats.dropped + repeats.users_lost >= 418 && repeats.users_lost < 418,
        "{repeats}"
    );
    let (items, sequences) = (folder.items().unwrap(), by_user(&folder));
    let title = |item: &u32| items[*item as usize - 1].title.as_str();
    let tests = folder.prompts(Split::Test).unwrap();
    assert_eq!(tests.len() as u64, 14_180 - repeats.users_lost);
    for prompt in &tests {
        let own = &sequences[&prompt.user_id].items;
        let first = own.iter().position(|item| title(item) == title(&prompt.target));
        assert_eq!(
            first,
            own.iter().position(|item| *item == prompt.target),
            "its title is new"
        );
        let seen: HashSet<&str> = own[..=first.unwrap()].iter().map(title).collect();
        let rest = &own[first.unwrap()..];
        assert!(
            rest.iter().all(|item| seen.contains(title(item))),
            "nothing new follows"
        );
        let named_alike = |item: &&u32| title(item) == title(&prompt.target);
        assert_eq!(prompt.candidates.iter().filter(named_alike).count(), 1);
    }
}
