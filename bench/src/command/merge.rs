//! `weaverec merge`.

mod inspect;
mod plan;
mod request;
mod size;
mod statistics;
#[cfg(test)]
mod tests;
mod verify;
mod weights;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use rayon::prelude::*;
use weaverec_model::backbone::{DecoderConfig, Weights};
use weaverec_model::lora::{self, Adapter};
use weaverec_model::merge::align::{Aligned, Member, STATISTICS, WEIGHT};
use weaverec_model::merge::base::{BaseModel, SHARD_BYTES, Shards};
use weaverec_model::merge::draw::Seeded;
use weaverec_model::merge::receipt::{BaseRecord, FileRecord, MemberRecord, Receipt};
use weaverec_model::merge::recipe::{Recipe, Source};
use weaverec_model::merge::run::Run;
use weaverec_model::merge::setting::Setting;
use weaverec_output::{Claim, Input};

use crate::allocator::return_memory_after;
use crate::card;
use crate::command::adapter::{Adapters, base_of, doubt, doubt_of_name};
use crate::output::{MERGE, MERGED, write_json};
use crate::progress::say;

/// Milliseconds for which memory that is freed is kept while a base goes through, block by block.
pub(super) const KEPT_FOR: u16 = 100;

/// Merge adapters into one, by any rule; the weighted sum of their deltas unless one is named, uniform unless weights are given.
///
/// What it was made of, and that it is what it should be, stands in merge.json (`merge verify`). An earlier result of a merge is replaced;
/// nothing else is, and no input.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  weaverec merge shop shop+films --out woven
  weaverec merge shop shop+films --weights 0.7,0.3 --rank 16 --out woven
  weaverec merge shop shop+films --weights-by grid --prompts prepared/shop --out woven     chosen by held-out users
  weaverec merge shop shop+films --weights-by entropy --weigh per=module --prompts prepared/shop --out woven
  weaverec merge --rule ties --density 0.5 --weights 1,1 shop films --out woven
  weaverec merge recipe.yaml --out woven                   mergekit's YAML, or the same keys in TOML
  weaverec merge recipe.yaml --dry-run
  weaverec merge shop shop+films --into-base models/llama --out woven-model
  weaverec merge verify woven
  weaverec merge inspect shop films --html alike.html      how alike their updates are, before they are merged

