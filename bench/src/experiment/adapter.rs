//! Trains the adapters of a study.

use std::path::Path;

use anyhow::{Context, Result};
use weaverec_model::lora::{Adapter, Card, LoraConfig};
use weaverec_model::train::{Checkpoint, Example, Outcome, TrainConfig, train_lora, training_flops};
use weaverec_output::write_file;

use super::backbone::LanguageModel;
use super::cell::Training;
use super::materials::{Bench, Materials};
use super::plan::AdapterCell;
use super::replicate::{self, written};
use super::schedule::Finished;
use super::training_set::{ChosenBy, Keys, Part, TrainingSet};
use super::workshop::{ADAPTER, Workshop};
use crate::card::{self, Trained};
use crate::output::CURVE;
use crate::progress::Meter;

/// Trains an adapter.
///
/// # Errors
/// A training that fails.
pub fn train(
    bench: &Bench,
    adapter: &AdapterCell,
    model: &LanguageModel,
    materials: &Materials,
    workshop: &Workshop,
) -> Result<Finished<'static>> {
    let config = &bench.study.profile.adapter;
    let meter = Meter::start(adapter.cell.label.clone());
    let part = |name: &str| {
        let domain = materials.domain(name)?;
        let chosen_by = ChosenBy::These(&domain.selection);
        let part = Part {
            folder: &domain.folder,
            chosen_by,
        };
        Ok((part, domain.items.as_slice()))
    };
    let keys = Keys {
        subset: replicate::subset_seed(adapter.replicate),
        order: adapter.seeds.data,
        placebo: &|domain| replicate::placebo_seed(adapter.replicate, domain),
    };
    let TrainingSet { examples, held_out } =
        TrainingSet::of_diet(&adapter.diet, &keys, part, &model.words, &meter)?;
    let schedule = TrainConfig {
        epochs: config.train.epochs * adapter.diet.times,
        ..config.train.clone()
    };
    let checkpoint = Checkpoint::new(workshop.store.checkpoint(&adapter.cell), &model.fingerprint);
    let mut lora = LoraConfig::new(config.rank, config.alpha);
    lora.lora_dropout = config.dropout;
    lora.base_model_name_or_path = Some(model.base.name.clone());
    let (mut trained, outcome) = train_lora(
        &model.decoder,
        lora,
        &examples,
        &held_out,
        &schedule,
        adapter.seeds,
        Some(&checkpoint),
        &mut |p| {
            meter.update(p.step as u64, p.total as u64, || {
                format!(
                    "loss {:.3}, {:.0} tokens/s",
                    p.loss,
                    p.tokens as f64 / p.seconds.max(1e-9)
                )
            });
        },
    )?;
    trained.base = Some(model.base.clone());
    meter.finish(format!(
        "held-out loss {:.3} after {} steps, {:.0} tokens/s",
        outcome.held_out_loss.unwrap_or(f64::NAN),
        outcome.steps,
        outcome.tokens as f64 / outcome.seconds.max(1e-9)
    ));
    let targets: usize = examples.iter().map(Example::targets).sum();
    let rows: usize = examples.iter().map(|e| e.tokens.len() - 1).sum();
    let share = outcome.tokens as f64 / rows.max(1) as f64;
    let flops = training_flops(
        model.decoder.config(),
        outcome.tokens,
        (targets as f64 * share) as u64,
        rows as f64 / examples.len().max(1) as f64,
    );
    let curve_lines = outcome.json_lines();
    let card = card(
        bench,
        adapter,
        materials,
        &trained,
        [&examples, &held_out],
        &schedule,
        &outcome,
    )?;
    Ok(Finished {
        training: Some(Training {
            examples: examples.len(),
            flops,
            epochs: None,
            outcome,
        }),
        artefacts: Some(Box::new(move |folder| {
            write_file(&folder.join(CURVE), curve_lines.as_bytes())?;
            let place = folder.join(ADAPTER);
            trained.save(&place)?;
            Ok(card.write(&place)?)
        })),
        ..Finished::default()
    })
}

/// What an adapter of a study says of itself, wherever it is taken to.
fn card(
    bench: &Bench,
    adapter: &AdapterCell,
    materials: &Materials,
    trained: &Adapter,
    [examples, held_out]: [&[Example]; 2],
    schedule: &TrainConfig,
    outcome: &Outcome,
) -> Result<Card> {
    let mut folders = Vec::new();
    for portion in &adapter.diet.portions {
        folders.push(materials.domain(&portion.domain)?.folder.manifest());
    }
    let base = trained
        .base
        .as_ref()
        .context("an adapter was trained on no base")?;
    let name = Path::new(&adapter.cell.key);
    Ok(card::trained(
        name,
        &Trained {
            folders,
            taken: format!(
                "Trained in the study {} of the profile {} as {}.",
                bench.study.study().title,
                bench.study.profile.name,
                adapter.cell.label
            ),
            prompts: examples.len(),
            held_out: held_out.len(),
            lora: &trained.config,
            config: schedule,
            seed: format!(
                "{} of values, {} of order",
                written(adapter.seeds.init),
                written(adapter.seeds.data)
            ),
            base,
            outcome,
        },
    ))
}
