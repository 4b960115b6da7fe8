//! Numbers that were computed by hand.

use super::*;
use crate::claim::decision::Standing;
use crate::metric::Metric;
use crate::report::analysis::Analysis;
use crate::report::fixture::{at, set, study};

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12, "{a} is not {b}");
}

/// Two users, two replicates, three candidates.
fn tiny() -> Study {
    let run = |replicate, places: [Place; 2]| Run {
        replicate,
        candidate_hash: "x".to_owned(),
        places: places.to_vec(),
        ..Run::default()
    };
    let row = |method: &str, family, runs: Vec<Run>| Row {
        method: method.to_owned(),
        label: method.to_owned(),
        family,
        deterministic: runs.len() == 1,
        runs,
    };
    let tied = Place { above: 0, tied: 2 };
    let mut study = study(2);
    let scenario = &mut study.scenarios[0];
    scenario.candidates = 3;
    scenario.candidate_hash = "x".to_owned();
    scenario.cases.truncate(2);
    scenario.rows = vec![
        // A constant scorer: everything ties.
        row("constant", Family::Floor, vec![run(0, [tied, tied])]),
        row(
            "target-only",
            Family::Single,
            vec![run(0, [at(1), at(3)]), run(1, [at(2), at(3)])],
        ),
        row(
            "weaverec",
            Family::Woven,
            vec![
                run(0, [at(1), at(1)]),
                run(1, [at(1), Place { above: 1, tied: 1 }]),
            ],
        ),
    ];
    study
}

#[test]
fn ties_count_by_their_expectation_with_the_pessimistic_value_beside_it() {
    let study = tiny();
    let analysis = Analysis::new(&study, &study.scenarios[0], Standing::Claim).unwrap();
    let m = analysis.primary();
    let second = 1.0 / 3f64.log2();
    let constant = &analysis.rows[0].estimates[m];
    close(constant.mean, (1.0 + second + 0.5) / 3.0);
    close(constant.mean, analysis.chance[m]);
    close(constant.pessimistic, 0.5);
    close(analysis.rows[0].tied_share, 1.0);
    // Means of the runs: (1 + ½) / 2 and (1/log₂3 + ½) / 2.
    let target = &analysis.rows[1].estimates[m];
    close(target.runs[0], 0.75);
    close(target.runs[1], (second + 0.5) / 2.0);
    close(target.mean, (0.75 + (second + 0.5) / 2.0) / 2.0);
    close(target.sd.unwrap(), (1.0 - second) / 2.0 / 2f64.sqrt());
    // Tied on ranks 2 and 3: the mean of the two.
    let woven = &analysis.rows[2].estimates[m];
    close(woven.runs[1], (1.0 + (second + 0.5) / 2.0) / 2.0);
    close(woven.pessimistic, (1.0 + 1.0 + 1.0 + 0.5) / 4.0);
    close(analysis.rows[2].tied_share, 0.25);
    let mrr = analysis.position(Metric::Mrr).unwrap();
    close(
        analysis.rows[2].estimates[mrr].mean,
        (1.0 + 1.0 + 1.0 + (0.5 + 1.0 / 3.0) / 2.0) / 4.0,
    );
}

#[test]
fn differences_are_paired_by_replicate_and_user() {
    let study = tiny();
    let analysis = Analysis::new(&study, &study.scenarios[0], Standing::Claim).unwrap();
    let second = 1.0 / 3f64.log2();
    // D = [[0, ½], [1 − g, (g + ½)/2 − ½]] with g the gain of rank 2.
    let differences = [0.0, 0.5, 1.0 - second, (second + 0.5) / 2.0 - 0.5];
    let versus = analysis.rows[2].versus.as_ref().unwrap();
    close(versus.mean, differences.iter().sum::<f64>() / 4.0);
    assert_eq!((versus.replicates, versus.users), (2, 2));
    // The users-only interval: means over replicates, t with one degree of freedom (12.7062047361747).
    let by_user = [
        (differences[0] + differences[2]) / 2.0,
        (differences[1] + differences[3]) / 2.0,
    ];
    let half = 12.706_204_736_174_7 * (by_user[0] - by_user[1]).abs() / 2.0;
    let users_only = versus.users_only.unwrap();
    assert!(
        (users_only.high - versus.mean - half).abs() < 1e-9,
        "{users_only:?}"
    );
    assert!(
        analysis.rows[1].versus.is_none(),
        "the baseline has no difference to itself"
    );
}

