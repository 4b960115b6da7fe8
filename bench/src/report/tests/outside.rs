//! Rows of other programs, some of which tell less than ours.

use super::*;
use crate::report::fixture::{self, study};
use crate::report::input::{Family, Import, Place, Row};

/// A study with a row of another program that made one run, and one that knows the best of the catalogue alone.
fn with_others(listed: bool) -> Study {
    let mut study = study(5);
    let scenario = &mut study.scenarios[0];
    scenario.catalogue = Some(100);
    let mut row: Row = scenario
        .rows
        .iter()
        .find(|row| row.method == "soup")
        .unwrap()
        .clone();
    (row.method, row.label, row.family) = ("other".into(), "Other".into(), Family::Outside);
    row.runs.truncate(1);
    let run = &mut row.runs[0];
    run.listed = listed;
    (
        run.train_seconds,
        run.train_tokens,
        run.train_steps,
        run.train_flops,
    ) = (0.0, 0, 0, 0.0);
    let mut list = row.clone();
    (list.method, list.label) = ("best".into(), "Best of all".into());
    let run = &mut list.runs[0];
    let places = |place: Place| vec![place; scenario.cases.len()];
    run.places = places(Place::MISS);
    run.catalogue = Some(places(Place { above: 1, tied: 0 }));
    scenario.rows.push(row);
    scenario.lists.push(list);
    study
}

#[test]
fn what_a_list_cannot_tell_is_not_told() {
    let of = |listed: bool| {
        let results = results(&[with_others(listed)]);
        let rows = results["studies"][0]["scenarios"][0]["rows"]
            .as_array()
            .unwrap()
            .clone();
        rows.into_iter().find(|row| row["method"] == "other").unwrap()
    };
    let (whole, listed) = (of(false), of(true));
    assert!(whole["metrics"]["mrr"].is_object() && listed["metrics"]["mrr"].is_null());
    assert_eq!(whole["metrics"]["ndcg@5"], listed["metrics"]["ndcg@5"]);
    assert!(listed["runs"][0]["train_tokens"].is_null() && listed["cost"].as_array().unwrap().is_empty());
    let csv = text(&[with_others(true)], "table.csv");
    let lines = |words: &[&str]| {
        csv.lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    };
    assert_eq!(
        (lines(&[",other,", ",mrr,"]), lines(&[",other,", ",ndcg@5,"])),
        (0, 1)
    );
    assert_eq!((lines(&[",best,"]), lines(&[",best,", ",catalogue"])), (2, 2));
    let report = text(&[with_others(true)], "report.md");
    let row = |label: &str| -> Vec<&str> {
        report
            .lines()
            .filter(|line| line.starts_with(&format!("| {label} |")))
            .collect()
    };
    // Everything of the list but its two levels in the catalogue, where the second place is worth 1 / log2(3).
    let known: Vec<&&str> = ["1.000", "0.631"]
        .iter()
        .filter(|level| row("Best of all").join("").contains(**level))
        .collect();
    // The third line says where the list is kept.
    assert_eq!((known.len(), row("Best of all").len()), (2, 3), "{report}");
    assert!(
        row("Other")
            .iter()
            .all(|line| line.contains('–') || !line.contains("outside")),
        "{report}"
    );
}

#[test]
fn other_programs_are_in_no_claim_and_in_no_family_of_comparisons() {
    let claims = |study: &Study| text(std::slice::from_ref(study), "contrasts.csv");
    assert_eq!(claims(&with_others(false)), claims(&study(5)));
    assert!(!Family::Outside.is_gated() && !Family::Outside.is_tuned() && Family::Outside.competes());
    // Nor do their runs count as replicates of ours.
    let mut more = with_others(false);
    more.scenarios[0].rows.last_mut().unwrap().runs[0].replicate = 11;
    let ours = |study: &Study| {
        let rows = results(std::slice::from_ref(study))["studies"][0]["scenarios"][0]["rows"].clone();
        rows.as_array()
            .unwrap()
            .iter()
            .filter(|row| row["family"] != "outside")
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(ours(&more), ours(&with_others(false)));
}

#[test]
fn a_list_without_places_in_the_catalogue_is_refused() {
    let mut study = with_others(false);
    study.scenarios[0].lists[0].runs[0].catalogue = None;
    let error = format!("{:#}", contents(&[study]).unwrap_err());
    assert!(
        error.contains("row `best`") && error.contains("no places there"),
        "{error}"
    );
    let mut twice = with_others(false);
    twice.scenarios[0].lists[0].method = "other".into();
    let error = format!("{:#}", contents(&[twice]).unwrap_err());
    assert!(error.contains("two rows are named `other`"), "{error}");
}

#[test]
fn a_row_of_another_program_says_by_what_command_it_came_and_what_made_its_file() {
    let mut study = with_others(false);
    let options = "--target Drama --row other --label 'Oth_er' --replicate 0";
    let import = |made_by: Option<&str>| {
        Some(Import {
            options: options.to_owned(),
            file: "ab12".to_owned(),
            made_by: made_by.map(str::to_owned),
        })
    };
    let scenario = &mut study.scenarios[0];
    scenario.rows.last_mut().unwrap().runs[0].import = import(Some("a <program>, seed 2024"));
    scenario.lists[0].runs[0].import = import(None);
    let command = format!("weaverec score import FILE --profile tiny {options}");
    let markdown = text(std::slice::from_ref(&study), "report.md");
    let lines: Vec<&str> = markdown.lines().filter(|line| line.contains(&command)).collect();
    assert_eq!(
        lines,
        [
            format!("- Other, replicate 0: `{command}`; FILE is `ab12`, made by: a \\<program>, seed 2024"),
            format!("- Best of all, replicate 0: `{command}`; FILE is `ab12`, what made it was not said"),
        ]
    );
    let ours = "All of this scenario but rows of other programs: `weaverec reproduce --profile tiny";
    assert!(markdown.contains(ours), "{markdown}");
    let html = text(std::slice::from_ref(&study), "report.html").replace("&#x27;", "'");
    assert!(html.contains(&command) && html.contains("made by: a &lt;program&gt;, seed 2024"));
    let results = results(std::slice::from_ref(&study));
    let scenario = &results["studies"][0]["scenarios"][0];
    let rows = scenario["rows"].as_array().unwrap();
    assert_eq!(
        rows.last().unwrap()["imported"][0]["made_by"],
        "a <program>, seed 2024"
    );
    assert_eq!(scenario["lists"][0]["imported"][0]["file"], "ab12");
    assert!(rows[0].get("imported").is_none());
    // Where all rows are ours, one command makes them all.
    let markdown = text(&[fixture::study(3)], "report.md");
    assert!(markdown.contains("All of this scenario: `") && !markdown.contains("score import"));
}
