//! What is said of entropy and NDCG along the weights of a merge.

use super::*;
use crate::report::fixture::study;
use crate::report::input::{Family, WeightCurve, WeightPoint};
use crate::report::weights::{Course, along};

/// A study with a row whose weights were tried: NDCG and entropy by replicate and weight of the target's own adapter.
fn tried(replicates: u32, ndcg: impl Fn(u32, f64) -> f64, entropy: impl Fn(u32, f64) -> f64) -> Study {
    let mut study = study(replicates);
    let rows = &mut study.scenarios[0].rows;
    let mut row = rows.iter().find(|row| row.method == "weaverec").unwrap().clone();
    (row.method, row.label, row.family) = ("grid".into(), "By a grid".into(), Family::Woven);
    for run in &mut row.runs {
        let mut curve = WeightCurve {
            members: vec!["Drama+Comedy".into(), "Drama".into()],
            own: 1,
            metric: "NDCG@5 of content scores at α = 1".into(),
            users: 400,
            entropy: "entropy over the vocabulary, 3 tokens".into(),
            entropy_users: 100,
            points: Vec::new(),
        };
        // Equal parts first, then the grid, of which they are a point as well.
        for own in [0.5, 0.0, 0.25, 0.5, 0.75, 1.0] {
            curve.add(WeightPoint {
                weights: vec![1.0 - own, own],
                ndcg: ndcg(run.replicate, own),
                entropy: entropy(run.replicate, own),
            });
        }
        run.weights = Some(curve);
    }
    rows.push(row);
    study
}

fn rising(replicate: u32, own: f64) -> f64 {
    0.3 + 0.1 * own + 0.01 * f64::from(replicate)
}

fn falling(replicate: u32, own: f64) -> f64 {
    2.0 - own - 0.1 * f64::from(replicate)
}

fn sentence(study: &Study) -> String {
    let said = said(study);
    let found = said.iter().find(|text| text.starts_with("Along the weights of"));
    found.unwrap().clone()
}

#[test]
fn less_entropy_with_higher_ndcg_is_what_a_choice_by_entropy_supposes() {
    let study = tried(5, rising, falling);
    let found = along(&study.scenarios[0]);
    assert_eq!((found.len(), found[0].course), (1, Course::Apart));
    assert_eq!(found[0].correlations, [-1.0; 5]);
    let own: Vec<f64> = found[0].points.iter().map(|point| found[0].own(point)).collect();
    assert_eq!(own, [0.0, 0.25, 0.5, 0.75, 1.0], "each once, in order");
    // Over replicates 0 to 4: a mean of 0.02 above, and an sd of 0.01 √2.5.
    let first = &found[0].points[0];
    assert!((first.ndcg - 0.32).abs() < 1e-12 && (first.entropy - 1.8).abs() < 1e-12);
    assert!((first.ndcg_sd.unwrap() - 0.01 * 2.5f64.sqrt()).abs() < 1e-12);
    let text = sentence(&study);
    for words in [
        "Along the weights of By a grid, entropy and NDCG of calibration users move apart",
        "rank correlation −1.000, from −1.000 to −1.000 in 5 replicates, 5 points",
        "as a choice by entropy supposes",
        "Where entropy is least, NDCG is 0.420; where it is highest itself, 0.420.",
        "Exploratory",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn the_contrary_and_no_clear_course_are_said_as_well() {
    let together = tried(5, rising, |replicate, own| 3.0 - falling(replicate, own));
    assert_eq!(along(&together.scenarios[0])[0].course, Course::Together);
    let text = sentence(&together);
    assert!(
        text.contains("move together (rank correlation +1.000") && text.contains("against what a choice"),
        "{text}"
    );
    assert!(
        text.contains("NDCG is 0.320; where it is highest itself, 0.420."),
        "{text}"
    );
    // Now one way, now the other.
    let either = tried(
        5,
        rising,
        |replicate, own| {
            if replicate % 2 == 0 { 2.0 - own } else { 2.0 + own }
        },
    );
    assert_eq!(along(&either.scenarios[0])[0].course, Course::None);
    let text = sentence(&either);
    assert!(
        text.contains(
            "no clear common course (rank correlation −0.200, from −1.000 to +1.000 in 5 replicates"
        ),
        "{text}"
    );
    let constant = tried(1, rising, |_, _| 2.0);
    assert!(along(&constant.scenarios[0])[0].correlations.is_empty());
    assert!(sentence(&constant).contains("they say nothing of each other"));
}

#[test]
fn a_report_draws_and_lists_both_along_the_same_weights() {
    let study = tried(5, rising, falling);
    let html = text(std::slice::from_ref(&study), "report.html");
    assert_eq!(html.matches("<svg").count(), 6, "one more than without");
    for words in [
        "cost, loss and weights</summary>",
        ">entropy (nats)<",
        ">NDCG of calibration users<",
        ">weight of the adapter of Drama<",
        "<title>λ 0.750, 0.250: 0.345</title>",
    ] {
        assert!(html.contains(words), "{words}");
    }
    assert!(!html.contains("NaN") && !html.contains("inf\""));
    let markdown = text(std::slice::from_ref(&study), "report.md");
    for words in [
        "cost and weights</summary>",
        "λ of Drama",
        "NDCG@5 of content scores at α = 1 of 400 calibration users",
        "of 100 of their prompts without",
        "0.320 ± 0.016",
        "1.800 ± 0.158",
    ] {
        assert!(markdown.contains(words), "{words}");
    }
    let json = results(&[study]);
    let found = &json["studies"][0]["scenarios"][0]["exploratory"]["weights"];
    assert_eq!(found[0]["method"], "grid");
    assert_eq!(found[0]["course"], "apart");
    assert_eq!(found[0]["members"][1], "Drama");
    assert_eq!(found[0]["points"][4]["weights"][1], 1.0);
    assert_eq!(found[0]["correlations"][4], -1.0);
}

#[test]
fn where_numbers_are_absent_or_of_other_points_nothing_is_shown_of_them() {
    let plain = study(5);
    assert!(along(&plain.scenarios[0]).is_empty());
    assert!(
        said(&plain)
            .iter()
            .all(|text| !text.starts_with("Along the weights"))
    );
    let json = results(std::slice::from_ref(&plain));
    let exploratory = &json["studies"][0]["scenarios"][0]["exploratory"];
    assert!(exploratory.get("weights").is_none() && exploratory.get("top").is_some());
    assert!(!text(std::slice::from_ref(&plain), "report.md").contains("λ of"));
    // Points of one replicate that the others do not have are no course of all.
    let mut study = tried(3, rising, falling);
    let runs = &mut study.scenarios[0].rows.last_mut().unwrap().runs;
    runs[1].weights.as_mut().unwrap().points.pop();
    runs[2].weights = None;
    let found = along(&study.scenarios[0]);
    assert_eq!((found[0].replicates, found[0].points.len()), (1, 5));
    assert!(sentence(&study).contains("(rank correlation −1.000, 5 points)"));
    // Of two points there is no course.
    let runs = &mut study.scenarios[0].rows.last_mut().unwrap().runs;
    runs[0].weights.as_mut().unwrap().points.truncate(2);
    runs[1].weights = None;
    assert!(along(&study.scenarios[0]).is_empty());
}
