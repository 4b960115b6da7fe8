//! The files of a report, each whole or not there.

use super::analysis::Analysis;
use super::input::Study;
use super::page::Page;
use super::{check, csv, json, per_user};
use crate::file;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;

/// The files that [`write_all`] leaves in its folder.
pub const FILES: [&str; 6] = [
    "report.md",
    "report.html",
    "results.json",
    "per_user.parquet",
    "table.csv",
    "table.tex",
];

/// Writes every file of a report into `dir`, which is made where it is missing.
///
/// Nothing is written before everything is computed, and each file appears by a rename.
///
/// # Errors
/// Where rows of a scenario cannot be compared, or a file cannot be written.
pub fn write_all(studies: &[Study], dir: &Path, environment: &Value) -> Result<()> {
    check::comparable(studies)?;
    let mut analysed: Vec<(&Study, Vec<Analysis>)> = Vec::with_capacity(studies.len());
    for study in studies {
        let analyses = study.scenarios.iter().map(Analysis::new).collect::<Result<_>>()?;
        analysed.push((study, analyses));
    }
    let page = Page::new(&analysed, environment);
    let mut results = serde_json::to_vec_pretty(&json::document(&analysed, environment)?)?;
    results.push(b'\n');
    let contents = [
        page.markdown()?.into_bytes(),
        page.html()?.into_bytes(),
        results,
        per_user::parquet(studies)?,
        csv::table(&analysed)?,
        page.latex()?.into_bytes(),
    ];
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    for (name, bytes) in FILES.iter().zip(contents) {
        file::write(&dir.join(name), &bytes)?;
    }
    Ok(())
}