docs/merging.md has the rules with their settings.")]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// PEFT folders, or one recipe (.yaml, .yml, .toml).
    #[arg(required = true)]
    adapters: Vec<PathBuf>,
    /// Folder of the result.
    #[arg(long, required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// A weight for each adapter, as 0.5,0.3,0.2 [default: one over their number, or 1 where the rule averages].
    // The first may be negative.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, value_parser = super::number::finite)]
    weights: Vec<f64>,
    #[command(flatten)]
    chosen: Box<weights::WeightArguments>,
    #[command(flatten)]
    rule: request::RuleArguments,
    /// Cut the result to this rank by a truncated SVD.
    #[arg(long, value_parser = super::number::at_least(1))]
    rank: Option<usize>,
    /// Print what would be merged, with shapes, ranks, memory and time, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Fold the result into this base (a Hugging Face folder or GGUF file) and write a full model instead of an adapter, in the base's
    /// own numbers.
    #[arg(long)]
    into_base: Option<PathBuf>,
    /// Bytes of a file of that model at most, as 500MB or 5GB: more make shards with an index.
    #[arg(long, value_name = "SIZE", requires = "into_base", value_parser = size::bytes, default_value_t = SHARD_BYTES)]
    shard_size: u64,
    /// The base that the adapters were trained on, to see that they fit it and lack nothing [default: --into-base, or else what an adapter
    /// or the recipe names as its base, where that is found].
    #[arg(long, value_name = "MODEL")]
    base: Option<PathBuf>,
    /// Merge all the same what was trained on different bases, or on another than --into-base.
    #[arg(long)]
    other_base: bool,
    #[command(flatten)]
    reading: Adapters,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Merge again what a result was made of, and compare: the adapters must be there, and be what they were.
    Verify(verify::Arguments),
    /// Compare adapters before they are merged: norms, ranks, cosines, signs and subspaces of their updates.
    Inspect(inspect::Arguments),
    /// Measure what the rules fisher and regmean go by: squared gradients of the weights that an adapter changes, or what these read.
    Statistics(Box<statistics::Arguments>),
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    match arguments.action {
        Some(Action::Verify(arguments)) => return verify::run(&arguments),
        Some(Action::Inspect(arguments)) => return inspect::run(&arguments),
        Some(Action::Statistics(arguments)) => return statistics::run(&arguments),
        None => {}
    }
    let mut recipe = request::recipe(&arguments)?;
    for note in &recipe.notes {
        say(format!("note: {note}"));
    }
    let choice = arguments.chosen.asked(&recipe)?;
    let folders: Vec<PathBuf> = recipe
        .members
        .iter()
        .map(|member| member.folder.clone())
        .collect();
    let mut inputs: Vec<Input> = folders
        .iter()
        .map(|folder| Input::new(folder, "an adapter that is merged"))
        .collect();
    inputs.extend(
        arguments
            .into_base
            .iter()
            .chain(&arguments.base)
            .map(|base| Input::new(base, "the base")),
    );
    inputs.extend(
        choice
            .iter()
            .flat_map(|choice| &choice.prompts)
            .map(|prompts| Input::new(prompts, "the prompts that choose")),
    );
    inputs.extend(
        recipe
            .members
            .iter()
            .filter_map(statistics_of)
            .map(|file| Input::new(file, "what was measured of an adapter")),
    );
    inputs.extend(request::file(&arguments).map(|recipe| Input::new(recipe, "the recipe")));
    let claim = match (&arguments.out, arguments.dry_run) {
        (Some(out), false) => Some(Claim::take(out, MERGED, &inputs)?),
        _ => None,
    };
    if let Some(claim) = &claim {
        lora::card::check(claim.place())?;
    }
    let base = base(&arguments, &recipe)?;
    let mut adapters = read(&folders, base.as_ref(), &arguments.reading)?;
    if base.is_none() && !adapters.iter().any(Adapter::knows_layers) {
        say(
            "warning: nothing says how many layers the base has, so that factors which the last of them lack go unseen; --base names it",
        );
    }
    if arguments.other_base {
        adapters.iter_mut().for_each(|adapter| adapter.base = None);
    }
    let chosen = match (&choice, &claim) {
        (Some(choice), Some(_)) => {
            let (chosen, record) =
                weights::chosen(&arguments.chosen, choice, &recipe, base.as_ref(), &adapters)?;
            // They stand in the recipe as if they had been given: merging again needs neither prompts nor a model.
            recipe.weights = None;
            for (place, source) in recipe.members.iter_mut().enumerate() {
                source
                    .settings
                    .insert(WEIGHT.to_string(), chosen.lambda.setting(place));
            }
            Some((chosen, record))
        }
        _ => None,
    };
    let members = aligned(&recipe, &adapters)?;
    let seeded = Seeded(recipe.seed);
    let run = Run {
        rule: &recipe.rule,
        rank: recipe.rank,
        draws: &seeded,
    };
    run.check(&members)?;
    let Some(claim) = claim else {
        plan::print(&recipe, run, &members, arguments.into_base.is_some())?;
        return match &choice {
            Some(choice) => weights::print_plan(&arguments.chosen, choice, &recipe, base.as_ref(), &adapters),
            None => Ok(()),
        };
    };
    let (chosen, by) = chosen.unzip();
    let mut receipt = Receipt {
        weights: chosen,
        choice: by,
        ..receipt(&recipe, &adapters)?
    };
    match &arguments.into_base {
        None => {
            let (merged, modules) = run.adapter(&members)?;
            let receipt = receipt.with(modules, merged.fingerprint()?);
            tell(&receipt);
            claim.write(|folder| -> Result<()> {
                merged.save_into(folder)?;
                card::merged(claim.place(), &merged, &receipt).write(folder)?;
                write_json(&folder.join(MERGE), &receipt)
            })?;
        }
        Some(base) => claim.write(|folder| -> Result<()> {
            let model = BaseModel::open(base)?;
            if !arguments.other_base {
                check_base(&folders, &adapters, base, &model)?;
            }
            // Blocks follow each other and are of one size; what a whole module took is not to stay.
            return_memory_after(KEPT_FOR);
            let folding = run.into_files(&members, &model)?;
            let mut shards = Shards::new(folder, folding.tensors(), arguments.shard_size)?;
            let folded = folding.write(&mut shards)?;
            shards.finish()?;
            if !model.copy_companions(folder, folding.parts_head())? {
                say(format!(
                    "warning: {} has no tokenizer, and so the result has none",
                    base.display()
                ));
            }
            receipt.base = Some(BaseRecord {
                folder: base.to_string_lossy().into_owned(),
                fingerprint: folded.base,
            });
            receipt.rounded = (folded.rounded > 0.0).then_some(folded.rounded);
            let receipt = receipt.clone().with(folded.modules, folded.result);
            tell(&receipt);
            write_json(&folder.join(MERGE), &receipt)
        })?,
    }
    if let Some(out) = &arguments.out {
        say(format!("wrote {}", out.display()));
    }
    Ok(())
}

