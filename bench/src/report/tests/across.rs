//! Two reports side by side, from what was written of them.

use super::*;
use crate::claim::decision::Outcome;
use crate::report::across::Pairing;
use crate::report::fixture::{set, study};
use crate::report::folder::Folder;

fn folders(base: Study, head: Study) -> (tempfile::TempDir, Folder, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let read = |study: Study, name: &str| {
        let out = dir.path().join(name);
        write_to(&[study], &out);
        Folder::read(&out).unwrap()
    };
    let (base, head) = (read(base, "base"), read(head, "head"));
    (dir, base, head)
}

#[test]
fn a_row_is_paired_with_itself_by_replicate_and_user() {
    let mut changed = study(5);
    set(&mut changed.scenarios[0], "soup", |replicate, user| {
        1 + (user + replicate) % 2
    });
    set(&mut changed.scenarios[0], "popularity", |_, _| 1);
    let expected = {
        let mut both = study(5);
        let mut soup = changed.scenarios[0]
            .rows
            .iter()
            .find(|row| row.method == "soup")
            .unwrap()
            .clone();
        soup.method = "soup-after".to_owned();
        both.scenarios[0].rows.push(soup);
        let scores = scores::Scores::new(&both.scenarios[0], (0..60).collect(), 5);
        let row = |method: &str| {
            both.scenarios[0]
                .rows
                .iter()
                .position(|row| row.method == method)
                .unwrap()
        };
        scores.contrast(row("soup-after"), row("soup")).unwrap().unwrap()
    };
    let (_dir, base, head) = folders(study(5), changed);
    let pairing = Pairing::new(&base, &head, "films").unwrap();
    assert!(
        pairing.apart.is_empty() && pairing.skipped.is_empty(),
        "{pairing:?}"
    );
    assert_eq!(pairing.rows.len(), 14);
    let row = |method: &str| pairing.rows.iter().find(|row| row.method == method).unwrap();
    assert_eq!(row("soup").decision.contrast, expected);
    assert_eq!(row("soup").decision.outcome, Outcome::Better);
    // One floor of four that changed is in no family with the ten others.
    let floor = &row("popularity").decision;
    assert_eq!((floor.outcome, floor.p), (Outcome::Better, floor.contrast.p));
    assert_eq!((floor.contrast.replicates, floor.contrast.users), (5, 60));
    assert!(row("soup").decision.p.unwrap() > expected.p.unwrap());
    // Nothing else changed.
    assert_eq!(row("joint").decision.contrast.mean, 0.0);
    assert_eq!(row("joint").decision.outcome, Outcome::Equivalent);
}

#[test]
fn other_machines_numerics_and_candidates_are_named() {
    let mut other = study(3);
    other.environments[0]["kernel"] = serde_json::json!("avx512");
    other.environments[0]["threads"] = serde_json::json!(64);
    other.environments[0]["revision"] = serde_json::json!("other");
    other.numerics = vec![2];
    let (_dir, base, head) = folders(study(3), other);
    let pairing = Pairing::new(&base, &head, "films").unwrap();
    assert_eq!(pairing.apart, ["other kernel", "other numerics"]);
    let mut other = study(3);
    other.scenarios[0].candidate_hash = "decaf".to_owned();
    for run in other.scenarios[0].rows.iter_mut().flat_map(|row| &mut row.runs) {
        run.candidate_hash = "decaf".to_owned();
    }
    let (_dir, base, head) = folders(study(3), other);
    let pairing = Pairing::new(&base, &head, "films").unwrap();
    assert!(pairing.rows.is_empty());
    assert!(
        pairing.skipped[0].contains("other candidates"),
        "{:?}",
        pairing.skipped
    );
    assert!(Pairing::new(&base, &head, "books").is_err());
}

#[test]
fn a_report_of_another_version_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("report");
    write_to(&[study(3)], &out);
    let path = out.join("results.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"version\": 3", "\"version\": 1", 1)).unwrap();
    let error = format!("{:#}", Folder::read(&out).unwrap_err());
    assert!(
        error.contains("version 1") && error.contains("weaverec report"),
        "{error}"
    );
    std::fs::remove_file(out.join("contrasts.csv")).unwrap();
    let error = format!("{:#}", Folder::read(&out).unwrap_err());
    assert!(
        error.contains("no complete report: contrasts.csv missing"),
        "{error}"
    );
}
