//! `weaverec merge statistics`: what the rule `fisher` goes by, measured.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use weaverec_model::merge::measure::{fisher, write_fisher};
use weaverec_model::op::with_threads;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::Split;

use crate::command::adapter::{Adapters, doubt};
use crate::command::base::Base;
use crate::experiment::encoder::Encoder;
use crate::progress::{Meter, say};

/// Which adapter, and on what it is measured.
#[derive(Debug, Args)]
#[command(after_help = "\
The file has the mean squared gradient of log p(answer | prompt) over training prompts, for every entry of every weight that the adapter
changes: of a model of 135 million parameters 430 MB. docs/merging.md says what a recipe does with it.

Examples:
  weaverec merge statistics prepared/shop --adapter shop --out shop.fisher.safetensors")]
pub struct Arguments {
    /// Prepared folder of a domain that the adapter was trained on; its training prompts are read.
    folder: PathBuf,
    /// PEFT folder.
    #[arg(long)]
    adapter: PathBuf,
    /// File to write; what is there is replaced with --force alone.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    /// Training prompts that are read.
    #[arg(long, default_value_t = 200, value_parser = super::super::number::at_least(1))]
    prompts: usize,
    /// MiB for weights and gradients; with less, fewer modules are measured at a time, and the prompts are read more often.
    #[arg(long, value_name = "MIB", default_value = "4096", value_parser = super::super::number::mebibytes)]
    memory: usize,
    #[command(flatten)]
    base: Base,
    #[command(flatten)]
    adapters: Adapters,
    /// Threads [default: all].
    #[arg(long, value_parser = super::super::number::threads)]
    threads: Option<usize>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let out = &arguments.out;
    if out.exists() && !(arguments.force && out.is_file()) {
        bail!(
            "{} is there already: name another file, or replace one with --force",
            out.display()
        );
    }
    let prepared = Prepared::open(&arguments.folder)?;
    let prompts = prepared.first_prompts(Split::Train, arguments.prompts)?;
    if prompts.is_empty() {
        bail!("{} has no training prompts", arguments.folder.display());
    }
    let model = arguments.base.load()?;
    let folder = &arguments.adapter;
    let adapter = arguments.adapters.read(folder, Some(model.decoder.config()))?;
    if let Some(doubt) = doubt(&adapter, folder, &model.base, &model.path) {
        say(format!("warning: {}: {doubt}", folder.display()));
    }
    let encoder = Encoder::new(model.words.tokenizer()?, prepared.manifest().parameters.format);
    let examples = encoder.examples(&prompts)?;
    let meter = Meter::start("measuring");
    let found = with_threads(super::super::threads(arguments.threads), || {
        let mut progress = |done: usize, total: usize| {
            meter.update(done as u64, total as u64, || "prompts, for all modules".into());
        };
        fisher(
            &model.decoder,
            &adapter,
            &examples,
            arguments.memory << 20,
            &mut progress,
        )
    })?;
    write_fisher(out, &found)?;
    meter.finish(format!("{} modules on {} prompts", found.len(), prompts.len()));
    say(format!("wrote {}", out.display()));
    Ok(())
}
