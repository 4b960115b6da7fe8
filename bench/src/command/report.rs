//! `weaverec report`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use weaverec_output::{Claim, Input};

use super::reproduce::{Experiment, Setting, exchange, write_report};
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
  weaverec report --profile mine.toml --data logs --out reports/mine
  weaverec report --profile small --data logs --store s3://bucket/small      what jobs have finished, wherever they ran")]
pub struct Arguments {
    #[command(flatten)]
    of: Experiment,
    /// Folder of records to use in place of those of the work folder and of the report's.
    #[arg(long, conflicts_with = "store")]
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
    // What others have finished comes into the work folder, which may be a new one.
    let fetched = setting.store.as_ref().map(|_| &places[0]);
    let Some(own) = fetched.or_else(|| there.next()) else {
        bail!(
            "there are no records in {}: `weaverec reproduce` makes them",
            named()
        );
    };
    let mut store = Store::open(own)?;
    if let Some(place) = &setting.store {
        store = store.sharing(place)?;
    }
    let library = Library::new(store, there.find(|place| *place != own).cloned())?;
    let mut benches = Vec::new();
    for study in setting.profile.studies(&setting.data)? {
        let cell = StudyRecord::cell(&setting.profile, study)?;
        library.own.exchange([&cell])?;
        if !library.has(&cell) {
            say(format!(
                "study {}: {} has no record of it as profile {} describes it now, and it is left out",
                study.name,
                named(),
                setting.profile.name
            ));
            continue;
        }
        let bench = Bench::of_record(&library.load(&cell)?)?;
        exchange(&bench, &bench.plan.units, &library.own)?;
        benches.push(bench);
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
