//! The same scores read otherwise: other readings, scale 1, the whole catalogue; and what stands beside claims.

use super::findings::{better, contest, findings, noisy};
use super::*;
use crate::metric::Metric;
use crate::report::fixture::{at, set, study};
use crate::report::planned::Finding;
use crate::report::table::Table;

/// The study with three readings more, all as the primary one.
fn read_alike(mut study: Study) -> Study {
    let scenario = &mut study.scenarios[0];
    scenario.readings = Reading::ALL[1..].to_vec();
    for run in scenario.rows.iter_mut().flat_map(|row| &mut row.runs) {
        run.readings = vec![run.places.clone(); 3];
    }
    study
}

fn runs<'a>(study: &'a mut Study, method: &str) -> impl Iterator<Item = &'a mut Run> {
    let rows = &mut study.scenarios[0].rows;
    rows.iter_mut()
        .filter(move |row| row.method == method)
        .flat_map(|row| &mut row.runs)
        .collect::<Vec<_>>()
        .into_iter()
}

/// Gives every target of a row, under one of the other readings, the rank that `rank` says of its replicate and user.
fn reread(study: &mut Study, method: &str, reading: usize, rank: impl Fn(u32, u32) -> u32) {
    for run in runs(study, method) {
        run.readings[reading] = (0..60).map(|user| at(rank(run.replicate, user))).collect();
    }
}

fn analysed(study: &Study) -> Analysed<'_> {
    Analysed::new(study).unwrap()
}

fn cell(table: &Table, label: &str, column: usize) -> String {
    let row = table.rows.iter().find(|row| row[0].text == label).unwrap();
    row[column].text.clone()
}

#[test]
fn a_claim_whose_sign_changes_under_another_reading_depends_on_scoring() {
    let mut study = read_alike(contest(5, better, noisy));
    assert_eq!(findings(&study), [Finding::Held; 4], "all readings agree");
    // Among uniform candidates a soup is better by likelihood.
    reread(&mut study, "soup", 2, |_, _| 1);
    assert_eq!(
        findings(&study),
        [
            Finding::DependsOnScoring,
            Finding::DependsOnScoring,
            Finding::Held,
            Finding::Held
        ]
    );
    let said = said(&study);
    let w = said.iter().find(|text| text.starts_with("Claim W")).unwrap();
    assert!(
        w.contains("(weaving helps): depends on scoring (adjusted p")
            && w.contains(" By content score, binned candidates alone: held. The sign changes: Soup +0.")
            && w.contains(" by raw likelihood, uniform candidates. Against Target-only"),
        "{w}"
    );
    let one = analysed(&study);
    let planned = one.planned.as_ref().unwrap();
    assert_eq!(
        (
            planned.mark("comedy-to-drama", "soup"),
            planned.mark("comedy-to-drama", "longer")
        ),
        ("", "†")
    );
    let table = table::repeated(&one, &one.scenarios[0]).unwrap();
    let turned: Vec<_> = table
        .rows
        .iter()
        .filter(|row| row[3].text.contains("the other sign"))
        .collect();
    assert_eq!(turned.len(), 1);
    assert_eq!(
        (turned[0][1].text.as_str(), turned[0][2].text.as_str()),
        ("Soup", "raw likelihood, uniform candidates")
    );
    let sentence = results(std::slice::from_ref(&study))["summary"]["sentence"].clone();
    assert_eq!(
        sentence,
        "Of 3 claims: 2 held, 1 depends on scoring. The primary claim was W: depends on scoring."
    );
}

#[test]
fn what_is_told_apart_from_nothing_under_no_reading_has_no_sign_to_change() {
    let mut study = read_alike(contest(5, noisy, noisy));
    let before = findings(&study);
    // One user of sixty a little lower than before, one a little higher.
    set(&mut study.scenarios[0], "soup", |replicate, user| {
        if user == 0 { 1 } else { noisy(replicate, user) }
    });
    reread(&mut study, "soup", 0, |replicate, user| {
        if user == 0 { 10 } else { noisy(replicate, user) }
    });
    assert!(!before.contains(&Finding::DependsOnScoring));
    assert!(!findings(&study).contains(&Finding::DependsOnScoring));
    // What is shown under another reading alone is said.
    reread(&mut study, "soup", 0, |_, _| 10);
    assert_eq!(findings(&study)[1], Finding::DependsOnScoring);
}

