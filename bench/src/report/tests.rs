//! Claims about whole reports, on a small study made by hand.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::metric::MISS;
use serde_json::{Value, json};
use weaverec_output::Claim;

/// How far down the target stands for each of 60 users, with a mean that falls with `skill` (0 to 9).
fn ranks(skill: u32, salt: u32) -> Vec<UserScore> {
    let draw = |user: u32| (user.wrapping_mul(2_654_435_761).wrapping_add(salt * 40_503) >> 8) % 100;
    (0..60)
        .map(|user| {
            let rank = if draw(user) < 10 * skill {
                1 + user % 2
            } else {
                1 + draw(user + 977) % 10
            };
            UserScore {
                user_id: format!("u{user:03}"),
                rank,
                tied: 0,
            }
        })
        .collect()
}

fn row(method: &str, label: &str, family: Family, skill: u32) -> Row {
    let trained = family.is_tuned() || family == Family::Member;
    let run = |seed: u64| Run {
        seed,
        candidate_hash: "c0ffee".to_owned(),
        users: ranks(skill, seed as u32 % 2),
        train_seconds: if trained { 12.5 } else { 0.0 },
        train_tokens: if trained {
            40_000 + 10_000 * u64::from(skill)
        } else {
            0
        },
        train_flops: if trained { 3e11 * f64::from(skill + 1) } else { 0.0 },
        rank_seconds: 1.25,
        peak_memory_bytes: 300 << 20,
        validation_loss: trained.then(|| 4.0 - 0.1 * f64::from(skill)),
        loss_curve: if trained {
            (0..5).map(|i| (10 * i, 5.0 / (1.0 + i as f64))).collect()
        } else {
            vec![]
        },
        held_out_curve: if trained {
            (0..3).map(|i| (20 * i, 5.5 / (1.0 + i as f64))).collect()
        } else {
            vec![]
        },
        ..Run::default()
    };
    Row {
        method: method.to_owned(),
        label: label.to_owned(),
        family,
        runs: vec![run(1), run(2)],
    }
}

fn scenario() -> Scenario {
    let mut rows = vec![
        row("random", "Random", Family::Floor, 0),
        row("popularity", "Popularity", Family::Floor, 4),
        row("zero-shot", "Zero-shot", Family::Untuned, 1),
        row("source-only", "Source-only", Family::Single, 2),
        row("target-only", "Target-only", Family::Single, 5),
        row("joint", "Joint", Family::Joint, 4),
        row("naive-merge", "Naive merge", Family::NaiveMerging, 3),
        row("weaverec", "WeaveRec", Family::Woven, 6),
        row("hybrid:Comedy", "Hybrid Drama+Comedy", Family::Member, 5),
    ];
    for run in &mut rows[6].runs {
        run.members = vec![("target-only".to_owned(), 0.5), ("source-only".to_owned(), 0.5)];
    }
    for run in &mut rows[7].runs {
        run.members = vec![("target-only".to_owned(), 0.5), ("hybrid:Comedy".to_owned(), 0.5)];
    }
    Scenario {
        name: "comedy-to-drama".to_owned(),
        kind: ScenarioKind::SingleSource,
        target: "Drama".to_owned(),
        sources: vec!["Comedy".to_owned()],
        candidate_hash: "c0ffee".to_owned(),
        split: "leave-one-out".to_owned(),
        candidates: 10,
        users: 60,
        rows,
    }
}

fn study() -> Study {
    Study {
        name: "films".to_owned(),
        title: "Films by genre".to_owned(),
        profile: "quick".to_owned(),
        notes: vec!["timestamps are synthetic".to_owned()],
        scenarios: vec![scenario()],
    }
}

/// Gives every user of a row the rank that `rank` says.
fn set(scenario: &mut Scenario, method: &str, rank: impl Fn(usize) -> u32) {
    let row = scenario.rows.iter_mut().find(|row| row.method == method).unwrap();
    for run in &mut row.runs {
        run.users
            .iter_mut()
            .enumerate()
            .for_each(|(index, user)| user.rank = rank(index));
    }
}

fn written(studies: &[Study]) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("new/report");
    let claim = Claim::take(&out, crate::output::REPORT, &[]).unwrap();
    write_all(studies, &claim, &json!({ "cpu": "two | cores", "threads": 2 })).unwrap();
    drop(claim);
    let mut names: Vec<_> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected = FILES.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(
        names, expected,
        "the folder holds the report and no temporary file"
    );
    FILES
        .iter()
        .map(|name| std::fs::read(out.join(name)).unwrap())
        .collect()
}

fn text(studies: &[Study], name: &str) -> String {
    let index = FILES.iter().position(|file| *file == name).unwrap();
    String::from_utf8(written(studies)[index].clone()).unwrap()
}

#[test]
fn the_markdown_report_reads_as_reviewed() {
    insta::assert_snapshot!(text(&[study()], "report.md"));
}

