//! Every row that is fitted, from a prepared folder to titles.

use std::fs;

use serde_json::{Value, json};
use weaverec_bench::method::{self, How};
use weaverec_pipeline::prepared::Prepared;

use super::super::succeed;
use super::{prepared, read};

/// Sizes with which a fit is done in a moment, of whichever systems have them.
const TINY: [(&str, &str); 11] = [
    ("width", "16"),
    ("inner", "16"),
    ("hidden", "16"),
    ("blocks", "1"),
    ("layers", "1"),
    ("heads", "2"),
    ("length", "10"),
    ("history", "10"),
    ("codes.size", "8"),
    ("loss.sampled.negatives", "8"),
    ("loss.gbce.negatives", "8"),
];

/// What is given for a row beside the folder that it is fitted to.
fn settings(row: &str) -> Option<(Vec<String>, bool)> {
    let How::Fitted { system } = method::named(row).unwrap().how() else {
        return None;
    };
    let system = system();
    let json = serde_json::to_value(&system).unwrap();
    let has = |name: &str| name.split('.').try_fold(&json, |at, part| at.get(part)).is_some();
    let mut given = Vec::new();
    for (key, value) in TINY.into_iter().filter(|(key, _)| has(key)) {
        given.extend(["--set".to_owned(), format!("{key}={value}")]);
    }
    if system.needs().sources {
        given.extend(["--source", "prepared/films"].map(str::to_owned));
    }
    Some((given, system.is_zero_shot()))
}

#[test]
fn every_row_that_is_fitted_goes_from_a_prepared_folder_to_metrics_and_to_ten_titles() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepared(at);
    let home = Prepared::open(at.join("prepared/home")).unwrap();
    let items = home.items().unwrap();
    let history = [&items[0].item_id, &items[1].item_id];
    fs::write(at.join("one.json"), json!({ "history": history }).to_string()).unwrap();
    let rows: Value = serde_json::from_str(&succeed(at, &["methods", "--json"])).unwrap();
    let mut fitted = 0;
    for row in rows.as_array().unwrap() {
        let name = row["id"].as_str().unwrap();
        let Some((given, is_zero_shot)) = settings(name) else {
            continue;
        };
        fitted += 1;
        let plain = ["fit", "prepared/home", "--method", name, "--out", name];
        let short = ["--epochs", "2", "--users", "20", "--threads", "2"];
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        succeed(at, &[&plain[..], &short, &given].concat());
        let about = read(&at.join(name).join("fitted.json"));
        assert_eq!(about["method"], name);
        assert!(about["steps"].as_u64().unwrap() > 0, "{name}: {about}");
        let looks = about["epochs"]["ndcg"].as_array().unwrap().len();
        assert_eq!(looks == 0, is_zero_shot, "{name}: {about}");

        let rank = ["rank", "prepared/home", "--model-folder", name, "--users", "20"];
        let ranked: Value = serde_json::from_str(&succeed(at, &rank)).unwrap();
        assert!(ranked["users"].as_u64().unwrap() > 0, "{name}: {ranked}");
        assert_eq!(ranked["catalogue"]["items"], items.len(), "{name}");
        for of in [&ranked["metrics"], &ranked["catalogue"]["metrics"]] {
            let value = of["ndcg@10"]["value"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&value), "{name}: {ranked}");
        }

        let recommend = ["recommend", "one.json", "--model-folder", name];
        let answer: Value = serde_json::from_str(&succeed(at, &recommend)).unwrap();
        let best = answer["ranking"].as_array().unwrap();
        assert_eq!(best.len(), 10, "{name}: {answer}");
        assert!(
            best.iter().all(|one| !one["title"].as_str().unwrap().is_empty()),
            "{name}: {answer}"
        );
        let scores: Vec<f64> = best.iter().map(|one| one["score"].as_f64().unwrap()).collect();
        assert!(
            scores.is_sorted_by(|one, other| one >= other),
            "{name}: {scores:?}"
        );
        // A recommender that tells nothing apart would pass all of this.
        assert!(scores[0] > scores[9], "{name}: {scores:?}");
        let own: Vec<&str> = best.iter().map(|one| one["items"][0].as_str().unwrap()).collect();
        assert!(
            history.iter().all(|item| !own.contains(&item.as_str())),
            "{name}: {own:?}"
        );
    }
    assert!(fitted >= 13, "{fitted}");
}
