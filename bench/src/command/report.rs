//! `weaverec report`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use weaverec_output::{Claim, Input};

use super::reproduce::{Experiment, Setting, write_report};
use crate::experiment::library::Library;
use crate::experiment::materials::Bench;
use crate::experiment::store::Store;
use crate::experiment::study_record::StudyRecord;
use crate::output::{CELLS, RECORDS, REPORT};
use crate::progress::say;

/// Write the report of a profile again from its records: no raw logs, no model, and nothing trained or ranked.
///
/// The records are those of the work folder and those that lie beside the report; either is enough. Units that are not finished are left
/// out, and the report says which.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec report --profile quick
  weaverec report --profile quick --records results/quick/records --out elsewhere
  weaverec report --profile mine.toml --data logs --out reports/mine")]
pub struct Arguments {
    #[command(flatten)]
    of: Experiment,
    /// Folder of records to use in place of those of the work folder and of the report's.
    #[arg(long)]
    records: Option<PathBuf>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let setting = Setting::new(arguments.of)?;
    let places = match &arguments.records {
        Some(records) => vec![records.clone()],
        None => vec![setting.work.join(CELLS), setting.out.join(RECORDS)],
    };
    let claim = match &arguments.records {
        None => setting.claim_report()?,
        Some(records) => Claim::take(
            &setting.out,
            REPORT,
            &[Input::partly(records, "the folder of records")],
        )?,
    };
    let mut there = places.iter().filter(|place| place.is_dir());
    let named = || {
        let named: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        named.join(" or ")
    };
    let Some(own) = there.next() else {
        bail!(
            "there are no records in {}: `weaverec reproduce` makes them",
            named()
        );
    };
    let library = Library::new(Store::open(own)?, there.next().cloned())?;
    let mut benches = Vec::new();
    for study in setting.profile.studies(&setting.data)? {
        let cell = StudyRecord::cell(&setting.profile, study)?;
        if !library.has(&cell) {
            say(format!(
                "study {}: {} has no record of it as profile {} describes it now, and it is left out",
                study.name,
                named(),
                setting.profile.name
            ));
            continue;
        }
        benches.push(Bench::of_record(&library.load(&cell)?)?);
    }
    if benches.is_empty() {
        bail!(
            "{} has no record of profile {} as it is now: run it first, or use the profile that it was run with",
            named(),
            setting.profile.name
        );
    }
    write_report(&setting, &benches, &library, &claim)
}
