//! `weaverec inspect`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use weaverec_pipeline::inspect::{Summary, overlap};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::stage::Cut;
use weaverec_pipeline::stage::window::time_text;

/// Show what prepared folders hold: counts after each stage, lengths, sample prompts, rejects; with several, what they share.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec inspect prepared/shop
  weaverec inspect prepared/shop prepared/films           also whom and what the two share
  weaverec inspect --cut 0.9 prepared/shop prepared/films where nine tenths of the interactions of both lie before")]
pub struct Arguments {
    /// Prepared folders.
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Sample prompts shown.
    #[arg(long, default_value_t = 1)]
    samples: usize,
    /// Only the moments of a global-time split that puts this share of all folders' interactions before the test, for
    /// `prepare --validation-from --test-from`.
    #[arg(long, value_name = "SHARE")]
    cut: Option<Cut>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let prepared: Vec<Prepared> = arguments
        .folders
        .iter()
        .map(Prepared::open)
        .collect::<weaverec_pipeline::Result<_>>()?;
    if let Some(cut) = arguments.cut {
        if !matches!(cut, Cut::Shares { .. }) {
            bail!("--cut of `inspect` is a share, such as 0.9; a moment needs no folders");
        }
        let mut times = Vec::new();
        for folder in &prepared {
            folder.each_sequence(|row| times.extend(row.timestamps))?;
        }
        let found = cut.among(times)?;
        let (validation, test) = (time_text(found.validation_from), time_text(found.test_from));
        return super::print(format!("--validation-from {validation} --test-from {test}"));
    }
    for folder in &prepared {
        super::print(Summary::of(folder, arguments.samples)?.to_string())?;
    }
    for pair in overlap(&prepared)? {
        super::print(pair.to_string())?;
    }
    Ok(())
}
