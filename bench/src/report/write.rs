//! The files of a report, each whole or not there.

use super::analysed::Analysed;
use super::input::Study;
use super::page::Page;
use super::summary::Summary;
use super::{check, csv, json, per_user};
use crate::output;
use anyhow::{Context, Result};
use rayon::prelude::*;
use weaverec_output::{Claim, write_file};

/// The files that [`write_all`] leaves in its folder.
pub const FILES: [&str; 7] = [
    "report.md",
    "report.html",
    "results.json",
    "per_user.parquet",
    "table.csv",
    "contrasts.csv",
    "table.tex",
];

/// Writes every file of a report into the folder claimed for it.
///
/// Nothing is written before everything is computed. A new folder appears as a whole; in one that is there (a report, the records of one, a
/// mount point) each file takes the place of its predecessor, and others stay.
///
/// # Errors
/// Where rows of a scenario cannot be compared, or a file cannot be written.
pub fn write_all(studies: &[Study], claim: &Claim) -> Result<()> {
    let contents = contents(studies)?;
    let files = || FILES.iter().zip(&contents);
    let place = claim.place();
    let written = match place.is_dir() {
        true => files().try_for_each(|(name, bytes)| write_file(&place.join(name), bytes)),
        false => {
            claim.write(|folder| files().try_for_each(|(name, bytes)| write_file(&folder.join(name), bytes)))
        }
    };
    written.with_context(|| format!("cannot write the report into {}", place.display()))
}

/// The contents of [`FILES`], in their order.
///
/// # Errors
/// Where rows of a scenario cannot be compared.
pub fn contents(studies: &[Study]) -> Result<Vec<Vec<u8>>> {
    check::comparable(studies)?;
    let analysed: Vec<Analysed> = studies.iter().map(Analysed::new).collect::<Result<_>>()?;
    let summary = Summary::new(&analysed);
    let page = Page::new(&analysed, &summary);
    let make = |file: &&str| match *file {
        "report.md" => page.markdown().map(String::into_bytes),
        "report.html" => page.html().map(String::into_bytes),
        "results.json" => output::pretty(&json::document(&analysed, &summary)?),
        "per_user.parquet" => per_user::parquet(studies),
        "table.csv" => csv::table(&analysed),
        "contrasts.csv" => csv::contrasts(&analysed),
        _ => page.latex().map(String::into_bytes),
    };
    FILES.par_iter().map(make).collect()
}
