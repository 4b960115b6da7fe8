//! The real sets: every known figure and sequence. Skipped, aloud, where the data are not at hand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::prepare::PrepareConfig;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::PromptFormat;
use weaverec_pipeline::stage::KCore;

use crate::support::{prepared, run, shared};

fn config(name: &str, raw: &Path, out: &Path) -> PrepareConfig {
    let mut config = PrepareConfig::new(DatasetDescription::load(name).unwrap(), raw, out);
    config.threads = 2;
    config.parameters.max_train = 100;
    config.parameters.max_eval = Some(100);
    config.parameters.format = PromptFormat::Sequence;
    config
}

fn figures(folder: &Prepared, stage: &str) -> (u64, u64, u64) {
    let count = folder
        .manifest()
        .counts
        .iter()
        .find(|count| count.stage == stage)
        .unwrap();
    (count.interactions, count.users, count.items)
}

fn expected_sequences(raw: &Path) -> BTreeMap<String, Vec<String>> {
    let file = std::fs::File::open(raw.join("expected_sequences.jsonl.gz")).unwrap();
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    lines
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            let items = row["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item.as_str().unwrap().to_owned());
            (row["user"].as_str().unwrap().to_owned(), items.collect())
        })
        .collect()
}

fn sequences(folder: &Prepared) -> BTreeMap<String, Vec<String>> {
    let items = folder.items().unwrap();
    let name = |item: &u32| items[*item as usize - 1].item_id.clone();
    let rows = folder.sequences().unwrap().into_iter();
    rows.map(|row| (row.user_id, row.items.iter().map(name).collect()))
        .collect()
}

fn reproduces(name: &str, set: &str, read: (u64, u64, u64), core: (u64, u64, u64)) {
    let Some(raw) = shared(set) else { return };
    let out = tempfile::tempdir().unwrap();
    let mut config = config(name, &raw, out.path());
    let folder = prepared(&config);
    assert_eq!(figures(&folder, "read"), read);
    assert_eq!(figures(&folder, "core"), read, "no row says the same thing twice");
    assert_eq!(sequences(&folder), expected_sequences(&raw));
    assert_eq!(
        folder.manifest().synthetic_fields,
        ["timestamp", "rating", "text"]
    );

    config.parameters.core = KCore { users: 5, items: 5 };
    config.name = Some("core".to_owned());
    assert_eq!(figures(&prepared(&config), "core"), core);
}

#[test]
fn beauty_is_reproduced() {
    let whole = (198_502, 22_363, 12_101);
    reproduces("amazon-2014-beauty", "amazon-2014/beauty", whole, whole);
}

#[test]
fn sports_is_reproduced() {
    let whole = (296_337, 35_598, 18_357);
    reproduces("amazon-2014-sports", "amazon-2014/sports", whole, whole);
}

#[test]
fn prime_pantry_is_reproduced_with_its_repeats() {
    let whole = (137_769, 14_180, 4_968);
    reproduces(
        "amazon-2018-prime-pantry",
        "amazon-2018/prime-pantry",
        whole,
        PANTRY_CORE,
    );
}

#[test]
fn magazines_have_titles_where_the_metadata_has_usable_ones() {
    let Some(raw) = shared("amazon-2018/magazine-subscriptions") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let folder = prepared(&config("amazon-2018-magazine-subscriptions", &raw, out.path()));
    assert_eq!(figures(&folder, "read"), (2_375, 348, 157));
    let items = folder.items().unwrap();
    let stand_ins = items
        .iter()
        .filter(|item| item.title == format!("Item {}", item.item_id))
        .count() as u64;
    assert_eq!(folder.manifest().titles_missing, stand_ins);
    assert!(
        stand_ins >= 6,
        "six items have no metadata at all, others a broken title: {stand_ins}"
    );
    assert!(stand_ins < 157, "some titles are whole");
    assert!(
        items
            .iter()
            .all(|item| !item.title.contains(['<', '>']) && !item.title.is_empty())
    );
}

#[test]
fn all_beauty_goes_without_metadata() {
    let Some(raw) = shared("amazon-2018/all-beauty") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let folder = prepared(&config("amazon-2018-all-beauty", &raw, out.path()));
    assert_eq!(figures(&folder, "read"), (5_269, 991, 85));
    assert_eq!(folder.manifest().titles_missing, 85);
    assert!(
        folder
            .manifest()
            .notes
            .iter()
            .any(|note| note.contains("85 items have no usable title"))
    );
}

#[test]
fn movielens_latest_small_is_read_whole() {
    let Some(raw) = shared("movielens/ml-latest-small") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let folder = prepared(&config("movielens-latest-small", &raw, out.path()));
    assert_eq!(figures(&folder, "read"), (100_004, 671, 9_066));
    assert_eq!(folder.manifest().titles_missing, 0);
}

#[test]
fn beauty_gives_the_same_bytes_with_one_thread() {
    let Some(raw) = shared("amazon-2014/beauty") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let mut config = PrepareConfig::new(
        DatasetDescription::load("amazon-2014-beauty").unwrap(),
        raw,
        out.path(),
    );
    config.threads = 2;
    let manifest = run(&config).unwrap();
    assert_eq!(manifest.prompts["train"], 30_000);
    assert_eq!(manifest.prompts["test"], 22_363);
    (config.threads, config.out) = (1, out.path().join("one"));
    assert_eq!(
        run(&config).unwrap(),
        manifest,
        "the manifest holds the hash of every file"
    );
}

/// Computed from the raw file by a loop of a dozen lines in Python that drops users and items until none has fewer than five.
const PANTRY_CORE: (u64, u64, u64) = (137_698, 14_167, 4_961);
