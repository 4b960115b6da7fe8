//! `weaverec merge statistics`: what the rules `fisher`, `regmean` and `localize_and_stitch` go by, measured or learnt.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use weaverec_model::merge::measure::{Localizing, fisher, localize, write_fisher, write_gram, write_masks};
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
in memory than --memory.
localize-and-stitch: which entries of the update those prompts want kept, learnt by gradient descent; as large as fisher's, and five times
that in memory. docs/merging.md says what a recipe does with the files.

Examples:
  weaverec merge statistics prepared/shop --adapter shop --out shop.fisher.safetensors
  weaverec merge statistics prepared/shop --adapter shop --kind regmean --out shop.gram.safetensors
  weaverec merge statistics prepared/shop --adapter shop --kind localize-and-stitch --density 0.05 --out shop.mask.safetensors")]
pub struct Arguments {
    /// Prepared folder of a domain that the adapter was trained on; its training prompts are read.
    folder: PathBuf,
    /// PEFT folder.
    #[arg(long)]
    adapter: PathBuf,
    /// The rule that goes by it: fisher wants squared gradients, regmean the inner products of inputs, localize-and-stitch a mask.
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
    /// Of a mask: share of the update's entries that it begins with, those of the largest magnitude [default: 0.05].
    #[arg(long, value_name = "SHARE", value_parser = super::super::number::share)]
    density: Option<f64>,
    /// Of a mask: passes over the prompts [default: 5].
    #[arg(long)]
    epochs: Option<usize>,
    /// Of a mask: how much an answer's loss may rise if nothing is kept in place of all; more keeps less [default: 0.1].
    #[arg(long, value_name = "NATS", value_parser = super::super::number::not_negative)]
    sparsity: Option<f64>,
    /// MiB for weights and gradients, or for sums of products; with less, fewer modules are measured at a time, and the prompts are read
    /// more often. A mask is of all modules at once.
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
    LocalizeAndStitch,
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
    let localizing = localizing(arguments)?;
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
    let modules = with_threads(super::super::threads(arguments.threads), || -> Result<usize> {
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
            Kind::Regmean => Ok(write_gram(
                out,
                decoder,
                &adapter,
                &examples,
                memory,
                &mut progress,
            )?),
            Kind::LocalizeAndStitch => {
                let found = localize(decoder, &adapter, &examples, localizing, &mut progress)?;
                write_masks(out, &found.masks)?;
                let kept = format!("the mask keeps {:.2} % of the entries", 100.0 * found.density);
                say(match found.losses {
                    Some([first, last]) => {
                        format!("{kept}; the loss of an answer went from {first:.4} to {last:.4}")
                    }
                    None => kept,
                });
                Ok(found.masks.len())
            }
        }
    })?;
    meter.finish(format!("{modules} modules on {} prompts", prompts.len()));
    say(format!("wrote {}", out.display()));
    Ok(())
}

/// How a mask is learnt; an error where that is said of something else.
fn localizing(arguments: &Arguments) -> Result<Localizing> {
    let said = [
        ("--density", arguments.density.is_some()),
        ("--epochs", arguments.epochs.is_some()),
        ("--sparsity", arguments.sparsity.is_some()),
    ];
    if let Some((flag, _)) = said
        .iter()
        .find(|(_, said)| *said && arguments.kind != Kind::LocalizeAndStitch)
    {
        bail!("{flag} is of a mask; give --kind localize-and-stitch, or leave it out");
    }
    let usual = Localizing::default();
    Ok(Localizing {
        density: arguments.density.unwrap_or(usual.density),
        epochs: arguments.epochs.unwrap_or(usual.epochs),
        sparsity: arguments.sparsity.unwrap_or(usual.sparsity),
        ..usual
    })
}
