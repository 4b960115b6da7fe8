//! Events of one moment: what orders them, that the order gives nothing away, and what is said of it.

use std::collections::{BTreeMap, BTreeSet};

use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::export::{ExportFormat, export};
use weaverec_pipeline::inspect::Summary;
use weaverec_pipeline::parameters::Parameters;
use weaverec_pipeline::prepare::PrepareConfig;
use weaverec_pipeline::prepared::{Prepared, Sequence};
use weaverec_pipeline::schema::Split;
use weaverec_pipeline::stage::order::tie_key;
use weaverec_pipeline::stage::{DedupPolicy, Ties};

use crate::stages::{sequences, with_ratings};
use crate::support::{named, prepared, run, shared};

#[test]
fn events_of_one_moment_are_in_the_order_of_their_tie_keys() {
    let rows = [(1, 9, 50), (1, 30, 20), (1, 8, 20), (1, 7, 60), (1, 10, 20)];
    let (folder, mut config) = with_ratings(&rows);
    let mut orders = BTreeSet::new();
    for seed in 0..8 {
        config.out = folder.path().join(format!("seed-{seed}"));
        config.parameters.tie_seed = seed;
        let mut tied = ["10", "30", "8"];
        tied.sort_by_key(|item| tie_key(seed, &config.dataset.name, "1", 20_000, item, 0));
        let found = sequences(&config).remove("1").unwrap();
        assert_eq!(found[..3], tied);
        assert_eq!(found[3..], ["9", "7"], "time comes first");
        orders.insert(found);
    }
    assert!(orders.len() > 2, "{orders:?}");
}

/// A set of 600 people who rate some films at each of three moments, sorted by person and film as MovieLens is.
fn sorted_by_item() -> Vec<(u32, u32, i64)> {
    let mut rows = BTreeMap::new();
    for user in 1..=600_u32 {
        for step in 0..9_u32 {
            let drawn = user.wrapping_mul(2_654_435_761) ^ (step + 1).wrapping_mul(0x9E37_79B1);
            let film = (drawn ^ drawn >> 15).wrapping_mul(0x85EB_CA77) >> 7;
            rows.insert(
                (user, film % 40 + 1),
                1_000_000_000 + i64::from(step / 3 * 86_400),
            );
        }
    }
    let rows = rows.into_iter();
    rows.map(|((user, film), time)| (user, film, time)).collect()
}

#[test]
fn the_order_of_the_file_does_not_reach_the_order_of_events() {
    let mut rows = sorted_by_item();
    let (_folder, config) = with_ratings(&rows);
    let expected = sequences(&config);
    rows.sort_by_key(|(user, film, time)| (time ^ 86_400, film * 7 % 41, *user));
    let (_folder, config) = with_ratings(&rows);
    assert_eq!(sequences(&config), expected);
}

#[test]
fn lines_order_events_where_they_are_asked_to() {
    let rows = [(1, 9, 50), (1, 30, 20), (1, 8, 20), (1, 7, 60), (1, 10, 20)];
    let (_folder, mut config) = with_ratings(&rows);
    config.parameters.ties = Ties::Line;
    assert_eq!(sequences(&config)["1"], ["30", "8", "10", "9", "7"]);
    config.parameters.tie_seed = 1;
    let error = run(&named(&config, "seed")).unwrap_err().to_string();
    assert!(error.contains("tie_seed is 1"), "{error}");
}

#[test]
fn a_row_that_was_exported_twice_moves_nothing() {
    let rows = sorted_by_item();
    let twice: Vec<_> = rows.iter().chain(rows.iter().step_by(3)).copied().collect();
    for policy in [DedupPolicy::Exact, DedupPolicy::First, DedupPolicy::Last] {
        let [once, again] = [&rows, &twice].map(|rows| {
            let (_folder, mut config) = with_ratings(rows);
            config.parameters.dedup = policy;
            sequences(&config)
        });
        assert!(once == again, "{policy:?}");
    }
    let (_folder, mut config) = with_ratings(&twice);
    config.parameters.dedup = DedupPolicy::None;
    // Repeats that are kept have places of their own.
    let apart = |items: &Vec<String>| {
        let repeat = |(at, item): (usize, &String)| items[at + 1..].iter().position(|next| next == item);
        items
            .iter()
            .enumerate()
            .filter_map(repeat)
            .any(|distance| distance > 0)
    };
    assert!(sequences(&config).values().any(apart));
}

