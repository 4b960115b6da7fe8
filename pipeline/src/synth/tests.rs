#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use rand::RngExt;

use super::structure::{Catalogue, T, rule, stream};
use super::words::THEMES;
use super::*;
use crate::raw::{NoProgress, RawTables, ReadOptions};

fn small(dirt: f64) -> SynthConfig {
    SynthConfig {
        users: 120,
        items: 200,
        dirt,
        ..SynthConfig::default()
    }
}

fn read(domain: &GeneratedDomain) -> RawTables {
    let description = DatasetDescription::load(domain.description.to_str().unwrap()).unwrap();
    crate::raw::read(&description, &domain.dir, &ReadOptions::default(), &NoProgress).unwrap()
}

fn dirt(domain: &GeneratedDomain) -> Dirt {
    serde_json::from_str(&fs::read_to_string(domain.dir.join("dirt.json")).unwrap()).unwrap()
}

/// Every file below `dir`, by its path from there.
fn contents(dir: &Path) -> HashMap<String, Vec<u8>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            found.extend(
                contents(&path)
                    .into_iter()
                    .map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)),
            );
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

fn generate_with(threads: usize, config: &SynthConfig, out: &Path) -> Vec<GeneratedDomain> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| generate(config, out, &NoProgress)).unwrap()
}

#[test]
fn the_same_configuration_gives_the_same_bytes_whatever_the_threads() {
    let (one, four) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    generate_with(1, &small(0.1), one.path());
    generate_with(4, &small(0.1), four.path());
    let first = contents(one.path());
    assert_eq!(first.len(), 4 * 6, "{:?}", first.keys());
    assert!(first == contents(four.path()));
    let other = tempfile::tempdir().unwrap();
    generate_with(
        1,
        &SynthConfig {
            seed: 2,
            ..small(0.1)
        },
        other.path(),
    );
    assert!(
        first["synth-home/reviews_Synth_Home_5.json.gz"]
            != contents(other.path())["synth-home/reviews_Synth_Home_5.json.gz"]
    );
}

#[test]
fn clean_logs_read_back_as_the_expected_sequences() {
    let out = tempfile::tempdir().unwrap();
    for domain in generate(&small(0.0), out.path(), &NoProgress).unwrap() {
        let tables = read(&domain);
        assert!(tables.rejects.is_empty(), "{:?}", tables.rejects.first());
        let mut sequences: HashMap<String, Vec<(i64, String)>> = HashMap::new();
        for batch in &tables.interactions {
            let users = batch.column_by_name("user_id").unwrap().as_string::<i32>();
            let items = batch.column_by_name("item_id").unwrap().as_string::<i32>();
            let times = batch
                .column_by_name("timestamp")
                .unwrap()
                .as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let event = (times.value(row), items.value(row).to_string());
                sequences
                    .entry(users.value(row).to_string())
                    .or_default()
                    .push(event);
            }
        }
        let file = fs::File::open(domain.dir.join("expected_sequences.jsonl.gz")).unwrap();
        let expected = std::io::read_to_string(flate2::read::GzDecoder::new(file)).unwrap();
        assert_eq!(expected.lines().count(), 120);
        for line in expected.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let mut found = sequences.remove(line["user"].as_str().unwrap()).unwrap();
            found.sort();
            let items: Vec<String> = found.into_iter().map(|event| event.1).collect();
            assert_eq!(serde_json::json!(items), line["items"]);
            assert!((10..=14).contains(&items.len()));
        }
        assert!(sequences.is_empty());
    }
}

#[test]
fn the_record_of_dirt_is_what_the_reader_rejects() {
    let out = tempfile::tempdir().unwrap();
    let config = small(0.2);
    for (index, domain) in generate(&config, out.path(), &NoProgress)
        .unwrap()
        .iter()
        .enumerate()
    {
        let (dirt, tables) = (dirt(domain), read(domain));
        assert!(
            dirt.rejected_interactions() > 50 && dirt.duplicate_lines > 20 && dirt.items == 200,
            "{dirt:?}"
        );
        assert_eq!(
            tables.rejects.len() as u64,
            dirt.rejected_interactions() + dirt.garbage_item_lines
        );
        let rows: usize = tables.interactions.iter().map(|batch| batch.num_rows()).sum();
        assert_eq!(rows as u64, dirt.clean_interactions + dirt.duplicate_lines);

        let generated = config.domain(index);
        let intended: HashMap<String, String> = (0..200)
            .map(|item| (generated.item_id(item), generated.title(item)))
            .collect();
        let mut titled = HashSet::new();
        for batch in tables.items.as_ref().unwrap() {
            let ids = batch.column_by_name("item_id").unwrap().as_string::<i32>();
            let titles = batch.column_by_name("title").unwrap().as_string::<i32>();
            for row in (0..batch.num_rows()).filter(|&row| titles.is_valid(row)) {
                if let Some(title) = crate::title::clean(titles.value(row), 100) {
                    assert_eq!(title, intended[ids.value(row)]);
                    titled.insert(ids.value(row).to_string());
                }
            }
        }
        assert_eq!(titled.len() as u64, dirt.items - dirt.untitled_items());
    }
}

