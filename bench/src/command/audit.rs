//! `weaverec audit`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use weaverec_pipeline::audit::{self, crossing};
use weaverec_pipeline::inspect::overlap;
use weaverec_pipeline::prepared::Prepared;

/// Check prepared folders for leaks: what must not be known when a prompt is answered. Exits with 1 where there is one.
///
/// Every prompt is held against the sequences: history right before the target, target in its own split, after its cut and new to its
/// user, ties in time as it says, no candidate that the user touched (unless repeats were kept), the target among them, no row twice,
/// no text that the ids do not give. A file whose content is not what the manifest recorded counts as a leak too. Negatives that bear
/// the title of an item the user touched, under another id, are counted and no leak; so are targets and negatives first seen after the
/// cut. With several folders, shared users and items are told, and how much of each domain's training data is later than the tests of
/// the same users in another: nothing, where all were cut at one moment.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec audit prepared/shop
  weaverec audit prepared/shop prepared/films             also whom and what the two share")]
pub struct Arguments {
    /// Prepared folders.
    #[arg(required = true)]
    folders: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    let mut clean = true;
    let mut opened = Vec::new();
    for folder in &arguments.folders {
        let prepared = Prepared::open_as_found(folder)?;
        for file in prepared.altered()? {
            clean = false;
            super::print(format!(
                "{}: {file} was changed after it was prepared",
                folder.display()
            ))?;
        }
        let report = audit::audit(&prepared)?;
        clean &= report.check().is_ok();
        super::print(format!("{}: {report}", folder.display()))?;
        if let Some(warning) = report.warning(&prepared.manifest().parameters.split) {
            super::print(format!("  note: {warning}"))?;
        }
        opened.push(prepared);
    }
    for pair in overlap(&opened)? {
        super::print(pair.to_string())?;
    }
    for target in &opened {
        let others = opened.iter().filter(|other| !std::ptr::eq(*other, target));
        for source in others {
            let found = crossing::crossing(target, source)?;
            if found.tested > 0 {
                super::print(found.to_string())?;
            }
        }
    }
    Ok(ExitCode::from(u8::from(!clean)))
}
