//! Sentences and headings.

use super::*;
use crate::report::fixture::{at, remove, set, study};
use crate::report::learned::Informative;

#[test]
fn the_purpose_is_the_first_thing_said_everywhere() {
    let study = study(5);
    let purpose = "shows how a report reads, claims nothing";
    let report = text(std::slice::from_ref(&study), "report.md");
    assert!(
        report.starts_with(&format!("# Comparison report\n\n> **{purpose}**\n")),
        "{report}"
    );
    assert!(
        terminal::render(std::slice::from_ref(&study), false)
            .unwrap()
            .starts_with(purpose)
    );
}

#[test]
fn where_no_tuned_row_beats_the_best_floor_the_first_sentence_says_so() {
    let mut study = study(5);
    set(&mut study.scenarios[0], "popularity", |_, _| 1);
    let first = said(&study)[0].clone();
    assert!(
        first.starts_with(
            "No tuned row is shown to be better than Popularity (1.000), the highest floor on these very users: \
             the highest of them, WeaveRec (0."
        ),
        "{first}"
    );
    // The floor that validation chose counts, whatever stands highest.
    study.scenarios[0].best_floor = Some("random".to_owned());
    let said = said(&study);
    assert!(!said[0].starts_with("No tuned row"), "{said:?}");
    let beaten = said
        .iter()
        .find(|text| text.starts_with("Better than Random"))
        .unwrap();
    assert!(
        beaten.contains("the best floor on validation: ") && beaten.contains("WeaveRec"),
        "{beaten}"
    );
}

#[test]
fn what_qualifies_levels_stands_in_the_summary_that_other_texts_are_made_of() {
    let mut study = study(3);
    study.scenarios[0].caveats = vec!["Joint ended with its budget".to_owned()];
    let results = results(&[study]);
    assert_eq!(
        results["summary"]["caveats"],
        serde_json::json!(["Comedy → Drama: Joint ended with its budget"])
    );
}

#[test]
fn a_table_in_which_nothing_was_learned_is_headed_so() {
    let mut study = study(5);
    let tuned: Vec<String> = study.scenarios[0]
        .rows
        .iter()
        .filter(|row| row.family.is_tuned())
        .map(|row| row.method.clone())
        .collect();
    let same = |replicate: u32, user: u32| 1 + (user * 7 + replicate) % 10;
    set(&mut study.scenarios[0], "zero-shot", same);
    for method in &tuned {
        set(&mut study.scenarios[0], method, same);
    }
    let informative = |study: &Study| Analysed::new(study).unwrap().scenarios[0].learned.informative;
    assert_eq!(informative(&study), Informative::No);
    for (name, expected) in [
        ("report.md", "> **UNINFORMATIVE AT THIS BUDGET**"),
        ("report.html", "class=\"banner\">uninformative at this budget"),
        ("table.tex", "Uninformative at this budget"),
    ] {
        assert!(text(&[study.clone()], name).contains(expected), "{name}");
    }
    assert!(
        terminal::render(std::slice::from_ref(&study), false)
            .unwrap()
            .contains("*** uninformative at this budget ***")
    );
    // One row that learned is enough.
    set(&mut study.scenarios[0], "longer", |replicate, user| {
        1 + (user + replicate) % 2
    });
    assert_eq!(informative(&study), Informative::Yes);
    // Unless it does as well with another user's history: the row of that name is asked first.
    let mut stranger = study.scenarios[0]
        .rows
        .iter()
        .find(|row| row.method == "longer")
        .unwrap()
        .clone();
    stranger.family = Family::Floor;
    stranger.method = "stranger:longer".to_owned();
    study.scenarios[0].rows.push(stranger.clone());
    assert_eq!(informative(&study), Informative::No);
    assert!(
        said(&study)
            .iter()
            .any(|text| text.contains("and than a tuned one with a stranger's history"))
    );
    study.scenarios[0].rows.pop();
    stranger.method = "stranger".to_owned();
    stranger
        .runs
        .iter_mut()
        .flat_map(|run| &mut run.places)
        .for_each(|place| *place = at(9));
    study.scenarios[0].rows.push(stranger);
    assert_eq!(informative(&study), Informative::Yes);
}

#[test]
fn whether_anything_was_learned_is_not_tested_on_two_replicates_or_without_the_untuned_model() {
    let informative = |study: &Study| Analysed::new(study).unwrap().scenarios[0].learned.informative;
    assert_eq!(informative(&study(3)), Informative::Yes);
    assert_eq!(informative(&study(2)), Informative::Untested);
    let mut without = study(5);
    remove(&mut without.scenarios[0], "zero-shot");
    assert_eq!(informative(&without), Informative::Untested);
    assert!(text(&[without], "report.md").contains("> **NOTHING IS TESTED HERE**"));
}

#[test]
fn a_chance_find_among_many_tuned_rows_does_not_make_a_table_informative() {
    let study = study(5);
    let analysed = Analysed::new(&study).unwrap();
    let tuned = 8.0;
    for one in &analysed.scenarios[0].learned.comparisons {
        let own = one.decision.contrast.p.unwrap();
        assert!((one.decision.p.unwrap() - (own * tuned).min(1.0)).abs() < 1e-15);
    }
}

