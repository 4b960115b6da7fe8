//! Runs what is missing: backbones, then adapters, then rankings, unit by unit. A finished cell is never run again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use weaverec_model::device::Compute;
use weaverec_model::lora::{Adapter, LoraConfig};
use weaverec_model::merge;
use weaverec_model::train::{Checkpoint, Example, Outcome, mean_loss, train_lora, training_flops};
use weaverec_model::weave::Mixture;
use weaverec_output::write_file;

use super::backbone::{self, LanguageModel};
use super::case::Cases;
use super::cell::{Cell, Choice, Ranking, ScoredCase, Training};
use super::cut::Cut;
use super::domain::{DomainData, candidate_hash};
use super::encoder::Encoder;
use super::environment::Environment;
use super::library::Library;
use super::materials::{Bench, Materials};
use super::plan::{AdapterCell, BackboneCell, RankingCell, Scorer, Unit};
use super::profile::Backbone;
use super::replicate;
use super::schedule::{self, Finished, Schedule, Task};
use super::store::Store;
use super::training_set::{ChosenBy, Part, TrainingSet};
use super::work::Work;
use crate::method::{language_model, next_id, popularity, previous_id, random};
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
        Ok(Workshop {
            jobs: schedule::jobs(compute.device, threads, jobs),
            work: work.to_path_buf(),
            store: Store::open(work.join(CELLS))?,
            threads,
            compute,
            environment: Environment::here(threads, compute),
        })
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
    fn adapter(&self, cell: &Cell) -> Option<PathBuf> {
        let folder = self.store.folder(cell).join(ADAPTER);
        (self.store.has(cell) && folder.is_dir()).then_some(folder)
    }
}

/// What is missing of a unit, here.
#[derive(Debug, Default)]
pub struct Missing<'a> {
    /// Backbones whose weights are not here and are needed.
    pub backbones: Vec<&'a BackboneCell>,
    /// Adapters of which there is no record, or whose weights are not here and are needed.
    pub adapters: Vec<&'a AdapterCell>,
    /// Rankings of which there is no record.
    pub rankings: Vec<&'a RankingCell>,
}

impl<'a> Missing<'a> {
    /// Of these units, each cell once. Only what a missing ranking needs is missing: the records of a finished unit are enough, wherever
    /// it was run.
    ///
    /// # Errors
    /// A plan that lacks a cell.
    pub fn of(
        bench: &'a Bench,
        units: impl IntoIterator<Item = &'a Unit>,
        library: &Library,
        workshop: &Workshop,
    ) -> Result<Self> {
        let plan = &bench.plan;
        let mut missing = Missing::default();
        let mut seen = HashSet::new();
        for unit in units {
            for key in &unit.rankings {
                let ranking = plan.ranking(key)?;
                let unfinished = !library.has(&ranking.cell);
                if unfinished && seen.insert(&ranking.cell.key) {
                    missing.rankings.push(ranking);
                }
                let mut trains = false;
                for member in ranking.scorer.members() {
                    let adapter = plan.adapter(member)?;
                    let needed = match unfinished {
                        true => workshop.adapter(&adapter.cell).is_none(),
                        false => !library.has(&adapter.cell),
                    };
                    trains |= needed;
                    if needed && seen.insert(&adapter.cell.key) {
                        missing.adapters.push(adapter);
                    }
                }
                let base = ranking.scorer.base();
                let Some(backbone) = base.and_then(|base| plan.backbones.get(&base)) else {
                    continue;
                };
                let needed = match unfinished || trains {
                    true => !workshop.store.has(&backbone.cell),
                    false => !library.has(&backbone.cell),
                };
                if needed && seen.insert(&backbone.cell.key) {
                    missing.backbones.push(backbone);
                }
            }
        }
        Ok(missing)
    }