/// What of a merge is not the whole of it.
fn tell(receipt: &Receipt) {
    let lost = receipt.lost;
    if let Some(rounded) = receipt.rounded {
        say(format!(
            "rounding to the base's 16 bits changed {rounded:.4} beside an update of norm {:.4}",
            receipt.norm
        ));
    }
    match receipt.rank {
        Some(rank) => say(format!(
            "cut to rank {rank}: the part cut off has a Frobenius norm of {lost:.4}"
        )),
        None if lost > 0.0 => say(format!(
            "the rule's result has a higher rank than the adapter: the part cut off has a Frobenius norm of {lost:.4}, and what is \
             there of {:.4}; --rank takes more, --into-base all",
            receipt.norm
        )),
        None => {}
    }
}

/// The base, where one is named or found: it says which modules there are.
fn base(arguments: &Arguments, recipe: &Recipe) -> Result<Option<(PathBuf, DecoderConfig)>> {
    let named = arguments.base.as_deref().or(arguments.into_base.as_deref());
    let in_recipe = recipe.base.as_deref().filter(|path| path.exists());
    Ok(match named.or(in_recipe) {
        Some(base) => Some((base.to_path_buf(), Weights::config(base)?)),
        None => recipe.members.iter().find_map(|member| base_of(&member.folder)),
    })
}

fn read(
    folders: &[PathBuf],
    base: Option<&(PathBuf, DecoderConfig)>,
    reading: &Adapters,
) -> Result<Vec<Adapter>> {
    let one = |folder: &PathBuf| match base {
        None => reading.read(folder, None),
        Some((path, config)) => reading
            .read(folder, Some(config))
            .with_context(|| format!("as an adapter of {}", path.display())),
    };
    // Side by side; of what is wrong with several, the first is said.
    let read: Vec<Result<Adapter>> = folders.par_iter().map(one).collect();
    read.into_iter().collect()
}

/// The adapters side by side, with the recipe's settings.
fn aligned<'a>(recipe: &Recipe, adapters: &'a [Adapter]) -> Result<Aligned<'a>> {
    let members = recipe
        .members
        .iter()
        .zip(adapters)
        .map(|(source, adapter)| Member {
            adapter,
            settings: source.settings.clone(),
        });
    Ok(Aligned::new(members.collect())?)
}

/// The file of what was measured of a member, where it has one and is merged.
fn statistics_of(source: &Source) -> Option<&Path> {
    let weightless = source.settings.get(WEIGHT).and_then(Setting::constant) == Some(0.0);
    source.settings.get(STATISTICS)?.file().filter(|_| !weightless)
}

/// What is known of a merge before it is made.
fn receipt(recipe: &Recipe, adapters: &[Adapter]) -> Result<Receipt> {
    let members = recipe.members.iter().zip(adapters);
    let record = |(source, adapter): (&Source, &Adapter)| -> Result<MemberRecord> {
        Ok(MemberRecord {
            folder: source.folder.to_string_lossy().into_owned(),
            fingerprint: adapter.fingerprint()?,
            weight: serde_json::to_value(source.settings.get(WEIGHT))?,
            base: adapter.base.clone(),
            statistics: statistics_of(source).map(FileRecord::of).transpose()?,
        })
    };
    Ok(Receipt {
        version: env!("CARGO_PKG_VERSION").into(),
        recipe: recipe.json()?,
        adapters: members.map(record).collect::<Result<_>>()?,
        weights: None,
        choice: None,
        rank: recipe.rank,
        base: None,
        result: String::new(),
        norm: 0.0,
        lost: 0.0,
        rounded: None,
        gap: 0.0,
        modules: Vec::new(),
    })
}

/// Refuses a base that, by its weights, is not the one that the adapters were trained on; by name alone it is a warning.
fn check_base(folders: &[PathBuf], adapters: &[Adapter], path: &Path, model: &BaseModel) -> Result<()> {
    let name = path.display().to_string();
    let known = adapters.iter().any(|adapter| adapter.base.is_some());
    let base = known.then(|| model.identity(&name)).transpose()?;
    for (folder, adapter) in folders.iter().zip(adapters) {
        match (&adapter.base, &base) {
            (Some(_), Some(base)) => {
                if let Some(doubt) = doubt(adapter, folder, base, path) {
                    bail!(
                        "{}: {doubt}; --other-base folds it in all the same",
                        folder.display()
                    );
                }
            }
            _ => {
                if let Some(doubt) = doubt_of_name(adapter, folder, &name, path) {
                    say(format!("warning: {}: {doubt}", folder.display()));
                }
            }
        }
    }
    Ok(())
}
