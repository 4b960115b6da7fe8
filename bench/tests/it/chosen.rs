//! Everything that calibration users choose, end to end: α, the scale, weights of members and of a fusion, in a study that has enough of them;
//! and what stands where they are too few.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weaverec_bench::claim::AT_ONE;
use weaverec_bench::cut::Cut;
use weaverec_bench::experiment::cell::ScoredCase;
use weaverec_bench::experiment::scores;
use weaverec_bench::method::log::Histories;
use weaverec_bench::scoring::LEAST;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::Split;

use super::succeed;

/// Users of generated logs, of whom a fifth choose: enough.
const ENOUGH: &str = "2400";
/// Too few.
const FEW: &str = "150";
/// What updates are multiplied by, besides 1.
const SCALE: f32 = 1.3;
/// Titles that a prompt shows.
const SHOWN: u32 = 3;
/// The rows that score by likelihood.
const LIKELIHOODS: [&str; 6] = [
    "zero-shot",
    "target-only",
    "naive-merge",
    "weaverec",
    "weaverec-grid",
    "weaverec-entropy",
];

fn profile(users: &str) -> String {
    format!(
        r#"
name = "chosen"
description = "for tests"
purpose = "is for tests"
replicates = 1
report_on = "dev"
methods = [
    "popularity", "counting", "zero-shot", "target-only", "naive-merge", "weaverec", "weaverec-grid", "weaverec-entropy",
    "weaverec+counting",
]

[claims]
primary = "M"
kinds = ["M"]

[backbone]
kind = "nano"
decoder = {{ vocabulary = 400, width = 32, inner = 64, layers = 2, heads = 2, key_value_heads = 1 }}
pretrain = {{ learning_rate = 1e-2, epochs = 2, batch_size = 16, evaluate_every = 10 }}

[prepare]
seed = 1
format = "sequence"
user_core = 5
item_core = 0
max_history = {SHOWN}
max_title_chars = 16
candidates = 4
users = 40
max_train = 200

[adapter]
rank = 4
alpha = 8.0
dropout = 0.0
prompts_per_domain = 60
held_out = 10
train = {{ learning_rate = 1e-2, epochs = 1, batch_size = 8, keep = "last" }}

[rank]
normalisation = "sum"
batch_tokens = 2048
free_decoding_users = 0
free_decoding_tokens = 4
neutral_histories = 2
calibration = {LEAST}
scales = [1.0, {SCALE}]
catalogue = 1000
contamination = 5

[[study]]
name = "generated"
title = "Generated logs"
source = "synthetic"
synthetic = {{ seed = 3, users = {users}, items = 60, interactions_per_user = 10.0, shared = 0.6, contrary = 0.2, dirt = 0.0, domains = [{{ name = "a", platform = "amazon-2014" }}, {{ name = "b", platform = "movielens-csv" }}, {{ name = "c", platform = "amazon-2014", related = false }}] }}

[[study.domain]]
name = "a"
dataset = "a"

[[study.domain]]
name = "b"
dataset = "b"

[[study.domain]]
name = "c"
dataset = "c"
auxiliary = true

[[study.scenario]]
kind = "cross-platform"
target = "a"
sources = ["b"]
"#
    )
}

fn reproduce(at: &Path, users: &str) -> Value {
    fs::write(at.join("chosen.toml"), profile(users)).unwrap();
    let run = [
        "reproduce",
        "--profile",
        "chosen.toml",
        "--work",
        "work",
        "--out",
        "out",
        "--threads",
        "2",
    ];
    succeed(at, &run);
    results(&at.join("out"))
}

fn results(out: &Path) -> Value {
    let text = fs::read(out.join("results.json")).unwrap();
    let results: Value = serde_json::from_slice(&text).unwrap();
    results["studies"][0].clone()
}

/// A row of the only scenario.
fn row<'a>(study: &'a Value, method: &str) -> &'a Value {
    let rows = study["scenarios"][0]["rows"].as_array().unwrap();
    let found = rows.iter().find(|row| row["method"] == method);
    found.unwrap_or_else(|| panic!("no row {method}"))
}

/// What was chosen for a row, and on whom.
fn choice<'a>(study: &'a Value, row: &str, what: &str) -> Option<&'a Value> {
    let choices = study["choices"].as_array().unwrap();
    choices
        .iter()
        .find(|one| one["row"] == row && one["what"] == what)
}

/// The folders of all rankings.
fn rankings(cells: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(cells.join("rankings")).unwrap();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.join("record.json").exists());
    folders.sort();
    folders
}

fn record(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("record.json")).unwrap()).unwrap()
}

