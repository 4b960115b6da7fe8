//! Recommenders that are fitted: by themselves, killed and gone on with, and asked.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use weaverec_bench::cut::{Cut, Lot};
use weaverec_bench::method::log::Histories;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Prompt, Split};

use super::folder::{Contents, contents};
use super::{fail, succeed, weaverec};

#[path = "fit/every_row.rs"]
mod every_row;
#[path = "fit/study.rs"]
pub(super) mod study;

/// Most runs that are started until one of them is met at work.
const TRIES: usize = 20;

/// A fit that is done in a moment, and learns something.
const FIT: [&str; 12] = [
    "--method",
    "sasrec",
    "--set",
    "width=16",
    "--set",
    "batch_size=16",
    "--set",
    "learning_rate=0.01",
    "--epochs",
    "12",
    "--threads",
    "2",
];

/// Two prepared folders of generated logs.
pub(super) fn prepared(at: &Path) {
    let synth = [
        "datasets",
        "synth",
        "--out",
        "raw",
        "--users",
        "300",
        "--items",
        "80",
        "--domain",
        "home=amazon2014",
        "--domain",
        "films=movielens-csv",
    ];
    succeed(at, &synth);
    for domain in ["home", "films"] {
        let raw = format!("raw/{domain}");
        let description = format!("{raw}/{domain}.toml");
        let prepare = [
            "prepare",
            &description,
            "--raw",
            &raw,
            "--out",
            "prepared",
            "--candidates",
            "10",
        ];
        succeed(at, &prepare);
    }
}

fn fit<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["fit", "prepared/home", "--out", out][..], &FIT, more].concat()
}

/// All files of a recommender but its course, in which times stand.
fn lasting(folder: &Path) -> Contents {
    let mut files = contents(folder);
    assert!(files.remove(Path::new("training.jsonl")).is_some());
    assert!(files.len() >= 4, "{:?}", files.keys());
    files
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Whether a user is in a part that is reported.
fn is_reported(folder: &Prepared, cut_seed: u64, prompt: &Prompt) -> bool {
    let manifest = folder.manifest();
    let domain = manifest.parameters.domain_name(&manifest.dataset);
    Lot::of(cut_seed, &domain, &prompt.user_id).cut().is_reported()
}

/// Users of the selection part, by the key that commands take if they are given none.
fn selection(folder: &Prepared) -> usize {
    let manifest = folder.manifest();
    let domain = manifest.parameters.domain_name(&manifest.dataset);
    let mut users = 0;
    let count = |row: weaverec_pipeline::prepared::PromptRow<'_>| {
        users += usize::from(Lot::of(0, &domain, row.user_id).cut() == Cut::Selection);
        Ok(())
    };
    folder.each_prompt(Split::Validation, count).unwrap();
    assert!(users > 0, "nobody would choose");
    users
}

