//! `weaverec report`.

use anyhow::Result;
use clap::Args;

use super::reproduce;

/// Write the report of a finished profile again, from its run records; nothing is trained or ranked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec report --profile quick
  weaverec report --profile mine.toml --data logs --out reports/mine")]
pub struct Arguments {
    #[command(flatten)]
    of: reproduce::Arguments,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    reproduce::work(arguments.of, false)
}
