//! `weaverec reproduce`: a profile from raw logs to the report.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use weaverec_model::device::{Arithmetic, DeviceName};
use weaverec_output::{Claim, Input};

use crate::experiment::assemble;
use crate::experiment::plan::Plan;
use crate::experiment::profile::{Data, Profile};
use crate::experiment::runner::{Bench, Workshop, run as run_cells};
use crate::output::{REPORT, WORK};
use crate::progress::{duration, say};
use crate::report;

/// Run a profile: prepare its data, run every cell that is not finished, write the report.
///
/// A run that was stopped goes on where it was: finished cells are kept, and an interrupted training resumes from its checkpoint
/// where the profile writes them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec reproduce
  weaverec reproduce --data synthetic                     generated logs only, no download
  weaverec reproduce --profile mine.toml --data logs --out reports/mine
  weaverec reproduce --profile small --device cuda --arithmetic bf16")]
pub struct Arguments {
    /// A profile's name (quick, small) or the path of a profile's TOML.
    #[arg(long, default_value = "quick")]
    pub profile: String,
    /// `synthetic` for generated logs only (no download), or the folder of local raw logs; without it, what the profile fetches
    /// and generates.
    #[arg(long)]
    pub data: Option<String>,
    /// Folder of prepared data and run records [default: runs/<profile>].
    #[arg(long)]
    pub work: Option<PathBuf>,
    /// Folder of the report [default: results/<profile>].
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Where the language model runs: `cpu`, `cuda`, `cuda:1` or `metal` [default: what the profile says, or the CPU].
    #[arg(long)]
    pub device: Option<DeviceName>,
    /// Type of activations and products: f32, or on a GPU bf16 [default: what the profile says, or f32].
    #[arg(long, value_parser = super::choice::<Arithmetic>(&Arithmetic::NAMES))]
    pub arithmetic: Option<Arithmetic>,
    /// Threads [default: all].
    #[arg(long, value_parser = super::number::threads)]
    pub threads: Option<usize>,
    /// Cells (trainings, rankings) at a time; they share the threads [default: on the CPU one a thread, on a GPU one].
    #[arg(long, value_parser = super::number::at_least(1))]
    pub jobs: Option<usize>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    work(arguments, true)
}

/// Sets a profile up, runs its missing cells if `run_missing`, and reports.
pub fn work(arguments: Arguments, run_missing: bool) -> Result<()> {
    let started = std::time::Instant::now();
    let mut profile = Profile::load(&arguments.profile)?;
    let compute = &mut profile.compute;
    compute.device = arguments.device.unwrap_or(compute.device);
    compute.arithmetic = arguments.arithmetic.unwrap_or(compute.arithmetic);
    compute.device.open()?;
    let data = Data::parse(arguments.data.as_deref());
    let threads = super::threads(arguments.threads);
    let work = arguments
        .work
        .unwrap_or_else(|| PathBuf::from("runs").join(&profile.name));
    let out = arguments
        .out
        .unwrap_or_else(|| PathBuf::from("results").join(&profile.name));
    // Both are claimed before the work is begun: hours later is too late to hear that something is in the way.
    let profile_file = Some(&arguments.profile).filter(|path| Path::new(path).is_file());
    let mut inputs: Vec<Input> = profile_file
        .map(|path| Input::new(path, "the profile"))
        .into_iter()
        .collect();
    inputs.extend(
        data.folder()
            .map(|folder| Input::partly(folder, "the folder of raw logs")),
    );
    let (within, report) = (weaverec_output::resolve(&work)?, weaverec_output::resolve(&out)?);
    if within != report && within.starts_with(&report) {
        bail!(
            "{} lies inside {}, which a report would replace; name a work folder outside of the report's",
            work.display(),
            out.display()
        );
    }
    // Beside other runs: the store keeps their cells apart.
    let records = Claim::share(&work, WORK, &inputs)?;
    inputs.push(Input::partly(&work, "the work folder"));
    let claim = Claim::take(&out, REPORT, &inputs)?;
    let workshop = Workshop::open(records.place(), threads, arguments.jobs, profile.compute)?;
    let mut studies = Vec::new();
    for study in profile.studies(&data)? {
        let bench = Bench::set_up(&profile, study, &data, &workshop)?;
        let plan = Plan::new(&bench)?;
        if run_missing {
            run_cells(&bench, &plan, &workshop)?;
        }
        studies.push(assemble::study(&bench, &plan, &workshop.store)?);
    }
    report::write_all(&studies, &claim, &serde_json::to_value(&workshop.environment)?)?;
    for study in &studies {
        super::print(report::terminal(study)?)?;
    }
    say(format!(
        "profile {}: {}; the report is {}",
        profile.name,
        duration(started.elapsed().as_secs_f64()),
        out.join("report.md").display()
    ));
    Ok(())
}
