//! Runs what is missing: backbones, then adapters and recommenders, then rankings, unit by unit. A finished cell is never run again.

use anyhow::{Context, Result};
use weaverec_model::op::with_threads;

use super::adapter::train;
use super::backbone::pretrained_here;
use super::library::Library;
use super::materials::Bench;
use super::missing::Missing;
use super::plan::{Scorer, Unit};
use super::pretrain::pretrain;
use super::profile::Backbone;
use super::ranking::{by_vectors, rank};
use super::recommender;
use super::schedule::Task;
use super::workshop::Workshop;
use crate::progress::say;

/// Runs what is missing of these units: the backbones that they need, then one unit after another, whose records are exported when it is
/// finished. The [materials](Bench::gather) must be there unless nothing is missing.
///
/// # Errors
/// The first cell that fails; what is finished by then is kept.
pub fn run(bench: &Bench, units: &[&Unit], library: &Library, workshop: &Workshop) -> Result<()> {
    let missing = Missing::of(bench, units.iter().copied(), library, workshop)?;
    let backbones = missing.backbones.iter().map(|backbone| {
        Task::new(&backbone.cell, backbone.work.flops, || {
            pretrain(bench, backbone, workshop)
        })
    });
    workshop.schedule().run("backbones", backbones.collect())?;
    for (number, unit) in units.iter().enumerate() {
        let missing = Missing::of(bench, [*unit], library, workshop)?;
        if !missing.is_empty() {
            let name = bench.name(unit);
            say(format!("  unit {} of {}: {name}", number + 1, units.len()));
            run_unit(bench, unit, &missing, workshop).with_context(|| name)?;
        }
        library.export(std::iter::once(&bench.study.cell).chain(bench.plan.cells(unit)))?;
    }
    Ok(())
}

fn run_unit(bench: &Bench, unit: &Unit, missing: &Missing, workshop: &Workshop) -> Result<()> {
    let materials = bench.materials()?;
    let here;
    let model = match (&materials.model, &bench.study.profile.backbone) {
        (Some(fetched), _) => Some(fetched),
        (None, Backbone::None) => None,
        (None, _) => {
            let base = bench.study.base(unit.replicate);
            let backbone = bench.plan.backbones.get(&base);
            let backbone = backbone.context("the backbone of this unit is not planned")?;
            let mut trained = pretrained_here(&workshop.store.folder(&backbone.cell), workshop.compute)?;
            let most = bench.study.profile.prepare.most_tokens();
            trained.words = trained.words.held_to(most, &materials.domains)?;
            here = trained;
            Some(&here)
        }
    };
    let adapters = missing.adapters.iter().map(|adapter| {
        Task::new(&adapter.cell, adapter.work.flops, || {
            let model = model.context("this profile has no language model")?;
            train(bench, adapter, model, materials, workshop)
        })
    });
    workshop.schedule().run("adapters", adapters.collect())?;
    let own = !bench.study.profile.vectors.is_default();
    let counts = missing
        .rankings
        .iter()
        .any(|ranking| matches!(ranking.scorer, Scorer::Counted { method, .. } if own && by_vectors(method)));
    let mut fits = missing.recommenders.iter();
    if counts || fits.any(|cell| cell.system.needs().vectors) {
        // Before cells are at work side by side, each of which would make them.
        with_threads(workshop.threads, || materials.vectors())?;
    }
    let recommenders = missing.recommenders.iter().map(|cell| {
        Task::new(&cell.cell, cell.work.flops, || {
            recommender::fit(bench, cell, materials, workshop)
        })
    });
    workshop.schedule().run("recommenders", recommenders.collect())?;
    let target = &bench.study.study().scenarios[unit.scenario].target;
    let format = bench.study.profile.prepare.format;
    let encoder = model
        .map(|model| model.words.encoder(target, format))
        .transpose()?;
    let reader = model.zip(encoder.as_ref());
    let rankings = missing.rankings.iter().map(|ranking| {
        Task::new(&ranking.cell, ranking.work.flops, || {
            rank(bench, ranking, reader, materials, workshop)
        })
    });
    workshop.schedule().run("rankings", rankings.collect())
}