fn cases(folder: &Path) -> Vec<ScoredCase> {
    scores::read(&folder.join("scores.parquet")).unwrap()
}

fn of(cases: &[ScoredCase], cut: Cut, scale: f32) -> Vec<&ScoredCase> {
    let wanted = |case: &&ScoredCase| case.cut == cut && case.scale == scale;
    cases.iter().filter(wanted).collect()
}

#[test]
fn enough_users_choose_all_that_is_chosen_and_the_report_has_both_scales() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let study = reproduce(at, ENOUGH);
    let by = format!("C ({LEAST} users)");
    for (row, what) in [
        ("zero-shot", "α"),
        ("weaverec", "α"),
        ("weaverec", "c"),
        ("target-only", "c"),
        ("weaverec-grid", "λ"),
        ("weaverec-entropy", "λ"),
        ("weaverec+counting", "w"),
    ] {
        let found = choice(&study, row, what).unwrap_or_else(|| panic!("nobody chose {what} of {row}"));
        assert_eq!(found["users"], by.as_str(), "{what} of {row}: {found}");
    }
    assert!(
        choice(&study, "zero-shot", "c").is_none(),
        "nothing is scaled there"
    );
    assert_eq!(row(&study, "weaverec+counting")["family"], "fusion");
    assert_eq!(study["scenarios"][0]["reading"], "content/binned");
    let contamination = &study["scenarios"][0]["contamination"];
    assert_eq!(contamination["asked"], 5);
    assert!(contamination["recalled"].as_u64().unwrap() <= 5);

    let mut scaled = 0;
    for folder in rankings(&at.join("work/cells")) {
        let (record, cases) = (record(&folder), cases(&folder));
        let reported = of(&cases, Cut::Dev, 1.0).len();
        assert_eq!(reported, 40, "{}", record["label"]);
        let choices = record["choices"].as_array().unwrap();
        let Some(chosen) = choices.iter().find(|choice| choice["what"] == "scale") else {
            continue;
        };
        scaled += 1;
        assert_eq!(chosen["users"], LEAST, "{chosen}");
        assert_eq!(chosen["cut"], "calibration");
        for scale in [1.0, SCALE] {
            assert_eq!(of(&cases, Cut::Calibration, scale).len(), LEAST, "{scale}");
        }
        // Who is reported is scored once more where another scale than 1 was chosen, and there alone.
        let again = of(&cases, Cut::Dev, SCALE).len();
        let value = chosen["value"].as_f64().unwrap() as f32;
        let expected = if value == 1.0 { 0 } else { reported };
        assert_eq!(again, expected, "of those reported at the scale {value}");
        assert!([1.0, SCALE].contains(&value), "{value}");
    }
    // Of target-only, of the members alone, and of four merges.
    assert!(scaled >= 5, "{scaled} rankings chose a scale");
    whole_histories(at);
    whole_catalogues(at, &study);
    other_scale(at);
}

/// Strata are of all that users had, not of what prompts show of it.
fn whole_histories(at: &Path) {
    let prepared = Prepared::open(at.join("work/prepared/generated/a")).unwrap();
    let histories = Histories::read(&prepared).unwrap();
    let mut lengths: HashMap<(bool, String), u32> = HashMap::new();
    for split in [Split::Validation, Split::Test] {
        for prompt in prepared.prompts(split).unwrap() {
            assert!(prompt.history.len() <= SHOWN as usize);
            let whole = histories.before(split, &prompt).unwrap().len() as u32;
            lengths.insert((split == Split::Test, prompt.user_id), whole);
        }
    }
    let mut longer = 0;
    for folder in rankings(&at.join("work/cells")) {
        for case in cases(&folder) {
            let whole = lengths[&(case.cut.is_reported(), case.user_id.clone())];
            assert_eq!(case.history, whole, "user {}", case.user_id);
            longer += u32::from(case.history > SHOWN);
        }
    }
    assert!(longer > 0, "no history is longer than what is shown");
}