#[test]
fn a_claim_needs_scale_1_and_says_so() {
    let mut study = contest(5, better, noisy);
    for run in runs(&mut study, "weaverec") {
        run.at_one = Some((0..60).map(|user| at(noisy(run.replicate, user))).collect());
        run.scale = Some(1.3);
    }
    assert!(findings(&study).iter().all(|finding| *finding != Finding::Held));
    let said = said(&study).join(" ");
    assert!(
        said.contains("; Soup +0.") && said.contains("; Soup at c = 1 0.000"),
        "{said}"
    );
    let one = analysed(&study);
    let summary = Summary::new(std::slice::from_ref(&one));
    let matrix = table::matrix(&summary);
    assert!(
        matrix.rows.iter().flatten().all(|cell| cell.mark.is_empty()),
        "nor is it marked"
    );
    let planned = table::planned(&one, &one.scenarios[0]).unwrap();
    assert!(
        planned
            .rows
            .iter()
            .any(|row| row[1].text.starts_with("Longer at c = 1"))
    );
    // A scale that does as well at 1 takes nothing away.
    for run in runs(&mut study, "weaverec") {
        run.at_one = Some(run.places.clone());
    }
    assert_eq!(findings(&study), [Finding::Held; 4]);
    let contrasts = text(std::slice::from_ref(&study), "contrasts.csv");
    let scales = |scale: &str| {
        contrasts
            .lines()
            .filter(|line| line.ends_with(&format!(",content/binned,{scale}")))
            .count()
    };
    assert_eq!((scales("1"), scales("chosen")), (8, 8));
}

#[test]
fn every_row_is_shown_under_every_reading_and_popularity_on_each_protocol() {
    let mut study = read_alike(study(3));
    reread(&mut study, "popularity", 1, |_, _| 1);
    reread(&mut study, "popularity", 2, |_, _| 1);
    let one = analysed(&study);
    let table = table::readings(&one.scenarios[0]).unwrap();
    let heads: Vec<&str> = table.columns.iter().map(|column| column.title.as_str()).collect();
    assert_eq!(
        heads,
        [
            "Method",
            "content score, binned candidates",
            "raw likelihood, binned candidates",
            "content score, uniform candidates",
            "raw likelihood, uniform candidates"
        ]
    );
    assert_eq!(
        (cell(&table, "Popularity", 2), cell(&table, "Popularity", 3)),
        ("0.517".into(), "1.000".into())
    );
    assert!(
        table
            .caption
            .ends_with("Popularity alone stands at 0.517 on binned candidates and at 1.000 on uniform candidates, where chance is 0.295"),
        "{}",
        table.caption
    );
    let levels = text(std::slice::from_ref(&study), "table.csv");
    let of = |reading: &str| {
        levels
            .lines()
            .filter(|line| line.ends_with(&format!(",{reading}")))
            .count()
    };
    assert_eq!((of("content/binned"), of("likelihood/uniform")), (14 * 8, 14));
    // With one reading and one scale there is nothing to show.
    let plain = fixture::study(3);
    assert!(table::readings(&analysed(&plain).scenarios[0]).is_none());
}

#[test]
fn rows_that_ranked_the_catalogue_have_a_table_of_it() {
    let mut study = study(3);
    assert!(table::catalogue(&analysed(&study).scenarios[0]).is_none());
    study.scenarios[0].catalogue = Some(1_000);
    for run in runs(&mut study, "popularity") {
        run.catalogue = Some(
            (0..60)
                .map(|user| at(if user % 2 == 0 { 3 } else { 500 }))
                .collect(),
        );
    }
    let one = analysed(&study);
    let table = table::catalogue(&one.scenarios[0]).unwrap();
    let rows: Vec<&str> = table.rows.iter().map(|row| row[0].text.as_str()).collect();
    assert_eq!(rows, ["Chance", "Popularity"]);
    assert_eq!(table.rows[1][1].value, Some(0.5));
    assert_eq!(table.rows[1][2].value, Some(0.25));
    assert_eq!(table.rows[0][1].value, Some(Metric::Hr(10).chance(1_000)));
    for name in ["report.md", "report.html", "table.tex"] {
        assert!(
            text(std::slice::from_ref(&study), name).contains("The whole catalogue of Drama"),
            "{name}"
        );
    }
}

