//! What the files of a report hold.

use super::*;
use crate::report::fixture::{at, scenario, study};
use serde_json::json;

#[test]
fn the_markdown_report_reads_as_reviewed() {
    insta::assert_snapshot!(text(&[study(5)], "report.md"));
}

#[test]
fn the_terminal_shows_plain_text_where_nobody_can_see_styles() {
    let shown = terminal::render(&[study(3)], false).unwrap();
    assert!(!shown.contains('\u{1b}'));
    assert!(
        shown
            .lines()
            .all(|line| !line.starts_with('|') || line.chars().count() <= 80),
        "{shown}"
    );
    assert!(
        shown.starts_with("shows how a report reads, claims nothing\n"),
        "{shown}"
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn the_latex_table_reads_as_reviewed() {
    insta::assert_snapshot!(text(&[study(5)], "table.tex"));
}

#[test]
fn the_same_input_gives_the_same_bytes_whatever_the_order_of_users_and_on_any_number_of_threads() {
    let mut shuffled = study(4);
    shuffled.scenarios[0].cases.reverse();
    for run in shuffled.scenarios[0]
        .rows
        .iter_mut()
        .flat_map(|row| &mut row.runs)
    {
        run.places.reverse();
    }
    let first = written(&[study(4)]);
    assert_eq!(written(&[study(4)]), first);
    assert_eq!(written(&[shuffled]), first);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(pool.install(|| written(&[study(4)])), first);
}

#[test]
fn the_html_needs_no_other_file_and_obeys_no_name() {
    let mut study = study(5);
    study.title = "<script>alert(1)</script>".to_owned();
    study.purpose = Some("<i>purpose</i>".to_owned());
    study.environments[0]["cpu"] = json!("<b>cpu</b>");
    study.choices[0].value = "<u>value</u>".to_owned();
    study.scenarios[0].order = "<s>order</s>".to_owned();
    for row in &mut study.scenarios[0].rows {
        row.label = format!("{}<b>", row.label);
    }
    let html = text(&[study], "report.html");
    for tag in [
        "<script>alert",
        "<i>",
        "<b>cpu",
        "<u>value",
        "<s>",
        "Rec<b>",
        "Soup<b>",
    ] {
        assert!(!html.contains(tag), "{tag}");
    }
    assert!(html.contains("WeaveRec&lt;b&gt;"));
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains(" src="));
    assert_eq!(
        html.matches("<svg").count(),
        5,
        "planned contrasts, differences of methods and of members, cost, loss"
    );
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    assert_eq!(
        html.matches("<details").count(),
        html.matches("</details>").count()
    );
    assert!(!html.contains("NaN") && !html.contains("inf\""));
    let purpose = html.find("&lt;i&gt;purpose").unwrap();
    assert!(
        purpose < html.find("<h2>").unwrap(),
        "the purpose is the first thing said"
    );
}

#[test]
fn the_cost_chart_has_ticks_at_one_two_and_five_times_powers_of_ten() {
    let html = text(&[study(5)], "report.html");
    // Training takes 9 to 27 times 10^11 operations.
    for tick in [">5×10¹¹<", ">1×10¹²<", ">2×10¹²<", ">5×10¹²<"] {
        assert!(html.contains(tick), "{tick}");
    }
}

#[test]
fn differences_are_drawn_as_they_are_paired_and_axes_say_what_they_show() {
    let html = text(&[study(5)], "report.html");
    assert!(html.contains("Each row minus Target-only in NDCG@5") && html.contains(">WeaveRec minus<"));
    assert!(!html.contains("<rect class=\"fill"), "no bars of levels");
    for axis in [
        ">difference in NDCG@5<",
        ">training FLOPs a replicate (log scale)<",
        ">loss (nats a token)<",
        ">optimiser steps<",
    ] {
        assert!(html.contains(axis), "{axis}");
    }
}

#[test]
fn folds_and_legends_promise_what_is_there_and_nothing_else() {
    let mut claimless = study(3);
    claimless.claims.kinds.clear();
    let scenario = &mut claimless.scenarios[0];
    scenario.cases.iter_mut().for_each(|case| {
        (case.descends, case.popularity, case.history) = (false, None, None);
    });
    // Two rows that count and learn nothing.
    scenario
        .rows
        .retain(|row| matches!(row.method.as_str(), "random" | "popularity"));
    let shown = |study: &Study, file: &str| text(std::slice::from_ref(study), file);
    let title = "<summary>Every metric, differences and cost</summary>";
    for file in ["report.md", "report.html"] {
        let report = shown(&claimless, file);
        assert!(report.contains(title), "{file}: {report}");
        assert!(!report.contains('†'), "{file} explains marks that nothing has");
        assert!(report.contains("No row is marked"), "{file}: {report}");
    }
    assert!(
        !terminal::render(std::slice::from_ref(&claimless), false)
            .unwrap()
            .contains('†')
    );
    let html = shown(&claimless, "report.html");
    assert!(html.contains("<summary>Charts: differences</summary>"), "{html}");
    // A single row stands beside nothing, and there is no drawing to fold away.
    claimless.scenarios[0].rows.truncate(1);
    let html = shown(&claimless, "report.html");
    assert!(!html.contains("<summary>Charts") && html.contains("<summary>Every metric and cost</summary>"));
    let full = shown(&study(5), "report.html");
    assert!(full.contains("<summary>Charts: differences, cost and loss</summary>") && full.contains('†'));
}

#[test]
fn a_number_can_be_traced_to_its_cells_and_to_the_command_that_makes_it() {
    let (mut study, command) = (study(3), "weaverec reproduce --profile tiny");
    study.scenarios[0].units = vec![2, 4, 5];
    study.scenarios[0].rows[6].runs[1].cells = vec!["rankings/0123".to_owned(), "adapters/4567".to_owned()];
    for file in ["report.md", "report.html"] {
        let report = text(std::slice::from_ref(&study), file).replace("&#x2f;", "/");
        for words in [
            &format!("{command} --units 2,4-5"),
            &command.replace("reproduce", "report"),
            "rankings/0123",
            "adapters/4567",
        ] {
            assert!(report.contains(words), "{file} lacks {words}");
        }
        let summary = &report[..report
            .find("Comedy → Drama (single")
            .or(report.find("<article"))
            .unwrap()];
        assert!(
            summary.contains(command),
            "{file} does not begin with the command"
        );
    }
    assert!(
        terminal::render(std::slice::from_ref(&study), false)
            .unwrap()
            .contains(command)
    );
    let results = results(std::slice::from_ref(&study));
    let scenario = &results["studies"][0]["scenarios"][0];
    assert_eq!(
        scenario["rows"][6]["cells"][1],
        json!(["rankings/0123", "adapters/4567"])
    );
    assert_eq!(scenario["units"], json!([2, 4, 5]));
    // A report that was made otherwise names no command.
    (study.command, study.scenarios[0].units) = (None, Vec::new());
    let report = text(&[study], "report.html");
    assert!(!report.contains("weaverec reproduce") && report.contains("rankings&#x2f;0123"));
}

#[test]
fn the_terminal_shows_every_scenario_side_by_side_as_far_as_a_line_goes() {
    let mut study = study(3);
    for name in ["second", "third", "fourth"] {
        let mut scenario = study.scenarios[0].clone();
        (scenario.name, scenario.target) = (name.to_owned(), format!("Drama, {name}"));
        study.scenarios.push(scenario);
    }
    let shown = terminal::render(&[study], false).unwrap();
    let (above, _) = shown.split_once("\nFilms by genre (profile tiny)").unwrap();
    let rows: Vec<&str> = above
        .lines()
        .filter(|line| line.starts_with("| WeaveRec "))
        .collect();
    assert_eq!(rows.len(), 2, "{above}");
    assert_eq!(rows.join("").matches('±').count(), 4, "{above}");
    assert!(
        shown
            .lines()
            .all(|line| !line.starts_with('|') || line.chars().count() <= 80),
        "{shown}"
    );
    assert!(above.contains("  W: Soup *"), "{above}");
}

#[test]
fn what_all_studies_have_above_them_is_said_once() {
    let (first, mut second) = (study(3), study(3));
    second.name = "other".to_owned();
    let count = |studies: &[Study]| text(studies, "report.html").matches("dev users: those").count();
    assert_eq!(count(&[first.clone(), second.clone()]), 1);
    second.replicates = 4;
    assert_eq!(count(&[first, second]), 3);
}

#[test]
fn two_runs_that_differ_in_time_only_have_the_same_numbers() {
    let (first, mut second) = (study(3), study(3));
    for run in second.scenarios[0].rows.iter_mut().flat_map(|row| &mut row.runs) {
        run.train_seconds *= 3.0;
        run.rank_seconds = None;
        run.peak_memory_bytes = Some(1);
    }
    second.environments[0]["threads"] = json!(64);
    let without_machine = |study: &Study| {
        let mut results = results(std::slice::from_ref(study));
        assert!(results["studies"][0]["environment"].take().is_array());
        for row in results["studies"][0]["scenarios"][0]["rows"]
            .as_array_mut()
            .unwrap()
        {
            assert!(row.as_object_mut().unwrap().remove("cost").is_some());
        }
        results
    };
    assert_eq!(without_machine(&first), without_machine(&second));
    // Two users who change places leave every mean as it is, and still are another run.
    let mut third = first.clone();
    let places = &mut third.scenarios[0].rows[5].runs[1].places;
    let other = (1..places.len())
        .find(|other| places[*other] != places[0])
        .unwrap();
    places.swap(0, other);
    let fingerprint = |study: &Study| {
        results(std::slice::from_ref(study))["studies"][0]["scenarios"][0]["rows"][5]["runs"][1]["places"]
            .clone()
    };
    assert_eq!(fingerprint(&first), fingerprint(&second));
    assert_ne!(fingerprint(&first), fingerprint(&third));
}

#[test]
fn results_hold_what_compare_gate_readme_and_power_need() {
    let results = results(&[study(5)]);
    let study = &results["studies"][0];
    let judged: crate::claim::Judgement = serde_json::from_value(study["claims"].clone()).unwrap();
    assert_eq!((judged.family.len(), judged.size), (3, 3));
    let (row, decision) = &judged.family[0].parts[1];
    assert_eq!(row, "soup");
    assert!(decision.contrast.components.unwrap().user > 0.0);
    assert!(decision.contrast.interval_90.is_some() && decision.contrast.users_only.is_some());
    let summary: Summary = serde_json::from_value(results["summary"].clone()).unwrap();
    let inputs = [fixture::study(5)];
    let analysed: Vec<Analysed> = inputs.iter().map(|study| Analysed::new(study).unwrap()).collect();
    let shown = |summary: &Summary| {
        let claims = table::claims(&summary.families[0], &summary.metric);
        [table::matrix(summary), claims].map(|table| markup::markdown_table(&table))
    };
    assert_eq!(shown(&summary), shown(&Summary::new(&analysed)));
    let claims: Claims = serde_json::from_value(study["rules"].clone()).unwrap();
    assert_eq!(claims, Claims::default());
}

#[test]
fn other_candidates_or_other_users_are_refused() {
    let refuse = |change: &dyn Fn(&mut Study), expected: &str| {
        let mut study = study(3);
        change(&mut study);
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::take(dir.path(), crate::output::REPORT, &[]).unwrap();
        let error = format!("{:#}", write_all(&[study], &claim).unwrap_err());
        assert!(!error.contains("cannot write"), "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("`films`"), "{error}");
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "a refused report leaves no file"
        );
    };
    refuse(
        &|s| s.scenarios[0].rows[4].runs[0].candidate_hash = "decaf".to_owned(),
        "`decaf`",
    );
    refuse(
        &|s| s.scenarios[0].cases[5].user_id = "u006".to_owned(),
        "user `u006` is in it twice",
    );
    refuse(
        &|s| s.scenarios[0].rows[4].runs[0].places.truncate(59),
        "ranked 59 users",
    );
    refuse(
        &|s| s.scenarios[0].rows[4].runs[0].places[0] = at(11),
        "10 candidates above",
    );
    refuse(
        &|s| s.scenarios[0].rows[4].runs[0].places[7] = Place { above: 4, tied: 6 },
        "user `u007` has 4 candidates above the target and 6 tied",
    );
    refuse(
        &|s| s.scenarios[0].readings = vec![Reading::ALL[1]],
        "read in 0 ways besides the first, but the scenario in 1",
    );
    refuse(
        &|s| s.scenarios[0].rows[4].runs[0].at_one = Some(vec![at(1)]),
        "ranked 1 users",
    );
    refuse(
        &|s| s.scenarios[0].rows[4].runs[0].catalogue = Some(vec![at(1); 60]),
        "how large it is",
    );
    refuse(
        &|s| s.scenarios[0].rows[4].runs[1].replicate = 0,
        "replicate 0 twice",
    );
    refuse(
        &|s| s.scenarios[0].rows[4].method = "random".to_owned(),
        "two rows are named `random`",
    );
    refuse(&|s| s.scenarios[0].rows[4].runs.clear(), "has no run");
    refuse(
        &|s| s.scenarios[0].rows[0].deterministic = true,
        "deterministic and has 3 runs",
    );
    refuse(
        &|s| s.scenarios[0].best_floor = Some("oracle".to_owned()),
        "`oracle`",
    );
    refuse(&|s| s.report_on = Cut::Calibration, "users that choose");
    refuse(&|s| s.scenarios.push(scenario(3)), "two scenarios named");
    refuse(
        &|s| s.claims.scenarios = vec!["drama-to-comedy".to_owned()],
        "drama-to-comedy",
    );
}

#[test]
fn every_place_is_kept_in_parquet_and_read_back() {
    let mut study = study(3);
    study.scenarios[0].rows[4].runs[1].places[3] = Place::MISS;
    study.scenarios[0].rows[4].runs[1].places[4] = Place { above: 2, tied: 5 };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("per_user.parquet");
    std::fs::write(&path, per_user::parquet(std::slice::from_ref(&study)).unwrap()).unwrap();
    let read = per_user::read(&path).unwrap();
    let scenario = &study.scenarios[0];
    assert_eq!(read.len(), scenario.rows.len());
    for row in &scenario.rows {
        let runs = &read[&(
            "films".to_owned(),
            "comedy-to-drama".to_owned(),
            row.method.clone(),
        )];
        assert_eq!(runs.len(), row.runs.len());
        for run in &row.runs {
            let places = &runs[&run.replicate];
            assert_eq!(places.len(), 60);
            for (case, place) in scenario.cases.iter().zip(&run.places) {
                assert_eq!(places[&case.user_id], *place);
            }
        }
    }
    let error = format!("{:#}", per_user::read(&dir.path().join("none")).unwrap_err());
    assert!(error.contains("none"), "{error}");
}

#[test]
fn the_csv_has_a_line_for_each_row_and_metric_and_one_for_each_planned_contrast() {
    let lines = |name: &str, study: Study| -> Vec<::csv::StringRecord> {
        let table = text(&[study], name);
        let mut reader = ::csv::Reader::from_reader(table.as_bytes());
        reader.records().map(Result::unwrap).collect()
    };
    let levels = lines("table.csv", study(3));
    // HR@10 among ten candidates is 1 for everyone and stays out.
    assert_eq!(levels.len(), 14 * 8);
    assert!(levels.iter().all(|line| &line[9] != "hr@10"));
    // The primary claim and W against three rows each, J and M against one.
    let contrasts = lines("contrasts.csv", study(3));
    assert_eq!(contrasts.len(), 3 + 3 + 1 + 1);
    assert_eq!(&contrasts[0][2], "average over scenarios");
    assert_eq!((&contrasts[0][20], &contrasts[3][20]), ("1", "3"));
    let mut without = study(3);
    fixture::remove(&mut without.scenarios[0], "soup");
    let contrasts = lines("contrasts.csv", without);
    let soup: Vec<_> = contrasts.iter().filter(|line| &line[5] == "soup").collect();
    assert_eq!(soup.len(), 2);
    assert!(
        soup.iter()
            .all(|line| &line[4] == "not testable: no row soup" && line[10].is_empty())
    );
}

#[test]
fn what_was_not_measured_is_a_dash_and_no_zero() {
    let mut study = study(3);
    let cost = |study: &Study| {
        let analysed = Analysed::new(study).unwrap();
        table::cost(&analysed.scenarios[0])
    };
    let table = cost(&study);
    let cell = |table: &table::Table, label: &str, head: &str| {
        let column = table
            .columns
            .iter()
            .position(|column| column.title == head)
            .unwrap();
        let row = table.rows.iter().find(|row| row[0].text == label).unwrap();
        row[column].text.clone()
    };
    assert_eq!(cell(&table, "Popularity", "Scoring s"), "–");
    assert_eq!(cell(&table, "Zero-shot", "Scoring s"), "1.2");
    assert_eq!(cell(&table, "Zero-shot", "Peak MiB"), "300");
    assert_eq!(cell(&table, "WeaveRec", "Peak MiB"), "–");
    // Measured in two replicates of three is not measured.
    study.scenarios[0].rows[4].runs[1].rank_seconds = None;
    assert_eq!(cell(&cost(&study), "Zero-shot", "Scoring s"), "–");
    assert!(
        !table
            .columns
            .iter()
            .any(|column| column.title == "Invalid outputs")
    );
    study.scenarios[0].rows[4].runs[0].invalid_output_rate = Some(0.25);
    assert_eq!(cell(&cost(&study), "Zero-shot", "Invalid outputs"), "25.0 %");
}
