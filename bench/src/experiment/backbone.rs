//! The language model of a study: fetched, or pre-trained here on the study's auxiliary text.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use weaverec_model::backbone::{Decoder, Precision, Tokenizer, Weights, nano};
use weaverec_model::device::{Arithmetic, Compute};
use weaverec_model::lora::Base;
use weaverec_model::train::{Checkpoint, Example, training_flops};
use weaverec_pipeline::fetch::{self, Model};
use weaverec_pipeline::schema::{PromptFormat, Split};

use super::cell::{Cell, Kind, Training};
use super::domain::Domains;
use super::encoder::Encoder;
use super::profile::{Backbone, NanoSizes, Profile, Study};
use super::runner::Workshop;
use super::schedule::{Finished, Task};
use crate::progress::{Meter, Stages};

/// Lines of item descriptions in one pre-training example.
const DESCRIPTIONS: usize = 8;

/// A loaded language model.
pub struct LanguageModel {
    /// The decoder over its frozen weights.
    pub decoder: Decoder,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Hash of the weights and of the tokenizer.
    pub fingerprint: String,
    /// What tells the weights from others, for adapters. Its name is one that is known, or the absolute path, so that it means the same
    /// in another folder.
    pub base: Base,
    /// Where it lies.
    pub path: PathBuf,
}

/// Loads the study's language model, pre-training it first where the profile says so and it is not there yet.
pub fn load(
    profile: &Profile,
    study: &Study,
    domains: &Domains,
    workshop: &Workshop,
) -> Result<LanguageModel> {
    match &profile.backbone {
        Backbone::Pretrained { model, precision } => pretrained(model, *precision, profile.compute),
        Backbone::Nano(sizes) => pretrained_here(sizes, profile, study, domains, workshop),
    }
}

/// Loads a known model, or one from a local folder or GGUF file.
///
/// The device is opened first: a wrong name should cost no download.
pub fn pretrained(model: &str, precision: Precision, compute: Compute) -> Result<LanguageModel> {
    compute.device.open()?;
    match Model::named(model) {
        Some(known) => {
            let path = known.fetch(&fetch::cache_root()?, &Stages::default())?;
            open(&path, Some(model), precision, compute)
        }
        None => open(Path::new(model), None, precision, compute),
    }
}

/// Opens a model that is known by `name`, or by its path.
fn open(path: &Path, name: Option<&str>, precision: Precision, compute: Compute) -> Result<LanguageModel> {
    let (weights, config) = Weights::open_as(path, precision)?;
    let tokenizer = Tokenizer::open(path)?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let name = name.map_or_else(|| path.display().to_string(), str::to_string);
    let base = weights.base(&name, precision)?;
    // Other words or another chat template make other examples of the same prompts.
    let mut fingerprint = format!("{}-{}", base.weights, tokenizer.fingerprint()?);
    if compute.arithmetic != Arithmetic::default() {
        // Other numbers come of it, as of other weights.
        fingerprint.push_str(&format!("-{}", compute.arithmetic));
    }
    let device = compute.device.open()?;
    let decoder = Decoder::placed(&weights, &config, &device, compute.arithmetic)?;
    Ok(LanguageModel {
        decoder,
        tokenizer,
        fingerprint,
        base,
        path,
    })
}

/// Pre-trains a nano decoder, on the CPU: it is too small to gain from another device.
fn pretrained_here(
    sizes: &NanoSizes,
    profile: &Profile,
    study: &Study,
    domains: &Domains,
    workshop: &Workshop,
) -> Result<LanguageModel> {
    let format = profile.prepare.format;
    let auxiliary: Vec<&str> = study
        .domains
        .iter()
        .filter(|d| d.auxiliary)
        .map(|d| d.name.as_str())
        .collect();
    let fingerprints: Vec<&str> = domains.values().map(|d| d.fingerprint.as_str()).collect();
    let configuration =
        json!({ "nano": sizes, "format": format, "auxiliary": auxiliary, "domains": fingerprints });
    let cell = Cell::new(
        Kind::Backbone,
        format!("nano backbone of {}", study.name),
        configuration,
    );
    let work = || pretrain(sizes, format, &auxiliary, domains, workshop, &cell);
    let schedule = workshop.schedule();
    schedule.run("backbone", vec![Task::new(&cell, 1.0, work)])?;
    let folder = workshop.store.folder(&cell);
    open(&folder, None, Precision::F32, profile.compute)
}