#[test]
fn without_the_targets_own_adapter_rows_are_described_beside_the_best_floor() {
    let mut study = study(3);
    for method in ["target-only", "weaverec"] {
        fixture::remove(&mut study.scenarios[0], method);
    }
    study.claims.kinds.clear();
    let popularity = "Popularity (the highest floor on these very users)";
    let all = text(std::slice::from_ref(&study), "report.md");
    assert!(
        all.contains(&format!("each row minus {popularity} in NDCG@5")),
        "{all}"
    );
    let html = text(std::slice::from_ref(&study), "report.html");
    assert!(html.contains(&format!("Each row minus {popularity} in NDCG@5")));
    let results = results(std::slice::from_ref(&study));
    assert_eq!(results["studies"][0]["scenarios"][0]["baseline"], "popularity");
    {
        let analysis = Analysis::new(&study, &study.scenarios[0], Standing::Claim).unwrap();
        let (soup, floor) = (
            analysis.find("soup").unwrap(),
            analysis.find("popularity").unwrap(),
        );
        let versus = analysis.rows[soup].versus.as_ref().unwrap();
        close(versus.mean, analysis.level(soup) - analysis.level(floor));
        assert!(analysis.rows[floor].versus.is_none());
    }
    // The one that validation users chose, though another is higher here; without a floor there is nothing to stand beside.
    let beside = |study: &Study| {
        let analysis = Analysis::new(study, &study.scenarios[0], Standing::Claim).unwrap();
        (analysis.beside_what(), table::differences(&analysis).is_some())
    };
    study.scenarios[0].best_floor = Some("random".to_owned());
    let random = "Random (the best floor on validation)".to_owned();
    assert_eq!(beside(&study), (Some(random), true));
    study.scenarios[0].best_floor = None;
    study.scenarios[0].rows.retain(|row| row.family != Family::Floor);
    assert_eq!(beside(&study), (None, false));
}

#[test]
fn a_deterministic_row_counts_for_every_replicate() {
    let study = tiny();
    let analysis = Analysis::new(&study, &study.scenarios[0], Standing::Claim).unwrap();
    let constant = analysis.rows[0].versus.as_ref().unwrap();
    assert_eq!((constant.replicates, constant.users), (2, 2));
    let m = analysis.primary();
    close(
        constant.mean,
        analysis.rows[0].estimates[m].mean - analysis.rows[1].estimates[m].mean,
    );
    assert!(constant.p.is_some());
}

#[test]
fn a_row_without_some_replicates_is_paired_on_those_it_has() {
    let mut study = study(5);
    let soup = study.scenarios[0]
        .rows
        .iter_mut()
        .find(|row| row.method == "soup")
        .unwrap();
    soup.runs.retain(|run| run.replicate % 2 == 0);
    let analysed = Analysed::new(&study).unwrap();
    let decision = analysed
        .planned
        .as_ref()
        .unwrap()
        .decision("comedy-to-drama", "soup")
        .unwrap();
    assert_eq!(decision.contrast.replicates, 3);
    assert_eq!(decision.standing, Standing::Indicated);
    assert!(
        heading::of_study(&study)
            .iter()
            .any(|text| text.starts_with("3 of 5 replicates"))
    );
}

#[test]
fn targets_that_were_not_ranked_score_nothing() {
    let mut study = study(3);
    let row = &mut study.scenarios[0].rows[4];
    for run in &mut row.runs {
        run.places.iter_mut().for_each(|place| *place = Place::MISS);
    }
    let analysis = Analysis::new(&study, &study.scenarios[0], Standing::Claim).unwrap();
    for estimate in &analysis.rows[4].estimates {
        assert_eq!((estimate.mean, estimate.pessimistic), (0.0, 0.0));
    }
}

#[test]
fn chance_members_and_probes_compete_with_nobody() {
    let mut study = study(5);
    for method in ["hybrid:Comedy", "next-id"] {
        set(&mut study.scenarios[0], method, |_, _| 1);
    }
    let analysed = Analysed::new(&study).unwrap();
    let analysis = &analysed.scenarios[0];
    for table in [
        table::primary(analysis, analysed.planned.as_ref()),
        table::accuracy(analysis),
        table::matrix(&Summary::new(std::slice::from_ref(&analysed))),
    ] {
        assert!(
            table
                .rows
                .iter()
                .all(|row| row[0].text != "Next id" && row[0].text != "Hybrid Drama+Comedy")
        );
        assert_eq!(table.rows[0][0].text, "Chance");
        assert!(table.rows[0].iter().all(|cell| !cell.best && !cell.second));
        let best: Vec<&str> = table
            .rows
            .iter()
            .filter(|row| row.iter().any(|cell| cell.best))
            .map(|row| row[0].text.as_str())
            .collect();
        assert!(best.contains(&"WeaveRec"), "{best:?}");
    }
}

#[test]
fn the_matrix_has_a_gap_where_a_method_is_not_in_a_scenario() {
    let mut study = study(5);
    let mut second = study.scenarios[0].clone();
    second.name = "other".to_owned();
    second.sources.push("Action".to_owned());
    fixture::remove(&mut second, "soup");
    study.scenarios.insert(0, second);
    let analysed = [Analysed::new(&study).unwrap()];
    let summary = Summary::new(&analysed);
    let matrix = table::matrix(&summary);
    assert_eq!(matrix.columns[1].title, "Comedy + Action → Drama");
    let soup = matrix.rows.iter().find(|row| row[0].text == "Soup").unwrap();
    assert_eq!(soup[1].text, "–");
    assert_eq!(soup[1].value, None);
    assert!(soup[2].text.contains("±"));
    assert!(matrix.rows.iter().all(|row| row.len() == 3));
}
