//! Claims about whole reports, on a small study made by hand.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod across;
mod files;
mod findings;
mod latex;
mod levels;
mod outside;
mod readings;
mod weights;
mod words;

use super::*;
use serde_json::Value;
use weaverec_output::Claim;

/// Writes a report into a new folder and reads its files back.
fn written(studies: &[Study]) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("new/report");
    write_to(studies, &out);
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

fn write_to(studies: &[Study], out: &std::path::Path) {
    let claim = Claim::take(out, crate::output::REPORT, &[]).unwrap();
    write_all(studies, &claim).unwrap();
}

/// One file of a report.
fn text(studies: &[Study], name: &str) -> String {
    let index = FILES.iter().position(|file| *file == name).unwrap();
    String::from_utf8(contents(studies).unwrap()[index].clone()).unwrap()
}

fn results(studies: &[Study]) -> Value {
    serde_json::from_str(&text(studies, "results.json")).unwrap()
}

/// All that is said of a study's only scenario.
fn said(study: &Study) -> Vec<String> {
    let analysed = Analysed::new(study).unwrap();
    let planned = analysed.planned.as_ref();
    sentence::sentences(&analysed.scenarios[0], planned, &study.claims.woven)
}
