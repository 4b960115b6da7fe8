//! The language models of a study: one that is fetched, or those that its replicates pre-train on the study's auxiliary text.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use weaverec_model::backbone::{Decoder, DecoderConfig, Precision, Tokenizer, Weights};
use weaverec_model::device::{Arithmetic, Compute};
use weaverec_model::lora::Base;
use weaverec_model::recommender::codes;
use weaverec_model::train::{self, Checkpoint, Example, training_flops};
use weaverec_pipeline::fetch::{self, Model};
use weaverec_pipeline::schema::{Item, PromptFormat, Split};
use weaverec_pipeline::seed;

use super::cell::{Cell, Kind, Training};
use super::domain::{DomainData, Domains};
use super::item_vectors::ItemVectors;
use super::materials::Materials;
use super::plan::BackboneCell;
use super::profile::{ItemText, NanoSizes, Own, Profile, Study};
use super::replicate::{Replicate, backbone_seed, written};
use super::runner::Workshop;
use super::schedule::Finished;
use super::study_record::{Facts, StudyRecord};
use super::words::{CodeBook, Words};
use crate::progress::{Meter, Stages};

/// Items that one pre-training example describes or lists.
const DESCRIPTIONS: usize = 8;

/// A loaded language model.
pub struct LanguageModel {
    /// The decoder over its frozen weights.
    pub decoder: Decoder,
    /// What it reads.
    pub words: Words,
    /// Hash of the weights and of what it reads.
    pub fingerprint: String,
    /// What tells the weights from others, for adapters. Its name is one that is known, or the absolute path, so that it means the same
    /// in another folder.
    pub base: Base,
    /// Where it lies.
    pub path: PathBuf,
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
    let words = Words::open(path)?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let name = name.map_or_else(|| path.display().to_string(), str::to_string);
    let base = weights.base(&name, precision)?;
    // Other words or another chat template make other examples of the same prompts.
    let mut fingerprint = format!("{}-{}", base.weights, words.fingerprint()?);
    if compute.arithmetic != Arithmetic::default() {
        // Other numbers come of it, as of other weights.
        fingerprint.push_str(&format!("-{}", compute.arithmetic));
    }
    let device = compute.device.open()?;
    let decoder = Decoder::placed(&weights, &config, &device, compute.arithmetic)?;
    Ok(LanguageModel {
        decoder,
        words,
        fingerprint,
        base,
        path,
    })
}

/// The cell of a backbone that a replicate pre-trains.
pub fn cell(own: Own, profile: &Profile, study: &Study, facts: &Facts, replicate: Replicate) -> Cell {
    let fingerprints: Vec<&str> = facts.domains.values().map(|d| d.fingerprint.as_str()).collect();
    let mut configuration = json!({
        "pretrain": own.pretrain(),
        "seed": written(backbone_seed(replicate)),
        "format": profile.prepare.format,
        "auxiliary": auxiliary(study),
        "domains": fingerprints,
        "selection": { "cut_seed": profile.cut_seed, "prompts": profile.adapter.held_out },
    });
    if let Some(most) = profile.prepare.most_tokens() {
        configuration["max_tokens"] = json!(most);
    }
    let what = match own {
        Own::Nano(sizes) => {
            configuration["decoder"] = json!(sizes.decoder);
            "nano backbone"
        }
        Own::Codes(sizes) => {
            configuration["decoder"] = json!(sizes.decoder);
            configuration["items"] = match sizes.text {
                ItemText::Vectors => {
                    json!({ "text": sizes.text, "vectors": facts.vectors, "codes": sizes.codes })
                }
                _ => json!({ "text": sizes.text, "vectors": sizes.vectors, "codes": sizes.codes }),
            };
            // Lists of all domains' items are read, too.
            configuration["lists"] = json!(true);
            "backbone over item codes"
        }
    };
    let label = match own.is_shared() {
        true => format!("{what} of {}, of all replicates", study.name),
        false => format!("{what} of {}, replicate {replicate}", study.name),
    };
    Cell::new(Kind::Backbone, label, configuration)
}

/// The domains that a study's backbones are pre-trained on.
pub fn auxiliary(study: &Study) -> Vec<&str> {
    let auxiliary = study.domains.iter().filter(|domain| domain.auxiliary);
    auxiliary.map(|domain| domain.name.as_str()).collect()
}

/// Opens a backbone that was pre-trained here.
///
/// # Errors
/// A folder that cannot be read, or a device that cannot be opened.
pub fn pretrained_here(folder: &Path, compute: Compute) -> Result<LanguageModel> {
    open(folder, None, Precision::F32, compute)
}