#[test]
fn a_recommender_is_fitted_ranked_and_asked_and_the_two_agree() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepared(at);
    let help = succeed(at, &["fit", "--help"]);
    assert!(
        help.contains("weaverec fit prepared/shop") && help.contains("bert4rec"),
        "{help}"
    );
    succeed(at, &fit("model", &[]));
    let about = read(&at.join("model/fitted.json"));
    assert_eq!(about["method"], "sasrec");
    assert_eq!(about["system"]["width"], 16);
    assert!(about["positions"].as_u64().unwrap() > 0 && about["flops"].as_f64().unwrap() > 0.0);
    let epochs = &about["epochs"];
    let (best, all) = (epochs["best"].as_u64().unwrap(), epochs["all"].as_u64().unwrap());
    assert!((1..=all).contains(&best) && all <= 12, "{epochs}");
    let home = Prepared::open(at.join("prepared/home")).unwrap();
    assert_eq!(about["chosen_by"], selection(&home));
    let course = fs::read_to_string(at.join("model/training.jsonl")).unwrap();
    assert!(course.lines().any(|line| line.contains("ndcg@10")), "{course}");
    assert!(!at.join("model.checkpoint").exists());

    let ranked = succeed(at, &["rank", "prepared/home", "--model-folder", "model"]);
    let ranked: Value = serde_json::from_str(&ranked).unwrap();
    let items = home.items().unwrap();
    assert_eq!(ranked["catalogue"]["items"], items.len());
    let ndcg = &ranked["metrics"]["ndcg@10"];
    let (value, chance) = (ndcg["value"].as_f64().unwrap(), ndcg["chance"].as_f64().unwrap());
    assert!(value > chance, "{value} after a fit, {chance} by chance");

    // Of every test user on whom nothing was chosen the ten best of all unseen items, by ids.
    let histories = Histories::read(&home).unwrap();
    let id = |item: &u32| items[*item as usize - 1].item_id.clone();
    let all = home.prompts(Split::Test).unwrap();
    let reported: Vec<&Prompt> = all
        .iter()
        .filter(|prompt| is_reported(&home, 0, prompt))
        .collect();
    let asked: Vec<(Vec<String>, String)> = reported
        .iter()
        .map(|prompt| {
            let history = histories.before(Split::Test, prompt).unwrap();
            (history.iter().map(id).collect(), id(&prompt.target))
        })
        .collect();
    assert!(asked.len() < all.len(), "nobody would be left out");
    assert_eq!(ranked["left_out"], all.len() - asked.len());
    let questions: Vec<Value> = asked
        .iter()
        .map(|(history, _)| json!({ "history": history }))
        .collect();
    fs::write(at.join("histories.json"), Value::from(questions).to_string()).unwrap();
    let recommend = ["recommend", "histories.json", "--model-folder", "model"];
    let answers: Vec<Value> = serde_json::from_str(&succeed(at, &recommend)).unwrap();
    assert_eq!(ranked["users"], answers.len());
    let mut hits = 0;
    for (answer, (history, target)) in answers.iter().zip(&asked) {
        let best: Vec<&str> = answer["ranking"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["items"][0].as_str().unwrap())
            .collect();
        assert_eq!(best.len(), 10);
        assert!(best.iter().all(|item| !history.iter().any(|had| had == item)));
        hits += u32::from(best.contains(&target.as_str()));
    }
    let share = f64::from(hits) / answers.len() as f64;
    let hr = ranked["catalogue"]["metrics"]["hr@10"]["value"].as_f64().unwrap();
    assert!(
        (share - hr).abs() < 1e-9,
        "{share} of the lists hold the target, HR@10 is {hr}"
    );

    // The same by titles, among some that are named, for one history alone.
    let once = |title: &&String| items.iter().filter(|item| item.title == **title).count() == 1;
    let titles: Vec<&String> = items
        .iter()
        .map(|item| &item.title)
        .filter(once)
        .take(3)
        .collect();
    let last = items.iter().find(|item| item.title == *titles[2]).unwrap();
    let question = json!({ "history": [titles[0]], "candidates": [titles[1], last.item_id, titles[1]] });
    fs::write(at.join("one.json"), question.to_string()).unwrap();
    let answer = succeed(at, &["recommend", "one.json", "--model-folder", "model"]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let mut named: Vec<&str> = answer["ranking"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["title"].as_str().unwrap())
        .collect();
    named.sort_unstable();
    let mut expected: Vec<&str> = titles[1..].iter().map(|title| title.as_str()).collect();
    expected.sort_unstable();
    assert_eq!(named, expected);
    refused(at, &home);
}