#[test]
fn the_terminal_shows_plain_text_where_nobody_can_see_styles() {
    let shown = terminal::render(&study(), false).unwrap();
    assert!(!shown.contains('\u{1b}'));
    assert!(
        shown
            .lines()
            .all(|line| !line.starts_with('|') || line.chars().count() <= 80),
        "{shown}"
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn the_latex_table_reads_as_reviewed() {
    insta::assert_snapshot!(text(&[study()], "table.tex"));
}

#[test]
fn the_same_input_gives_the_same_bytes_whatever_the_order_of_users() {
    let mut shuffled = study();
    for run in shuffled.scenarios[0]
        .rows
        .iter_mut()
        .flat_map(|row| &mut row.runs)
    {
        run.users.reverse();
    }
    assert_eq!(written(&[study()]), written(&[study()]));
    assert_eq!(written(&[study()]), written(&[shuffled]));
}

#[test]
fn the_html_needs_no_other_file_and_obeys_no_name() {
    let mut study = study();
    study.title = "<script>alert(1)</script>".to_owned();
    study.scenarios[0].rows[7].label = "Weave<b>Rec".to_owned();
    let html = text(&[study], "report.html");
    assert!(!html.contains("<script>alert") && !html.contains("Weave<b>Rec"));
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains(" src="));
    assert_eq!(html.matches("<svg").count(), 4, "methods, members, cost, loss");
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    assert!(!html.contains("NaN") && !html.contains("inf\""));
}

#[test]
fn two_runs_that_differ_in_time_only_have_the_same_numbers() {
    let (first, mut second) = (study(), study());
    for run in second.scenarios[0].rows.iter_mut().flat_map(|row| &mut row.runs) {
        run.train_seconds *= 3.0;
        run.rank_seconds += 1.0;
        run.peak_memory_bytes += 1;
    }
    let (first, second) = ([first], [second]);
    assert_eq!(numbers(&first), numbers(&second));
    let without_cost = |studies: &[Study]| {
        let mut results: Value = serde_json::from_str(&text(studies, "results.json")).unwrap();
        for row in results["studies"][0]["scenarios"][0]["rows"]
            .as_array_mut()
            .unwrap()
        {
            assert!(row.as_object_mut().unwrap().remove("cost").is_some());
        }
        results
    };
    assert_eq!(without_cost(&first), without_cost(&second));
    let mut third = first.clone();
    let user = &mut third[0].scenarios[0].rows[3].runs[1].users[17];
    user.rank = 1 + user.rank % 10;
    assert_ne!(numbers(&first), numbers(&third));
}

#[test]
fn other_candidates_or_other_users_are_refused() {
    let refuse = |change: &dyn Fn(&mut Scenario), expected: &str| {
        let mut study = study();
        change(&mut study.scenarios[0]);
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::take(dir.path(), crate::output::REPORT, &[]).unwrap();
        let error = format!("{:#}", write_all(&[study], &claim, &Value::Null).unwrap_err());
        assert!(!error.contains("cannot write"), "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(
            error.contains("`films`") && error.contains("`comedy-to-drama`"),
            "{error}"
        );
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "a refused report leaves no file"
        );
    };
    refuse(
        &|s| s.rows[2].runs[0].candidate_hash = "decaf".to_owned(),
        "`decaf`",
    );
    refuse(
        &|s| s.rows[2].runs[0].users[5].user_id = "stranger".to_owned(),
        "its users are not those of `random`",
    );
    refuse(
        &|s| s.rows[2].runs[0].users[5].user_id = "u006".to_owned(),
        "ranked twice",
    );
    refuse(&|s| drop(s.rows[2].runs[0].users.pop()), "ranked 59 users");
    refuse(&|s| s.rows[2].runs[0].users[0].rank = 11, "rank 11");
    refuse(&|s| s.rows[2].runs[1].seed = 1, "seed 1 twice");
    refuse(
        &|s| s.rows[2].method = "random".to_owned(),
        "two rows are named `random`",
    );
    refuse(&|s| s.rows[2].runs.clear(), "has no run");
}

#[test]
fn a_winner_is_named_only_where_every_interval_allows_it() {
    let mut near = scenario();
    // WeaveRec is better for one user of sixty: the highest mean, but nothing more.
    set(&mut near, "target-only", |user| 1 + user as u32 % 4);
    set(&mut near, "weaverec", |user| {
        if user == 3 { 1 } else { 1 + user as u32 % 4 }
    });
    let undecided = verdict(&near).unwrap();
    assert_eq!((undecided.outcome, undecided.winner), (Outcome::Undecided, None));
    assert!(
        undecided
            .sentence
            .starts_with("No winner: WeaveRec has the highest NDCG@5"),
        "{}",
        undecided.sentence
    );
    assert!(
        undecided.sentence.contains("not told apart from Target-only"),
        "{}",
        undecided.sentence
    );
    assert!(
        undecided.sentence.contains("no difference shown"),
        "{}",
        undecided.sentence
    );

    let mut clear = near;
    set(&mut clear, "weaverec", |_| 1);
    let won = verdict(&clear).unwrap();
    assert_eq!(
        (won.outcome, won.winner.as_deref()),
        (Outcome::Winner, Some("weaverec"))
    );
    assert!(won.sentence.starts_with("WeaveRec wins"), "{}", won.sentence);
    assert!(won.sentence.contains("(better)"), "{}", won.sentence);
}

