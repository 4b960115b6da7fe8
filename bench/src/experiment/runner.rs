//! Runs what is missing: backbones, then adapters, then rankings. A finished cell is never run again.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use weaverec_model::device::Compute;
use weaverec_model::lora::{Adapter, LoraConfig};
use weaverec_model::merge;
use weaverec_model::train::{Checkpoint, Example, mean_loss, train_lora, training_flops};
use weaverec_model::weave::Mixture;
use weaverec_output::write_file;
use weaverec_pipeline::schema::Split;

use super::backbone::{self, LanguageModel};
use super::cell::{Ranking, ScoredCase, Training};
use super::cut::Cut;
use super::domain::{self, DomainData, Domains};
use super::encoder::Encoder;
use super::environment::Environment;
use super::plan::{AdapterCell, Plan, RankingCell, Scorer};
use super::profile::{Data, Profile, Study};
use super::schedule::{self, Finished, Schedule, Task};
use super::store::Store;
use super::training_set::TrainingSet;
use crate::method::{language_model, popularity, random};
use crate::output::CURVE;
use crate::progress::{Meter, say};

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
            store: Store::open(work.join("cells"))?,
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
}

/// A study with its domains and language model at hand.
pub struct Bench<'a> {
    /// The profile it belongs to.
    pub profile: &'a Profile,
    /// The study.
    pub study: &'a Study,
    /// Its prepared domains.
    pub domains: Domains,
    /// Its language model.
    pub model: LanguageModel,
}

impl<'a> Bench<'a> {
    /// Prepares a study's domains and loads (or pre-trains) its language model.
    pub fn set_up(profile: &'a Profile, study: &'a Study, data: &Data, workshop: &Workshop) -> Result<Self> {
        say(format!(
            "{}: preparing {} domains",
            study.title,
            study.domains.len()
        ));
        let domains = domain::prepare_study(study, &profile.prepare, data, &workshop.work, workshop.threads)?;
        let model = backbone::load(profile, study, &domains, workshop)?;
        Ok(Bench {
            profile,
            study,
            domains,
            model,
        })
    }

    /// A domain by name; scenarios were checked against the study's domains.
    pub fn domain(&self, name: &str) -> Result<&DomainData> {
        self.domains
            .get(name)
            .with_context(|| format!("the domain {name} was not prepared"))
    }
}

/// Runs every missing cell of a study.
pub fn run(bench: &Bench, plan: &Plan, workshop: &Workshop) -> Result<()> {
    let encoder = Encoder::new(&bench.model.tokenizer, bench.profile.prepare.format);
    let schedule = workshop.schedule();
    let adapters = plan.adapters.values().map(|adapter| {
        Task::new(&adapter.cell, prompts(bench, adapter), || {
            train(bench, adapter, workshop)
        })
    });
    schedule.run("adapters", adapters.collect())?;
    let rankings = plan.rankings.values().map(|ranking| {
        let encoder = &encoder;
        Task::new(&ranking.cell, scored(bench, ranking), move || {
            rank(bench, plan, encoder, ranking, workshop)
        })
    });
    schedule.run("rankings", rankings.collect())
}

/// How long a training takes beside others: by its prompts.
fn prompts(bench: &Bench, adapter: &AdapterCell) -> f64 {
    let cap = bench.profile.adapter.prompts_per_domain as u64;
    let of = |name| {
        bench
            .domain(name)
            .map_or(0, |d| d.folder.manifest().prompt_count(Split::Train).min(cap))
    };
    adapter.domains.iter().map(of).sum::<u64>() as f64
}

/// How long a ranking takes beside others: a language model by its users, and the rest no time.
fn scored(bench: &Bench, ranking: &RankingCell) -> f64 {
    match &ranking.scorer {
        Scorer::LanguageModel { .. } => bench
            .domain(&ranking.target)
            .map_or(0.0, |domain| domain.test.len() as f64),
        _ => 0.0,
    }
}

