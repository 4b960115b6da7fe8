//! `weaverec rank`.

mod fitted;
mod reported;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use weaverec_model::op::with_threads;
use weaverec_model::rank::{Normalisation, Query};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::Prompt;

use self::reported::Reported;
use crate::command::adapter::Adapters;
use crate::command::base::Base;
use crate::command::calibrated::{Calibrated, warn_of_other};
use crate::experiment::answers;
use crate::experiment::encoder::Encoder;
use crate::experiment::profile::Rank;
use crate::metric::{Metric, Place, Tally};
use crate::progress::Meter;
use crate::protocol::{Protocol, union};
use crate::scoring::{self, Case};

/// Prompt tokens that go through the decoder at one time.
pub const BATCH_TOKENS: usize = 4096;

/// What says something of a language model.
const LANGUAGE_MODEL: [&str; 10] = [
    "adapter",
    "partial",
    "model",
    "precision",
    "device",
    "arithmetic",
    "free_decoding_users",
    "length_normalised",
    "calibration",
    "cut_seed",
];

/// Rank the candidates of a prepared folder's test users by likelihood, and print the metrics as JSON. With --model-folder they are ranked by
/// a recommender that `weaverec fit` wrote, which ranks the whole catalogue without the histories as well.
///
/// Users of the selection and calibration parts (30 % of all, by a keyed hash) may have chosen epochs, weights, α or the scale, and are left
/// out; the answer says how many they are. Metrics are among the uniform candidates, and among the binned ones where the folder has them and
/// its prompts do not list the candidates: it is on those that `calibrate` chooses.
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
    /// Most users, the first by the keyed hash.
    #[arg(long, value_parser = super::number::at_least(1))]
    users: Option<usize>,
    /// Key of the cut of users: the one that those who chose were cut by. A recommender's folder names its own.
    #[arg(long, default_value_t = 0)]
    cut_seed: u64,
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
    let users = arguments.users.unwrap_or(usize::MAX);
    let reported = Reported::read(&prepared, arguments.cut_seed, users)?;
    let test = &reported.prompts;
    let encoder = Encoder::new(model.words.tokenizer()?, format);
    let calibration = arguments
        .calibrated
        .read(format, arguments.adapter.as_deref(), &model)?;
    if let Some(read) = &calibration {
        warn_of_other(read, &prepared.fingerprint());
        if read.chosen && read.prepared == prepared.fingerprint() && read.cut_seed != arguments.cut_seed {
            bail!(
                "the calibration was chosen by users as --cut-seed {} cuts them, some of whom --cut-seed {} would report: name that of the \
                 calibration",
                read.cut_seed,
                arguments.cut_seed
            );
        }
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
    let unions: Vec<(Vec<u32>, Vec<u8>)> = test.iter().map(|prompt| union(prompt, format)).collect();
    let meter = Meter::start("ranking");
    let (scores, invalid) = with_threads(super::threads(arguments.threads), || -> Result<_> {
        let queries: Vec<Query> = test
            .iter()
            .zip(&unions)
            .map(|(prompt, (candidates, _))| encoder.query(prompt, candidates, &items))
            .collect::<Result<_>>()?;
        let mut scores = answers::scores(&decoder, &queries, &config, &meter)?;
        if let Some(calibration) = &calibration {
            calibration.apply(&decoder, &encoder, &queries, &mut scores, &meter)?;
        }
        let invalid = answers::invalid_output_rate(&decoder, &encoder, test, &items, &config, format)?;
        Ok((scores, invalid))
    })?;
    let among = |protocol| places(test, &unions, &scores, protocol);
    let (uniform, binned) = (among(Protocol::Uniform)?, among(Protocol::Binned)?);
    meter.finish(reported.said());
    let candidates = test[0].candidates.len();
    let mut found = serde_json::json!({
        "users": test.len(),
        "left_out": reported.left_out,
        "candidates": candidates,
        "invalid_output_rate": invalid,
        "calibration": calibration.map(|read| serde_json::json!({ "alpha": read.alpha, "scale": read.scale, "users": read.users })),
        "metrics": metrics(&uniform, candidates),
    });
    if !binned.is_empty() {
        found["binned"] = of_binned(test, &binned);
    }
    super::print(serde_json::to_string_pretty(&found)?)
}

/// Where targets stand among the candidates of a protocol, of the users who have some by it.
fn places(
    test: &[Prompt],
    unions: &[(Vec<u32>, Vec<u8>)],
    scores: &[Vec<f32>],
    protocol: Protocol,
) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for ((prompt, (candidates, protocols)), scores) in test.iter().zip(unions).zip(scores) {
        let target = candidates.iter().position(|item| *item == prompt.target);
        let target = target.with_context(|| format!("the target of {} is no candidate", prompt.user_id))?;
        if !protocols.iter().any(|bits| protocol.has(*bits)) {
            continue;
        }
        let case = Case {
            target,
            protocols,
            scores,
            neutral: &[],
        };
        places.push(scoring::place(&case, scores, protocol));
    }
    Ok(places)
}

/// The part of the answer about binned candidates, of which some user has some.
fn of_binned(test: &[Prompt], places: &[Place]) -> serde_json::Value {
    let sizes = test.iter().map(|prompt| prompt.binned.len());
    // The smallest set decides which metrics can tell rows apart.
    let candidates = sizes.filter(|size| *size > 0).min().unwrap_or_default();
    serde_json::json!({ "candidates": candidates, "metrics": metrics(places, candidates) })
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
