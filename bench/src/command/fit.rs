//! `weaverec fit`.

mod domains;
pub mod folder;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use weaverec_model::op::with_threads;
use weaverec_model::recommender::System;
use weaverec_model::train::Checkpoint;
use weaverec_output::{Claim, Input};

use self::domains::Domains;
use self::folder::{About, Other};
use super::number;
use crate::experiment::item_vectors::ItemVectors;
use crate::experiment::recommender::{CHOOSING, Fitted, Request, choosing, fitted};
use crate::method::log::Histories;
use crate::method::{self, How, METHODS, settings};
use crate::output::{FIT_CHECKPOINT, FITTED};
use crate::progress::{Meter, say};

/// Fit a recommender over sequences of items to a prepared folder, without a language model. Writes a folder with its weights, the items' ids
/// and titles, and the course of the fit in training.jsonl, for `rank` and `recommend`.
///
/// It is fitted to the training part. Rows that read titles are given text vectors of the folder's own and of those of its sources; rows that
/// learn from other domains are given the training parts of the folders that --source names. The epoch is chosen by the validation targets of
/// users of the selection part (10 % of all, by a keyed hash), on whom nothing is reported. Stopped and started again, it goes on from its last checkpoint and ends with the same weights. A
/// recommender that was fitted into the same folder before is replaced; nothing else is, and no input.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec fit prepared/shop --out shop-sasrec                          SASRec, as in the tables
  weaverec fit prepared/shop --method gru4rec --epochs 10 --out shop-gru
  weaverec fit prepared/shop --method sasrec --set width=128 --seed 2 --out shop-wide
  weaverec fit prepared/shop --method tiger --set codes.size=64 --out shop-tiger
  weaverec fit prepared/shop --method sasrec-text --vectors minilm --out shop-text
  weaverec fit prepared/shop --method unisrec --source prepared/films --out shop-unisrec    learnt on both domains
  weaverec fit prepared/shop --method recbase --source prepared/films --source prepared/books --out shop-recbase
  weaverec rank prepared/shop --model-folder shop-sasrec                its metrics on test users
  weaverec recommend --model-folder shop-sasrec histories.json          the ten best items

`weaverec methods` says which rows are fitted (families: sequence model, text transfer, semantic ids) and what they need.")]
pub struct Arguments {
    /// Prepared folder.
    folder: PathBuf,
    /// The row that is fitted.
    #[arg(long, default_value = "sasrec", value_parser = PossibleValuesParser::new(fitted_rows()))]
    method: String,
    /// Prepared folder of another domain that is learnt from, for rows that need sources; may be given several times.
    #[arg(long, value_name = "FOLDER")]
    source: Vec<PathBuf>,
    /// Folder of the recommender.
    #[arg(long)]
    out: PathBuf,
    /// A setting that is to be another one than the row's, as width=128, learning_rate=0.002 or loss=bce; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What makes the vectors of items, for rows that read them: tf-idf, minilm, a language model (with an adapter after a comma), or a Parquet
    /// file of one's own, as of `weaverec vectors --by`.
    #[arg(long, value_name = "BY", default_value = "tf-idf")]
    vectors: String,
    /// Most passes over the users, of every stage where a row has several.
    #[arg(long, value_parser = number::at_least(1))]
    epochs: Option<usize>,
    /// Seed of the first values, the order of users and all else that is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Most users who choose the epoch; 0: none, and the last is kept.
    #[arg(long, default_value_t = CHOOSING)]
    users: usize,
    /// Key of the cut of users; the one of the profile that reports on the others.
    #[arg(long, default_value_t = 0)]
    cut_seed: u64,
    /// Threads [default: all].
    #[arg(long, value_parser = number::threads)]
    threads: Option<usize>,
}

