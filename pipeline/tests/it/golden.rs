//! Eight prepared sets, byte for byte as they were when their hashes were last written.
//!
//! `tests/golden/<set>.b3` holds the BLAKE3 of every file of data that `prepare` makes of a set, in the form of `b3sum`. What holds
//! paths, versions or notes (`manifest.json`, the card) is left out. A change that is meant to change the bytes of prepared folders
//! writes the hashes anew, with the real sets at hand, and says in its commit why:
//!
//! ```sh
//! WEAVEREC_SHARED=/path/to/data WEAVEREC_BLESS=1 cargo test --workspace --test it -- golden
//! ```

use std::fmt::Write as _;
use std::path::Path;

use weaverec_pipeline::dataset::DatasetDescription;
use weaverec_pipeline::parameters::Parameters;
use weaverec_pipeline::prepare::PrepareConfig;
use weaverec_pipeline::raw::NoProgress;
use weaverec_pipeline::schema::PromptFormat;
use weaverec_pipeline::stage::{Cut, DedupPolicy, KCore, Negatives, Recipe, Repeats, SplitPolicy};
use weaverec_pipeline::synth::{SynthConfig, generate};

use crate::support::{contents, run, shared};

/// Few prompts: the tables hold everything anyway.
fn few() -> Parameters {
    Parameters {
        max_train: 400,
        max_eval: Some(150),
        ..Parameters::default()
    }
}

/// Prepares a set and compares the hashes of its files with those of the last time, or writes them.
fn golden(dataset: &str, raw: &Path, parameters: Parameters) {
    golden_named(None, dataset, raw, parameters);
}

fn golden_named(name: Option<&str>, dataset: &str, raw: &Path, parameters: Parameters) {
    let out = tempfile::tempdir().unwrap();
    let mut config = PrepareConfig::new(DatasetDescription::load(dataset).unwrap(), raw, out.path());
    (config.parameters, config.threads) = (parameters, 2);
    config.name = name.map(str::to_owned);
    run(&config).unwrap();
    let mut found = String::new();
    for (path, bytes) in contents(&config.folder()) {
        let name = path.to_string_lossy().replace('\\', "/");
        if !["manifest.json", "README.md"].contains(&name.as_str()) {
            writeln!(found, "{}  {name}", blake3::hash(&bytes)).unwrap();
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let file = folder.join(format!("{}.b3", config.folder_name()));
    if std::env::var_os("WEAVEREC_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&file, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    let changed: Vec<&str> = found
        .lines()
        .filter(|line| !expected.lines().any(|known| known == *line))
        .collect();
    assert!(
        changed.is_empty() && expected.lines().count() == found.lines().count(),
        "other bytes than {} says: {changed:#?}; if that is meant, WEAVEREC_BLESS=1 writes the hashes anew",
        file.display()
    );
}

fn generated(name: &str, parameters: Parameters) {
    let raw = tempfile::tempdir().unwrap();
    let config = SynthConfig {
        users: 150,
        items: 120,
        ..SynthConfig::default()
    };
    let domains = generate(&config, raw.path(), &NoProgress).unwrap();
    let domain = domains.iter().find(|domain| domain.name == name).unwrap();
    golden(domain.description.to_str().unwrap(), &domain.dir, parameters);
}

#[test]
fn golden_generated_reviews() {
    generated("synth-home", few());
}

#[test]
fn golden_generated_films() {
    let parameters = Parameters {
        dedup: DedupPolicy::First,
        format: PromptFormat::Letter,
        recipe: Recipe::Paper,
        tie_seed: 5,
        ..few()
    };
    generated("synth-films", parameters);
}

#[test]
fn golden_beauty() {
    let Some(raw) = shared("amazon-2014/beauty") else {
        return;
    };
    let parameters = Parameters {
        core: KCore { users: 5, items: 5 },
        format: PromptFormat::Sequence,
        ..few()
    };
    golden("amazon-2014-beauty", &raw, parameters);
}

#[test]
fn golden_magazines() {
    let Some(raw) = shared("amazon-2018/magazine-subscriptions") else {
        return;
    };
    let parameters = Parameters {
        negatives: Negatives::Popularity,
        min_rating: Some(3.0),
        ..few()
    };
    golden("amazon-2018-magazine-subscriptions", &raw, parameters);
}

#[test]
fn golden_pantry() {
    let Some(raw) = shared("amazon-2018/prime-pantry") else {
        return;
    };
    let parameters = Parameters {
        dedup: DedupPolicy::None,
        format: PromptFormat::TargetOnly,
        split: SplitPolicy::GlobalTime(Cut::Shares {
            validation: 0.1,
            test: 0.1,
        }),
        ..few()
    };
    golden("amazon-2018-prime-pantry", &raw, parameters);
}

#[test]
fn golden_movielens() {
    let Some(raw) = shared("movielens/ml-latest-small") else {
        return;
    };
    golden("movielens-latest-small", &raw, few());
}

#[test]
fn golden_pantry_with_repeats() {
    let Some(raw) = shared("amazon-2018/prime-pantry") else {
        return;
    };
    let parameters = Parameters {
        repeats: Repeats::Keep,
        ..few()
    };
    golden_named(
        Some("pantry-with-repeats"),
        "amazon-2018-prime-pantry",
        &raw,
        parameters,
    );
}

#[test]
fn golden_movielens_within_a_minute() {
    let Some(raw) = shared("movielens/ml-latest-small") else {
        return;
    };
    let parameters = Parameters {
        tie_window_ms: 60_000,
        split: SplitPolicy::GlobalTime("0.8".parse().unwrap()),
        ..few()
    };
    golden_named(Some("movielens-60s"), "movielens-latest-small", &raw, parameters);
}
