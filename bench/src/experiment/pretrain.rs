//! Pre-trains the backbones of a study.

use anyhow::{Context, Result};
use weaverec_model::train::{self, Checkpoint, training_flops};

use super::cell::Training;
use super::materials::Bench;
use super::plan::BackboneCell;
use super::pretraining::{auxiliary, auxiliary_text, decoder_config};
use super::replicate::backbone_seed;
use super::schedule::Finished;
use super::training_set::chosen_step;
use super::words::Words;
use super::workshop::Workshop;
use crate::progress::Meter;

/// Pre-trains a nano decoder, on the CPU: it is too small to gain from another device.
///
/// # Errors
/// A training that fails.
pub fn pretrain(bench: &Bench, backbone: &BackboneCell, workshop: &Workshop) -> Result<Finished<'static>> {
    let (study, materials) = (&bench.study, bench.materials()?);
    let own = study.profile.backbone.own();
    let own = own.context("this profile pre-trains no backbone")?;
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
        choices: chosen_step(&outcome, held_out.len()),
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