/// The rows that are fitted, by their names.
fn fitted_rows() -> Vec<&'static str> {
    METHODS
        .iter()
        .filter(|row| matches!(row.how(), How::Fitted { .. }))
        .map(|row| row.id())
        .collect()
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let system = system(&arguments)?;
    domains::check_named(&arguments.method, &arguments.source, system.needs())?;
    let how =
        ItemVectors::named(&arguments.vectors).with_context(|| format!("--vectors {}", arguments.vectors))?;
    if !how.is_default() && !system.needs().vectors {
        bail!(
            "{} reads no vectors of items: leave --vectors out",
            arguments.method
        );
    }
    let mut inputs = vec![Input::new(&arguments.folder, "a prepared folder")];
    inputs.extend(
        arguments
            .source
            .iter()
            .map(|folder| Input::new(folder, "the prepared folder of a source")),
    );
    let claim = Claim::take(&arguments.out, FITTED, &inputs)?;
    let beside = claim.beside(".checkpoint", FIT_CHECKPOINT, &inputs)?;
    let domains = Domains::read(&arguments.folder, &arguments.source)?;
    let prepared = &domains.target.prepared;
    let histories = Histories::read(prepared)?;
    let validation = choosing(prepared, &histories, arguments.cut_seed, arguments.users)?;
    if validation.is_empty() && arguments.users > 0 {
        say(format!(
            "warning: {} has no user in the selection part with a validation target: the last epoch is kept",
            arguments.folder.display()
        ));
    }
    let mut read = domains.fingerprint();
    if !how.is_default() {
        // A checkpoint is of what was read.
        read.push_str(&format!("-{}", how.identity()?));
    }
    let checkpoint = Checkpoint::new(beside, read);
    let meter = Meter::start(format!("fitting {}", arguments.method));
    let fitted = with_threads(super::threads(arguments.threads), || {
        let vectors = domains.vectors(system.needs(), &how)?;
        let request = Request {
            system: &system,
            log: &domains.target.log,
            vectors: vectors.first(),
            sources: &domains.sources(&vectors)?,
            validation: &validation,
            seed: arguments.seed,
            checkpoint: &checkpoint,
        };
        fitted(&request, meter)
    });
    let Fitted {
        recommender,
        training,
        ..
    } = fitted.with_context(|| format!("{} on {}", arguments.method, arguments.folder.display()))?;
    let about = About {
        version: folder::VERSION,
        method: arguments.method,
        seed: arguments.seed,
        cut_seed: arguments.cut_seed,
        domain: prepared.manifest().name.clone(),
        prepared: prepared.fingerprint(),
        sources: domains
            .sources
            .iter()
            .map(|domain| Other::of(&domain.prepared))
            .collect(),
        vectors: match system.needs().vectors {
            true => Some(how.identity()?),
            false => None,
        },
        max_title_chars: prepared.manifest().parameters.max_title_chars,
        users: training.examples,
        steps: training.outcome.steps,
        positions: training.outcome.tokens,
        flops: training.flops,
        epochs: training.epochs.clone(),
        codes: recommender.code_report().cloned(),
        chosen_by: validation.len(),
        system,
    };
    claim.write(|folder| about.write(folder, &domains.target.items, &*recommender, &training))?;
    checkpoint.remove()?;
    say(format!("wrote {}", arguments.out.display()));
    Ok(())
}

/// The row's system with the settings that were given.
fn system(arguments: &Arguments) -> Result<System> {
    let row = method::named(&arguments.method);
    let Some(How::Fitted { system }) = row.map(|row| row.how()) else {
        bail!(
            "{} is not fitted: {} are",
            arguments.method,
            fitted_rows().join(", ")
        );
    };
    let mut system = system();
    for set in &arguments.set {
        let Some((key, value)) = set.split_once('=') else {
            bail!("--set {set}: write a key, = and a value, such as --set epochs=10");
        };
        system = settings::with(&system, key.trim(), value.trim()).with_context(|| format!("--set {set}"))?;
    }
    if let Some(epochs) = arguments.epochs {
        system = settings::with_epochs(&system, epochs).context("--epochs")?;
    }
    Ok(system)
}