/// What `fit`, `rank` and `recommend` refuse, with what to do about it.
fn refused(at: &Path, home: &Prepared) {
    let error = fail(at, &["rank", "prepared/films", "--model-folder", "model"]);
    let fingerprint = home.fingerprint();
    assert!(
        error.contains(&fingerprint[..12]) && error.contains("weaverec fit prepared/films"),
        "{error}"
    );
    let error = fail(at, &["rank", "prepared/home", "--model-folder", "prepared/home"]);
    assert!(error.contains("fitted.json"), "{error}");
    let error = fail(
        at,
        &[
            "rank",
            "prepared/home",
            "--model-folder",
            "model",
            "--adapter",
            "x",
        ],
    );
    assert!(
        error.contains("--adapter") && error.contains("--model-folder"),
        "{error}"
    );
    fs::write(at.join("strange.json"), r#"{"history": ["no such thing"]}"#).unwrap();
    let error = fail(at, &["recommend", "strange.json", "--model-folder", "model"]);
    assert!(
        error.contains("entry 1 of `history`") && error.contains("items.jsonl"),
        "{error}"
    );
    let error = fail(at, &fit("other", &["--set", "widht=64"]));
    assert!(
        error.contains("nearest is width") && !at.join("other").exists(),
        "{error}"
    );
    let error = fail(at, &fit("other", &["--set", "width"]));
    assert!(error.contains("write a key"), "{error}");
    let error = fail(
        at,
        &["fit", "prepared/home", "--out", "other", "--method", "popularity"],
    );
    assert!(
        error.contains("popularity") && error.contains("gru4rec"),
        "{error}"
    );
    let error = fail(at, &fit("prepared/home/model", &[]));
    assert!(error.contains("a prepared folder"), "{error}");
    fs::create_dir(at.join("theirs")).unwrap();
    fs::write(at.join("theirs/a-year-of-work"), "text").unwrap();
    let error = fail(at, &fit("theirs", &[]));
    assert!(
        error.contains("theirs") && at.join("theirs/a-year-of-work").exists(),
        "{error}"
    );
}

/// A fit over codes of titles that is done in a moment.
const TIGER: [&str; 19] = [
    "--method",
    "tiger",
    "--set",
    "codes.size=8",
    "--set",
    "width=16",
    "--set",
    "inner=32",
    "--set",
    "layers=1",
    "--set",
    "heads=2",
    "--set",
    "batch_size=16",
    "--set",
    "train.learning_rate=0.003",
    "--epochs",
    "4",
    "--threads",
];

#[test]
fn a_row_that_reads_titles_is_fitted_by_those_of_its_folder_ranked_and_asked() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepared(at);
    let of = |out: &'static str, threads: &'static str| {
        let fit = ["fit", "prepared/home", "--out", out];
        succeed(at, &[&fit[..], &TIGER, &[threads]].concat());
    };
    of("model", "2");
    of("again", "1");
    assert!(lasting(&at.join("model")) == lasting(&at.join("again")));
    let about = read(&at.join("model/fitted.json"));
    assert_eq!(about["method"], "tiger");
    assert_eq!(about["system"]["codes"]["size"], 8);
    assert_eq!(about["vectors"]["width"], 256);
    assert!(about["sources"].is_null(), "{about}");
    // What the codes came to is said where it can be seen.
    let levels = about["codes"]["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 3, "{about}");
    let left = |level: &Value| level["error"].as_f64().unwrap();
    assert!(
        levels.windows(2).all(|pair| left(&pair[1]) <= left(&pair[0])),
        "{about}"
    );
    assert!(
        levels.iter().all(|level| level["used"].as_u64().unwrap() <= 8),
        "{about}"
    );
    assert!(about["positions"].as_u64().unwrap() > 0 && about["flops"].as_f64().unwrap() > 0.0);
    assert!(!about["epochs"]["ndcg"].as_array().unwrap().is_empty(), "{about}");

    let ranked = succeed(at, &["rank", "prepared/home", "--model-folder", "model"]);
    let ranked: Value = serde_json::from_str(&ranked).unwrap();
    let home = Prepared::open(at.join("prepared/home")).unwrap();
    let items = home.items().unwrap();
    assert_eq!(ranked["catalogue"]["items"], items.len());
    let ndcg = ranked["catalogue"]["metrics"]["ndcg@10"]["value"]
        .as_f64()
        .unwrap();
    assert!((0.0..=1.0).contains(&ndcg), "{ranked}");
    let question = json!({ "history": [items[0].item_id, items[1].item_id] });
    fs::write(at.join("one.json"), question.to_string()).unwrap();
    let answer = succeed(at, &["recommend", "one.json", "--model-folder", "model"]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let best: Vec<&str> = answer["ranking"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["items"][0].as_str().unwrap())
        .collect();
    assert_eq!(best.len(), 10);
    assert!(!best.contains(&items[0].item_id.as_str()));

    let more = ["--source", "prepared/films", "--out", "other"];
    let error = fail(
        at,
        &[&["fit", "prepared/home", "--method", "tiger"][..], &more].concat(),
    );
    assert!(error.contains("tiger reads the target alone"), "{error}");
    assert!(!at.join("other").exists());
}

#[test]
fn one_seed_comes_to_the_same_weights_on_any_number_of_threads_and_another_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepared(at);
    succeed(at, &fit("one", &["--seed", "3"]));
    let of = ["fit", "prepared/home", "--out", "two", "--seed", "3"];
    succeed(at, &[&of[..], &FIT[..10], &["--threads", "1"]].concat());
    assert!(lasting(&at.join("one")) == lasting(&at.join("two")));
    // Into the same folder again: the earlier one is replaced.
    succeed(at, &fit("two", &["--seed", "4"]));
    assert!(lasting(&at.join("one")) != lasting(&at.join("two")));
    // It is reported by the cut that it was fitted with.
    let home = Prepared::open(at.join("prepared/home")).unwrap();
    let all = home.prompts(Split::Test).unwrap();
    let of = |cut_seed: u64| {
        let reported = all.iter().filter(|prompt| is_reported(&home, cut_seed, prompt));
        reported.count()
    };
    let other = (1..).find(|seed| of(*seed) != of(0)).unwrap();
    succeed(at, &fit("cut", &["--cut-seed", &other.to_string()]));
    let ranked = succeed(at, &["rank", "prepared/home", "--model-folder", "cut"]);
    let ranked: Value = serde_json::from_str(&ranked).unwrap();
    assert_eq!(ranked["users"], of(other));
    // Without users to choose an epoch the last one is kept.
    succeed(at, &fit("all", &["--users", "0"]));
    let about = read(&at.join("all/fitted.json"));
    assert_eq!(about["chosen_by"], 0);
    assert_eq!(about["epochs"]["best"], 12);
}

#[test]
fn a_fit_that_is_killed_goes_on_and_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepared(at);
    succeed(at, &fit("whole", &[]));
    let whole = lasting(&at.join("whole"));
    for attempt in 0..TRIES {
        let out = format!("killed-{attempt}");
        let checkpoint = at.join(format!("{out}.checkpoint/training.safetensors"));
        let mut child = weaverec(at)
            .args(fit(&out, &[]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
        // It may have ended before it was met.
        if at.join(&out).join("fitted.json").exists() || !checkpoint.exists() {
            continue;
        }
        succeed(at, &fit(&out, &[]));
        assert!(lasting(&at.join(&out)) == whole);
        assert!(!at.join(format!("{out}.checkpoint")).exists());
        return;
    }
    panic!("none of {TRIES} fits was met with a checkpoint: the test tests nothing");
}