#[test]
fn the_tie_seed_moves_ties_alone_and_other_seeds_do_not_move_them() {
    let (_folder, config) = with_ratings(&sorted_by_item());
    let first = sequences(&config);
    let mut seeded = named(&config, "films");
    seeded.force = true;
    seeded.parameters.seed = 99;
    assert_eq!(sequences(&seeded), first);
    seeded.parameters.tie_seed = 1;
    let other = sequences(&seeded);
    assert_ne!(other, first);
    let sorted = |sequences: &BTreeMap<String, Vec<String>>| {
        let mut items: Vec<Vec<String>> = sequences.values().cloned().collect();
        // The moments have three events each or, where a film was drawn twice, fewer; what is in a history stays.
        items.iter_mut().for_each(|items| items.sort());
        items
    };
    assert_eq!(sorted(&other), sorted(&first));
}

/// Over the test targets that tie with the event before them: by how much the rule "the next greater id" does better than "the next
/// smaller id" in reciprocal rank. Items on the wrong side rank behind all others.
fn gains(folder: &Prepared, whole_catalogue: bool) -> Vec<f64> {
    let ids: Vec<i64> = folder
        .items()
        .unwrap()
        .iter()
        .map(|item| item.item_id.parse().unwrap())
        .collect();
    let id = |item: u32| ids[item as usize - 1];
    let rows = folder.sequences().unwrap().into_iter();
    let times: BTreeMap<String, Vec<i64>> = rows.map(|row| (row.user_id, row.timestamps)).collect();
    let everything: Vec<u32> = (1..=ids.len() as u32).collect();
    let mut gains = Vec::new();
    for prompt in folder.prompts(Split::Test).unwrap() {
        let times = &times[&prompt.user_id];
        if times[times.len() - 1] != times[times.len() - 2] {
            continue;
        }
        let last = id(*prompt.history.last().unwrap());
        let candidates = match whole_catalogue {
            true => &everything,
            false => &prompt.candidates,
        };
        let score = |sign: i64| -> f64 {
            let ahead = |item: u32| sign * (id(item) - last);
            let wanted = ahead(prompt.target);
            let before = candidates
                .iter()
                .filter(|item| (1..wanted).contains(&ahead(**item)));
            if wanted > 0 {
                1.0 / (before.count() + 1) as f64
            } else {
                0.0
            }
        };
        gains.push(score(1) - score(-1));
    }
    gains
}

/// The mean in standard errors.
fn standard_errors(gains: &[f64]) -> f64 {
    let count = gains.len() as f64;
    let mean = gains.iter().sum::<f64>() / count;
    let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count - 1.0);
    mean / (variance / count).sqrt()
}

/// That neither rule is told apart from the other by the hash, over these tie seeds together; and that the probe tells them apart by
/// the lines of this file, which is sorted by item. Returns the set as the first seed prepares it.
fn ids_give_nothing_away(config: &PrepareConfig, seeds: std::ops::Range<u64>, least: usize) -> Prepared {
    let with = |name: &str, ties: Ties, tie_seed: u64| {
        let mut config = config.clone();
        config.out.push(name);
        (config.parameters.ties, config.parameters.tie_seed) = (ties, tie_seed);
        prepared(&config)
    };
    let hashed: Vec<Prepared> = seeds
        .map(|seed| with(&format!("hash-{seed}"), Ties::Hash, seed))
        .collect();
    let by_line = with("line", Ties::Line, 0);
    for whole_catalogue in [false, true] {
        let all = hashed.iter().flat_map(|folder| gains(folder, whole_catalogue));
        let all: Vec<f64> = all.collect();
        assert!(all.len() >= least, "{} tied targets", all.len());
        let gain = standard_errors(&all);
        assert!(
            gain.abs() <= 2.0,
            "the next greater id is {gain} standard errors better"
        );
        let gain = standard_errors(&gains(&by_line, whole_catalogue));
        assert!(
            gain > 2.0,
            "the file is sorted, and the probe sees {gain} standard errors"
        );
    }
    let advice = |folder: &Prepared| folder.manifest().tie_advice().unwrap();
    assert!(advice(&hashed[0]).contains("keep the hash"));
    assert!(advice(&by_line).contains("prepare with --ties hash"));
    hashed.into_iter().next().unwrap()
}

#[test]
fn ids_give_nothing_away_in_a_generated_log_sorted_by_item() {
    let (_folder, config) = with_ratings(&sorted_by_item());
    ids_give_nothing_away(&config, 0..16, 8_000);
}