#[test]
fn titles_are_unique_and_short_however_many_items() {
    let config = SynthConfig {
        items: 6000,
        ..SynthConfig::default()
    };
    for index in 0..config.domains.len() {
        let domain = config.domain(index);
        let titles: HashSet<String> = (0..6000).map(|item| domain.title(item)).collect();
        assert_eq!(titles.len(), 6000);
        assert!(
            titles.iter().all(|title| title.split(' ').count() <= 7),
            "{titles:?}"
        );
    }
}

#[test]
fn users_and_items_of_different_domains_are_disjoint() {
    let config = SynthConfig::default();
    let mut seen = HashSet::new();
    for index in 0..config.domains.len() {
        let domain = config.domain(index);
        for i in 0..config.users {
            assert!(seen.insert(("user", domain.user_id(i))));
            assert!(seen.insert(("item", domain.item_id(i))));
        }
    }
}

#[test]
fn related_domains_agree_on_the_shared_themes_and_disagree_on_the_contrary_ones() {
    for seed in 0..20 {
        let rules: Vec<Rule> = (0..3)
            .map(|i| rule(seed, 0.5, 0.25, &format!("d{i}"), Some(i)))
            .collect();
        for rule in &rules {
            assert_eq!(
                rule.next.iter().collect::<HashSet<_>>().len(),
                T,
                "not a permutation"
            );
            assert_eq!(rule.kinship, rules[0].kinship);
        }
        let count = |kind| rules[0].kinship.iter().filter(|&&k| k == kind).count();
        assert_eq!((count(Kinship::Shared), count(Kinship::Contrary)), (6, 3));
        for t in 0..T {
            let distinct = rules
                .iter()
                .map(|rule| rule.next[t])
                .collect::<HashSet<_>>()
                .len();
            match rules[0].kinship[t] {
                Kinship::Shared => assert_eq!(distinct, 1),
                Kinship::Contrary => assert_eq!(distinct, 3),
                Kinship::Private => {}
            }
        }
    }
}

/// HR@1 of a score over the last item of each user and 9 unseen uniform items; ties count against it.
fn hit_rate(domain: &Domain, users: usize, mut score: impl FnMut(usize, &[u32], usize) -> f64) -> f64 {
    let mut hits = 0;
    for user in 0..users {
        let items: Vec<u32> = domain.history(user).0.iter().map(|event| event.item).collect();
        let (&target, history) = items.split_last().unwrap();
        let mut rng = stream(99, "", "test candidates", user as u64);
        let mut negatives = HashSet::new();
        while negatives.len() < 9 {
            let item = rng.random_range(0..domain.catalogue.len()) as u32;
            if !items.contains(&item) {
                negatives.insert(item);
            }
        }
        let of_target = score(user, history, target as usize);
        hits += usize::from(
            negatives
                .iter()
                .all(|&item| score(user, history, item as usize) < of_target),
        );
    }
    hits as f64 / users as f64
}

#[test]
fn an_oracle_of_the_structure_ranks_well_and_popularity_lies_between_it_and_chance() {
    let config = SynthConfig::default();
    for index in 0..config.domains.len() {
        let domain = config.domain(index);
        let oracle = hit_rate(&domain, 500, |user, history, item| {
            let mut rng = stream(domain.seed, &domain.name, "user", user as u64);
            let taste = Catalogue::taste(domain.seed, &domain.name, &mut rng);
            let last = domain.catalogue.item(history[history.len() - 1] as usize).theme;
            domain.catalogue.probability(&domain.rule, taste, last, item)
        });
        let mut counts = vec![0.0; config.items];
        for user in 0..500 {
            let (events, _) = domain.history(user);
            for event in &events[..events.len() - 2] {
                counts[event.item as usize] += 1.0;
            }
        }
        let popularity = hit_rate(&domain, 500, |_, _, item| counts[item]);
        assert!(oracle >= 0.5, "oracle only {oracle}");
        assert!(
            popularity > 0.12 && popularity < oracle - 0.2,
            "popularity {popularity}, oracle {oracle}"
        );
    }
}