#[test]
fn rows_of_another_compute_than_the_woven_one_are_footnoted_with_how_much() {
    let mut study = study(5);
    for run in runs(&mut study, "longer") {
        run.train_tokens = 131_000;
    }
    let said = said(&study);
    let compute = said
        .iter()
        .find(|text| text.starts_with("Not of the same compute"))
        .unwrap();
    // The woven row has 120 k tokens.
    assert!(
        compute.contains("Soup 0.75× the tokens") && compute.contains("Naive merge 0.58× the tokens"),
        "{compute}"
    );
    assert!(!compute.contains("Longer"), "within 10 %: {compute}");
    let one = analysed(&study);
    let planned = table::planned(&one, &one.scenarios[0]).unwrap();
    let against: Vec<&str> = planned.rows.iter().map(|row| row[1].text.as_str()).collect();
    assert_eq!(against[1..3], ["Soup (0.75× the tokens)", "Longer"]);
    let table = table::compute(&one.scenarios[0], "weaverec").unwrap();
    assert_eq!(
        (cell(&table, "Soup", 1), cell(&table, "Longer", 1)),
        ("not matched: −25 %".into(), "matched".into())
    );
    let summary = Summary::new(std::slice::from_ref(&one));
    let primary = &summary.families[0].claims[0].parts;
    assert_eq!(
        (primary[1].against.as_str(), primary[2].against.as_str()),
        ("Soup (other compute)", "Longer")
    );
}

#[test]
fn the_deployment_claim_is_counted_apart_and_is_no_tuned_row() {
    let mut study = contest(5, better, noisy);
    study.claims.kinds.push(crate::claim::ClaimKind::D);
    let find = |study: &Study, method: &str| -> Row {
        study.scenarios[0]
            .rows
            .iter()
            .find(|row| row.method == method)
            .unwrap()
            .clone()
    };
    let mut counting = find(&study, "soup");
    (counting.method, counting.label, counting.family) =
        ("counting".into(), "Counting".into(), Family::Floor);
    let mut fused = find(&study, "weaverec");
    (fused.method, fused.label, fused.family) = (
        "weaverec+counting".into(),
        "WeaveRec + counting".into(),
        Family::Fusion,
    );
    study.scenarios[0].rows.extend([counting, fused]);
    let one = analysed(&study);
    let planned = one.planned.as_ref().unwrap();
    assert_eq!(
        (planned.size, planned.deployment_size, planned.deployment.len()),
        (3, 1, 1)
    );
    assert_eq!(planned.deployment[0].finding(), Finding::Held);
    let learned = &one.scenarios[0].learned.comparisons;
    assert!(
        learned
            .iter()
            .all(|one| study.scenarios[0].rows[one.row].family != Family::Fusion)
    );
    let summary = Summary::new(std::slice::from_ref(&one));
    assert_eq!(
        summary.sentence,
        "Of 3 claims: 3 held. The primary claim was W: held. Of 1 deployment claim: 1 held."
    );
    let said = said(&study);
    assert!(
        said.iter().any(|text| text
            .starts_with("Claim D, WeaveRec + counting is better than counting alone (deployment): held")),
        "{said:?}"
    );
}

#[test]
fn rows_beside_the_claims_are_tested_alone_and_a_placebo_that_does_as_well_is_said() {
    let mut study = contest(5, better, noisy);
    let mut placebo = study.scenarios[0]
        .rows
        .iter()
        .find(|row| row.method == "weaverec")
        .unwrap()
        .clone();
    (placebo.method, placebo.label, placebo.family) = ("placebo".into(), "Placebo".into(), Family::Control);
    study.scenarios[0].rows.push(placebo);
    let said = said(&study);
    let beside = said
        .iter()
        .find(|text| text.starts_with("Beside the claims"))
        .unwrap();
    assert_eq!(
        beside,
        "Beside the claims, each tested alone: WeaveRec minus Placebo 0.000 [0.000, 0.000], equivalent (no evidence that the source's order \
         matters)."
    );
}