/// A language model over text ranks the whole catalogue, in which the candidates are.
fn whole_catalogues(at: &Path, study: &Value) {
    let items = study["scenarios"][0]["catalogue_items"].as_u64().unwrap();
    assert!((40..=60).contains(&items), "{items}");
    for method in LIKELIHOODS {
        let catalogue = &row(study, method)["catalogue"];
        let [hr, ndcg] = ["hr@10", "ndcg@10"].map(|metric| catalogue[metric]["mean"].as_f64().unwrap());
        assert!((0.0..=hr).contains(&ndcg) && hr <= 1.0, "{method}: {catalogue}");
    }
    let mut seen = 0;
    for folder in rankings(&at.join("work/cells")) {
        let all = cases(&folder);
        for case in of(&all, Cut::Dev, 1.0) {
            let place = case.catalogue.unwrap();
            assert!(u64::from(place.above + place.tied) < items - u64::from(case.history.min(1)));
            if case.tokens.is_empty() {
                continue;
            }
            // Passes of another size may move the last bits of a score.
            let target = case.scores[case.target as usize];
            let clearly = |margin: f32| {
                let above = |score: &&f32| **score > target + margin;
                case.scores.iter().filter(above).count() as u32
            };
            assert!(place.above >= clearly(1e-3), "user {}", case.user_id);
            // As many items of the catalogue are no candidates, at the most all of them are above.
            let others = items as u32 - case.scores.len() as u32;
            assert!(place.above <= clearly(-1e-3) + others, "user {}", case.user_id);
            seen += 1;
        }
    }
    assert!(
        seen >= 40 * LIKELIHOODS.len(),
        "{seen} users were ranked by likelihood"
    );
}

/// Records in which the other scale is the better one by far: the report takes it, and has what stands at 1 beside it.
fn other_scale(at: &Path) {
    let records = at.join("out/records");
    let mut changed = 0;
    for folder in rankings(&records) {
        let mut all = cases(&folder);
        if of(&all, Cut::Calibration, SCALE).is_empty() {
            continue;
        }
        for case in all.iter_mut().filter(|case| case.cut == Cut::Calibration) {
            if case.scale == SCALE {
                case.scores[case.target as usize] = 1e6;
            }
        }
        all.retain(|case| case.cut == Cut::Calibration || case.scale == 1.0);
        let turned: Vec<ScoredCase> = of(&all, Cut::Dev, 1.0).into_iter().cloned().collect();
        all.extend(turned.into_iter().map(|mut case| {
            case.scale = SCALE;
            case.catalogue = None;
            case.scores.iter_mut().for_each(|score| *score = -*score);
            case
        }));
        let path = folder.join("scores.parquet");
        fs::remove_file(&path).unwrap();
        scores::write(&path, &all).unwrap();
        let mut record = record(&folder);
        for choice in record["choices"].as_array_mut().unwrap() {
            if choice["what"] == "scale" {
                choice["value"] = 1.3.into();
            }
        }
        fs::write(folder.join("record.json"), record.to_string()).unwrap();
        changed += 1;
    }
    assert!(changed >= 5, "{changed}");
    let report = [
        "report",
        "--profile",
        "chosen.toml",
        "--records",
        "out/records",
        "--out",
        "turned",
    ];
    succeed(at, &report);
    let study = results(&at.join("turned"));
    for method in ["weaverec", "naive-merge"] {
        let found = row(&study, method);
        let scale = found["runs"][0]["scale"].as_f64().unwrap();
        assert!((scale - f64::from(SCALE)).abs() < 1e-6, "{scale}");
        let primary = &found["metrics"]["ndcg@5"]["mean"];
        assert!(
            found["at_scale_1"].is_number() && found["at_scale_1"] != *primary,
            "{found}"
        );
        let chosen = choice(&study, method, "c").unwrap()["value"].as_str().unwrap();
        assert!(chosen.starts_with("1.3"), "{chosen}");
        assert!(choice(&study, method, "α at c = 1").is_some());
    }
    let claims = study["claims"]["family"].as_array().unwrap();
    let [claim] = claims.as_slice() else {
        panic!("{claims:?}")
    };
    let parts = claim["parts"].as_array().unwrap();
    let names: Vec<&str> = parts.iter().map(|part| part[0].as_str().unwrap()).collect();
    let at_one = format!("naive-merge{AT_ONE}");
    assert_eq!(names, ["naive-merge", at_one.as_str()]);
    assert_ne!(parts[0][1], parts[1][1]);
}

#[test]
fn too_few_users_leave_weights_by_entropy_equal_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let study = reproduce(folder.path(), FEW);
    for row in ["weaverec-entropy", "weaverec-grid"] {
        assert!(choice(&study, row, "λ").is_none(), "{row}");
    }
    let places = |method| &row(&study, method)["runs"][0]["places"];
    assert!(places("weaverec").is_string());
    assert_eq!(places("weaverec-entropy"), places("weaverec"));
    let notes = study["notes"].as_array().unwrap();
    let said = |words: &str| notes.iter().any(|note| note.as_str().unwrap().contains(words));
    assert!(
        said("WeaveRec, λ by entropy are equal and were not chosen"),
        "{notes:?}"
    );
    assert!(said("α is 1 and was not chosen"), "{notes:?}");
    assert!(said("no row WeaveRec + counting"), "{notes:?}");
}