fn train(bench: &Bench, adapter: &AdapterCell, workshop: &Workshop) -> Result<Finished<'static>> {
    let config = &bench.profile.adapter;
    let meter = Meter::start(adapter.cell.label.clone());
    let domains = adapter.domains.iter().map(|name| bench.domain(name));
    let folders = domains.map(|domain| domain.map(|domain| &domain.folder));
    let TrainingSet { examples, held_out } = TrainingSet::read(
        &folders.collect::<Result<Vec<_>>>()?,
        &bench.model.tokenizer,
        Mixture::capped(config.prompts_per_domain),
        config.held_out,
        adapter.seed,
        &meter,
    )?;
    let checkpoint = Checkpoint::new(workshop.store.checkpoint(&adapter.cell), &bench.model.fingerprint);
    let mut lora = LoraConfig::new(config.rank, config.alpha);
    lora.lora_dropout = config.dropout;
    lora.base_model_name_or_path = Some(bench.model.base.name.clone());
    let (mut trained, outcome) = train_lora(
        &bench.model.decoder,
        lora,
        &examples,
        &held_out,
        &config.train,
        adapter.seed,
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
    trained.base = Some(bench.model.base.clone());
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
        bench.model.decoder.config(),
        outcome.tokens,
        (targets as f64 * share) as u64,
        rows as f64 / examples.len().max(1) as f64,
    );
    let curve_lines = outcome.json_lines();
    let training = Training {
        examples: examples.len(),
        flops,
        outcome,
    };
    Ok(Finished {
        training: Some(training),
        artefacts: Some(Box::new(move |folder| {
            write_file(&folder.join(CURVE), curve_lines.as_bytes())?;
            Ok(trained.save(&folder.join("adapter"))?)
        })),
        ..Finished::default()
    })
}

fn rank(
    bench: &Bench,
    plan: &Plan,
    encoder: &Encoder,
    ranking: &RankingCell,
    workshop: &Workshop,
) -> Result<Finished<'static>> {
    let target = bench.domain(&ranking.target)?;
    let meter = Meter::start(ranking.cell.label.clone());
    let (mut validation_loss, mut invalid_output_rate) = (None, None);
    let mut scoring = Instant::now();
    let scores = match &ranking.scorer {
        Scorer::Random { seed } => random::scores(&target.test, *seed),
        Scorer::Popularity => popularity::scores(&target.test, &target.items),
        Scorer::LanguageModel { members } => {
            let adapters: Vec<Adapter> = members
                .iter()
                .map(|key| {
                    let cell = &plan
                        .adapters
                        .get(key)
                        .context("an adapter of this ranking is not planned")?
                        .cell;
                    Ok(Adapter::load(&workshop.store.folder(cell).join("adapter"))?)
                })
                .collect::<Result<_>>()?;
            let decoder = match adapters.is_empty() {
                true => bench.model.decoder.clone(),
                false => bench
                    .model
                    .decoder
                    .folded(&merge::uniform(&adapters.iter().collect::<Vec<_>>())?)?,
            };
            let (config, format) = (&bench.profile.rank, bench.profile.prepare.format);
            let validation =
                &target.validation[..target.validation.len().min(bench.profile.adapter.held_out)];
            let validation = encoder.examples(validation)?;
            validation_loss = mean_loss(&decoder, &validation, config.batch_tokens)?;
            invalid_output_rate = language_model::invalid_output_rate(
                &decoder,
                encoder,
                &target.test,
                &target.items,
                config,
                format,
            )?;
            scoring = Instant::now();
            language_model::scores(&decoder, encoder, &target.test, &target.items, config, &meter)?
        }
    };
    let rank_seconds = scoring.elapsed().as_secs_f64();
    let count = |id: &u32| {
        target
            .items
            .get(*id as usize - 1)
            .map_or(0, |item| item.train_count)
    };
    let mut cases = Vec::new();
    for (prompt, scores) in target.test.iter().zip(scores) {
        let at = prompt.candidates.iter().position(|c| *c == prompt.target);
        let at = at.with_context(|| {
            format!(
                "the target of user {} is not among the candidates",
                prompt.user_id
            )
        })?;
        cases.push(ScoredCase {
            user_id: prompt.user_id.clone(),
            cut: Cut::Final,
            target: at as u32,
            popularity: prompt.candidates.iter().map(count).collect(),
            candidates: prompt.candidates.clone(),
            scores,
            neutral: Vec::new(),
            tokens: Vec::new(),
            descends: prompt.history.last().is_some_and(|last| prompt.target < *last),
            ties: false,
        });
    }
    meter.finish(format!("{} users", cases.len()));
    let manifest = target.folder.manifest();
    let result = Ranking {
        candidate_hash: target.candidate_hash.clone(),
        split: manifest.split.clone(),
        order: manifest.tie_advice().unwrap_or_default(),
        rank_seconds,
        validation_loss,
        invalid_output_rate,
        cases,
    };
    Ok(Finished {
        ranking: Some(result),
        ..Finished::default()
    })
}
