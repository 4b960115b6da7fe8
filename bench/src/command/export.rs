//! `weaverec export`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use weaverec_pipeline::export::{ExportFormat, export};
use weaverec_pipeline::prepared::Prepared;

/// Write a prepared folder in the format of another program, as OUT/NAME; prints that folder.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec export prepared/movielens-100k --format recbole --out exported   atomic files, with a description to read them back
  weaverec export prepared/movielens-100k --format jsonl --out exported     prompts, one JSON object a line")]
pub struct Arguments {
    /// Prepared folder.
    prepared: PathBuf,
    /// What to write.
    #[arg(long, value_enum)]
    format: Format,
    /// Folder that the exported folder is made in.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// RecBole's atomic files: interactions and items.
    Recbole,
    /// Prompts as JSON lines, a file a split.
    Jsonl,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let format = match arguments.format {
        Format::Recbole => ExportFormat::Recbole,
        Format::Jsonl => ExportFormat::Jsonl,
    };
    let folder = export(&Prepared::open(&arguments.prepared)?, format, &arguments.out)?;
    super::print(folder.display().to_string())
}