    /// Every cell of it, with what there is to compute.
    pub fn cells(&self) -> Vec<(&'a Cell, Work)> {
        let backbones = self
            .backbones
            .iter()
            .map(|backbone| (&backbone.cell, backbone.work));
        let adapters = self.adapters.iter().map(|adapter| (&adapter.cell, adapter.work));
        let rankings = self.rankings.iter().map(|ranking| (&ranking.cell, ranking.work));
        backbones.chain(adapters).chain(rankings).collect()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.backbones.is_empty() && self.adapters.is_empty() && self.rankings.is_empty()
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
    let model = match &materials.model {
        Some(fetched) => fetched,
        None => {
            let base = bench.study.base(unit.replicate);
            let backbone = bench.plan.backbones.get(&base);
            let backbone = backbone.context("the backbone of this unit is not planned")?;
            here = backbone::pretrained_here(&workshop.store.folder(&backbone.cell), workshop.compute)?;
            &here
        }
    };
    let adapters = missing.adapters.iter().map(|adapter| {
        Task::new(&adapter.cell, adapter.work.flops, || {
            train(bench, adapter, model, materials, workshop)
        })
    });
    workshop.schedule().run("adapters", adapters.collect())?;
    let encoder = Encoder::new(&model.tokenizer, bench.study.profile.prepare.format);
    let rankings = missing.rankings.iter().map(|ranking| {
        Task::new(&ranking.cell, ranking.work.flops, || {
            rank(bench, ranking, model, &encoder, materials, workshop)
        })
    });
    workshop.schedule().run("rankings", rankings.collect())
}

fn pretrain(bench: &Bench, backbone: &BackboneCell, workshop: &Workshop) -> Result<Finished<'static>> {
    let Backbone::Nano(sizes) = &bench.study.profile.backbone else {
        anyhow::bail!("this profile pre-trains no backbone");
    };
    backbone::pretrain(
        backbone,
        sizes,
        &bench.study,
        &bench.materials()?.domains,
        workshop,
    )
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
    let domains = adapter.domains.iter().map(|name| materials.domain(name));
    let parts = domains.map(|domain| {
        domain.map(|domain| Part {
            folder: &domain.folder,
            chosen_by: ChosenBy::These(&domain.selection),
        })
    });
    let TrainingSet { examples, held_out } = TrainingSet::read(
        &parts.collect::<Result<Vec<_>>>()?,
        &model.tokenizer,
        Mixture::capped(config.prompts_per_domain),
        adapter.seeds.data,
        &meter,
    )?;
    let checkpoint = Checkpoint::new(workshop.store.checkpoint(&adapter.cell), &model.fingerprint);
    let mut lora = LoraConfig::new(config.rank, config.alpha);
    lora.lora_dropout = config.dropout;
    lora.base_model_name_or_path = Some(model.base.name.clone());
    let (mut trained, outcome) = train_lora(
        &model.decoder,
        lora,
        &examples,
        &held_out,
        &config.train,
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
        "held-out loss {:.3} at step {}, {:.0} tokens/s",
        outcome.held_out_loss.unwrap_or(f64::NAN),
        outcome.best_step,
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
    Ok(Finished {
        choices: chosen_step(&outcome, held_out.len()),
        training: Some(Training {
            examples: examples.len(),
            flops,
            outcome,
        }),
        artefacts: Some(Box::new(move |folder| {
            write_file(&folder.join(CURVE), curve_lines.as_bytes())?;
            Ok(trained.save(&folder.join(ADAPTER))?)
        })),
        ..Finished::default()
    })
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

/// What scoring came to, for every user in order.
struct Scored {
    scores: Vec<Vec<f32>>,
    /// Tokens of every candidate, where there are any.
    tokens: Vec<Vec<u32>>,
    seconds: f64,
    validation_loss: Option<f64>,
    invalid_output_rate: Option<f64>,
}

fn rank(
    bench: &Bench,
    ranking: &RankingCell,
    model: &LanguageModel,
    encoder: &Encoder,
    materials: &Materials,
    workshop: &Workshop,
) -> Result<Finished<'static>> {
    let target = materials.domain(&ranking.target)?;
    let meter = Meter::start(ranking.cell.label.clone());
    let counted = |scores: fn(&DomainData, u64) -> Vec<Vec<f32>>, seed: u64| {
        let scoring = Instant::now();
        let scores = scores(target, seed);
        Scored {
            tokens: vec![Vec::new(); scores.len()],
            scores,
            seconds: scoring.elapsed().as_secs_f64(),
            validation_loss: None,
            invalid_output_rate: None,
        }
    };
    let scored = match &ranking.scorer {
        Scorer::Random { replicate } => counted(
            |target, seed| random::scores(&target.ranked, seed),
            replicate::random_seed(*replicate),
        ),
        Scorer::Popularity => counted(|target, _| popularity::scores(&target.ranked, &target.items), 0),
        Scorer::NextId => counted(|target, _| next_id::scores(&target.ranked, &target.items), 0),
        Scorer::PreviousId => counted(|target, _| previous_id::scores(&target.ranked, &target.items), 0),
        Scorer::LanguageModel { members, .. } => {
            let adapters: Vec<Adapter> = members
                .iter()
                .map(|key| {
                    let cell = &bench.plan.adapter(key)?.cell;
                    let folder = workshop.adapter(cell);
                    Ok(Adapter::load(&folder.with_context(|| {
                        format!("the weights of {} are not in the store", cell.label)
                    })?)?)
                })
                .collect::<Result<_>>()?;
            by_likelihood(bench, &adapters, model, encoder, target, &meter)?
        }
    };
    meter.finish(format!("{} users", scored.scores.len()));
    Ok(Finished {
        ranking: Some(result(bench, target, scored)?),
        ..Finished::default()
    })
}

fn by_likelihood(
    bench: &Bench,
    adapters: &[Adapter],
    model: &LanguageModel,
    encoder: &Encoder,
    target: &DomainData,
    meter: &Meter,
) -> Result<Scored> {
    let profile = &bench.study.profile;
    let (config, format) = (&profile.rank, profile.prepare.format);
    let decoder = match adapters {
        [] => model.decoder.clone(),
        some => model
            .decoder
            .folded(&merge::uniform(&some.iter().collect::<Vec<_>>())?)?,
    };
    let diagnosis = encoder.examples(&target.diagnosis)?;
    let validation_loss = mean_loss(&decoder, &diagnosis, config.batch_tokens)?;
    let invalid_output_rate = language_model::invalid_output_rate(
        &decoder,
        encoder,
        &target.ranked,
        &target.items,
        config,
        format,
    )?;
    let queries = language_model::queries(encoder, &target.ranked, &target.items)?;
    let scoring = Instant::now();
    let scores = language_model::scores(&decoder, &queries, config, meter)?;
    let length = |candidate: &Vec<u32>| candidate.len() as u32;
    Ok(Scored {
        scores,
        tokens: queries
            .iter()
            .map(|query| query.candidates.iter().map(length).collect())
            .collect(),
        seconds: scoring.elapsed().as_secs_f64(),
        validation_loss,
        invalid_output_rate,
    })
}

/// The record of a ranking: its scores with all that is needed to rank by them, and the hash of what was scored.
fn result(bench: &Bench, target: &DomainData, scored: Scored) -> Result<Ranking> {
    let count = |id: &u32| {
        let item = target.items.get(*id as usize - 1);
        item.map_or(0, |item| item.train_count)
    };
    let looks = Cases::of(&target.items);
    let mut cases = Vec::new();
    let scores = scored.scores.into_iter().zip(scored.tokens);
    for (prompt, (scores, tokens)) in target.ranked.iter().zip(scores) {
        let at = prompt.candidates.iter().position(|c| *c == prompt.target);
        let at = at.with_context(|| {
            format!(
                "the target of user {} is not among the candidates",
                prompt.user_id
            )
        })?;
        let case = looks.case(prompt);
        cases.push(ScoredCase {
            user_id: prompt.user_id.clone(),
            cut: bench.study.profile.report_on,
            target: u32::try_from(at)?,
            popularity: prompt.candidates.iter().map(count).collect(),
            candidates: prompt.candidates.clone(),
            scores,
            neutral: Vec::new(),
            tokens,
            descends: case.descends,
            ties: case.ties,
        });
    }
    let manifest = target.folder.manifest();
    Ok(Ranking {
        candidate_hash: scored_hash(&cases),
        split: manifest.split.clone(),
        order: manifest.order(),
        rank_seconds: scored.seconds,
        validation_loss: scored.validation_loss,
        invalid_output_rate: scored.invalid_output_rate,
        cases,
    })
}

/// The hash of the users and candidates that were scored, from the scores themselves.
pub fn scored_hash(cases: &[ScoredCase]) -> String {
    candidate_hash(cases.iter().map(|case| {
        let target = case.candidates.get(case.target as usize);
        (
            case.user_id.as_str(),
            target.copied().unwrap_or(0),
            case.candidates.as_slice(),
        )
    }))
}
