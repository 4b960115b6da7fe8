//! `weaverec calibrate`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use weaverec_model::backbone::Decoder;
use weaverec_model::merge;
use weaverec_model::op::with_threads;
use weaverec_model::rank::{Normalisation, Query};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Prompt, PromptFormat, Split};

use crate::command::adapter::{Adapters, doubt};
use crate::command::base::Base;
use crate::command::rank::BATCH_TOKENS;
use crate::cut::{Cut, First, Lot};
use crate::experiment::answers;
use crate::experiment::calibration::{CALIBRATION, Calibration, VERSION, fingerprint, neutral_titles};
use crate::experiment::encoder::Encoder;
use crate::experiment::profile::Rank;
use crate::progress::{Meter, say};
use crate::protocol::{Protocol, union};
use crate::scoring::{self, Case};

/// Choose how an adapter's likelihoods become scores, on users who are held out and on whom nothing is reported.
///
/// A title is ranked by log p(title | history) − α log p(title | neutral history), since raw likelihood ranks titles by how common their
/// words are. α, and the scale of the update if there are several to choose among, are those with which the validation users of the
/// calibration part (20 % of all, by a keyed hash) find their items best, up to one standard error. Where α or the scale lies at the end of
/// what was tried, that is said. The result lies beside the adapter as calibration.json, for `rank --calibration` and `recommend
/// --calibration`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec calibrate prepared/shop --adapter woven
  weaverec calibrate prepared/shop --adapter woven --scales 0.5,0.7,1,1.3,1.6,2
  weaverec rank prepared/shop --adapter woven --calibration")]
pub struct Arguments {
    /// Prepared folder of the target domain, in the `sequence` format.
    folder: PathBuf,
    /// PEFT folder; without it, the plain model, and `--out` names the file.
    #[arg(long, required_unless_present = "out")]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    adapters: Adapters,
    #[command(flatten)]
    base: Base,
    /// File to write [default: calibration.json in the adapter's folder].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Replace a calibration that is there.
    #[arg(long)]
    force: bool,
    /// Most users that choose.
    #[arg(long, default_value_t = 1000, value_parser = super::number::at_least(1))]
    users: usize,
    /// What the update may be multiplied by.
    #[arg(long, default_value = "1", value_delimiter = ',', value_parser = super::number::positive)]
    scales: Vec<f64>,
    /// Neutral histories, of one title each.
    #[arg(long, default_value_t = 4, value_parser = super::number::at_least(1))]
    neutral: usize,
    /// Key of the cut of users; the one of the profile that reports on the others.
    #[arg(long, default_value_t = 0)]
    cut_seed: u64,
    /// Divide log-likelihoods by the number of tokens.
    #[arg(long)]
    length_normalised: bool,
    /// Threads [default: all].
    #[arg(long, value_parser = super::number::threads)]
    threads: Option<usize>,
}

