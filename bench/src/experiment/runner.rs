//! Runs what is missing: backbones, then adapters and recommenders, then rankings, unit by unit. A finished cell is never run again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use weaverec_model::device::Compute;
use weaverec_model::lora::{Adapter, Card, LoraConfig};
use weaverec_model::op::with_threads;
use weaverec_model::train::{Checkpoint, Example, Outcome, TrainConfig, train_lora, training_flops};
use weaverec_output::write_file;

use super::backbone::{self, LanguageModel};
use super::cell::{Cell, Choice, Training};
use super::cut::Cut;
use super::environment::Environment;
use super::library::Library;
use super::materials::{Bench, Materials};
use super::missing::Missing;
use super::plan::{AdapterCell, BackboneCell, Scorer, Unit};
use super::profile::Backbone;
use super::ranking::{by_vectors, rank};
use super::recommender;
use super::replicate::{self, written};
use super::schedule::{self, Finished, Schedule, Task};
use super::store::Store;
use super::training_set::{ChosenBy, Keys, Part, TrainingSet};
use crate::card::{self, Trained};
use crate::output::{CELLS, CURVE};
use crate::progress::{Meter, say};

/// An adapter's folder in that of its cell.
const ADAPTER: &str = "adapter";

/// Where work is done and with how many threads.
pub struct Workshop {
    /// Folder of prepared domains and generated logs.
    pub work: PathBuf,
    /// Finished cells.
    pub store: Store,
    /// Threads in all.
    pub threads: usize,
    /// Cells at a time.
    pub jobs: usize,
    /// What models compute with.
    pub compute: Compute,
    /// What goes into records about the machine.
    pub environment: Environment,
}

impl Workshop {
    /// A workshop in the folder `work`.
    pub fn open(work: &Path, threads: usize, jobs: Option<usize>, compute: Compute) -> Result<Self> {
        let store = Store::open(work.join(CELLS))?;
        Ok(Self::with_store(work, store, threads, jobs, compute))
    }

    /// A workshop over a store.
    pub fn with_store(
        work: &Path,
        store: Store,
        threads: usize,
        jobs: Option<usize>,
        compute: Compute,
    ) -> Self {
        Workshop {
            jobs: schedule::jobs(compute.device, threads, jobs),
            work: work.to_path_buf(),
            store,
            threads,
            compute,
            environment: Environment::here(threads, compute),
        }
    }

    /// How cells are run.
    pub fn schedule(&self) -> Schedule<'_> {
        Schedule {
            store: &self.store,
            environment: &self.environment,
            threads: self.threads,
            jobs: self.jobs,
        }
    }

    /// The folder of an adapter that was trained here; none where only its record is at hand.
    pub fn adapter(&self, cell: &Cell) -> Option<PathBuf> {
        let folder = self.store.folder(cell).join(ADAPTER);
        (self.store.has(cell) && folder.is_dir()).then_some(folder)
    }

    /// The folder of a recommender that was fitted here; none where only its record is at hand.
    pub fn recommender(&self, cell: &Cell) -> Option<PathBuf> {
        recommender::stored(&self.store, cell)
    }
}

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
            let mut trained =
                backbone::pretrained_here(&workshop.store.folder(&backbone.cell), workshop.compute)?;
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

fn pretrain(bench: &Bench, backbone: &BackboneCell, workshop: &Workshop) -> Result<Finished<'static>> {
    let own = bench.study.profile.backbone.own();
    let own = own.context("this profile pre-trains no backbone")?;
    backbone::pretrain(backbone, own, &bench.study, bench.materials()?, workshop)
}

fn train(
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

/// The choice of a step, by so many held-out prompts, each of another user.
pub fn chosen_step(outcome: &Outcome, users: usize) -> Vec<Choice> {
    let chosen = outcome.held_out_loss.map(|_| Choice {
        what: "step".into(),
        value: format!("{} of {}", outcome.best_step, outcome.steps).into(),
        cut: Cut::Selection,
        users,
    });
    chosen.into_iter().collect()
}
