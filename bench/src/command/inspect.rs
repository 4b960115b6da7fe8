//! `weaverec inspect`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use weaverec_pipeline::inspect::{Summary, overlap};
use weaverec_pipeline::prepared::Prepared;

/// Show what prepared folders hold: counts after each stage, lengths, sample prompts, rejects; with several, what they share.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec inspect prepared/shop
  weaverec inspect prepared/shop prepared/films           also whom and what the two share")]
pub struct Arguments {
    /// Prepared folders.
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Sample prompts shown.
    #[arg(long, default_value_t = 1)]
    samples: usize,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let prepared: Vec<Prepared> = arguments
        .folders
        .iter()
        .map(Prepared::open)
        .collect::<weaverec_pipeline::Result<_>>()?;
    for folder in &prepared {
        super::print(Summary::of(folder, arguments.samples)?.to_string())?;
    }
    for pair in overlap(&prepared)? {
        super::print(pair.to_string())?;
    }
    Ok(())
}
