//! The files of a report, each whole or not there.

use super::analysis::Analysis;
use super::input::Study;
use super::page::Page;
use super::{check, csv, json, per_user};
use crate::output;
use anyhow::{Context, Result};
use serde_json::Value;
use weaverec_output::{Claim, is_mount_point, write_file};

/// The files that [`write_all`] leaves in its folder.
pub const FILES: [&str; 6] = [
    "report.md",
    "report.html",
    "results.json",
    "per_user.parquet",
    "table.csv",
    "table.tex",
];

/// Writes every file of a report into the folder claimed for it.
///
/// Nothing is written before everything is computed. A new folder appears as a whole; in one that holds a report already each file
/// takes the place of its predecessor, and others stay. So it does at a mount point, where no folder can appear.
///
/// # Errors
/// Where rows of a scenario cannot be compared, or a file cannot be written.
pub fn write_all(studies: &[Study], claim: &Claim, environment: &Value) -> Result<()> {
    check::comparable(studies)?;
    let mut analysed: Vec<(&Study, Vec<Analysis>)> = Vec::with_capacity(studies.len());
    for study in studies {
        let analyses = study.scenarios.iter().map(Analysis::new).collect::<Result<_>>()?;
        analysed.push((study, analyses));
    }
    let page = Page::new(&analysed, environment);
    let contents = [
        page.markdown()?.into_bytes(),
        page.html()?.into_bytes(),
        output::pretty(&json::document(&analysed, environment)?)?,
        per_user::parquet(studies)?,
        csv::table(&analysed)?,
        page.latex()?.into_bytes(),
    ];
    let files = || FILES.iter().zip(&contents);
    let place = claim.place();
    let written = match place.join(FILES[0]).exists() || is_mount_point(place) {
        true => files().try_for_each(|(name, bytes)| write_file(&place.join(name), bytes)),
        false => {
            claim.write(|folder| files().try_for_each(|(name, bytes)| write_file(&folder.join(name), bytes)))
        }
    };
    written.with_context(|| format!("cannot write the report into {}", place.display()))
}
