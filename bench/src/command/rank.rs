//! `weaverec rank`.

mod fitted;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use weaverec_model::op::with_threads;
use weaverec_model::rank::Normalisation;
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::Split;

use crate::command::adapter::Adapters;
use crate::command::base::Base;
use crate::command::calibrated::Calibrated;
use crate::experiment::encoder::Encoder;
use crate::experiment::profile::Rank;
use crate::method::language_model;
use crate::metric::{Metric, Place, Tally, place};
use crate::progress::{Meter, say};

/// Prompt tokens that go through the decoder at one time.
pub const BATCH_TOKENS: usize = 4096;

/// What says something of a language model.
const LANGUAGE_MODEL: [&str; 9] = [
    "adapter",
    "partial",
    "model",
    "precision",
    "device",
    "arithmetic",
    "free_decoding_users",
    "length_normalised",
    "calibration",
];

/// Rank the candidates of a prepared folder's test users by likelihood, and print the metrics as JSON. With --model-folder they are ranked by
/// a recommender that `weaverec fit` wrote, which ranks the whole catalogue without the histories as well.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec rank prepared/shop                             the plain model
  weaverec rank prepared/shop --adapter woven --users 500
  weaverec rank prepared/shop --adapter woven --calibration
  weaverec rank prepared/shop --model-folder shop-sasrec  a fitted recommender")]
pub struct Arguments {
    /// Prepared folder.
    folder: PathBuf,
    /// PEFT folder; without it, the plain model.
    #[arg(long)]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    adapters: Adapters,
    /// Folder of a recommender that `weaverec fit` wrote, in place of a language model.
    #[arg(long, conflicts_with_all = LANGUAGE_MODEL)]
    model_folder: Option<PathBuf>,
    #[command(flatten)]
    base: Base,
    /// Most users.
    #[arg(long, value_parser = super::number::at_least(1))]
    users: Option<usize>,
    /// Users for whom an answer is decoded freely, for the invalid-output rate.
    #[arg(long, default_value_t = 0)]
    free_decoding_users: usize,
    /// Divide log-likelihoods by the number of tokens.
    #[arg(long, conflicts_with = "calibration")]
    length_normalised: bool,
    #[command(flatten)]
    calibrated: Calibrated,
    /// Threads [default: all].
    #[arg(long, value_parser = super::number::threads)]
    threads: Option<usize>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    if let Some(fitted) = &arguments.model_folder {
        let (users, threads) = (
            arguments.users.unwrap_or(usize::MAX),
            super::threads(arguments.threads),
        );
        let found = fitted::run(&arguments.folder, fitted, users, threads)?;
        return super::print(serde_json::to_string_pretty(&found)?);
    }
    let model = arguments.base.load()?;
    let prepared = Prepared::open(&arguments.folder)?;
    let (items, format) = (prepared.items()?, prepared.manifest().parameters.format);
    let test = prepared.first_prompts(Split::Test, arguments.users.unwrap_or(usize::MAX))?;
    if test.is_empty() {
        bail!("{} has no test prompts", arguments.folder.display());
    }
    let encoder = Encoder::new(model.words.tokenizer()?, format);
    let calibration = arguments
        .calibrated
        .read(format, arguments.adapter.as_deref(), &model)?;
    if let Some(read) = &calibration
        && read.prepared != prepared.fingerprint()
    {
        say(format!(
            "warning: the calibration was chosen by users of {}, prepared as {:.12}",
            read.domain, read.prepared
        ));
    }
    let scale = calibration.as_ref().map_or(1.0, |calibration| calibration.scale);
    let decoder = match &arguments.adapter {
        None => model.decoder.clone(),
        Some(folder) => arguments.adapters.fold(folder, &model, scale)?,
    };
    let config = Rank {
        normalisation: match &calibration {
            Some(calibration) => calibration.normalisation,
            None if arguments.length_normalised => Normalisation::Mean,
            None => Normalisation::Sum,
        },
        batch_tokens: BATCH_TOKENS,
        free_decoding_users: arguments.free_decoding_users,
        free_decoding_tokens: 128,
        ..Rank::default()
    };
    let meter = Meter::start("ranking");
    let (scores, invalid) = with_threads(super::threads(arguments.threads), || -> Result<_> {
        let queries = language_model::queries(&encoder, &test, &items)?;
        let mut scores = language_model::scores(&decoder, &queries, &config, &meter)?;
        if let Some(calibration) = &calibration {
            calibration.apply(&decoder, &encoder, &queries, &mut scores, &meter)?;
        }
        let invalid =
            language_model::invalid_output_rate(&decoder, &encoder, &test, &items, &config, format)?;
        Ok((scores, invalid))
    })?;
    let mut places = Vec::new();
    for (prompt, scores) in test.iter().zip(&scores) {
        let at = prompt.candidates.iter().position(|c| *c == prompt.target);
        let at = at.with_context(|| format!("the target of {} is no candidate", prompt.user_id))?;
        places.push(place(scores, at));
    }
    meter.finish(format!("{} users", places.len()));
    let candidates = test[0].candidates.len();
    super::print(serde_json::to_string_pretty(&serde_json::json!({
        "users": places.len(),
        "candidates": candidates,
        "invalid_output_rate": invalid,
        "calibration": calibration.map(|read| serde_json::json!({ "alpha": read.alpha, "scale": read.scale, "users": read.users })),
        "metrics": metrics(&places, candidates),
    }))?)
}

/// Every metric of targets among so many candidates that can tell rows apart, with what chance would have.
fn metrics(places: &[Place], candidates: usize) -> serde_json::Map<String, serde_json::Value> {
    let tally = Tally::of(places);
    let mut numbers = serde_json::Map::new();
    for metric in Metric::ALL.into_iter().filter(|m| m.discriminates(candidates)) {
        let (value, chance) = (tally.mean(metric), metric.chance(candidates));
        numbers.insert(
            metric.key(),
            serde_json::json!({ "value": value, "chance": chance }),
        );
    }
    numbers
}