fn pretrain(
    sizes: &NanoSizes,
    format: PromptFormat,
    auxiliary: &[&str],
    domains: &Domains,
    workshop: &Workshop,
    cell: &Cell,
) -> Result<Finished<'static>> {
    let tokenizer = train_tokenizer(sizes, domains)?;
    let encoder = Encoder::new(&tokenizer, format);
    let (examples, held_out) = auxiliary_text(&encoder, auxiliary, domains)?;
    let config = sizes.decoder.llama(
        tokenizer
            .eos()
            .context("the tokenizer has no end-of-text token")?,
    );
    let meter = Meter::start(cell.label.clone());
    // From scratch: there is no base.
    let checkpoint = Checkpoint::new(workshop.store.checkpoint(cell), "");
    let (weights, outcome) = nano::pretrain(
        &config,
        &examples,
        &held_out,
        &sizes.pretrain,
        sizes.seed,
        Some(&checkpoint),
        &mut |p| meter.update(p.step as u64, p.total as u64, || format!("loss {:.3}", p.loss)),
    )?;
    meter.finish(format!(
        "held-out loss {:.3}, {} tokens",
        outcome.held_out_loss.unwrap_or(f64::NAN),
        outcome.tokens
    ));
    let length = outcome.tokens as f64 / (examples.len().max(1) * sizes.pretrain.epochs) as f64;
    let training = Training {
        // Pre-training forms the weights' gradients too: half as much again.
        flops: 1.5 * training_flops(&config, outcome.tokens, outcome.tokens, length),
        examples: examples.len(),
        outcome,
    };
    Ok(Finished {
        training: Some(training),
        artefacts: Some(Box::new(move |folder| {
            weights.save(folder, &config)?;
            tokenizer.save(folder)?;
            Ok(())
        })),
        ..Finished::default()
    })
}

/// A byte-level BPE vocabulary from the titles and categories of all domains: words only, no interactions.
fn train_tokenizer(sizes: &NanoSizes, domains: &Domains) -> Result<Tokenizer> {
    let texts: Vec<String> = domains
        .values()
        .flat_map(|d| d.items.iter().map(|i| format!("{}\n{}", i.title, i.categories)))
        .collect();
    Ok(Tokenizer::train_bpe(&texts, sizes.decoder.vocabulary)?)
}

/// What the decoder is pre-trained on: every sequence of the auxiliary domains, and the descriptions (title and categories) of
/// the items of all domains. No interaction of a studied domain is in it. The auxiliary test prompts are held out.
fn auxiliary_text(
    encoder: &Encoder,
    auxiliary: &[&str],
    domains: &Domains,
) -> Result<(Vec<Example>, Vec<Example>)> {
    let (mut examples, mut held_out) = (Vec::new(), Vec::new());
    for name in auxiliary {
        let domain = domains
            .get(*name)
            .with_context(|| format!("the auxiliary domain {name} was not prepared"))?;
        examples.extend(encoder.examples(&domain.folder.prompts(Split::Train)?)?);
        held_out.extend(encoder.examples(domain.test.iter().take(100))?);
    }
    for domain in domains.values() {
        for items in domain.items.chunks(DESCRIPTIONS) {
            let text: String = items
                .iter()
                .map(|i| format!("{} ({})\n", i.title, i.categories))
                .collect();
            examples.push(Example {
                tokens: encoder.lines(&text)?,
                loss_from: 1,
            });
        }
    }
    Ok((examples, held_out))
}