#[test]
fn ids_give_nothing_away_in_movielens() {
    let Some(raw) = shared("movielens/ml-latest-small") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let dataset = DatasetDescription::load("movielens-latest-small").unwrap();
    let mut config = PrepareConfig::new(dataset, raw, out.path());
    config.threads = 2;
    config.parameters.max_train = 100;
    let ties = ids_give_nothing_away(&config, 0..16, 1_600).manifest().ties;
    assert_eq!(ties.test_targets.of, 671);
    assert!((ties.test_targets.share() - 0.189).abs() < 0.0005, "{ties}");
    assert!(
        ties.ascending.share() > 0.999,
        "the file is sorted by film: {ties}"
    );
}

/// A user's bursts: sorted times, the next more than the window later.
fn bursts(times: &[i64], window: i64) -> Vec<usize> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|one, next| next - one <= window);
    runs.map(<[i64]>::len).collect()
}

#[test]
fn a_burst_is_in_the_order_of_its_tie_keys_whatever_the_order_of_times() {
    // Two sittings, a minute or less from film to film, and one film between them; the file is sorted by film.
    let rows = [
        (1, 1, 1_000),
        (1, 2, 1_050),
        (1, 3, 1_110),
        (1, 4, 1_111),
        (1, 5, 5_000),
        (1, 6, 9_000),
        (1, 7, 9_060),
    ];
    let (folder, mut config) = with_ratings(&rows);
    config.parameters.tie_window_ms = 60_000;
    let mut orders = BTreeSet::new();
    for seed in 0..6 {
        config.out = folder.path().join(format!("seed-{seed}"));
        config.parameters.tie_seed = seed;
        let mut expected = rows;
        let key = |row: &(u32, u32, i64)| {
            let (item, time) = (row.1.to_string(), row.2 * 1_000);
            tie_key(seed, &config.dataset.name, "1", time, &item, 0)
        };
        expected[..4].sort_by_key(key);
        expected[5..].sort_by_key(key);
        let found = prepared(&config);
        let expected: Vec<String> = expected.iter().map(|row| row.1.to_string()).collect();
        assert_eq!(sequences(&config)["1"], expected);
        let manifest = found.manifest();
        assert_eq!(
            (manifest.ties.neighbours.count, manifest.ties.neighbours.of),
            (4, 6)
        );
        assert_eq!(
            (manifest.ties.test_targets.count, manifest.ties.ascending.count),
            (1, 4)
        );
        assert_eq!(
            manifest.split,
            format!("leave-one-out of new items, ties within 60 s by hash (tie seed {seed})")
        );
        assert!(
            manifest.order().contains("share their burst (within 60 s)"),
            "{}",
            manifest.order()
        );
        let ties = |split| -> Vec<bool> {
            let prompts = found.prompts(split).unwrap().into_iter();
            prompts.map(|prompt| prompt.ties).collect()
        };
        assert_eq!(
            (ties(Split::Validation), ties(Split::Test)),
            (vec![false], vec![true])
        );
        let train = ties(Split::Train);
        assert_eq!(
            train.iter().filter(|ties| **ties).count(),
            3,
            "of four prompts: {train:?}"
        );
        orders.insert(sequences(&config));
    }
    assert!(orders.len() > 3, "{orders:?}");
    config.parameters.tie_window_ms = -1;
    assert!(
        run(&config)
            .unwrap_err()
            .to_string()
            .contains("tie_window_ms is -1")
    );
}

#[test]
fn movielens_within_a_minute() {
    let Some(raw) = shared("movielens/ml-latest-small") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let dataset = DatasetDescription::load("movielens-latest-small").unwrap();
    let mut config = PrepareConfig::new(dataset, raw, out.path());
    config.threads = 2;
    config.parameters.max_train = 100;
    config.parameters.tie_window_ms = 60_000;
    let folder = prepared(&config);
    let ties = folder.manifest().ties;
    assert_eq!(ties.test_targets.of, 671);
    // 73 % of the films that users rated last lie within a minute of the one before.
    assert!((ties.test_targets.share() - 0.73).abs() < 0.005, "{ties}");
    let order = folder.manifest().order();
    assert!(
        order.starts_with("order of rating, not of consumption; "),
        "{order}"
    );
    let (mut neighbours, mut tied) = (0, BTreeMap::new());
    for row in folder.sequences().unwrap() {
        let bursts = bursts(&row.timestamps, 60_000);
        let last = bursts[bursts.len() - 1];
        neighbours += bursts.iter().map(|burst| *burst as u64 - 1).sum::<u64>();
        let mut start = 0;
        for burst in bursts {
            let (own, rest) = row.timestamps[start..].split_at(burst);
            assert!(
                rest.iter().all(|time| time > own.iter().max().unwrap()),
                "bursts in order"
            );
            start += burst;
        }
        tied.insert(row.user_id, last > 1);
    }
    assert_eq!(ties.neighbours.count, neighbours);
    for prompt in folder.prompts(Split::Test).unwrap() {
        assert_eq!(prompt.ties, tied[&prompt.user_id]);
    }
    assert_eq!(folder.manifest().audit.tied_tests, ties.test_targets);
}

