//! `weaverec merge statistics`: what the rules `fisher` and `regmean` go by, measured.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use weaverec_model::merge::measure::{fisher, write_fisher, write_gram};
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
fisher: the mean squared gradient of log p(answer | prompt) over training prompts, for every entry of every weight that the adapter
changes; of a model of 135 million parameters a file of 430 MB, of one of 7 billion 26 GB, all of which is in memory before it is written.
regmean: the sum of x xᵀ over what every such module reads at every token of the same prompts; 520 MB and 49 GB, of which no more is
in memory than --memory. docs/merging.md says what a recipe does with the files.

Examples:
  weaverec merge statistics prepared/shop --adapter shop --out shop.fisher.safetensors
  weaverec merge statistics prepared/shop --adapter shop --kind regmean --out shop.gram.safetensors")]
pub struct Arguments {
    /// Prepared folder of a domain that the adapter was trained on; its training prompts are read.
    folder: PathBuf,
    /// PEFT folder.
    #[arg(long)]
    adapter: PathBuf,
    /// The rule that goes by it: fisher wants squared gradients, regmean the inner products of inputs.
    #[arg(long, value_name = "RULE", default_value = "fisher")]
    kind: Kind,
    /// File to write; what is there is replaced with --force alone.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    /// Training prompts that are read.
    #[arg(long, default_value_t = 200, value_parser = super::super::number::at_least(1))]
    prompts: usize,
    /// MiB for weights and gradients, or for sums of products; with less, fewer modules are measured at a time, and the prompts are read
    /// more often.
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

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Fisher,
    Regmean,
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
    let modules = with_threads(super::super::threads(arguments.threads), || {
        let mut progress = |done: usize, total: usize| {
            meter.update(done as u64, total as u64, || "prompts, for all modules".into());
        };
        let (decoder, memory) = (&model.decoder, arguments.memory << 20);
        match arguments.kind {
            Kind::Fisher => {
                let found = fisher(decoder, &adapter, &examples, memory, &mut progress)?;
                write_fisher(out, &found)?;
                Ok(found.len())
            }
            Kind::Regmean => write_gram(out, decoder, &adapter, &examples, memory, &mut progress),
        }
    })?;
    meter.finish(format!("{modules} modules on {} prompts", prompts.len()));
    say(format!("wrote {}", out.display()));
    Ok(())
}