/// What a scale came to: the scores of every user, and those after neutral histories.
struct At {
    scale: f64,
    scores: Vec<Vec<f32>>,
    neutral: Vec<Vec<f32>>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let out = match (&arguments.out, &arguments.adapter) {
        (Some(out), _) => out.clone(),
        (None, Some(adapter)) => adapter.join(CALIBRATION),
        (None, None) => bail!("name the adapter, or the file with --out"),
    };
    if out.exists() && !arguments.force {
        bail!("{} is there already: --force replaces it", out.display());
    }
    let prepared = Prepared::open(&arguments.folder)?;
    let (items, manifest) = (prepared.items()?, prepared.manifest());
    let format = manifest.parameters.format;
    if format != PromptFormat::Sequence {
        bail!(
            "{} lists candidates in its prompts, which are ranked by likelihood as it is: prepare the domain with --format sequence",
            arguments.folder.display()
        );
    }
    let key = manifest.parameters.domain_name(&manifest.dataset);
    let mut chosen = First::new(arguments.users);
    prepared.each_prompt(Split::Validation, |row| {
        let lot = Lot::of(arguments.cut_seed, &key, row.user_id);
        if lot.cut() == Cut::Calibration {
            chosen.offer(lot, || row.to_prompt());
        }
        Ok(())
    })?;
    let prompts: Vec<Prompt> = chosen.into_vec();
    let model = arguments.base.load()?;
    let adapter = match &arguments.adapter {
        None => None,
        Some(folder) => {
            let adapter = arguments.adapters.read(folder, Some(model.decoder.config()))?;
            if let Some(doubt) = doubt(&adapter, folder, &model.base, &model.path) {
                say(format!("warning: {}: {doubt}", folder.display()));
            }
            Some(adapter)
        }
    };
    let normalisation = match arguments.length_normalised {
        true => Normalisation::Mean,
        false => Normalisation::Sum,
    };
    let mut calibration = Calibration {
        version: VERSION,
        alpha: 1.0,
        scale: 1.0,
        chosen: false,
        users: prompts.len(),
        cut_seed: arguments.cut_seed,
        histories: neutral_titles(&items, &prepared.fingerprint(), arguments.neutral),
        normalisation,
        domain: manifest.name.clone(),
        prepared: prepared.fingerprint(),
        adapter: arguments.adapter.as_deref().map(fingerprint).transpose()?,
        base: model.fingerprint.clone(),
    };
    if prompts.len() < scoring::LEAST {
        say(format!(
            "warning: {} has {} calibration users, and fewer than {} choose nothing: α and the scale are 1",
            arguments.folder.display(),
            prompts.len(),
            scoring::LEAST
        ));
        return calibration.write(&out).and_then(|()| done(&calibration, &out));
    }
    let encoder = Encoder::new(model.words.tokenizer()?, format);
    let unions: Vec<(Vec<u32>, Vec<u8>)> = prompts.iter().map(|prompt| union(prompt, format)).collect();
    let queries: Vec<Query> = prompts
        .iter()
        .zip(&unions)
        .map(|(prompt, (candidates, _))| encoder.query(prompt, candidates, &items))
        .collect::<Result<_>>()?;
    let mut scales = arguments.scales.clone();
    if adapter.is_none() || !scales.contains(&1.0) {
        scales.retain(|_| adapter.is_some());
        scales.push(1.0);
    }
    let config = Rank {
        normalisation,
        batch_tokens: BATCH_TOKENS,
        ..Rank::default()
    };
    let meter = Meter::start("calibrating");
    let by_scale = with_threads(super::threads(arguments.threads), || -> Result<Vec<At>> {
        let at = |scale: &f64| -> Result<At> {
            let decoder: Decoder = match &adapter {
                None => model.decoder.clone(),
                Some(adapter) => model
                    .decoder
                    .folded(&merge::uniform_scaled(&[adapter], *scale)?)
                    .with_context(|| format!("the adapter cannot be used on {}", model.base.name))?,
            };
            let scores = answers::scores(&decoder, &queries, &config, &meter)?;
            let titles: Vec<Vec<u32>> = queries
                .iter()
                .flat_map(|query| query.candidates.iter().cloned())
                .collect();
            let mut found = calibration
                .neutral(&decoder, &encoder, &titles, &meter)?
                .into_iter();
            let neutral = scores
                .iter()
                .map(|scores| found.by_ref().take(scores.len()).collect())
                .collect();
            Ok(At {
                scale: *scale,
                scores,
                neutral,
            })
        };
        scales.iter().map(at).collect()
    })?;
    let targets: Vec<usize> = prompts
        .iter()
        .zip(&unions)
        .map(|(prompt, (candidates, _))| {
            let at = candidates.iter().position(|item| *item == prompt.target);
            at.with_context(|| format!("the target of {} is no candidate", prompt.user_id))
        })
        .collect::<Result<_>>()?;
    let options: Vec<(f64, Vec<Case>)> = by_scale
        .iter()
        .map(|at| {
            let cases = targets.iter().enumerate().map(|(place, target)| Case {
                target: *target,
                protocols: &unions[place].1,
                scores: &at.scores[place],
                neutral: &at.neutral[place],
            });
            (at.scale, cases.collect())
        })
        .collect();
    let (scale, scale_at_end) = scoring::chosen_scale(&options);
    calibration.scale = scale;
    let own = options.iter().find(|(scale, _)| *scale == calibration.scale);
    let (_, cases) = own.context("the chosen scale was not tried")?;
    let protocol = match scoring::holds(cases.iter().copied(), Protocol::Binned) {
        true => Protocol::Binned,
        false => Protocol::Uniform,
    };
    let alpha = scoring::alpha(cases, protocol);
    (calibration.alpha, calibration.chosen) = (alpha.value, true);
    meter.finish(format!("{} users", prompts.len()));
    if alpha.edge {
        say("warning: α lies at the end of what was tried, 0 to 1.5: another value might do better");
    }
    if scale_at_end {
        let (low, high) = scales
            .iter()
            .fold((f64::INFINITY, 0.0_f64), |(low, high), scale| {
                (low.min(*scale), high.max(*scale))
            });
        say(format!(
            "warning: the scale lies at the end of what was tried, {low} to {high}: another value might do better (--scales)"
        ));
    }
    calibration.write(&out)?;
    done(&calibration, &out)
}

fn done(calibration: &Calibration, out: &std::path::Path) -> Result<()> {
    say(format!("wrote {}", out.display()));
    super::print(serde_json::to_string_pretty(calibration)?)
}