#[test]
fn parts_of_the_users_and_the_top_are_called_exploratory() {
    let mut study = study(3);
    for run in study.scenarios[0].rows.iter_mut().flat_map(|row| &mut row.runs) {
        run.top = Some(Top {
            coverage: 0.25,
            popularity: 12.0,
        });
    }
    let one = analysed(&study);
    let strata = table::strata(&one.scenarios[0]).unwrap();
    assert!(strata.caption.starts_with("Exploratory: NDCG@5"));
    let heads: Vec<&str> = strata
        .columns
        .iter()
        .map(|column| column.title.as_str())
        .collect();
    // Users 0–59 with targets seen (number mod 30) times and histories of 1 + (number mod 12).
    assert_eq!(
        heads[1..],
        [
            "target seen 0–4× (10)",
            "5–19× (30)",
            "≥ 20× (20)",
            "history 1–4 (20)",
            "5–9 (25)",
            "≥ 10 (15)",
            "item in the training part (58)",
            "not in it (2)"
        ]
    );
    let places = &study.scenarios[0].rows[1].runs[0].places;
    let rare = (0..60)
        .filter(|user| user % 30 < 5)
        .map(|user| Metric::PRIMARY.expected(places[user]));
    let value = strata
        .rows
        .iter()
        .find(|row| row[0].text == "Popularity")
        .unwrap()[1]
        .value
        .unwrap();
    assert!((value - rare.sum::<f64>() / 10.0).abs() < 1e-12);
    let top = table::top(&one.scenarios[0]).unwrap();
    assert!(top.caption.starts_with("Exploratory"));
    assert_eq!(
        (cell(&top, "Soup", 1), cell(&top, "Soup", 2)),
        ("25.0 %".into(), "12.0".into())
    );
    for case in &mut study.scenarios[0].cases {
        (case.popularity, case.history) = (None, None);
    }
    assert!(table::strata(&analysed(&study).scenarios[0]).is_none());
}

#[test]
fn what_the_untuned_model_knows_by_heart_is_said() {
    let mut study = study(3);
    assert!(!said(&study).iter().any(|text| text.contains("to the letter")));
    study.scenarios[0].contamination = Some(Contamination {
        asked: 200,
        recalled: 3,
    });
    assert!(said(&study).iter().any(|text| {
        text.starts_with("The untuned model recalls 3 of 200 next titles of training sequences of Drama")
    }));
}

#[test]
fn choices_of_all_replicates_stand_in_one_line() {
    let mut study = study(3);
    let choice = |replicate, value: &str| Choice {
        scenario: Some("Comedy → Drama".into()),
        row: "weaverec".into(),
        replicate,
        what: "c".into(),
        value: value.into(),
        users: "C (1000 users)".into(),
    };
    study.choices = vec![choice(1, "1.3"), choice(0, "1"), choice(2, "1.3")];
    let table = table::choices(&study).unwrap();
    let texts: Vec<&str> = table.rows[0].iter().map(|cell| cell.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "Comedy → Drama",
            "weaverec",
            "c",
            "1; 1.3; 1.3",
            "C (1000 users)",
            "0, 1, 2"
        ]
    );
    study.choices = vec![choice(0, "1.3"), choice(1, "1.3")];
    assert_eq!(table::choices(&study).unwrap().rows[0][3].text, "1.3");
}

#[test]
fn more_of_the_target_is_held_to_the_tokens_of_the_weave_whose_prompts_it_matches() {
    let mut study = study(3);
    let scenario = &mut study.scenarios[0];
    let mut row = scenario
        .rows
        .iter()
        .find(|row| row.method == "weaverec")
        .unwrap()
        .clone();
    (row.method, row.label, row.family) = (
        "more-target".to_owned(),
        "More target".to_owned(),
        Family::Control,
    );
    row.runs
        .iter_mut()
        .for_each(|run| run.train_tokens = run.train_tokens * 13 / 10);
    scenario.rows.push(row);
    let analysed = Analysed::new(&study).unwrap();
    let table = table::compute(&analysed.scenarios[0], "weaverec").unwrap();
    let row = table
        .rows
        .iter()
        .find(|row| row[0].text == "More target")
        .unwrap();
    assert_eq!(
        (row[1].text.as_str(), row[4].text.as_str()),
        ("not matched: +30 %", "1.30")
    );
}

#[test]
fn weights_within_merges_are_called_equal_only_where_nobody_chose_them() {
    let mut study = study(3);
    let said = |study: &Study| table::choices(study).unwrap().caption;
    assert!(said(&study).contains("are equal and nobody's choice"));
    let mut chosen = study.clone();
    chosen.choices[0].what = "λ".to_owned();
    let caption = said(&chosen);
    assert!(
        !caption.contains("nobody's choice") && caption.contains("λ: weights within a merge"),
        "{caption}"
    );
    // Where nothing is merged, nothing is said of weights.
    for run in study.scenarios[0].rows.iter_mut().flat_map(|row| &mut row.runs) {
        run.members.clear();
    }
    assert!(!said(&study).contains('λ'));
}
