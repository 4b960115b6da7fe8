//! Cases for other programs, and files of theirs that are refused.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::outside::{TARGET, import, importing};
use super::reproduce::PROFILE;
use super::{fail, succeed};

#[test]
fn wrong_files_are_refused_one_by_one_and_cases_are_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("tiny.toml"), PROFILE).unwrap();
    cases(at);
    // Random scores of the cases' candidates, as any program would make them.
    let cases = columns(&at.join("cases/cases.parquet"));
    let mut lines: Vec<[String; 3]> = Vec::new();
    for case in cases.iter().filter(|case| case.cut == "dev") {
        let all: BTreeSet<&String> = case.uniform.iter().chain(&case.binned).collect();
        for (number, item) in all.into_iter().enumerate() {
            lines.push([
                case.user.clone(),
                item.clone(),
                format!("{}", (number * 7 % 11) as f64 / 3.0),
            ]);
        }
    }
    let text = |lines: &[[String; 3]]| {
        let lines = lines.iter().map(|line| line.join(","));
        let all: Vec<String> = std::iter::once("user,item,score".to_owned())
            .chain(lines)
            .collect();
        all.join("\n")
    };
    let (user, item) = (lines[0][0].clone(), lines[0][1].clone());
    let refused = |file: &str, content: &str, options: &[&str], words: &[&str]| {
        fs::write(at.join(file), content).unwrap();
        let error = fail(at, &importing(file, "other", options));
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
    };
    let candidates = ["--scope", "candidates"];
    let with = |line: &str| format!("{}\n{line}\n", text(&lines));
    let last = format!("line {}", lines.len() + 2);
    for (content, words) in [
        (
            with(&format!("nobody,{item},1")),
            vec![last.as_str(), "\"nobody\" is no user", "cases.parquet"],
        ),
        (
            with(&format!("{user},nothing,1")),
            vec![&last, "\"nothing\" is no item", "items.parquet"],
        ),
        (with(&lines[0].join(",")), vec!["twice", &user]),
        (with(&format!("{user},{item},NaN")), vec![&last, "NaN", &user]),
        (with(&format!("{user},{item},inf")), vec![&last, "inf"]),
        (with(&format!("{user},{item},much")), vec![&last, "is no number"]),
        (
            "who,what,how\n1,2,3\n".to_owned(),
            vec!["who, what, how", "user, item and score"],
        ),
    ] {
        refused("wrong.csv", &content, &candidates, &words);
    }
    let without: Vec<[String; 3]> = lines.iter().filter(|line| line[0] != user).cloned().collect();
    refused(
        "wrong.csv",
        &text(&without),
        &candidates,
        &["1 of the", "are not in it", &user],
    );
    let short: Vec<[String; 3]> = lines
        .iter()
        .enumerate()
        .filter(|(place, line)| line[0] != user || *place < 3)
        .map(|(_, line)| line.clone())
        .collect();
    refused(
        "wrong.csv",
        &text(&short),
        &candidates,
        &[&user, "3 items", "--allow-short"],
    );
    let own: BTreeSet<&String> = lines
        .iter()
        .filter(|line| line[0] == user)
        .map(|line| &line[1])
        .collect();
    let items = fs::read_to_string(at.join("cases/recbole/a.item")).unwrap();
    let items: Vec<&str> = items
        .lines()
        .skip(1)
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    let case = cases.iter().find(|case| case.user == user).unwrap();
    let strange = items
        .iter()
        .find(|item| !own.contains(&(**item).to_owned()) && !case.history.contains(&(**item).to_owned()));
    refused(
        "wrong.csv",
        &with(&format!("{user},{},1", strange.unwrap())),
        &candidates,
        &["none of the user's candidates"],
    );

    // Ranked lists of all items.
    let dev: Vec<&Case> = cases.iter().filter(|case| case.cut == "dev").collect();
    let lists = |of: &dyn Fn(&Case) -> Vec<String>| {
        let lines = dev
            .iter()
            .map(|case| format!("{},{}", case.user, of(case).join(" ")));
        std::iter::once("user,items".to_owned())
            .chain(lines)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let every = lists(&|_| items.iter().map(|item| (*item).to_owned()).collect());
    let (kept, excluded) = (
        ["--scope", "catalogue", "--history", "kept"],
        ["--scope", "catalogue", "--history", "excluded"],
    );
    refused(
        "lists.csv",
        &every,
        &excluded,
        &["of the user's history", "--history kept"],
    );
    refused(
        "lists.csv",
        &format!("{every}\n{user},{item}\n"),
        &kept,
        &["has a list already", &user],
    );
    let few = lists(&|case| case.history.iter().take(12).cloned().collect());
    refused(
        "lists.csv",
        &few,
        &kept,
        &["0 items", "of the history, and taken away"],
    );
    fs::write(at.join("lists.csv"), &every).unwrap();
    let missing = fail(at, &importing("lists.csv", "other", &["--scope", "catalogue"]));
    assert!(missing.contains("--history"), "{missing}");
    for (name, words) in [("weaverec", "a row of this program"), ("Upper", "lower-case")] {
        let error = fail(at, &importing("lists.csv", name, &kept));
        assert!(error.contains(words), "{error}");
    }
    let no_file = fail(at, &importing("nowhere.csv", "other", &kept));
    assert!(no_file.contains("nowhere.csv"), "{no_file}");
    let elsewhere = [
        "score",
        "import",
        "lists.csv",
        "--row",
        "x",
        "--label",
        "x",
        "--out",
        "out",
        "--profile",
        "tiny.toml",
    ];
    let nobody = fail(
        at,
        &[&elsewhere[..], &["--target", "z", "--scope", "candidates"]].concat(),
    );
    assert!(nobody.contains("has a domain z"), "{nobody}");

    // A value that is not there.
    let texts = |values: Vec<Option<&str>>| std::sync::Arc::new(StringArray::from(values)) as ArrayRef;
    let scores = Float64Array::from(vec![Some(1.0), None]);
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("user_id", texts(vec![Some(&user), Some(&user)]), true),
        ("item_id", texts(vec![Some(&item), Some(&item)]), true),
        ("score", std::sync::Arc::new(scores) as ArrayRef, true),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(
        File::create(at.join("null.parquet")).unwrap(),
        batch.schema(),
        None,
    )
    .unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let error = fail(at, &importing("null.parquet", "other", &candidates));
    assert!(
        error.contains("row 2") && error.contains("score has no value"),
        "{error}"
    );

    // What was refused left nothing behind, and what is right is taken.
    assert!(!at.join("work/cells/outside").exists() && !at.join("out").exists());
    let whole = import(at, "lists.csv", "other", &kept);
    assert_eq!(whole["told"]["extent"], "whole");
    fs::write(at.join("right.csv"), text(&lines)).unwrap();
    let error = fail(
        at,
        &importing(
            "right.csv",
            "other",
            &["--scope", "candidates", "--replicate", "1"],
        ),
    );
    assert!(
        error.contains("another --history") || error.contains("another --scope"),
        "{error}"
    );
    import(at, "right.csv", "another", &candidates);
    assert_eq!(fs::read_dir(at.join("out/records/outside")).unwrap().count(), 2);
}

