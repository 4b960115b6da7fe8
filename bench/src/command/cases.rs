//! `weaverec cases`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use weaverec_output::{Claim, Input};
use weaverec_pipeline::prepared::Prepared;

use super::target::Named;
use crate::cut::Cut;
use crate::experiment::domain::{self, Wanted};
use crate::experiment::outside::cases::{Cases, FOLDER, REPLACED};

/// Write the cases of a target for other programs.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write the users, histories and candidates of a target, its items, and its training part as RecBole's atomic files; prints the folder.
    ///
    /// The target's own next items are not among it: whoever ranks has no use for them.
    #[command(after_help = "\
Examples:
  weaverec cases export --profile quick --study movielens-genres --target drama --work runs/quick --out cases
  weaverec cases export --prepared prepared/amazon-2014-beauty --cut-seed 0 --out cases")]
    Export(Box<Export>),
}

#[derive(Debug, Args)]
struct Export {
    #[command(flatten)]
    of: Named,
    /// A prepared folder in place of a profile's target.
    #[arg(long, conflicts_with_all = ["profile", "data", "work", "study", "target"])]
    prepared: Option<PathBuf>,
    /// Of a prepared folder: decides which users choose and which are reported.
    #[arg(long, default_value_t = 0, requires = "prepared")]
    cut_seed: u64,
    /// Of a prepared folder: the users that are reported on.
    #[arg(long, default_value = "dev", requires = "prepared", value_parser = super::choice::<Cut>(&["dev", "final"]))]
    report_on: Cut,
    /// Folder to write.
    #[arg(long)]
    out: PathBuf,
    /// Write the targets as well, for whoever computes metrics elsewhere.
    #[arg(long)]
    with_targets: bool,
    /// Replace an earlier folder of cases.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let Action::Export(asked) = arguments.action;
    export(*asked)
}

fn export(asked: Export) -> Result<()> {
    let kind = if asked.force { REPLACED } else { FOLDER };
    if let Some(folder) = &asked.prepared {
        let claim = Claim::take(&asked.out, kind, &[Input::new(folder, "the prepared folder")])?;
        let wanted = Wanted {
            cut_seed: asked.cut_seed,
            report_on: asked.report_on,
            ranked: usize::MAX,
            held_out: usize::MAX,
            calibration: usize::MAX,
            format: Prepared::open(folder)?.manifest().parameters.format,
        };
        let name = Prepared::open(folder)?.manifest().name.clone();
        let domain = domain::read(&name, &wanted, folder)?;
        domain.check_ranked(wanted.report_on)?;
        let cases = Cases {
            domain: &domain,
            asked: json!({ "prepared": name }),
            report_on: wanted.report_on,
            cut_seed: wanted.cut_seed,
            targets: asked.with_targets,
        };
        claim.write(|folder| cases.write(folder))?;
        return super::print(claim.place().display().to_string());
    }
    let target = asked.of.open()?;
    let mut inputs = target.inputs.clone();
    inputs.push(Input::partly(&target.work, "the work folder"));
    let claim = Claim::take(&asked.out, kind, &inputs)?;
    let domain = target.domain()?;
    let cases = Cases {
        domain: &domain,
        asked: json!({
            "profile": target.profile.name,
            "study": target.study.name,
            "target": target.name,
        }),
        report_on: target.profile.report_on,
        cut_seed: target.profile.cut_seed,
        targets: asked.with_targets,
    };
    claim.write(|folder| cases.write(folder))?;
    super::print(claim.place().display().to_string())
}
