//! What is exported can be read again and says the same.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use weaverec_pipeline::Error;
use weaverec_pipeline::dataset::{DatasetDescription, verify};
use weaverec_pipeline::export::{self, ExportFormat, export};
use weaverec_pipeline::prepare::PrepareConfig;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::raw::NoProgress;
use weaverec_pipeline::schema::Split;

use crate::support::{films, prepared};

type Rows = Vec<(String, String, Option<f64>, i64)>;

fn interactions(folder: &Prepared) -> Rows {
    let mut rows = Vec::new();
    folder
        .each_interaction(|row| {
            rows.push((
                row.user_id.to_owned(),
                row.item_id.to_owned(),
                row.rating,
                row.timestamp,
            ));
            Ok(())
        })
        .unwrap();
    rows
}

#[test]
fn recbole_files_give_the_same_interactions_and_items_when_prepared_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = prepared(&films(folder.path(), 60));
    let exported = export(&first, ExportFormat::Recbole, &folder.path().join("exported")).unwrap();
    assert_eq!(exported, folder.path().join("exported/films"));
    let header = std::fs::read_to_string(exported.join("films.inter")).unwrap();
    assert!(header.starts_with("user_id:token\titem_id:token\trating:float\ttimestamp:float\n"));

    let description = DatasetDescription::load(exported.join("films.toml").to_str().unwrap()).unwrap();
    assert_eq!(
        verify(&description, &exported, &NoProgress).unwrap().differences,
        Vec::<String>::new()
    );
    let mut config = PrepareConfig::new(description, &exported, folder.path().join("again"));
    (config.parameters.candidates, config.threads) = (10, 2);
    let again = prepared(&config);
    let (mut before, mut after) = (interactions(&first), interactions(&again));
    let key = |row: &(String, String, Option<f64>, i64)| (row.0.clone(), row.3, row.1.clone());
    before.sort_by_key(key);
    after.sort_by_key(key);
    assert!(before.len() > 200);
    assert_eq!(after, before);
    let titles = |folder: &Prepared| -> BTreeMap<String, (String, String)> {
        let items = folder.items().unwrap().into_iter();
        items
            .map(|item| (item.item_id, (item.title, item.categories)))
            .collect()
    };
    assert_eq!(titles(&again), titles(&first));
}

#[test]
fn json_lines_hold_every_prompt_of_every_split() {
    let folder = tempfile::tempdir().unwrap();
    let first = prepared(&films(folder.path(), 60));
    let exported = export(&first, ExportFormat::Jsonl, folder.path()).unwrap();
    for split in Split::ALL {
        let prompts = first.prompts(split).unwrap();
        let file = std::fs::File::open(exported.join(format!("{}.jsonl", split.name()))).unwrap();
        let rows: Vec<serde_json::Value> = BufReader::new(file)
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        assert_eq!(rows.len(), prompts.len());
        for (row, prompt) in rows.iter().zip(&prompts) {
            assert_eq!(
                u64::from_str_radix(row["key"].as_str().unwrap(), 16).unwrap(),
                prompt.key
            );
            assert_eq!(row["user_id"], prompt.user_id);
            assert_eq!(row["target"], prompt.target);
            assert_eq!(row["history"], serde_json::json!(prompt.history));
            assert_eq!(row["candidates"], serde_json::json!(prompt.candidates));
            assert_eq!(row["binned"], serde_json::json!(prompt.binned));
            assert_eq!(row["messages"], serde_json::to_value(&prompt.messages).unwrap());
        }
    }
}

#[test]
fn an_export_leaves_what_is_there_alone_and_nothing_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let first = prepared(&films(folder.path(), 20));
    let out = folder.path().join("exported");
    export(&first, ExportFormat::Jsonl, &out).unwrap();
    let error = export(&first, ExportFormat::Recbole, &out).unwrap_err();
    assert!(
        matches!(&error, Error::Output { path, .. } if path.ends_with("films")),
        "{error}"
    );

    std::fs::remove_file(first.folder().join("interactions.parquet")).unwrap();
    let other = folder.path().join("other");
    assert!(export(&first, ExportFormat::Recbole, &other).is_err());
    assert!(!other.exists());
}

#[test]
fn the_training_part_holds_what_is_trained_on_and_no_target() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = films(folder.path(), 60);
    // Bursts, whose events are given one time.
    config.parameters.tie_window_ms = 60_000;
    let films = prepared(&config);
    let out = folder.path().join("training");
    std::fs::create_dir(&out).unwrap();
    export::training(&films, &out).unwrap();
    let text = std::fs::read_to_string(out.join("films.inter")).unwrap();
    let found: Vec<(String, String)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            (fields.next().unwrap(), fields.next().unwrap())
        })
        .collect();
    let (targets, items) = (films.targets().unwrap(), films.items().unwrap());
    let mut expected = Vec::new();
    for sequence in films.sequences().unwrap() {
        let known = targets.parts(&sequence.items, &sequence.timestamps).known;
        let raw = |item: &u32| items[*item as usize - 1].item_id.clone();
        expected.extend(
            sequence.items[..known]
                .iter()
                .map(|item| (sequence.user_id.clone(), raw(item))),
        );
    }
    assert_eq!(found, expected);
    assert!(found.len() > 100 && found.len() < interactions(&films).len());
    let described = std::fs::read_to_string(out.join("films.item")).unwrap();
    assert_eq!(described.lines().count(), items.len() + 1);
    assert!(!out.join("films.toml").exists());
}