#[test]
fn a_member_never_wins() {
    let mut scenario = scenario();
    set(&mut scenario, "weaverec", |user| 1 + user as u32 % 2);
    set(&mut scenario, "hybrid:Comedy", |_| 1);
    assert_ne!(
        verdict(&scenario).unwrap().winner.as_deref(),
        Some("hybrid:Comedy")
    );
}

#[test]
fn popularity_that_is_not_beaten_is_said_so() {
    let mut scenario = scenario();
    set(&mut scenario, "popularity", |_| 1);
    let found = verdict(&scenario).unwrap();
    assert_eq!(found.winner.as_deref(), Some("popularity"));
    assert!(found.sentence.contains("is not beaten"), "{}", found.sentence);
}

#[test]
fn tuned_rows_at_chance_make_the_table_uninformative() {
    let mut study = study();
    for method in ["source-only", "target-only", "joint", "naive-merge", "weaverec"] {
        set(&mut study.scenarios[0], method, |user| 1 + user as u32 % 10);
    }
    let found = verdict(&study.scenarios[0]).unwrap();
    assert_eq!((found.outcome, found.winner), (Outcome::Uninformative, None));
    let studies = [study];
    assert!(text(&studies, "report.md").contains("> **UNINFORMATIVE AT THIS BUDGET**"));
    assert!(text(&studies, "report.html").contains("class=\"banner\">uninformative at this budget"));
    assert!(
        terminal::render(&studies[0], false)
            .unwrap()
            .contains("*** uninformative at this budget ***")
    );
}

#[test]
fn marks_stand_only_where_holm_leaves_significance() {
    let scenario = scenario();
    let analysis = analysis::Analysis::new(&scenario).unwrap();
    let table = table::accuracy(&analysis);
    let mut seen = 0;
    for ((_, numbers), row) in analysis.competitors().zip(&table.rows[1..]) {
        for (estimate, cell) in numbers.estimates.iter().zip(&row[2..]) {
            let expected = match &estimate.versus {
                Some(versus) if versus.adjusted_p < 0.05 && versus.difference > 0.0 => table::BETTER,
                Some(versus) if versus.adjusted_p < 0.05 => table::WORSE,
                _ => "",
            };
            assert_eq!(cell.mark, expected);
            seen += usize::from(!expected.is_empty());
            if let Some(versus) = &estimate.versus {
                assert!(versus.t.is_none_or(|test| versus.adjusted_p >= test.p));
            }
        }
    }
    assert!(seen > 0);
    assert!(
        table.rows[0].iter().all(|cell| !cell.best && !cell.second),
        "chance competes with nobody"
    );
}

#[test]
fn invalid_outputs_and_misses_are_shown_where_answers_were_free() {
    let mut study = study();
    assert!(!text(&[study.clone()], "report.md").contains("Invalid outputs"));
    for run in &mut study.scenarios[0].rows[2].runs {
        run.invalid_output_rate = Some(0.25);
        run.users.iter_mut().take(15).for_each(|user| user.rank = MISS);
    }
    let report = text(&[study], "report.md");
    assert!(report.contains("Invalid outputs") && report.contains("25.0 %"));
}

#[test]
fn every_rank_is_kept_in_parquet() {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{UInt32Type, UInt64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
    use std::io::Write;
    let bytes = per_user::parquet(&[study()]).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let reader = ParquetRecordBatchReader::try_new(file, 4096).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(
        batches.iter().map(|batch| batch.num_rows()).sum::<usize>(),
        9 * 2 * 60
    );
    let first = &batches[0];
    let expected = &study().scenarios[0].rows[0].runs[0];
    assert_eq!(
        first
            .column_by_name("method")
            .unwrap()
            .as_string::<i32>()
            .value(0),
        "random"
    );
    assert_eq!(
        first
            .column_by_name("seed")
            .unwrap()
            .as_primitive::<UInt64Type>()
            .value(0),
        1
    );
    for (index, user) in expected.users.iter().enumerate() {
        assert_eq!(
            first
                .column_by_name("user_id")
                .unwrap()
                .as_string::<i32>()
                .value(index),
            user.user_id
        );
        assert_eq!(
            first
                .column_by_name("rank")
                .unwrap()
                .as_primitive::<UInt32Type>()
                .value(index),
            user.rank
        );
    }
    assert_eq!(first.column_by_name("tied").unwrap().null_count(), 0);
}

#[test]
fn the_csv_has_a_line_for_each_row_and_metric() {
    let table = text(&[study()], "table.csv");
    let mut reader = ::csv::Reader::from_reader(table.as_bytes());
    let lines: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    // HR@10 among ten candidates is 1 for everyone and stays out.
    assert_eq!(lines.len(), 9 * 8);
    assert!(lines.iter().all(|line| &line[9] != "hr@10"));
}