/// Exports the cases of `a`, with what is promised of them.
fn cases(at: &Path) {
    let export = |more: &[&'static str]| [&["cases", "export", "--out", "cases"][..], &TARGET, more].concat();
    succeed(at, &export(&[]));
    let there = fail(at, &export(&[]));
    assert!(there.contains("is there already"), "{there}");
    let manifest = |folder: &str| -> Value {
        serde_json::from_slice(&fs::read(at.join(folder).join("cases.json")).unwrap()).unwrap()
    };
    let plain = manifest("cases");
    assert_eq!(
        (&plain["targets"], &plain["warning"]),
        (&false.into(), &Value::Null)
    );
    assert_eq!(plain["asked"]["target"], "a");
    let cases = columns(&at.join("cases/cases.parquet"));
    assert!(
        cases
            .iter()
            .all(|case| case.target.is_none() && !case.history.is_empty() && case.uniform.len() == 10)
    );
    let cuts: BTreeSet<&str> = cases.iter().map(|case| case.cut.as_str()).collect();
    assert_eq!(cuts, BTreeSet::from(["calibration", "dev", "selection"]));
    // What is trained on holds no target: as many lines as the items are said to occur in the training part.
    let interactions = fs::read_to_string(at.join("cases/recbole/a.inter")).unwrap();
    let count = |file: &Path| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let counts = batches.iter().map(|batch| {
            let column = batch.column_by_name("train_count").unwrap();
            column
                .as_primitive::<arrow::datatypes::UInt32Type>()
                .values()
                .iter()
                .sum::<u32>()
        });
        counts.sum::<u32>() as usize
    };
    assert_eq!(
        interactions.lines().count() - 1,
        count(&at.join("cases/items.parquet"))
    );

    succeed(at, &export(&["--force", "--with-targets"]));
    let told = manifest("cases");
    assert!(told["warning"].as_str().unwrap().contains("targets") && told["cases"] == plain["cases"]);
    let with = columns(&at.join("cases/cases.parquet"));
    for case in &with {
        let target = case.target.as_ref().unwrap();
        assert!(case.uniform.contains(target) && !case.history.contains(target));
    }
    // The prepared folder alone, cut by the same seed, has the same users in more parts of them.
    let prepared = fs::read_dir(at.join("work/prepared/generated")).unwrap();
    let prepared: Vec<String> = prepared
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    let of_a = prepared
        .iter()
        .find(|folder| Path::new(folder).ends_with("a"))
        .unwrap();
    succeed(at, &["cases", "export", "--prepared", of_a, "--out", "of-folder"]);
    let users = |cases: &[Case]| -> BTreeSet<String> {
        cases
            .iter()
            .filter(|case| case.cut == "dev")
            .map(|case| case.user.clone())
            .collect()
    };
    assert!(users(&columns(&at.join("of-folder/cases.parquet"))).is_superset(&users(&with)));
}

/// A row of `cases.parquet`.
struct Case {
    user: String,
    cut: String,
    history: Vec<String>,
    uniform: Vec<String>,
    binned: Vec<String>,
    target: Option<String>,
}

fn columns(path: &Path) -> Vec<Case> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let mut cases = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let text = |name: &str, row: usize| {
            batch
                .column_by_name(name)
                .unwrap()
                .as_string::<i32>()
                .value(row)
                .to_owned()
        };
        let list = |name: &str, row: usize| -> Vec<String> {
            let items = batch.column_by_name(name).unwrap().as_list::<i32>().value(row);
            items
                .as_string::<i32>()
                .iter()
                .map(|item| item.unwrap().to_owned())
                .collect()
        };
        for row in 0..batch.num_rows() {
            cases.push(Case {
                user: text("user", row),
                cut: text("cut", row),
                history: list("history", row),
                uniform: list("uniform", row),
                binned: list("binned", row),
                target: batch.column_by_name("target").map(|_| text("target", row)),
            });
        }
    }
    cases
}
