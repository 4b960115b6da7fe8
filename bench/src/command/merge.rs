//! `weaverec merge`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use weaverec_model::backbone::{Precision, Tokenizer, Weights};
use weaverec_model::lora::Adapter;
use weaverec_model::merge;
use weaverec_output::{Claim, Input};

use crate::command::adapter::{Adapters, base_of, doubt, doubt_of_name};
use crate::output::{MERGE, MERGED, write_json};
use crate::progress::say;

/// Merge adapters into one: the weighted sum of their deltas, exact in the factors; uniform unless weights are given.
///
/// What it was made of stands in merge.json. An earlier result of a merge is replaced; nothing else is, and no input.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec merge shop shop+films --out woven
  weaverec merge shop shop+films --weights 0.7,0.3 --rank 16 --out woven
  weaverec merge shop shop+films --into-base models/llama --out woven-model")]
pub struct Arguments {
    /// PEFT folders.
    #[arg(required = true)]
    adapters: Vec<PathBuf>,
    /// Folder of the result.
    #[arg(long)]
    out: PathBuf,
    /// A weight for each adapter, as 0.5,0.3,0.2 [default: one over their number].
    #[arg(long, value_delimiter = ',', value_parser = super::number::finite)]
    weights: Vec<f64>,
    /// Cut the result to this rank by a truncated SVD.
    #[arg(long, value_parser = super::number::at_least(1))]
    rank: Option<usize>,
    /// Fold the result into this base (a Hugging Face folder or GGUF file) and write a full model instead of an adapter.
    #[arg(long)]
    into_base: Option<PathBuf>,
    /// The base that the adapters were trained on, to see that they fit it and lack nothing [default: --into-base, or else what an adapter
    /// names as its base, where that is found].
    #[arg(long, value_name = "MODEL")]
    base: Option<PathBuf>,
    /// Merge all the same what was trained on different bases, or on another than --into-base.
    #[arg(long)]
    other_base: bool,
    #[command(flatten)]
    reading: Adapters,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let count = arguments.adapters.len();
    let weights = match arguments.weights.len() {
        0 => vec![1.0 / count as f64; count],
        n if n == count => arguments.weights,
        n => bail!("{n} weights for {count} adapters: give one for each"),
    };
    let members = arguments.adapters.iter();
    let mut inputs: Vec<Input> = members
        .map(|folder| Input::new(folder, "an adapter that is merged"))
        .collect();
    inputs.extend(
        arguments
            .into_base
            .iter()
            .chain(&arguments.base)
            .map(|base| Input::new(base, "the base")),
    );
    let claim = Claim::take(&arguments.out, MERGED, &inputs)?;
    let base = match arguments.base.as_deref().or(arguments.into_base.as_deref()) {
        Some(base) => Some((base.to_path_buf(), Weights::config(base)?)),
        None => arguments.adapters.iter().find_map(|folder| base_of(folder)),
    };
    let read = |folder: &PathBuf| match &base {
        None => arguments.reading.read(folder, None),
        Some((path, config)) => arguments
            .reading
            .read(folder, Some(config))
            .with_context(|| format!("as an adapter of {}", path.display())),
    };
    let mut adapters: Vec<Adapter> = arguments.adapters.iter().map(read).collect::<Result<_>>()?;
    if base.is_none() && !adapters.iter().any(Adapter::knows_layers) {
        say(
            "warning: nothing says how many layers the base has, so that factors which the last of them lack go unseen; --base names it",
        );
    }
    if arguments.other_base {
        adapters.iter_mut().for_each(|adapter| adapter.base = None);
    }
    let mut made_of = Vec::with_capacity(count);
    for ((folder, adapter), weight) in arguments.adapters.iter().zip(&adapters).zip(&weights) {
        made_of.push(json!({"folder": folder.to_string_lossy(), "fingerprint": adapter.fingerprint()?, "weight": weight}));
    }
    let mut record = json!({"version": env!("CARGO_PKG_VERSION"), "adapters": made_of});
    let mut merged = merge::weighted(&adapters.iter().zip(weights).collect::<Vec<_>>())?;
    if let Some(rank) = arguments.rank {
        let (cut, lost) = merge::truncate(&merged, rank)?;
        say(format!(
            "cut to rank {rank}: the part cut off has a Frobenius norm of {lost:.4}"
        ));
        record["rank"] = rank.into();
        merged = cut;
    }
    claim.write(|folder| -> Result<()> {
        match &arguments.into_base {
            None => merged.save_into(folder)?,
            Some(base) => {
                let (mut weights, mut config) = Weights::open(base)?;
                if !arguments.other_base {
                    check_base(&arguments.adapters, &adapters, base, &weights)?;
                }
                record["base"] =
                    json!({"folder": base.to_string_lossy(), "fingerprint": weights.fingerprint()?});
                merge::fold(&mut weights, &merged, 1.0)?;
                config.tie_word_embeddings &= !merged.parts_head_from_embedding();
                Tokenizer::open(base)?.save(folder)?;
                weights.save(folder, &config)?;
            }
        }
        write_json(&folder.join(MERGE), &record)
    })?;
    say(format!("wrote {}", arguments.out.display()));
    Ok(())
}

/// Refuses a base that, by its weights, is not the one that the adapters were trained on; by name alone it is a warning.
fn check_base(folders: &[PathBuf], adapters: &[Adapter], path: &Path, weights: &Weights) -> Result<()> {
    let name = path.display().to_string();
    let known = adapters.iter().any(|adapter| adapter.base.is_some());
    let base = known.then(|| weights.base(&name, Precision::F32)).transpose()?;
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