#[test]
fn headings_say_what_numbers_rest_on() {
    let mut study = study(5);
    assert_eq!(
        heading::of_study(&study),
        ["dev users: those that tuning may see"]
    );
    study.report_on = Cut::Final;
    assert!(heading::of_study(&study).is_empty());
    study.numerics = vec![1, 2];
    let report = text(&[study.clone()], "report.md");
    assert!(
        report.contains("numerics versions 1 and 2 meet in these tables"),
        "{report}"
    );
    study.numerics = vec![2];
    assert!(!text(&[study], "report.md").contains("numerics versions"));
    for (replicates, expected) in [
        (1, "one replicate: everything is described"),
        (2, "2 replicates: everything"),
        (4, "4 replicates: what is shown is indicated"),
    ] {
        let headings = heading::of_study(&fixture::study(replicates));
        assert!(
            headings.iter().any(|text| text.starts_with(expected)),
            "{headings:?}"
        );
    }
}

#[test]
fn ties_of_time_and_leaks_of_ids_are_said() {
    let mut study = study(5);
    set(&mut study.scenarios[0], "next-id", |_, _| 1);
    set(&mut study.scenarios[0], "previous-id", |_, user| 1 + user % 2);
    let all = said(&study);
    assert!(
        all.iter()
            .any(|text| text.starts_with("10.0 % of the targets share their time")
                && text.contains("(ties by hash)")),
        "{all:?}"
    );
    // Half of the users fall from rank 1 to rank 2.
    let leak = all.iter().find(|text| text.starts_with("Ids give away")).unwrap();
    assert!(
        leak.starts_with("Ids give away +0.185 [")
            && leak.ends_with("Next id (1.000) less Previous id (0.815)."),
        "{leak}"
    );
    study.scenarios[0]
        .cases
        .iter_mut()
        .for_each(|case| case.ties = false);
    remove(&mut study.scenarios[0], "previous-id");
    let without = said(&study);
    assert!(
        !without
            .iter()
            .any(|text| text.contains("share their time") || text.starts_with("Ids give"))
    );
}

#[test]
fn planned_contrasts_and_floors_are_repeated_on_descending_users() {
    let study = study(5);
    let analysed = Analysed::new(&study).unwrap();
    let table = table::id_order(&analysed, &analysed.scenarios[0]).unwrap();
    assert!(
        table.caption.contains("the 20 whose last step descends"),
        "{}",
        table.caption
    );
    let rows: Vec<&str> = table.rows.iter().map(|row| row[0].text.as_str()).collect();
    assert_eq!(
        rows,
        [
            "W: WeaveRec minus Target-only",
            "W: WeaveRec minus Soup",
            "W: WeaveRec minus Longer",
            "J: WeaveRec minus Joint, matched",
            "M: WeaveRec minus Naive merge",
            "Random",
            "Popularity",
            "Next id",
            "Previous id",
            "leak: next id minus previous id"
        ]
    );
    // By hand: the mean over the users whose number is a multiple of three.
    let places = &study.scenarios[0].rows[1].runs[0].places;
    let scores = places
        .iter()
        .step_by(3)
        .map(|place| crate::metric::Metric::PRIMARY.expected(*place));
    let mean = scores.sum::<f64>() / 20.0;
    assert!((table.rows[6][2].value.unwrap() - mean).abs() < 1e-12);
}

#[test]
fn choices_say_on_whom_they_were_made_and_environments_how_many_records_each_made() {
    let mut study = study(5);
    study
        .environments
        .push(serde_json::json!({ "revision": "fedc", "dirty": true, "cpu": "other", "records": 3 }));
    let report = text(&[study], "report.md");
    assert!(
        report.contains("| – | weaverec | alpha | 0.75 | C (312 users) | 0 |"),
        "{report}"
    );
    assert!(report.contains("Revision: 0123abcd, fedc (changed)."), "{report}");
    assert!(report.contains("| records | 140 |") && report.contains("| records | 3 |"));
    assert!(report.contains("| cpu | two \\| cores |"));
}

#[test]
fn a_study_that_claims_nothing_says_so() {
    let mut study = study(5);
    study.claims.kinds.clear();
    let report = text(&[study], "report.md");
    assert!(
        report.contains("Nothing was claimed.") && !report.contains("Claim W"),
        "{report}"
    );
}

#[test]
fn columns_of_one_title_are_told_apart_by_their_studies() {
    let (one, mut other) = (study(3), study(3));
    let title = one.scenarios[0].title();
    assert!(text(std::slice::from_ref(&one), "report.md").contains(&format!("| Method | {title} |")));
    other.name = "bursts".into();
    let name = one.name.clone();
    let both = text(&[one, other], "report.md");
    assert!(both.contains(&format!("| Method | {name}: {title} | bursts: {title} |")));
}
