//! `weaverec merge`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use weaverec_model::backbone::{Tokenizer, Weights};
use weaverec_model::lora::Adapter;
use weaverec_model::merge;
use weaverec_output::{Claim, Input};

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
            .map(|base| Input::new(base, "the base")),
    );
    let claim = Claim::take(&arguments.out, MERGED, &inputs)?;
    let adapters: Vec<Adapter> = arguments
        .adapters
        .iter()
        .map(|a| Adapter::load(a))
        .collect::<weaverec_model::Result<_>>()?;
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