/// How often each theme word follows each in the titles of the users' histories: what a model can read off the text.
fn theme_counts(domain: &Domain, users: usize) -> HashMap<(String, String), f64> {
    let mut counts = HashMap::new();
    for user in 0..users {
        let (events, _) = domain.history(user);
        let words: Vec<String> = events
            .iter()
            .map(|event| theme_word(&domain.title(event.item as usize)))
            .collect();
        for pair in words[..words.len() - 1].windows(2) {
            *counts.entry((pair[0].clone(), pair[1].clone())).or_insert(0.0) += 1.0;
        }
    }
    counts
}

fn theme_word(title: &str) -> String {
    title.split(' ').next().unwrap().to_string()
}

#[test]
fn what_the_text_of_one_domain_teaches_helps_in_another_and_is_not_enough() {
    let config = SynthConfig::default();
    let (target, source, other) = (config.domain(2), config.domain(0), config.domain(3));
    let rate = |counts: &HashMap<(String, String), f64>| {
        hit_rate(&target, 500, |_, history, item| {
            let last = theme_word(&target.title(history[history.len() - 1] as usize));
            let tie = item as f64 * 1e-6;
            counts
                .get(&(last, theme_word(&target.title(item))))
                .copied()
                .unwrap_or(0.0)
                + tie
        })
    };
    let [own, related, unrelated] = [&target, &source, &other].map(|domain| rate(&theme_counts(domain, 500)));
    assert!(
        own > related + 0.1 && related > unrelated + 0.1,
        "{own} {related} {unrelated}"
    );
    assert!(
        theme_counts(&target, 50)
            .keys()
            .all(|(from, to)| [from, to].iter().all(|w| THEMES.contains(&w.as_str())))
    );
}

#[test]
fn an_up_to_date_folder_is_kept_another_is_replaced_and_a_strange_one_is_left_alone() {
    let out = tempfile::tempdir().unwrap();
    let first = generate(&small(0.0), out.path(), &NoProgress).unwrap();
    let notes = first[0].dir.join("notes.txt");
    fs::write(&notes, "mine").unwrap();
    generate(&small(0.0), out.path(), &NoProgress).unwrap();
    assert!(notes.exists());
    let error = generate(&small(0.1), out.path(), &NoProgress).unwrap_err();
    assert!(error.to_string().contains("`notes.txt`"), "{error}");
    assert_eq!(fs::read_to_string(&notes).unwrap(), "mine");
    fs::remove_file(&notes).unwrap();
    generate(&small(0.1), out.path(), &NoProgress).unwrap();
    assert!(dirt(&first[0]).duplicate_lines > 0);

    let strange = tempfile::tempdir().unwrap();
    let mine = strange.path().join("synth-home");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("thesis.txt"), "years of work").unwrap();
    let error = generate(&small(0.0), strange.path(), &NoProgress).unwrap_err();
    assert!(
        matches!(&error, Error::Output { path, .. } if path.ends_with("synth-home")),
        "{error}"
    );
    assert!(mine.join("thesis.txt").exists());
    let scratch = fs::read_dir(strange.path()).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .starts_with(".weaverec-")
    });
    assert_eq!(scratch.count(), 0);
}

#[test]
fn configurations_that_make_no_sense_name_the_key() {
    let cases = [
        (
            SynthConfig {
                shared: 0.8,
                contrary: 0.3,
                ..SynthConfig::default()
            },
            "`shared`",
        ),
        (
            SynthConfig {
                dirt: -0.1,
                ..SynthConfig::default()
            },
            "`dirt`",
        ),
        (
            SynthConfig {
                interactions_per_user: 2.0,
                ..SynthConfig::default()
            },
            "`interactions_per_user`",
        ),
        (
            SynthConfig {
                items: 20,
                ..SynthConfig::default()
            },
            "20 items",
        ),
        (
            SynthConfig {
                domains: vec![],
                ..SynthConfig::default()
            },
            "`domains`",
        ),
        (
            SynthConfig {
                domains: vec![DomainSpec::new("a/b", Platform::Amazon2014)],
                ..SynthConfig::default()
            },
            "`a/b`",
        ),
    ];
    let out = tempfile::tempdir().unwrap();
    for (config, part) in cases {
        let error = generate(&config, out.path(), &NoProgress)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
    }
}