/// Pre-trains a nano decoder, on the CPU: it is too small to gain from another device.
///
/// # Errors
/// A training that fails.
pub fn pretrain(
    backbone: &BackboneCell,
    own: Own,
    study: &StudyRecord,
    materials: &Materials,
    workshop: &Workshop,
) -> Result<Finished<'static>> {
    let cell = &backbone.cell;
    let meter = Meter::start(cell.label.clone());
    let words = materials
        .words
        .as_ref()
        .context("nothing was prepared for this backbone to read")?;
    let format = study.profile.prepare.format;
    let (examples, held_out) = auxiliary_text(words, format, &auxiliary(study.study()), &materials.domains)?;
    let config = decoder_config(own, words)?;
    // From scratch: there is no base.
    let checkpoint = Checkpoint::new(workshop.store.checkpoint(cell), "");
    let (weights, outcome) = train::pretrain(
        &config,
        &examples,
        &held_out,
        own.pretrain(),
        backbone_seed(backbone.replicate),
        Some(&checkpoint),
        &mut |p| meter.update(p.step as u64, p.total as u64, || format!("loss {:.3}", p.loss)),
    )?;
    meter.finish(format!(
        "held-out loss {:.3}, {} tokens",
        outcome.held_out_loss.unwrap_or(f64::NAN),
        outcome.tokens
    ));
    let words = words.clone();
    let length = outcome.tokens as f64 / (examples.len().max(1) * own.pretrain().epochs) as f64;
    Ok(Finished {
        choices: super::runner::chosen_step(&outcome, held_out.len()),
        training: Some(Training {
            // Pre-training forms the weights' gradients too: half as much again.
            flops: 1.5 * training_flops(&config, outcome.tokens, outcome.tokens, length),
            examples: examples.len(),
            epochs: None,
            outcome,
        }),
        codes: match &words {
            Words::Codes(book) => Some(book.report.clone()),
            Words::Text(_) => None,
        },
        artefacts: Some(Box::new(move |folder| {
            weights.save(folder, &config)?;
            words.save(folder)
        })),
        ..Finished::default()
    })
}

/// The sizes of a decoder that is pre-trained here.
///
/// # Errors
/// A tokenizer without an end-of-text token.
pub fn decoder_config(own: Own, words: &Words) -> Result<DecoderConfig> {
    match own {
        Own::Nano(sizes) => {
            let end = words.tokenizer()?.eos();
            Ok(sizes
                .decoder
                .llama(end.context("the tokenizer has no end-of-text token")?))
        }
        Own::Codes(sizes) => Ok(sizes.nano().llama(codes::START)),
    }
}

/// What a decoder that is pre-trained here reads, made of the words of all domains, or of their items' vectors: no interaction has a part in it.
///
/// # Errors
/// Texts of which nothing can be made, and vectors that cannot be had.
pub fn words(own: Own, domains: &Domains, (vectors, compute): (&ItemVectors, Compute)) -> Result<Words> {
    match own {
        Own::Nano(sizes) => Ok(Words::of_text(train_tokenizer(sizes, domains)?)),
        Own::Codes(sizes) => Ok(Words::Codes(CodeBook::of(sizes, domains, vectors, compute)?)),
    }
}

/// A byte-level BPE vocabulary from the titles and categories of all domains: words only, no interactions.
fn train_tokenizer(sizes: &NanoSizes, domains: &Domains) -> Result<Tokenizer> {
    let texts: Vec<String> = domains
        .values()
        .flat_map(|d| d.items.iter().map(|i| format!("{}\n{}", i.title, i.categories)))
        .collect();
    Ok(Tokenizer::train_bpe(&texts, sizes.decoder.vocabulary)?)
}

/// What the decoder is pre-trained on: every sequence of the auxiliary domains, and the items of all domains as such, in an order that knows
/// nothing of their ids: neighbours by id were published, or bought, together. No interaction of a studied domain is in it. Of items a decoder
/// over text reads descriptions (title and categories), and one over codes lists of their codes: without these it would not
/// have read those of items that no auxiliary domain has, and adapters leave the embedding as it is. The best step is chosen on
/// validation prompts of held-out users of the auxiliary domains.
pub fn auxiliary_text(
    words: &Words,
    format: PromptFormat,
    auxiliary: &[&str],
    domains: &Domains,
) -> Result<(Vec<Example>, Vec<Example>)> {
    let (mut examples, mut held_out) = (Vec::new(), Vec::new());
    for name in auxiliary {
        let domain = domains
            .get(*name)
            .with_context(|| format!("the auxiliary domain {name} was not prepared"))?;
        let encoder = words.encoder(name, format)?;
        examples.extend(encoder.examples(&domain.folder.prompts(Split::Train)?)?);
        held_out.extend(encoder.examples(&domain.selection)?);
    }
    for domain in domains.values() {
        let encoder = words.encoder(&domain.name, format)?;
        for items in shuffled(domain).chunks(DESCRIPTIONS) {
            let tokens = match words {
                Words::Text(_) => {
                    let text: String = items
                        .iter()
                        .map(|i| format!("{} ({})\n", i.title, i.categories))
                        .collect();
                    encoder.lines(&text)?
                }
                Words::Codes(_) => {
                    let items: Vec<u32> = items.iter().map(|item| item.item).collect();
                    encoder.had(&items, &domain.items)?
                }
            };
            examples.push(Example { tokens, loss_from: 1 });
        }
    }
    Ok((examples, held_out))
}

/// A domain's items in an order by hash.
fn shuffled(domain: &DomainData) -> Vec<&Item> {
    let mut items: Vec<&Item> = domain.items.iter().collect();
    items.sort_by_cached_key(|item| {
        let parts = [
            b"description".as_slice(),
            domain.name.as_bytes(),
            item.item_id.as_bytes(),
        ];
        (seed::key(&parts), item.item)
    });
    items
}