#[test]
fn what_is_exported_keeps_the_order_of_bursts() {
    let rows = sorted_by_item().into_iter();
    let rows: Vec<_> = rows
        .map(|(user, film, time)| (user, film, time + i64::from(film % 3) * 40))
        .collect();
    let (folder, mut config) = with_ratings(&rows);
    config.parameters.tie_window_ms = 60_000;
    let prepared = prepared(&config);
    let exported = export(&prepared, ExportFormat::Recbole, &folder.path().join("exported")).unwrap();
    let text = std::fs::read_to_string(exported.join("films.inter")).unwrap();
    let mut rows: Vec<(String, f64, String)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            (
                fields[0].to_owned(),
                fields[3].parse().unwrap(),
                fields[1].to_owned(),
            )
        })
        .collect();
    // A sort that leaves equals as they are.
    rows.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (user, _, item) in rows {
        found.entry(user).or_default().push(item);
    }
    assert_eq!(found, sequences(&config));
    let sorted = |row: &&Sequence| row.timestamps.is_sorted();
    let in_time = prepared.sequences().unwrap().iter().filter(sorted).count();
    assert!(in_time < 300, "of 600 users {in_time} are in the order of time");
}

#[test]
fn a_log_in_the_order_of_events_is_told_from_a_sorted_file() {
    let rows = sorted_by_item();
    let (folder, config) = with_ratings(&rows);
    let manifest = run(&config).unwrap();
    assert!(manifest.ties.users_a_line <= 1.0, "{:?}", manifest.ties);
    // Per person: three moments, in each of which neighbours tie.
    let (mut tied, mut neighbours, mut targets) = (0, 0, 0);
    for own in rows.chunk_by(|left, right| left.0 == right.0) {
        let mut times: Vec<i64> = own.iter().map(|row| row.2).collect();
        times.sort_unstable();
        let ties = |pair: &&[i64]| pair[0] == pair[1];
        tied += times.windows(2).filter(ties).count() as u64;
        neighbours += times.len() as u64 - 1;
        targets += u64::from(times[times.len() - 1] == times[times.len() - 2]);
    }
    let ties = manifest.ties;
    assert_eq!((ties.neighbours.count, ties.neighbours.of), (tied, neighbours));
    assert_eq!((ties.test_targets.count, ties.test_targets.of), (targets, 600));
    assert_eq!(ties.ascending.count, ties.ascending.of);
    let card = std::fs::read_to_string(config.folder().join("README.md")).unwrap();
    let shown = Summary::of(&Prepared::open(config.folder()).unwrap(), 0)
        .unwrap()
        .to_string();
    for text in [card, shown] {
        for part in [
            "leave-one-out of new items, ties by hash (tie seed 0)",
            "k-core before the split",
            "sorted by item, keep the hash",
            &format!("{targets} of 600 ("),
        ] {
            assert!(text.contains(part), "no `{part}` in {text}");
        }
    }
    drop(folder);

    let mut rows = rows;
    rows.sort_by_key(|(user, film, time)| (*time, (user * 31 + film * 17) % 101));
    let (_folder, config) = with_ratings(&rows);
    let advice = run(&config).unwrap().tie_advice().unwrap();
    assert!(advice.contains("consider --ties line"), "{advice}");
}

#[test]
fn folders_of_versions_without_these_parameters_are_read() {
    let mut old = serde_json::to_value(Parameters::default()).unwrap();
    for key in ["ties", "tie_seed", "tie_window_ms", "repeats"] {
        assert!(old.as_object_mut().unwrap().remove(key).is_some());
    }
    assert_eq!(
        serde_json::from_value::<Parameters>(old).unwrap(),
        Parameters::default()
    );
}
