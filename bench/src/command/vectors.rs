//! `weaverec vectors`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::json;
use weaverec_model::backbone::Precision;
use weaverec_model::device::{Arithmetic, Compute, DeviceName};
use weaverec_model::op::with_threads;
use weaverec_model::recommender::Vectors;
use weaverec_model::recommender::vectors::TextVectors;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::Item;

use super::number;
use crate::experiment::item_vectors::file::{self, Part};
use crate::experiment::item_vectors::{self, DomainItems, ItemVectors};
use crate::progress::say;

/// Write one vector an item of prepared folders, of all in one space, as Parquet: item, domain, vector. Prints what they came to as JSON.
///
/// They are made of titles: by hashed TF-IDF and its singular vectors (seconds, no model), by the sentence encoder all-MiniLM-L6-v2 (minutes
/// for ten thousand titles), or as the mean of a language model's states, with or without an adapter. What a model made is kept in the cache.
/// A file of vectors, of the same columns, is read, checked against the items and written in their order.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec vectors prepared/a prepared/b --out vectors.parquet                  TF-IDF, 256 numbers an item
  weaverec vectors prepared/a prepared/b --by minilm --out vectors.parquet
  weaverec vectors prepared/a --by smollm2-135m,adapters/woven --out woven.parquet
  weaverec vectors prepared/a --by mine.parquet --normalise true --out checked.parquet")]
pub struct Arguments {
    /// Prepared folders.
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// `tf-idf`, `minilm`, a language model (`smollm2-135m`, `gemma3-270m`, a Hugging Face folder or a GGUF file) and after a comma an
    /// adapter's folder, the folder of a sentence encoder, or a file of vectors (.parquet).
    #[arg(long, value_name = "WHAT", default_value = "tf-idf")]
    by: String,
    /// File to write, .parquet.
    #[arg(long)]
    out: PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
    /// Numbers a vector, of TF-IDF [default: 256].
    #[arg(long, value_parser = number::at_least(1))]
    width: Option<usize>,
    /// Seed of TF-IDF's random subspace [default: 0].
    #[arg(long)]
    seed: Option<u64>,
    /// Make every direction of TF-IDF as wide as any other.
    #[arg(long)]
    whiten: bool,
    /// Take the mean of all items away [default: true for language models].
    #[arg(long, value_name = "BOOL")]
    centre: Option<bool>,
    /// Bring every vector to length 1 [default: true but for a file].
    #[arg(long, value_name = "BOOL")]
    normalise: Option<bool>,
    /// What the projections of a language model are kept in.
    #[arg(long, default_value = "f32", value_parser = super::choice::<Precision>(&Precision::NAMES))]
    precision: Precision,
    /// Where a language model runs: `cpu`, `cuda`, `cuda:1` or `metal`.
    #[arg(long, default_value_t)]
    device: DeviceName,
    /// Type of its activations and products: f32, or on a GPU bf16.
    #[arg(long, default_value = "f32", value_parser = super::choice::<Arithmetic>(&Arithmetic::NAMES))]
    arithmetic: Arithmetic,
    /// Threads [default: all].
    #[arg(long, value_parser = number::threads)]
    threads: Option<usize>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let Arguments { out, .. } = &arguments;
    ensure!(
        item_vectors::is_parquet(out),
        "{} does not end in .parquet",
        out.display()
    );
    ensure!(
        arguments.force || !out.exists(),
        "{} is there already; pass --force to write over it, or name another file",
        out.display()
    );
    let how = how(&arguments)?;
    let prepared = arguments
        .folders
        .iter()
        .map(|folder| Ok(Prepared::open(folder)?))
        .collect::<Result<Vec<_>>>()?;
    let items = prepared
        .iter()
        .map(|folder| Ok(folder.items()?))
        .collect::<Result<Vec<Vec<Item>>>>()?;
    let domains: Vec<DomainItems> = prepared
        .iter()
        .zip(&items)
        .map(|(folder, items)| DomainItems {
            name: &folder.manifest().name,
            items,
        })
        .collect();
    let kept = item_vectors::kept()?;
    let compute = Compute {
        device: arguments.device,
        arithmetic: arguments.arithmetic,
    };
    let made = with_threads(super::threads(arguments.threads), || {
        how.of_items(&domains, Some(&kept), compute)
    })?;
    write(out, &domains, &made, &how)?;
    say(format!("wrote {}", out.display()));
    let domains: Vec<_> = domains
        .iter()
        .zip(&made)
        .map(|(domain, vectors)| {
            json!({ "domain": domain.name, "items": vectors.items(), "zero": vectors.empty() })
        })
        .collect();
    let width = made.first().map_or(0, |vectors| vectors.width);
    super::print(serde_json::to_string_pretty(
        &json!({ "width": width, "domains": domains }),
    )?)
}

fn write(out: &Path, domains: &[DomainItems], made: &[Vectors], how: &ItemVectors) -> Result<()> {
    let parts: Vec<Part> = domains
        .iter()
        .zip(made)
        .map(|(domain, vectors)| Part {
            domain: domain.name.to_owned(),
            items: domain.items.iter().map(|item| item.item_id.as_str()).collect(),
            vectors,
        })
        .collect();
    file::write(out, &parts, &how.identity()?)
}

/// How vectors are made, of `--by` and the settings that were given.
fn how(arguments: &Arguments) -> Result<ItemVectors> {
    let by = arguments.by.trim();
    let mut how = ItemVectors::named(by).with_context(|| format!("--by {by}"))?;
    if !matches!(how, ItemVectors::TfIdf(_)) {
        let of_words = [
            ("--width", arguments.width.is_some()),
            ("--seed", arguments.seed.is_some()),
            ("--whiten", arguments.whiten),
        ];
        if let Some((name, _)) = of_words.iter().find(|(_, given)| *given) {
            bail!("{name} is about TF-IDF: vectors by {by} are what they are");
        }
    }
    match &mut how {
        ItemVectors::TfIdf(settings) => {
            let default = TextVectors::default();
            *settings = TextVectors {
                width: arguments.width.unwrap_or(default.width),
                seed: arguments.seed.unwrap_or(default.seed),
                whiten: arguments.whiten,
                centre: arguments.centre.unwrap_or(default.centre),
                normalise: arguments.normalise.unwrap_or(default.normalise),
            };
        }
        ItemVectors::Minilm(sentences) => {
            ensure!(
                arguments.normalise != Some(false),
                "--normalise false: vectors by a sentence encoder are of length 1"
            );
            sentences.centre = arguments.centre.unwrap_or(sentences.centre);
        }
        ItemVectors::Decoder(states) => {
            states.precision = arguments.precision;
            states.centre = arguments.centre.unwrap_or(states.centre);
            states.normalise = arguments.normalise.unwrap_or(states.normalise);
        }
        ItemVectors::File(own) => {
            own.centre = arguments.centre.unwrap_or(own.centre);
            own.normalise = arguments.normalise.unwrap_or(own.normalise);
        }
    }
    Ok(how)
}
